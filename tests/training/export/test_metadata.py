"""What a graph and a card say of themselves to programs of others."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

import numpy as np
import onnxruntime
import yaml

from fundoscope.grades import NOT_A_DEVICE
from fundoscope.runtime.release import open_release
from fundoscope.training.export.metadata import front_matter, with_metadata


@pytest.fixture
def opened(tiny_release):
    return open_release(tiny_release)


def head(text: str) -> dict[str, object]:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_a_graph_names_its_release_and_its_notice_and_computes_as_before(opened):
    model = with_metadata(opened.model, opened.release)

    before, after = (onnxruntime.InferenceSession(graph) for graph in (opened.model, model))
    said = after.get_modelmeta().custom_metadata_map
    assert said["release"] == f"{opened.release.id} {opened.release.version}"
    assert said["notice"] == NOT_A_DEVICE
    assert said["licence"] == opened.release.licence
    canvases = {"canvases": opened.golden["canvases"]}
    for expected, got in zip(before.run(None, canvases), after.run(None, canvases), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_metadata_is_replaced_and_not_repeated(opened):
    renamed = replace(opened.release, version="9")

    model = with_metadata(with_metadata(opened.model, opened.release), renamed)

    said = onnxruntime.InferenceSession(model).get_modelmeta().custom_metadata_map
    assert said["release"] == f"{opened.release.id} 9"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}),
        (
            "unknown: no licence is known of mine; otherwise Apache-2.0",
            {"license": "other", "license_name": "unknown: no licence is known of mine; otherwise Apache-2.0"},
        ),
        (
            "non-commercial use only, by the terms of eyeq (CC BY-NC-SA 4.0)",
            {"license": "other", "license_name": "non-commercial use only, by the terms of eyeq (CC BY-NC-SA 4.0)"},
        ),
    ],
)
def test_a_licence_that_hubs_do_not_know_is_named_in_full(opened, licence, expected):
    found = head(front_matter(replace(opened.release, licence=licence)))

    assert {key: value for key, value in found.items() if key.startswith("license")} == expected


def test_only_a_grader_of_retinopathy_is_tagged_with_it(opened):
    assert "diabetic-retinopathy" in head(front_matter(opened.release))["tags"]
    assert "diabetic-retinopathy" not in head(front_matter(replace(opened.release, task="signs")))["tags"]


def test_metrics_are_those_of_the_figures_wherever_they_stand(opened):
    figures = {"test": {"quadratic_kappa": {"estimate": 0.8}, "referable_auroc": {"estimate": 0.9}}, "photographs": 3}

    assert head(front_matter(replace(opened.release, evaluation=figures)))["metrics"] == ["cohen_kappa", "roc_auc"]
    assert "metrics" not in head(front_matter(replace(opened.release, evaluation={})))
