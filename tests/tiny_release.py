"""A real release, small and untrained, made without torch: one convolution, a pooled CORAL head, a heatmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fundoscope.decide.referral import OperatingPoint
from fundoscope.grades import GRADE_NAMES
from fundoscope.photo.quality import Gate
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.description import Release
from fundoscope.runtime.golden_photograph import make_golden_photograph
from fundoscope.runtime.release import write_release

SIDE_PX = 64
CHANNELS = 8


def tiny_description(**changes: Any) -> Release:
    """What the tiny release says about itself; every field can be changed to see it refused."""
    values: dict[str, Any] = {
        "id": "tiny",
        "version": "1",
        "licence": "Apache-2.0",
        "recipe": Recipe(side=SIDE_PX, crop="square").to_dict(),
        "head": "coral",
        "labels": list(GRADE_NAMES),
        "calibration": {"temperature": 1.0, "grade_cuts": [0.5, 1.5, 2.5, 3.5]},
        "operating_point": OperatingPoint(name="test", threshold=0.5).to_dict(),
        # Lenient: what a good photograph is, the tests of photo/ ask.
        "gate": Gate(field_size=0.2, sharpness=0.02, exposure=0.02, contrast=0.02, vessels=0.0).to_dict(),
        "heatmap": "grad-cam",
        "features": CHANNELS,
        "training": {"backbone": "tiny", "training_sha256": []},
        "evaluation": {},
        "intended_use": "Tests.",
        "limits": ["It was never trained."],
    }
    return Release(**(values | changes))


def tiny_model(*, side_px: int = SIDE_PX, outputs: int = 4, raw_name: str = "raw") -> bytes:
    """The graph that every release has, as small as can be."""
    onnx = pytest.importorskip("onnx", reason="needs the train extra: onnx builds the tiny release")
    helper, kinds = onnx.helper, onnx.TensorProto
    rng = np.random.default_rng(5)

    def constant(name: str, values: object, kind: type = np.float32) -> Any:
        return onnx.numpy_helper.from_array(np.asarray(values, kind), name)

    weight = rng.uniform(0.2, 1, size=(1, CHANNELS))
    constants = [
        constant("mean", 127.5),
        constant("scale", 1 / 127.5),
        constant("kernels", rng.normal(size=(CHANNELS, 3, 8, 8)) / 8),
        # One weight vector for the four cuts, as CORAL has it.
        constant("head", np.repeat(weight, outputs, axis=0)),
        constant("biases", np.linspace(1.5, -1.5, outputs)),
        constant("relevance", weight.reshape(1, CHANNELS, 1, 1)),
        constant("least", 1e-6),
        constant("channel", [1], np.int64),
        constant("places", [1, 2], np.int64),
    ]
    nodes = [
        helper.make_node("Cast", ["canvases"], ["real"], to=kinds.FLOAT),
        helper.make_node("Sub", ["real", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["normal"]),
        helper.make_node("Transpose", ["normal"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernels"], ["filtered"], strides=[8, 8]),
        helper.make_node("Relu", ["filtered"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "head", "biases"], [raw_name], transB=1),
        helper.make_node("Mul", ["map", "relevance"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "channel"], ["summed"], keepdims=0),
        helper.make_node("Relu", ["summed"], ["positive"]),
        helper.make_node("ReduceMax", ["positive", "places"], ["most"], keepdims=1),
        helper.make_node("Max", ["most", "least"], ["divisor"]),
        helper.make_node("Div", ["positive", "divisor"], ["heatmap"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("canvases", kinds.UINT8, ["photo", side_px, side_px, 3])],
        [
            helper.make_tensor_value_info(raw_name, kinds.FLOAT, ["photo", outputs]),
            helper.make_tensor_value_info("features", kinds.FLOAT, ["photo", CHANNELS]),
            helper.make_tensor_value_info("heatmap", kinds.FLOAT, ["photo", side_px // 8, side_px // 8]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_pair_model(*, eyes: int = 2) -> bytes:
    """A graph for both eyes: the one of single eyes with `fellow mean / 255 - 0.5` added to every cut.

    Of a fellow that is all zeros the addend is 2, as a learnt vector may say anything.
    """
    onnx = pytest.importorskip("onnx", reason="needs the train extra: onnx builds the tiny release")
    helper, kinds = onnx.helper, onnx.TensorProto

    def constant(name: str, values: object, kind: type = np.float32) -> Any:
        return onnx.numpy_helper.from_array(np.asarray(values, kind), name)

    model = onnx.load_from_string(tiny_model(raw_name="alone"))
    graph = model.graph
    pair = helper.make_tensor_value_info("canvases", kinds.UINT8, ["photo", eyes, SIDE_PX, SIDE_PX, 3])
    graph.input[0].CopyFrom(pair)
    nodes = [
        helper.make_node("Gather", ["canvases", "first"], ["own"], axis=1),
        helper.make_node("Gather", ["canvases", "second"], ["fellow"], axis=1),
        helper.make_node("Cast", ["fellow"], ["fellow_real"], to=kinds.FLOAT),
        helper.make_node("ReduceMean", ["fellow_real", "pixels"], ["brightness"], keepdims=0),
        helper.make_node("Div", ["brightness", "white"], ["share"]),
        helper.make_node("Sub", ["share", "half"], ["told"]),
        helper.make_node("Greater", ["brightness", "none"], ["there"]),
        helper.make_node("Where", ["there", "told", "stand_in"], ["addend"]),
        helper.make_node("Unsqueeze", ["addend", "last"], ["column"]),
    ]
    graph.node[0].input[0] = "own"
    rest = [*graph.node, helper.make_node("Add", ["alone", "column"], ["raw"])]
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    graph.initializer.extend(
        [
            constant("first", 0, np.int64),
            constant("second", 1, np.int64),
            constant("pixels", [1, 2, 3], np.int64),
            constant("last", [1], np.int64),
            constant("white", 255.0),
            constant("half", 0.5),
            constant("none", 0.0),
            constant("stand_in", [2.0]),
        ]
    )
    raw = next(port for port in graph.output if port.name == "alone")
    raw.name = "raw"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def golden_of(model: bytes) -> dict[str, np.ndarray]:
    """Three made-up canvases and what the graph says to them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    canvases = np.random.default_rng(3).integers(0, 256, size=(3, *session.get_inputs()[0].shape[1:]), dtype=np.uint8)
    raw_name = session.get_outputs()[0].name
    raw, features, heatmap = session.run([raw_name, "features", "heatmap"], {"canvases": canvases})
    return {"canvases": canvases, "raw": raw, "features": features, "heatmap": heatmap}


def write_tiny_release(folder: Path, *, model: bytes | None = None, **changes: Any) -> Path:
    """Write it, with fields or the graph changed where asked."""
    graph = tiny_model() if model is None else model
    description = tiny_description(**changes)
    write_release(
        folder,
        description,
        model=graph,
        card="# Tiny\n\nNever trained.\n",
        golden=golden_of(graph),
        golden_photograph=make_golden_photograph(Recipe.from_dict(description.recipe)),
    )
    return folder


@pytest.fixture(scope="session")
def tiny_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny release; shared by the session, so never changed by a test."""
    return write_tiny_release(tmp_path_factory.mktemp("release") / "tiny")


@pytest.fixture(scope="session")
def pair_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny release for both eyes; shared by the session, so never changed by a test."""
    return write_tiny_release(
        tmp_path_factory.mktemp("release") / "pair", model=tiny_pair_model(), id="pair", eyes=2, limits=["None."]
    )
