"""RFMiD in its two layouts, whose splits all start at ID 1."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.data.sources.diseases.rfmid import RFMID, SIGNS
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

LAYOUTS = {
    "kaggle": {
        "train": ("Training_Set/Training_Set/RFMiD_Training_Labels.csv", "Training_Set/Training_Set/Training"),
        "val": (
            "Evaluation_Set/Evaluation_Set/RFMiD_Validation_Labels.csv",
            "Evaluation_Set/Evaluation_Set/Validation",
        ),
        "test": ("Test_Set/Test_Set/RFMiD_Testing_Labels.csv", "Test_Set/Test_Set/Test"),
    },
    "kaggle, undoubled": {
        "train": ("Training_Set/RFMiD_Training_Labels.csv", "Training_Set/Training"),
        "val": ("Evaluation_Set/RFMiD_Validation_Labels.csv", "Evaluation_Set/Validation"),
        "test": ("Test_Set/RFMiD_Testing_Labels.csv", "Test_Set/Test"),
    },
    "ieee": {
        "train": ("2. Groundtruths/a. RFMiD_Training_Labels.csv", "1. Original Images/a. Training Set"),
        "val": ("2. Groundtruths/b. RFMiD_Validation_Labels.csv", "1. Original Images/b. Validation Set"),
        "test": ("2. Groundtruths/c. RFMiD_Testing_Labels.csv", "1. Original Images/c. Testing Set"),
    },
}
KAGGLE, IEEE = LAYOUTS["kaggle"], LAYOUTS["ieee"]
Layout = dict[str, tuple[str, str]]


def write(folder: Path, layout: Layout, conditions: dict[str, int]) -> Path:
    for table, pictures in layout.values():
        (folder / pictures).mkdir(parents=True)
        (folder / table).parent.mkdir(parents=True, exist_ok=True)
        row = {"ID": 1, "Disease_Risk": int(any(conditions.values()))} | dict.fromkeys(SIGNS, 0) | conditions
        pd.DataFrame([row, dict.fromkeys(row, 0) | {"ID": 2}]).to_csv(folder / table, index=False)
    return folder


def read(folder: Path) -> pd.DataFrame:
    return check_manifest(RFMID.read(folder), path=folder / "rfmid.csv")


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_photograph_1_of_each_split_is_another_photograph(tmp_path, layout):
    frame = read(write(tmp_path, layout, {"DR": 1, "CWS": 1}))

    assert frame["split"].tolist() == ["train", "train", "val", "val", "test", "test"]
    assert frame["image"].is_unique
    assert frame["label"].tolist() == ["disease", "normal"] * 3
    assert frame["sign_diabetic_retinopathy"].tolist() == [1, 0] * 3
    assert [image.rpartition("/")[0] for image in frame["image"][::2]] == [folder for _, folder in layout.values()]


def test_media_haze_is_not_mistaken_for_a_macular_hole(tmp_path):
    row = read(write(tmp_path, KAGGLE, {"MH": 1})).iloc[0]

    assert (row["sign_media_haze"], row["sign_macular_hole"]) == (1, 0)


def test_all_45_conditions_have_a_word_of_their_own():
    assert len(SIGNS) == 45
    assert len(set(SIGNS.values())) == 45


def test_a_split_that_was_not_downloaded_is_left_out(tmp_path):
    assert set(read(write(tmp_path, {"train": IEEE["train"]}, {"DR": 1}))["split"]) == {"train"}


def test_another_set_is_refused(tmp_path):
    with pytest.raises(BadTable, match=r"expected RFMiD with Training_Set/.*, found nothing"):
        RFMID.read(tmp_path)
    write(tmp_path, KAGGLE, {"WNL": 1})
    with pytest.raises(BadTable, match=r"and the 45 conditions of RFMiD, got WNL\. Name the folder of RFMiD 1\.0"):
        RFMID.read(tmp_path)
