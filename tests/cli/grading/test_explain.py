"""`fundoscope explain`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.files import locked_folder
from fundoscope.heatmaps.explainers import ReleaseExplainer
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.artefacts.make import Shot, make_dust_map
from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.release import open_release


@pytest.fixture
def retinas(tmp_path: Path) -> Path:
    """A folder of two painted retinas."""
    folder = tmp_path / "retinas"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(2):
        photo = paint_retina(RetinaSpec(side_px=300, grade=number), rng=rng).photo
        Image.fromarray(photo).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def explain(run_verb, tiny_release, tmp_path):
    """Explain by the tiny release into a folder; status, standard output, standard error."""
    return lambda *words: run_verb("explain", *words, "--release", tiny_release, "--out", tmp_path / "out")


def told(folder: Path) -> dict[str, dict]:
    answer = json.loads((folder / "explanations.json").read_text())
    return {Path(row["image"]).name: row for row in answer["photographs"]}


def test_that_specks_are_not_retouched_here_is_said(run_verb, tiny_release, retinas, dusty_photographs, tmp_path):
    opened = open_release(tiny_release)
    dust = make_dust_map([Shot(path=path) for path in dusty_photographs])
    copy_release(opened, tmp_path / "copy", opened.release, {"dust_map.json": dust.to_json().encode()})

    _, _, err = run_verb("explain", retinas, "--release", tmp_path / "copy", "--out", tmp_path / "out")

    assert "here they are explained as they are, and answers may differ from those of grade --site" in err


def test_a_releases_own_map_is_drawn_stored_and_told_without_torch(explain, retinas, tmp_path):
    status, out, err = explain(retinas)

    assert status == 0, err
    assert "0.png: grade" in out
    assert "its heatmap is not certified" in err
    rows = told(tmp_path / "out")
    assert rows["0.png"]["methods"]["grad-cam"]["grid"] == [8, 8]
    assert 0 < rows["0.png"]["methods"]["grad-cam"]["outside_field"] < 1
    over = np.asarray(Image.open(tmp_path / "out" / "0.grad-cam.png"))
    assert over.shape[2] == 4
    assert not over[0, 0, 3]
    assert over[..., 3].any()
    with np.load(tmp_path / "out" / "0.npz", allow_pickle=False) as raw:
        assert sorted(raw.files) == ["field", "grad-cam"]
        assert raw["field"].shape == (64, 64)
        shown = np.asarray(Image.open(retinas / "0.png")).max(axis=2) > 30
        # The prepared photograph is a square as wide as the photograph.
        assert raw["field"].mean() == pytest.approx(shown.sum() / shown.shape[1] ** 2, abs=0.02)
        assert raw["grad-cam"].max() == 1
    assert np.asarray(Image.open(tmp_path / "out" / "0.png")).shape[1] > 600


def test_what_is_explained_is_not_explained_again_unless_forced_or_changed(explain, retinas, tmp_path):
    explain(retinas)
    figures = [tmp_path / "out" / f"{number}.png" for number in range(2)]
    for figure in figures:
        figure.write_bytes(b"touched")

    explain(retinas)
    kept = [figure.read_bytes() == b"touched" for figure in figures]
    shutil.copy(retinas / "0.png", retinas / "1.png")
    explain(retinas)
    changed = [figure.read_bytes() == b"touched" for figure in figures]
    explain(retinas, "--force")

    assert kept == [True, True]
    assert changed == [True, False]
    assert not any(figure.read_bytes() == b"touched" for figure in figures)


def test_a_bad_photograph_costs_only_itself(explain, retinas, tmp_path):
    Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(retinas / "black.png")
    (retinas / "torn.png").write_bytes(b"no picture")

    status, out, _ = explain(retinas)

    rows = told(tmp_path / "out")
    assert status == 1
    assert {name: row["status"] for name, row in rows.items()} == {
        "0.png": "graded",
        "1.png": "graded",
        "black.png": "ungradable",
        "torn.png": "unreadable",
    }
    assert rows["torn.png"]["reason"]
    assert rows["torn.png"]["methods"] == {}
    assert not (tmp_path / "out" / "black.png").exists()
    assert "torn.png" in out


def test_lesions_are_outlined_where_a_manifest_knows_them(explain, retinas, tmp_path):
    mask = np.zeros((300, 300), np.uint8)
    mask[140:160, 140:160] = 255
    Image.fromarray(mask).save(tmp_path / "ex.png")
    pd.DataFrame({"image": ["retinas/0.png"], "mask_ex": ["ex.png"]}).to_csv(tmp_path / "lesions.csv", index=False)

    status, _, err = explain(retinas, "--lesions", tmp_path / "lesions.csv")

    assert status == 0, err
    known, unknown = (np.asarray(Image.open(tmp_path / "out" / f"{number}.png")) for number in range(2))
    assert (known == (240, 228, 66)).all(axis=2).any()
    assert not (unknown == (240, 228, 66)).all(axis=2).any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "occlusion"), "--method occlusion: expected what release tiny@"),
        (("--target", "cut:2"), "--target cut:2: expected what release tiny@"),
        (("--layer", "blocks.2"), "or give the trained run with --checkpoint."),
        (("--checkpoint", "run"), "--release: expected it or --checkpoint, got both. Leave one out."),
    ],
)
def test_a_release_answers_only_what_it_has_inside(explain, retinas, words, said):
    status, _, err = explain(retinas, *words)

    assert status == 2
    assert said in err


def test_lesions_need_masks_that_can_be_read(explain, retinas, tmp_path):
    pd.DataFrame({"image": ["retinas/0.png"]}).to_csv(tmp_path / "bare.csv", index=False)
    pd.DataFrame({"image": ["retinas/0.png"], "mask_ma": ["no.png"]}).to_csv(tmp_path / "lost.csv", index=False)

    for name, said in (
        ("bare", "expected a column of mask_ma, mask_he"),
        ("lost", "no.png: expected a mask picture for mask_ma"),
    ):
        status, _, err = explain(retinas, "--lesions", tmp_path / f"{name}.csv")
        assert (status, said in err) == (2, True), err


def test_explanations_of_another_request_are_not_mixed_in(explain, retinas, run_verb, write_tiny_release, tmp_path):
    explain(retinas)
    other = write_tiny_release(tmp_path / "other", id="other")

    status, _, err = run_verb("explain", retinas, "--release", other, "--out", tmp_path / "out")

    assert status == 2
    assert "expected explanations of the same request, got those of tiny@" in err


def test_a_checkpoint_is_explained_by_several_methods(run_verb, untrained_run, retinas, tmp_path):
    # The clinic explains by a release without torch, as all tests above do; a checkpoint is torch's.
    from fundoscope.training.experiment.file import experiment_from_dict

    listed = pd.DataFrame({"image": ["0.png", "1.png"], "patient": ["a", "b"], "grade": [0, 1], "split": "train"})
    listed.to_csv(retinas / "manifest.csv", index=False)
    manifest, cache = str(retinas / "manifest.csv"), str(tmp_path / "cache")
    experiment = experiment_from_dict(
        {
            "name": "tiny",
            "data": {"manifest": manifest, "cache": cache, "validate": []},
            "recipe": {"side": 64},
            "network": {"backbone": "mobilenetv2_035", "dropout": 0.0},
        },
        where="the test",
    )
    untrained_run(experiment, tmp_path / "run")

    status, out, err = run_verb(
        "explain",
        retinas / "1.png",
        *("--checkpoint", tmp_path / "run", "--method", "grad-cam", "--method", "eigen-cam", "--layer", "blocks.2"),
        *("--target", "cut:2", "--out", tmp_path / "out", "--json"),
    )

    assert status == 0, err
    answer = json.loads(out)
    assert answer["request"]["target"] == "cut:2"
    assert list(answer["photographs"][0]["methods"]) == ["grad-cam", "eigen-cam"]
    assert (tmp_path / "out" / "1.eigen-cam.png").is_file()

    beside = ("--checkpoint", tmp_path / "run", "--beside", tmp_path / "run", "--out", tmp_path / "beside", "--json")
    status, out, err = run_verb("explain", retinas / "1.png", *beside)
    assert status == 0, err
    answer = json.loads(out)
    assert answer["request"]["methods"] == ["mobilenetv2_035-1.grad-cam", "mobilenetv2_035-2.grad-cam"]
    assert list(answer["photographs"][0]["methods"]) == answer["request"]["methods"]
    status, _, err = run_verb("explain", retinas / "1.png", *beside, "--layer", "blocks.2")
    assert (status, "--beside: expected it with --checkpoint and without --layer" in err) == (2, True), err


def test_networks_beside_a_release_are_refused(explain, retinas, tmp_path):
    status, _, err = explain(retinas, "--beside", tmp_path)

    assert status == 2
    assert "got no --checkpoint" in err


def test_files_that_are_not_the_runs_own_are_written_over_only_by_force(explain, retinas, tmp_path):
    other = tmp_path / "out" / "0.png"
    other.parent.mkdir()
    other.write_bytes(b"another picture")

    status, _, err = explain(retinas)
    assert (status, other.read_bytes()) == (2, b"another picture")
    assert f"{other.name}: expected a name that is free, got a file that exists. Choose" in err
    assert "or give --force to write over it" in err
    status, *_ = explain(retinas, "--force")

    assert status == 0
    assert other.read_bytes().startswith(b"\x89PNG")


def test_a_photograph_is_not_written_over_by_its_own_explanation_even_by_force(explain, retinas, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    Image.open(retinas / "0.png").save(folder / "eye.png")
    before = (folder / "eye.png").read_bytes()

    status, _, err = explain(folder / "eye.png", "--force")

    assert (status, (folder / "eye.png").read_bytes()) == (2, before)
    assert "eye.png: expected a file to write, got one that this run reads. It is never written over" in err


@pytest.mark.parametrize("text", ["{", "[" * 50_000, '{"request": NaN}', '{"photographs": []}'])
def test_a_damaged_record_of_explanations_is_refused_in_a_sentence(explain, retinas, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "explanations.json").write_text(text)

    status, _, err = explain(retinas)

    assert status == 2
    assert "explanations.json: expected explanations, got a damaged file. Delete it, or give --force." in err


def test_two_runs_do_not_explain_into_one_folder(explain, retinas, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    with locked_folder(folder) as is_ours:
        assert is_ours
        status, _, err = explain(retinas)

    assert status == 2
    assert "out: expected no other run to write there, got one that does. Wait for its end" in err
    assert list(folder.iterdir()) == []
    assert explain(retinas)[0] == 0


def test_a_run_that_was_killed_between_files_goes_on_over_its_own(explain, retinas, tmp_path):
    explain(retinas)
    answers = tmp_path / "out" / "explanations.json"
    stored = json.loads(answers.read_text())
    answers.write_text(json.dumps(stored | {"photographs": []}))  # as killed before the rows were written

    status, *_ = explain(retinas)

    assert status == 0
    assert len(json.loads(answers.read_text())["photographs"]) == 2


def test_an_interrupted_explanation_says_how_to_continue_and_does(explain, retinas, tmp_path, monkeypatch):
    original = ReleaseExplainer.explain
    explained: list[str] = []

    def interrupted(self: ReleaseExplainer, path: Path, fellow: Path | None = None):
        if explained:
            raise KeyboardInterrupt
        explained.append(path.name)
        return original(self, path, fellow)

    monkeypatch.setattr(ReleaseExplainer, "explain", interrupted)
    status, _, err = explain(retinas)
    assert status == 130
    assert f"What is explained is kept in {tmp_path / 'out'}: give the same command again to continue." in err
    monkeypatch.setattr(ReleaseExplainer, "explain", lambda *words: explained.append(words[1].name) or original(*words))

    status, _, err = explain(retinas)

    assert status == 0, err
    assert explained == ["0.png", "1.png"]
    assert set(told(tmp_path / "out")) == {"0.png", "1.png"}
