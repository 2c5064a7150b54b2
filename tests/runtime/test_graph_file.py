"""A release's graph holds all of its network, wherever a tensor may stand in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fundoscope.errors import BadRelease
from fundoscope.runtime.graph_file import check_self_contained
from fundoscope.runtime.release import open_release, write_sealed
from fundoscope.runtime.verification import verify_release

onnx = pytest.importorskip("onnx", reason="needs the train extra: onnx builds the graphs")
helper, kinds = onnx.helper, onnx.TensorProto

OUTSIDE = r"expected model\.onnx to hold all its weights, got some that it reads from another file"
NO_GRAPH = r"expected an ONNX graph in model\.onnx, got a file that is none"
PATH = Path("release")


def outside(name: str = "weights", *, location: str = "weights.bin") -> Any:
    """A tensor whose values are in a file."""
    tensor = kinds(name=name, data_type=kinds.FLOAT, dims=[4], data_location=kinds.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def model_of(*nodes: Any, initializers: tuple[Any, ...] = (), functions: tuple[Any, ...] = ()) -> Any:
    graph = helper.make_graph(nodes, "graph", [], [], initializers)
    return helper.make_model(graph, functions=functions)


def constant(**attributes: Any) -> Any:
    return helper.make_node("Constant", [], ["weights"], **attributes)


def branch(*nodes: Any, initializers: tuple[Any, ...] = ()) -> Any:
    return helper.make_graph(nodes, "branch", [], [], initializers)


def deep(tensor: Any) -> Any:
    graph = branch(initializers=(tensor,))
    for _ in range(30):
        graph = branch(helper.make_node("If", ["condition"], [], then_branch=graph, else_branch=branch()))
    return model_of(helper.make_node("If", ["condition"], [], then_branch=branch(), else_branch=graph))


def sparse(tensor: Any) -> Any:
    return onnx.SparseTensorProto(values=tensor, indices=kinds(dims=[1], data_type=kinds.INT64), dims=[4])


def sparse_model(tensor: Any) -> Any:
    model = model_of()
    model.graph.sparse_initializer.append(sparse(tensor))
    return model


def trained(tensor: Any) -> Any:
    model = model_of()
    model.training_info.add().algorithm.initializer.append(tensor)
    return model


def only_located(tensor: Any) -> Any:
    tensor.ClearField("external_data")
    return model_of(initializers=(tensor,))


def only_named(tensor: Any) -> Any:
    tensor.ClearField("data_location")
    return model_of(initializers=(tensor,))


PLACES: dict[str, Callable[[Any], Any]] = {
    "an initializer": lambda tensor: model_of(initializers=(tensor,)),
    "a constant": lambda tensor: model_of(constant(value=tensor)),
    "a list of tensors": lambda tensor: model_of(constant(value=[tensor])),
    "a branch thirty deep": deep,
    "a list of graphs": lambda tensor: model_of(constant(value=[branch(initializers=(tensor,))])),
    "a function": lambda tensor: model_of(
        functions=(helper.make_function("own", "f", [], [], [constant(value=tensor)], []),)
    ),
    "a sparse initializer": sparse_model,
    "a sparse constant": lambda tensor: model_of(constant(sparse_value=sparse(tensor))),
    "the training graph": trained,
    "a location without a name": only_located,
    "a name without a location": only_named,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_in_another_file_is_found_wherever_it_stands(place: str):
    check_self_contained(PLACES[place](kinds(name="weights", dims=[1], float_data=[1.0])).SerializeToString(), PATH)
    with pytest.raises(BadRelease, match=OUTSIDE):
        check_self_contained(PLACES[place](outside()).SerializeToString(), PATH)


def test_a_second_graph_that_is_merged_with_the_first_is_looked_through():
    first, second = model_of(), onnx.ModelProto(graph=branch(initializers=(outside(),)))
    data = first.SerializeToString() + second.SerializeToString()

    assert onnx.load_from_string(data).graph.initializer[0].external_data
    with pytest.raises(BadRelease, match=OUTSIDE):
        check_self_contained(data, PATH)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no graph",
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x3a\x7f",
        b"\x3b\x3c",
        b"\x08" + b"\x80" * 11,
        b"\x00\x00",
        # Field 7 to whoever cuts the key to 32 bits, another one to whoever does not.
        b"\xba\x80\x80\x80\x10\x00",
        b"\x00\x00\x00\x00ORTM" + b"\0" * 40,
    ],
)
def test_what_is_no_graph_is_refused(data: bytes):
    with pytest.raises(BadRelease, match=NO_GRAPH):
        check_self_contained(data, PATH)


def test_every_damaged_graph_is_read_or_refused(rng: np.random.Generator):
    data = model_of(constant(value=outside()), initializers=(outside("other"),)).SerializeToString()
    for _ in range(2_000):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(0, 256)
        with suppress(BadRelease):
            check_self_contained(bytes(damaged[: rng.integers(1, len(data) + 1)]), PATH)


@pytest.mark.parametrize("location", ["weights.bin", "/etc/hostname", "../weights.bin"])
def test_a_release_whose_weights_lie_in_another_file_is_refused_also_where_that_file_is_in_it(
    tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
):
    folder = Path(shutil.copytree(tiny_release, tmp_path / "copy"))
    original = open_release(tiny_release)
    model = onnx.load_from_string(original.model)
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head")
    weights = head.raw_data
    head.ClearField("raw_data")
    head.data_location = kinds.EXTERNAL
    head.external_data.add(key="location", value=location)
    kept = {name: (folder / name).read_bytes() for name in json.loads((folder / "release.json").read_text())["files"]}
    kept.pop("release.json")
    write_sealed(folder, original.release, kept | {"model.onnx": model.SerializeToString(), "weights.bin": weights})
    # Where onnxruntime looks for it.
    monkeypatch.chdir(folder)

    with pytest.raises(BadRelease, match=OUTSIDE):
        open_release(folder)
    assert not verify_release(folder).passed
