"""A whole audit: what is found, written down, written back, and what blocks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from tests.disguises import painted

from fundoscope.audit import audit as auditing
from fundoscope.audit.agreement import LABELS
from fundoscope.audit.audit import Audit, Predictions
from fundoscope.audit.report import ANSWER_FILE, COUNT_WORDS, write_report
from fundoscope.data.manifest import read_manifest, write_manifest
from fundoscope.files import sha256_of
from fundoscope.photo.fov import find_field


@pytest.fixture
def manifests(tmp_path, save) -> list[Path]:
    """Two tables: a training set with one picture twice, and a test set that repeats one of its photographs."""
    for seed in range(4):
        save(f"train/{seed}.jpg", painted(seed))
    save("train/0_again.jpg", painted(0), quality=60)
    save("test/a.jpg", painted(1)[:, ::-1])
    save("test/b.jpg", painted(7))
    (tmp_path / "train" / "broken.jpg").write_bytes(b"no picture")
    rows = [(f"{name}.jpg", f"p{at}", 2) for at, name in enumerate(["0", "1", "2", "3", "0_again", "broken"])]
    train = pd.DataFrame(rows, columns=["image", "patient", "grade"]).assign(split="train", source="clinic")
    test = pd.DataFrame({"image": ["a.jpg", "b.jpg"], "grade": [4, 0], "split": "test", "camera": "Alpha"})
    write_manifest(train, tmp_path / "train" / "train.csv")
    write_manifest(test, tmp_path / "test" / "test.csv")
    return [tmp_path / "train" / "train.csv", tmp_path / "test" / "test.csv"]


def audited(manifests: list[Path], tmp_path: Path, predictions: pd.DataFrame | None = None) -> Audit:
    given = None if predictions is None else Predictions(predictions)
    return auditing.audit(
        auditing.listed(manifests), cache=tmp_path / "cache", release=None, predictions=given, threads=2
    )


def test_what_must_be_mended_is_said_first(manifests, tmp_path):
    found = audited(manifests, tmp_path)

    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=["blocks", "warns", "notes"].index)
    assert found.blocks
    by_check = {finding.check: finding for finding in found.findings}
    assert by_check["broken-file"].images == ("train/broken.jpg",)
    assert set(by_check["duplicates-on-two-splits"].images) == {"train/1.jpg", "test/a.jpg"}
    assert set(by_check["contradicting-grade"].images) == {"train/1.jpg", "test/a.jpg"}
    assert {"train/0.jpg", "train/0_again.jpg"} <= set(by_check["repeated-photographs"].images)


def test_a_clean_set_blocks_nothing(manifests, tmp_path):
    train = read_manifest(manifests[0])
    write_manifest(train[~train["image"].isin(["0_again.jpg", "broken.jpg"])], manifests[0])

    found = audited(manifests[:1], tmp_path)

    assert not found.blocks
    assert not found.overlap.pairs
    assert found.to_dict()["counts"]["repeated_photographs"] == 0


def test_the_answer_is_json_of_a_stable_shape(manifests, tmp_path):
    answer = json.loads(json.dumps(audited(manifests, tmp_path).to_dict(), allow_nan=False))

    assert answer["schema"] == "fundoscope.audit/1"
    assert answer["blocks"] is True
    assert [each["photographs"] for each in answer["manifests"]] == [6, 2]
    assert answer["counts"]["copies"] == 2
    assert answer["counts"]["unreadable"] == 1
    assert {pair["mirror"] for pair in answer["pairs"]} == {"as it is", "left to right"}
    assert set(answer["findings"][0]) == {"check", "severity", "message", "images", "evidence"}


def test_groups_written_back_keep_each_manifests_own_columns(manifests, tmp_path):
    auditing.write_groups(audited(manifests, tmp_path))

    train, test = (read_manifest(path) for path in manifests)
    assert train["image"].tolist() == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "0_again.jpg", "broken.jpg"]
    assert "camera" not in train
    assert "patient" not in test
    groups = train.set_index("image")["duplicate_group"]
    assert groups["0.jpg"] == groups["0_again.jpg"]
    assert groups["1.jpg"] == test.set_index("image")["duplicate_group"]["a.jpg"]
    assert groups[["2.jpg", "3.jpg", "broken.jpg"]].isna().all()
    assert train["sha256"].notna().tolist() == [True] * 5 + [False]


def test_one_photograph_in_two_manifests_keeps_two_names(manifests, tmp_path):
    again = tmp_path / "train" / "again.csv"
    again.write_text("image\n0.jpg\n")

    frame = auditing.listed([manifests[0], again]).frame

    assert frame["image"].is_unique
    assert "0.jpg (again.csv)" in set(frame["image"])


def held_out(images: list[str]) -> pd.DataFrame:
    rows = []
    for at, image in enumerate(images):
        shares = np.full(5, 0.05)
        shares[0 if at == 2 else 2] = 0.8
        rows.append({"image": image, **{f"p{k}": shares[k] for k in range(5)}, "fold": at % 2})
    return pd.DataFrame(rows)


def test_suspects_come_from_predictions_that_were_held_out(manifests, tmp_path):
    images = ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    train = read_manifest(manifests[0])
    write_manifest(train[train["image"].isin(images)].assign(fold=0), manifests[0])

    found = audited(manifests[:1], tmp_path, held_out(images))

    assert [(suspect.image, suspect.given, suspect.suggested) for suspect in found.suspects] == [("2.jpg", 2, 0)]
    assert found.to_dict()["suspects"][0]["why"]


def test_the_sheets_hold_their_pictures_and_name_what_they_show(manifests, tmp_path):
    found = audited(manifests, tmp_path)

    written = write_report(found, tmp_path / "report")

    names = {path.name for path in written}
    assert {"index.html", "copies.html", "contradicting-grade.html", ANSWER_FILE} <= names
    index = (tmp_path / "report" / "index.html").read_text()
    blocking = sum(finding.severity == "blocks" for finding in found.findings)
    assert f"<h1>{blocking} finding{'s block' if blocking > 1 else ' blocks'} training</h1>" in index
    for name, count in found.to_dict()["counts"].items():
        assert f"<b>{count}</b><span>{COUNT_WORDS[name][count != 1]}</span>" in index
    assert "copies.html" in index
    sheet = (tmp_path / "report" / "copies.html").read_text()
    assert sheet.count("data:image/jpeg;base64,") == 4
    assert "flipped: left to right" in sheet
    assert "http" not in sheet.replace("http-equiv", "")
    assert json.loads((tmp_path / "report" / ANSWER_FILE).read_text()) == json.loads(json.dumps(found.to_dict()))


def test_a_pictures_contradicting_labels_are_seen_side_by_side(tmp_path, save):
    for name, seed in (("a", 1), ("a_again", 1), ("a_third", 1), ("b", 2), ("b_again", 2), ("c", 3)):
        save(f"{name}.jpg", painted(seed), quality=60 if "_" in name else 90)
    (tmp_path / "m.csv").write_text(
        "image,grade,dme,label,eye\na.jpg,0,0,x,left\na_again.jpg,1,0,x,left\na_third.jpg,4,,,left\n"
        "b.jpg,2,1,x,left\nb_again.jpg,3,2,y,right\nc.jpg,2,0,x,left\n"
    )

    write_report(audited([tmp_path / "m.csv"], tmp_path), tmp_path / "report")

    held = {name: (tmp_path / "report" / f"contradicting-{name}.html").read_text() for name in LABELS}
    entries = {name: page.count("<article") for name, page in held.items()}
    assert entries == {"grade": 2, "dme": 1, "label": 1, "eye": 1}
    first, second = held["grade"].split("<article")[1:]
    assert "grade 0, 1, 4" in first
    assert (first.count("<figure>"), second.count("<figure>")) == (3, 2)
    assert "label x, y" in held["label"]
    assert "c.jpg" not in "".join(held.values())


def test_names_from_outside_are_text_and_never_markup(tmp_path, save):
    save("<b>bold.jpg", painted(1))
    save("again.jpg", painted(1), quality=70)
    (tmp_path / "m.csv").write_text("image\n<b>bold.jpg\nagain.jpg\n")

    write_report(audited([tmp_path / "m.csv"], tmp_path), tmp_path / "report")

    assert "<b>bold" not in (tmp_path / "report" / "copies.html").read_text()


def test_a_file_that_is_not_the_one_its_manifest_means_blocks(manifests, tmp_path):
    train = read_manifest(manifests[0])
    hashes = [sha256_of(manifests[0].parent / image) for image in train["image"]]
    write_manifest(train.assign(sha256=[hashes[1], hashes[0], None, *hashes[3:]]), manifests[0])

    by_check = {finding.check: finding for finding in audited(manifests, tmp_path).findings}

    assert by_check["other-file"].severity == "blocks"
    assert by_check["other-file"].images == ("train/0.jpg", "train/1.jpg")


def test_fingerprints_are_kept_in_the_users_cache_and_where_none_can_be_written_nothing_is_lost(
    manifests, tmp_path, monkeypatch
):
    def pairs(cache):
        monkeypatch.setenv("FUNDOSCOPE_CACHE", str(cache))
        folder = auditing.own_cache().folder
        return auditing.audit(auditing.listed(manifests), cache=folder, release=None, threads=1).overlap.pairs

    blocked = tmp_path / "a file"
    blocked.write_text("no folder")

    kept = pairs(tmp_path / "user")
    assert len(kept) > 1
    assert len([*(tmp_path / "user" / "audit").rglob("*.npz")]) == 7
    assert pairs(blocked / "below") == kept
    assert blocked.read_text() == "no folder"


def test_nobody_else_can_read_the_fingerprints_and_none_are_kept_where_none_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNDOSCOPE_CACHE", str(tmp_path))
    (tmp_path / "audit").mkdir(mode=0o755)

    cache = auditing.own_cache()
    assert (cache.folder, cache.kept) == (tmp_path / "audit", True)
    assert cache.folder.stat().st_mode & 0o077 == 0
    without = auditing.own_cache(keep=False)
    assert not without.kept
    assert not without.folder.is_relative_to(tmp_path)


def test_two_eyes_exchanged_between_patients_are_found_in_both(tmp_path, save):
    """The right eyes have moved so far that nothing but their fellows leads to them."""
    rows = []
    for visit, names in enumerate(["ab", "ba"]):
        for eye, turn, shift in (("left", 2.0, (6, 4)), ("right", 9.0, (30, -22))):
            for person, name in enumerate(names):
                photo = painted(10 + person + 2 * (eye == "right"))
                if visit:
                    height, width = photo.shape[:2]
                    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1.0)
                    matrix[:, 2] += shift
                    moved = cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
                    photo = np.where(find_field(photo).mask(height, width)[..., None], moved, 0).astype(np.uint8)
                save(f"{name}_{visit}_{eye}.jpg", photo)
                rows.append((f"{name}_{visit}_{eye}.jpg", name, eye))
    write_manifest(pd.DataFrame(rows, columns=["image", "patient", "eye"]), tmp_path / "exchanged.csv")

    result = audited([tmp_path / "exchanged.csv"], tmp_path)

    (finding,) = [finding for finding in result.findings if finding.check == "one-eye-two-patients"]
    assert {(pair["first"], pair["second"]) for pair in finding.evidence["pairs"]} == {
        ("a_0_left.jpg", "b_1_left.jpg"),
        ("b_0_left.jpg", "a_1_left.jpg"),
        ("a_0_right.jpg", "b_1_right.jpg"),
        ("b_0_right.jpg", "a_1_right.jpg"),
    }


def test_names_on_the_pages_leave_out_the_folders_that_all_photographs_are_in(manifests):
    names = ["tables/../pictures/a/1.jpg", "tables/../pictures/b/2.jpg"]
    audit = audited(manifests[:1], manifests[0].parent)
    listing = replace(audit.listing, frame=audit.listing.frame.head(2).assign(image=names))

    assert [replace(audit, listing=listing).short(name) for name in names] == ["a/1.jpg", "b/2.jpg"]
