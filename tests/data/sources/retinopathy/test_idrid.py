"""IDRiD, as it lies beside the checkout and as its publisher lays it out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.imports import import_source
from fundoscope.data.sources.retinopathy.idrid import IMAGES, LABELS, PUBLISHED
from fundoscope.errors import BadTable
from fundoscope.files import sha256_of

HEADER = "image,idrid_name,session,eye_inferred,grade,dme_risk,split,taken\n"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    (tmp_path / LABELS).mkdir()
    for split, (pictures, table) in PUBLISHED.items():
        (tmp_path / IMAGES / pictures).mkdir(parents=True)
        (tmp_path / IMAGES / pictures / "IDRiD_001.jpg").write_bytes(split.encode())
        # The publisher's tables end in empty columns and rows, and one name ends in a blank.
        (tmp_path / LABELS / table).write_text(
            "Image name,Retinopathy grade,Risk of macular edema ,,\nIDRiD_001,3,2,,\nIDRiD_002,0,0,,\n,,,,\n"
        )
    return tmp_path


def test_the_publishers_layout_is_read_without_mistaking_test_for_train(published):
    frame = import_source("idrid", published)

    assert frame["split"].tolist() == ["train", "train", "test", "test"]
    assert frame["image"].is_unique
    assert frame["grade"].tolist() == [3, 0, 3, 0]
    assert frame["dme"].tolist() == [2, 0, 2, 0]
    assert "patient" not in frame or frame["patient"].isna().all()
    assert frame["sha256"].iloc[0] != frame["sha256"].iloc[2]


def test_a_photograph_that_is_not_there_has_no_hash(published):
    assert import_source("idrid", published)["sha256"].isna().tolist() == [False, True, False, True]


def test_sessions_become_patients_and_exif_times_iso(tmp_path):
    (tmp_path / "labels.csv").write_text(HEADER + "images/a.jpg,IDRiD_001,s290,,3,2,train,2017:08:01 13:07:05\n")

    row = import_source("idrid", tmp_path).iloc[0]

    assert (row["patient"], row["taken"], row["source"]) == ("s290", "2017-08-01T13:07:05", "idrid")
    assert row["eye"] is None
    assert "boxes" not in row


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"expected IDRiD: labels.csv with images/, or the publisher's .*got neither"),
        ("image,grade\na.jpg,3\n", r"labels.csv: expected the columns .*, session, .* not found among image, grade"),
        (HEADER + "a.jpg,x,s1,left,6,0,train,\n", r"row 2, column grade: .* got '6'"),
    ],
)
def test_anything_else_is_refused(tmp_path, labels, message):
    if labels is not None:
        (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(BadTable, match=message):
        import_source("idrid", tmp_path)


def test_the_real_one_has_its_published_counts(shared_data):
    folder = shared_data / "idrid"
    frame = import_source("idrid", folder)

    counts = pd.crosstab(frame["split"], frame["grade"])
    assert counts.loc["train"].tolist() == [134, 20, 136, 74, 49]
    assert counts.loc["test"].tolist() == [34, 5, 32, 19, 13]
    assert (frame["dme"] == 2).sum() == 243
    assert frame["sha256"].notna().all()
    assert frame["sha256"].iloc[5] == sha256_of(folder / frame["image"].iloc[5])
    assert set(frame["boxes"]) == {"boxes.csv"}
    sessions = frame.groupby("split")["patient"].agg(set)
    in_both = frame["patient"].isin(sessions["train"]) & (frame["split"] == "test")
    assert in_both.sum() == 19, "test photographs whose session is also in train"
