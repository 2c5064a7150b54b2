from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

import onnx

from fundoscope.runtime.release import OpenRelease, open_release
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.export.card import headlines
from fundoscope.training.export.claims import CHOSEN_LIMIT, FELLOW_LIMIT, HEATMAP_LIMIT, NO_HEATMAP_LIMIT
from fundoscope.training.export.release import export_run


def test_a_release_carries_the_main_figures_with_their_intervals():
    kappa = {"estimate": 0.81234567, "low": 0.75, "high": 0.86, "undefined": 0}
    evaluation = {
        "level": 0.95,
        "counts": {"photographs": 103},
        "statistics": {
            "quadratic_kappa": kappa,
            "grade1_f1": kappa,
            "accuracy": {"estimate": None, "low": None, "high": None},
        },
    }

    assert headlines(evaluation) == {
        "photographs": 103,
        "quadratic_kappa": {"estimate": 0.8123, "low": 0.75, "high": 0.86, "level": 0.95},
    }


def test_another_json_is_no_evaluation():
    with pytest.raises(KeyError, match="level"):
        headlines({"statistics": {}})


@pytest.fixture(scope="module")
def three_sources(
    painted_manifest: Path, untrained_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> OpenRelease:
    """The release of a run on photographs of two public sets and one of the clinic's own."""
    folder = tmp_path_factory.mktemp("sources")
    frame = pd.read_csv(painted_manifest).drop(columns="boxes")
    frame["image"] = [str(painted_manifest.parent / image) for image in frame["image"]]
    frame["source"] = ["idrid", "idrid", "eyeq", "eyeq", "mine", "mine"] * 4
    frame.loc[frame["source"] == "eyeq", "patient"] = None
    frame["licence"] = [None] * len(frame)
    frame.loc[frame["source"] == "mine", "licence"] = "CC BY 4.0"
    frame.loc[frame["source"] == "idrid", "licence"] = "CC BY 4.0"
    frame.loc[frame["source"] == "eyeq", "licence"] = "CC BY-NC-SA 4.0"
    frame.loc[frame["split"] == "val", "grade"] = [2, 3, 2, 4]  # these set the threshold
    frame.to_csv(folder / "manifest.csv", index=False)
    experiment = experiment_from_dict(
        {
            "name": "three",
            "data": {
                "manifest": str(folder / "manifest.csv"),
                "cache": str(folder / "cache"),
                "validate": ["val"],
                "keep_ungradable": True,
            },
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "mobilenetv2_035", "dropout": 0.0},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true"},
        },
        where="the test",
    )
    run = untrained_run(experiment, folder / "run")
    # What is edited after training is not what was learnt from.
    frame.assign(source="other", grade=4).to_csv(folder / "manifest.csv", index=False)
    return open_release(export_run(run, folder / "release"))


def test_a_release_of_three_sources_names_them_with_patients_grades_and_licences(three_sources: OpenRelease):
    training = three_sources.release.training

    described = {
        source["name"]: (source["photographs"], source["patients"], source["labels"], source["licences"])
        for source in training["data"]
    }
    assert described == {
        "eyeq": (6, None, {"0": 0, "1": 2, "2": 2, "3": 0, "4": 2}, ["CC BY-NC-SA 4.0"]),
        "idrid": (8, 4, {"0": 2, "1": 2, "2": 0, "3": 2, "4": 2}, ["CC BY 4.0"]),
        "mine": (6, 3, {"0": 2, "1": 0, "2": 2, "3": 2, "4": 0}, ["CC BY 4.0"]),
    }
    assert len(training["training_sha256"]) == 20
    assert training["licences"] == [
        {"what": "eyeq", "licence": "CC BY-NC-SA 4.0"},
        {"what": "idrid", "licence": "CC BY 4.0"},
        {"what": "mine", "licence": "CC BY 4.0"},
    ]


def test_every_claim_of_a_release_follows_from_its_run(three_sources: OpenRelease):
    """All of them, word by word: whoever changes or drops one changes this."""
    release = three_sources.release

    assert release.licence == "non-commercial use only, by the terms of eyeq (CC BY-NC-SA 4.0)"
    assert release.intended_use == DR_GRADE.words.intended_use
    data, patients, ungradable, *others = release.limits
    assert data == (
        "Trained on 20 photographs of 3 sources (eyeq, idrid, mine); other cameras, populations and pupil sizes are "
        "untested."
    )
    assert patients.startswith("The patients of eyeq are unknown: ")
    assert ungradable.startswith("20 of the 20 photographs that it was trained on are not gradable by its own quality")
    assert others[: len(DR_GRADE.words.limits)] == list(DR_GRADE.words.limits)
    assert HEATMAP_LIMIT in others
    assert not {NO_HEATMAP_LIMIT, FELLOW_LIMIT, CHOSEN_LIMIT} & set(others)


def test_the_card_says_what_release_json_says(three_sources: OpenRelease):
    card = three_sources.card

    assert "| eyeq | 6 | unknown | 0: 0, 1: 2, 2: 2, 3: 0, 4: 2 | CC BY-NC-SA 4.0 |" in card
    assert "| idrid | 8 | 4 | 0: 2, 1: 2, 2: 0, 3: 2, 4: 2 | CC BY 4.0 |" in card
    assert "- idrid: Porwal et al." in card
    assert f"Licence: {three_sources.release.licence}." in card
    assert all(f"- {limit}" in card for limit in three_sources.release.limits)


def test_an_exported_graph_and_its_card_name_the_release_to_other_programs(three_sources: OpenRelease):
    properties = {entry.key: entry.value for entry in onnx.load_model_from_string(three_sources.model).metadata_props}

    assert properties["licence"] == three_sources.release.licence
    assert properties["release"] == f"{three_sources.release.id} {three_sources.release.version}"
    assert three_sources.card.startswith("---\nlanguage: en\n")
    assert f"\n# {three_sources.release.id} " in three_sources.card
