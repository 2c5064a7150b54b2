"""`fundoscope commission`, from the command line to its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.decide.heads import exceedance, probabilities
from fundoscope.decide.referral import SCORE_TOLERANCE
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.artefacts.make import Shot, make_dust_map
from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.release import open_release
from fundoscope.tables import write_table


@pytest.fixture
def run(run_verb):
    """Run `commission`, or another verb."""

    def run(*arguments: object, verb: str = "commission") -> tuple[int, str, str]:
        return run_verb(verb, *arguments)

    return run


@pytest.fixture
def clinic(tmp_path: Path, rng) -> tuple[pd.DataFrame, pd.DataFrame]:
    """120 patients with two eyes each, every second one with a referable left eye; scores tell them apart mostly."""
    patient = np.repeat(np.arange(120), 2)
    left = np.arange(240) % 2 == 0
    grades = np.where(left & (patient % 2 == 0), 2 + patient % 3, 0)
    predictions = pd.DataFrame(
        {
            "image": [f"{at}.jpg" for at in range(240)],
            "p_referable": np.round(np.where(grades >= 2, rng.beta(5, 2, 240), rng.beta(1, 5, 240)), 4),
        }
    )
    manifest = pd.DataFrame(
        {
            "image": predictions["image"],
            "sha256": [f"{at:064x}" for at in range(240)],
            "patient": [f"{each:03d}" for each in patient],
            "eye": np.where(left, "left", "right"),
            "grade": grades,
            "split": np.where(patient < 100, "train", "test"),
        }
    )
    return predictions, manifest


def written(folder: Path, predictions: pd.DataFrame, manifest: pd.DataFrame) -> tuple[Path, Path]:
    write_table(predictions, folder / "predictions.csv")
    write_table(manifest, folder / "manifest.csv")
    return folder / "predictions.csv", folder / "manifest.csv"


def test_any_systems_scores_give_a_threshold_with_its_guarantee(run, clinic, tmp_path):
    status, out, _ = run(*written(tmp_path, *clinic), "--prevalence", 0.1)

    assert status == 0
    for words in (
        "Guaranteed: at the threshold",
        "at least 85.0% of the referable patients",
        "120 patients (240 photographs, 0 not graded): 60 referable, 40 sight-threatening",
        "Sensitivity: 57 of 60 (95.0%), lower bound 86.1% (97.50% confidence)",
        "whether it had learned from these patients is not known",
        "To expect at a prevalence of 10.0%",
        "364 if it is 0.90, 177 if it is 0.92, 75 if it is 0.95",
        "not a medical device",
    ):
        assert words in out, words


def test_too_few_patients_are_answered_plainly_and_with_status_1(run, clinic, tmp_path):
    status, out, _ = run(*written(tmp_path, *clinic), "--split", "test")

    assert status == 1
    assert "A sensitivity of 85.0% cannot be guaranteed with these data: 10 referable patients are too few." in out
    assert "At least 13 more are needed" in out


def test_where_the_referable_cannot_be_graded_the_threshold_is_a_number_and_said_to_decide_nothing(
    run, clinic, tmp_path
):
    predictions, manifest = clinic
    ill = (manifest["grade"] >= 2).to_numpy()
    refused = predictions.assign(status=np.where(ill, "ungradable", "graded"))
    paths = written(tmp_path, refused, manifest)
    status, out, _ = run(*paths, "--json", "--report", tmp_path / "report")

    def no_number(text: str) -> None:
        raise AssertionError(f"JSON knows no {text}")

    protocol = json.loads((tmp_path / "report" / "protocol.json").read_text(), parse_constant=no_number)
    assert (status, protocol["threshold"], protocol["guaranteed"]) == (0, 1.0, True)
    assert json.loads(out) == protocol
    said = run(*paths)[1]
    assert "At a threshold of 1 nobody is referred but for a score of 1 or an eye that cannot be graded." in said
    assert "Were an eye that cannot be graded not referred: sensitivity 0 of 60 (0.0%)" in said


def test_photographs_without_an_answer_are_counted_and_spoken_of(run, clinic, tmp_path):
    predictions, manifest = clinic
    paths = written(tmp_path, predictions.drop(index=[0, 1, 239]), manifest)

    assert "3 photographs of the manifest have no prediction and were left out" in run(*paths)[1]
    assert "2 photographs of the manifest have no prediction" in run(*paths, "--split", "train")[1]


def test_grades_alone_are_judged_at_their_own_cut(run, clinic, tmp_path):
    predictions, manifest = clinic
    answers = predictions.drop(columns="p_referable").assign(grade=np.where(predictions["p_referable"] > 0.2, 2, 0))
    status, out, _ = run(*written(tmp_path, answers, manifest))

    assert status == 0
    assert "Guaranteed: at the grade cut (2 or above)" in out


def test_the_protocol_is_written_for_programs_and_for_people(run, clinic, tmp_path):
    paths = written(tmp_path, *clinic)
    _, out, _ = run(*paths, "--report", tmp_path / "report", "--json", "--looks", 2)

    protocol = json.loads((tmp_path / "report" / "protocol.json").read_text())
    assert json.loads(out) == protocol
    assert protocol["terms"] == {"sensitivity": 0.85, "confidence": 0.975, "looks": 2, "confidence_each": 0.9875}
    assert len(protocol["data"]["predictions_sha256"]) == len(protocol["seal"]) == 64
    assert "# Commissioning" in (tmp_path / "report" / "protocol.md").read_text()


def test_the_commissioned_copy_is_verified_and_grades_at_its_threshold(run, clinic, tiny_release, tmp_path):
    predictions, manifest = clinic
    name = open_release(tiny_release).name
    paths = written(tmp_path, predictions.assign(release=name), manifest)
    status, _, _ = run(*paths, "--release", tiny_release, "--out", tmp_path / "copy", "--report", tmp_path / "report")
    assert status == 0
    threshold = json.loads((tmp_path / "report" / "protocol.json").read_text())["threshold"]

    assert run(tmp_path / "copy", verb="verify")[0] == 0
    _, told, _ = run(tmp_path / "copy", verb="info")
    assert f"from a probability of {threshold:.3f} that the grade is 2 or higher" in told
    assert "commissioning: sensitivity lower bound 0.861" in told
    photo = paint_retina(RetinaSpec(side_px=320, grade=2), rng=np.random.default_rng(1)).photo
    Image.fromarray(photo).save(tmp_path / "eye.png")
    _, graded, _ = run(tmp_path / "eye.png", "--release", tmp_path / "copy", "--json", verb="grade")
    row = json.loads(graded)["photographs"][0]
    assert row["status"] == "graded"
    assert (row["decision"] == "refer") == (row["p_referable"] >= threshold)


def test_out_of_fold_predictions_are_read_with_the_releases_temperature(run, clinic, tmp_path, rng, write_tiny_release):
    predictions, manifest = clinic
    release = write_tiny_release(
        tmp_path / "release",
        calibration={"temperature": 2.0, "grade_cuts": [0.5, 1.5, 2.5, 3.5]},
        training={"training_sha256": manifest["sha256"].tolist(), "experiment": {"name": "study"}},
    )
    raw = np.sort(rng.normal(size=(240, 4)) + 3 * (manifest["grade"].to_numpy()[:, None] >= 2), axis=1)[:, ::-1]
    table = predictions.assign(
        fold=np.arange(240) // 2 % 3, release="study", **{f"raw{k}": raw[:, k] for k in range(4)}
    )
    status, out, _ = run(*written(tmp_path, table, manifest.assign(fold=7)), "--release", release, "--json")

    protocol = json.loads(out)
    scores = exceedance(probabilities("coral", raw, temperature=2.0), 2)
    assert status == 0
    assert np.isclose(scores, protocol["threshold"] + SCORE_TOLERANCE, rtol=1e-9).sum() == 1
    assert "out-of-fold" in protocol["basis"]

    fewer = table.drop(columns="raw3")
    status, _, err = run(*written(tmp_path, fewer, manifest), "--release", release)
    assert status == 2
    assert "expected raw0 to raw3 filled in and no other raw output" in err


def test_patients_that_the_release_learned_from_are_refused(run, clinic, tmp_path, write_tiny_release):
    """Also where only the patient's other eye was learned from, and that eye is not among the predictions."""
    predictions, manifest = clinic
    learned = {"training_sha256": [manifest["sha256"][1]]}
    release = write_tiny_release(tmp_path / "release", training=learned)
    table = predictions.assign(release=open_release(release).name).drop(index=1)
    status, _, err = run(*written(tmp_path, table, manifest), "--release", release)

    assert status == 2
    assert "did not learn from, got 1 photographs of patients that it did (0.jpg)" in err

    mixed = table.assign(fold=0)
    status, _, err = run(*written(tmp_path, mixed, manifest), "--release", release)
    assert status == 2
    assert "Commission with one kind or the other" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given, listed: (given.assign(release="other@1"), listed), "got some of other@1"),
        (lambda given, listed: (given, listed.drop(columns="sha256")), "expected the sha256 of every photograph"),
        (
            lambda given, listed: (given.drop(columns="p_referable").assign(grade=2), listed),
            "expected scores (p_referable) to choose a threshold",
        ),
    ],
)
def test_predictions_that_cannot_commission_the_release_are_refused(
    run, clinic, tiny_release, tmp_path, change, message
):
    predictions, manifest = clinic
    given, listed = change(predictions.assign(release=open_release(tiny_release).name), manifest)
    status, _, err = run(*written(tmp_path, given, listed), "--release", tiny_release)

    assert status == 2
    assert message in err


def test_tables_without_the_disease_or_without_a_match_are_refused(run, clinic, tmp_path):
    predictions, manifest = clinic
    status, _, err = run(*written(tmp_path, predictions, manifest.assign(grade=0)))
    assert (status, "expected referable patients (grade 2 or above), got none among 120" in err) == (2, True)

    status, _, err = run(*written(tmp_path, predictions.assign(image="x" + predictions["image"]), manifest))
    assert (status, "got none among 240 rows (the first is x0.jpg)" in err) == (2, True)


def test_a_copy_needs_something_to_copy(run, clinic, tmp_path):
    status, _, err = run(*written(tmp_path, *clinic), "--out", tmp_path / "copy")

    assert (status, "--out: expected --release beside it, got none" in err) == (2, True)


def test_a_site_is_mapped_graded_again_and_commissioned_with_its_dust_map(
    run, tiny_release, dusty_photographs, retinas, tmp_path
):
    """Commission makes the map, grade --site uses it, commission again seals it into the copy, which grades alike."""
    folder = dusty_photographs[0].parent
    manifest = pd.DataFrame({"image": [path.name for path in dusty_photographs]})
    manifest["patient"] = [f"p{at}" for at in range(24)]
    manifest["grade"] = np.where(np.arange(24) < 20, 2, 0)
    write_table(manifest, folder / "site.csv")
    site, asked = tmp_path / "site", ("--sensitivity", 0.5, "--release", tiny_release, "--report", tmp_path / "site")
    run(folder, "--manifest", folder / "site.csv", "--release", tiny_release, "--out", tmp_path / "1.csv", verb="grade")

    _, _, said = run(tmp_path / "1.csv", folder / "site.csv", *asked)
    assert "3 specks on the sensor in 24 photographs of 384 x 288 px" in said
    assert "grade again with --site" in said
    again = ("--site", site, "--release", tiny_release, "--out", tmp_path / "2.csv")
    status, out, said = run(folder, "--manifest", folder / "site.csv", *again, verb="grade")
    assert status == 0
    assert "specks of the camera's sensor were retouched in 24" in out
    assert "what it guarantees does not hold" in said

    status, _, _ = run(tmp_path / "2.csv", folder / "site.csv", *asked, "--out", tmp_path / "copy")
    assert status == 0
    seal = json.loads((site / "dust_map.json").read_text())["seal"]
    assert json.loads((site / "protocol.json").read_text())["data"]["dust_map"] == seal
    assert json.loads((tmp_path / "copy" / "dust_map.json").read_text())["seal"] == seal
    status, _, said = run(
        folder,
        "--manifest",
        folder / "site.csv",
        "--site",
        tmp_path / "copy",
        "--out",
        tmp_path / "3.csv",
        verb="grade",
    )
    assert (status, "does not hold" in said) == (0, False)
    assert "do not fit the site's dust map" not in out
    _, out, _ = run(retinas[0], "--site", tmp_path / "copy", verb="grade")
    assert "1 of 1 graded photographs do not fit the site's dust map and were not retouched." in out
    second, third = (pd.read_csv(tmp_path / name) for name in ("2.csv", "3.csv"))
    assert list(second["raw0"]) == list(third["raw0"])
    assert set(third["dust_map"]) == {seal}
    assert third["release"].iloc[0] == open_release(tmp_path / "copy").name

    _, _, said = run(retinas[0], "--release", tmp_path / "copy", verb="grade")
    assert "these are not: what it guarantees does not hold for them" in said
    graded_by_copy = (tmp_path / "3.csv", folder / "site.csv", "--sensitivity", 0.5, "--release", tmp_path / "copy")
    status, _, said = run(*graded_by_copy, "--report", tmp_path / "copy")
    assert (status, "copy: expected a site's folder to write into, got a release" in said) == (2, True)
    assert open_release(tmp_path / "copy").name == third["release"].iloc[0]
    status, _, _ = run(*graded_by_copy, "--report", tmp_path / "site2", "--out", tmp_path / "copy2")
    assert status == 0
    for place in ("site2", "copy2"):
        assert json.loads((tmp_path / place / "dust_map.json").read_text())["seal"] == seal


def test_a_copy_that_is_commissioned_anew_without_its_map_does_not_carry_it(
    run, clinic, tiny_release, dusty_photographs, tmp_path
):
    predictions, manifest = clinic
    dust = make_dust_map([Shot(path=path) for path in dusty_photographs])
    opened = open_release(tiny_release)
    name = copy_release(opened, tmp_path / "old", opened.release, {"dust_map.json": dust.to_json().encode()}).name
    paths = written(tmp_path, predictions.assign(release=name), manifest)

    status, _, _ = run(*paths, "--release", tmp_path / "old", "--out", tmp_path / "new", "--no-dust-map")

    assert status == 0
    assert not (tmp_path / "new" / "dust_map.json").exists()


def test_no_map_is_made_where_none_is_wanted_and_the_copy_asks_for_the_one_in_use(run, clinic, tiny_release, tmp_path):
    predictions, manifest = clinic
    name = open_release(tiny_release).name
    paths = written(tmp_path, predictions.assign(release=name, dust_map="a" * 64), manifest)

    status, _, said = run(*paths, "--release", tiny_release, "--out", tmp_path / "copy")
    assert status == 2
    assert "--out: expected --report beside it, the site's folder with the dust map aaaaaaaaaaaa" in said
    assert not (tmp_path / "copy").exists()

    paths = written(tmp_path, predictions, manifest)
    _, _, said = run(*paths, "--report", tmp_path / "site", "--no-dust-map")
    assert "ust map" not in said
    assert not (tmp_path / "site" / "dust_map.json").exists()
