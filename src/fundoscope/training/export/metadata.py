"""What an ONNX graph and a model card say of themselves to programs that know no releases of ours.

A viewer of graphs shows `metadata_props`; a hub of models reads the YAML at the head of its card.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import onnx
from huggingface_hub import ModelCardData

from fundoscope.grades import NOT_A_DEVICE
from fundoscope.runtime.description import Release
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.version import __version__

HUB_LICENCES: Final = {
    name.upper(): name
    for name in (
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-sa-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nc-nd-4.0",
    )
}
"""Licences that the Hugging Face Hub knows, by their SPDX identifiers in capitals."""

HUB_METRICS: Final = {
    "quadratic_kappa": "cohen_kappa",
    "accuracy": "accuracy",
    "mean_absolute_error": "mae",
    "any_auroc": "roc_auc",
    "referable_auroc": "roc_auc",
    "sight_threatening_auroc": "roc_auc",
}
"""Names of the Hub's metrics, by those of an evaluation's statistics."""


def with_metadata(model: bytes, release: Release) -> bytes:
    """Return an ONNX graph that says what it is, how its input is prepared and what it must not be used for.

    Only what stays true of every copy of the release is written, not its thresholds or calibration: a copy that is
    commissioned or calibrated anew holds the same graph.

    Args:
        model: A serialised `onnx.ModelProto`.
        release: The release that it is of.
    """
    graph = onnx.load_model_from_string(model)
    graph.producer_name, graph.producer_version = "fundoscope", __version__
    graph.doc_string = f"{release.intended_use} The graph's output is raw: release.json says how it is read."
    properties = {
        "release": f"{release.id} {release.version}",
        "task": release.task,
        "head": release.head,
        "labels": json.dumps(list(release.labels)),
        "recipe": json.dumps(release.recipe, sort_keys=True),
        "eyes": str(release.eyes),
        "heatmap": release.heatmap,
        "licence": release.licence,
        "notice": NOT_A_DEVICE,
    }
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, properties)
    return bytes(graph.SerializeToString())


def front_matter(release: Release) -> str:
    """Return the YAML at the head of a model card, between its lines of dashes, as the Hugging Face Hub reads it.

    A licence that the Hub has no name for is `other`, and named in full. Metrics are those of the release's figures.
    """
    licence = HUB_LICENCES.get(release.licence.upper())
    subject = ["fundus-photography", "diabetic-retinopathy"] if release.task == DR_GRADE.name else [release.task]
    metrics = sorted({HUB_METRICS[name] for name in _names(release.evaluation) if name in HUB_METRICS})
    data = ModelCardData(
        language="en",
        license=licence or "other",
        license_name=None if licence else release.licence,
        library_name="fundoscope",
        pipeline_tag="image-classification",
        tags=["retina", *subject, "medical-imaging", "onnx", "research-only"],
        metrics=metrics or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _names(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of figures, of those of a part (a split, a domain) too."""
    for name, value in figures.items():
        yield name
        if isinstance(value, Mapping):
            yield from _names(value)
