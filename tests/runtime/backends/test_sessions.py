"""Graphs in onnxruntime: their inputs and outputs are checked before anything is asked of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from fundoscope.errors import BadRelease
from fundoscope.runtime.backends.sessions import (
    Network,
    Port,
    Session,
    check_ports,
    open_onnxruntime,
    reason_of,
    run_graph,
)
from fundoscope.runtime.release import open_release

INPUTS = [Port("canvases", "tensor(uint8)", ("photo", 64, 64, 3))]
OUTPUTS = [
    Port("raw", "tensor(float)", ("photo", 4)),
    Port("features", "tensor(float)", ("photo", 8)),
    Port("heatmap", "tensor(float)", ("photo", 8, 8)),
]


@pytest.fixture
def opened(tiny_release):
    return open_release(tiny_release)


@pytest.fixture
def canvases(rng) -> np.ndarray:
    return rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def test_a_session_gives_the_outputs_that_are_named_in_their_order(opened, canvases):
    session = open_onnxruntime(opened, threads=1)

    features, raw = session.run(["features", "raw"], canvases)

    assert isinstance(session, Session)
    assert session.program.startswith("onnxruntime ")
    assert (features.shape, raw.shape) == ((5, 8), (5, 4))
    golden = opened.golden
    assert session.run(["raw"], golden["canvases"])[0] == pytest.approx(golden["raw"], abs=1e-5)


def test_a_photograph_s_outputs_are_the_same_alone_in_a_batch_and_beside_other_threads(opened, canvases):
    network = Network(open_onnxruntime(opened, threads=1), has_heatmap=True)
    alone = [network.run(canvases[i : i + 1]) for i in range(5)]

    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda i: network.run(canvases[i : i + 1]), range(5)))

    for single, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(single.raw, other.raw)
        np.testing.assert_array_equal(single.heatmap, other.heatmap)
    assert np.concatenate([each.raw for each in alone]) == pytest.approx(network.run(canvases).raw, abs=1e-5)


def test_a_network_without_a_heatmap_is_not_asked_for_one(opened, canvases):
    network = Network(open_onnxruntime(opened, threads=1), has_heatmap=False)

    assert network.run(canvases).heatmap is None


def test_all_outputs_of_a_graph_come_by_name(opened, canvases):
    outputs = run_graph(opened.model, canvases)

    assert {name: values.shape for name, values in outputs.items()} == {
        "raw": (5, 4),
        "features": (5, 8),
        "heatmap": (5, 8, 8),
    }
    session = open_onnxruntime(opened, threads=1)
    np.testing.assert_array_equal(outputs["raw"], session.run(["raw"], canvases)[0])


def test_what_is_no_graph_is_refused_with_the_program_s_reason(opened):
    with pytest.raises(BadRelease, match=r"onnxruntime [\d.]+ cannot load model\.onnx: .*\. Install a newer onnx"):
        open_onnxruntime(replace(opened, model=b"no graph"), threads=1)


def test_the_right_ports_and_open_lengths_pass(opened):
    check_ports(opened, INPUTS, OUTPUTS)
    open_lengths = [Port(port.name, port.kind, (None,) * len(port.shape)) for port in OUTPUTS]
    check_ports(opened, [Port("canvases", "tensor(uint8)", (None, "a", "b", "c"))], open_lengths)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([Port("x", "tensor(uint8)", (None, 64, 64, 3))], OUTPUTS, r"the inputs of model\.onnx must be canvases"),
        ([Port("canvases", "tensor(float)", (None, 64, 64, 3))], OUTPUTS, r"got canvases tensor\(float\)"),
        ([Port("canvases", "tensor(uint8)", (None, 32, 32, 3))], OUTPUTS, r"got .*\(any, 32, 32, 3\)"),
        (INPUTS, OUTPUTS[:2], r"the outputs of model\.onnx must be .*heatmap"),
        (
            INPUTS,
            [Port("raw", "tensor(float)", (None, 5)), *OUTPUTS[1:]],
            r"raw tensor\(float\) \(any, 4\).*got raw .*5",
        ),
        (
            INPUTS,
            [*OUTPUTS[:2], Port("heatmap", "tensor(float)", (None, 8))],
            r"got .*heatmap tensor\(float\) \(any, 8\)",
        ),
        (INPUTS, [*OUTPUTS, Port("extra", "tensor(float)", (None,))], "got .*extra"),
    ],
)
def test_ports_that_are_not_the_contract_s_are_refused(opened, inputs, outputs, message):
    with pytest.raises(BadRelease, match=message):
        check_ports(opened, inputs, outputs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("one. two", "one. two"),
        ("first line\nsecond", "first line"),
        ("Exception from src/a.cpp:1\nCheck failed\nthe reason itself.\n", "the reason itself"),
        ("", "RuntimeError"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_reason_is_one_line(text, reason):
    assert reason_of(RuntimeError(text)) == reason
