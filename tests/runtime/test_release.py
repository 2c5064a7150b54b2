from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fundoscope.decide.neighbours import Neighbours, Voting
from fundoscope.errors import BadRelease
from fundoscope.runtime.backends.network import open_network
from fundoscope.runtime.description import OPTIONAL, seal
from fundoscope.runtime.release import open_release, write_release


@pytest.fixture
def copy(tiny_release: Path, tmp_path: Path) -> Path:
    """A release of one's own to damage."""
    return Path(shutil.copytree(tiny_release, tmp_path / "copy"))


def describe_anew(folder: Path, **changes: Any) -> None:
    """Change `release.json` as somebody would who also knows how to seal it."""
    path = folder / "release.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        if value is None:
            del stored[key]
        else:
            stored[key] = value
    stored["files"]["release.json"] = seal(stored)
    path.write_text(json.dumps(stored), encoding="utf-8")


def test_what_was_written_is_what_is_opened(tiny_release, tiny):
    opened = open_release(tiny_release)

    assert opened.release.evaluation == {}
    assert opened.recipe.side == 64
    assert opened.name == f"tiny@{opened.digest[:12]}"
    assert opened.model == (tiny_release / "model.onnx").read_bytes()
    assert opened.golden["raw"].shape == (3, 4)


@pytest.mark.parametrize("inside", ["", "tiny"])
def test_a_zipped_release_is_the_same_release(tiny_release, tmp_path, inside):
    archive = tmp_path / "release.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in tiny_release.iterdir():
            file.write(path, f"{inside}/{path.name}" if inside else path.name)

    assert open_release(archive).digest == open_release(tiny_release).digest


def test_a_zip_whose_stream_is_damaged_is_refused_in_one_line(tiny_release, tmp_path):
    """That is zlib's error, not zipfile's, and must be a sentence, too."""
    archive = tmp_path / "release.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in tiny_release.iterdir():
            file.write(path, path.name)
        first = file.infolist()[0]
    data = bytearray(archive.read_bytes())
    data[first.header_offset + 30 + len(first.filename)] = 0b111  # a block of the type that does not exist
    archive.write_bytes(data)

    with pytest.raises(BadRelease, match=r"release\.zip: expected a folder or a \.zip of one, got Error -3"):
        open_release(archive)


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "MODEL_CARD.md"])
def test_one_changed_byte_is_refused(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)

    with pytest.raises(BadRelease, match=rf"{name} has changed: expected SHA-256 \w+\.\.\., got \w+\.\.\.\. Fetch"):
        open_release(copy)


def test_a_changed_digit_in_the_description_is_refused(copy):
    path = copy / "release.json"
    path.write_text(path.read_text().replace('"golden_tolerance": 0.001', '"golden_tolerance": 0.009'))

    with pytest.raises(BadRelease, match=r"release\.json has changed since the release was made"):
        open_release(copy)


CALIBRATION = {"temperature": 1.0, "grade_cuts": [0.5, 1.5, 2.5, 3.5]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, r"expected a release of schema 1, got 2\. Install the version"),
        ({"colour": "red"}, r"has the key 'colour', which schema 1 does not know"),
        ({"gate": None}, r"release\.json lacks gate"),
        ({"features": "many"}, r"features in release\.json must be a whole number above 0, got 'many'"),
        ({"labels": ["a", 1]}, r"labels in release\.json must be a list of texts"),
        ({"labels": ["a"]}, r"labels must be the names of 5 grades"),
        ({"head": "oracle"}, r"head must be one of softmax.*, got 'oracle'"),
        ({"task": "oct"}, r"task must be one of dr-grade, signs, classes, got 'oct'"),
        ({"heatmap": "tea leaves"}, r"heatmap must be one of grad-cam, .*none, got 'tea leaves'"),
        ({"calibration": {"temperature": 1.0}}, r"calibration must be temperature and grade_cuts"),
        (
            {"calibration": {"temperature": 0, "grade_cuts": [0.5, 1.5, 2.5, 3.5]}},
            r"calibration\.temperature must be a number from 0\.001 to 1000, got 0",
        ),
        (
            {"calibration": {"temperature": 1.0, "grade_cuts": [1.5, 0.5, 2.5, 3.5]}},
            r"calibration\.grade_cuts must be 4 rising numbers",
        ),
        (
            {
                "calibration": {
                    "temperature": 1.0,
                    "grade_cuts": [],
                    "referral_score": {"kind": "platt", "slope": -1.0, "intercept": 0.0},
                }
            },
            r"calibration\.referral_score must be .*slope must not be below 0",
        ),
        (
            {
                "calibration": {
                    "temperature": 1.0,
                    "grade_cuts": [],
                    "referral_score": {"kind": "platt", "slope": 0.0, "intercept": 0.0},
                }
            },
            r"calibration\.referral_score must be .*slope of a referral score must be above 0",
        ),
        (
            {
                "calibration": {
                    "temperature": 1.0,
                    "grade_cuts": [],
                    "referral_score": {"kind": "isotonic", "scores": [0.0], "shares": [0.5]},
                }
            },
            r"calibration\.referral_score must be .*must be of the kind platt",
        ),
        (
            {"calibration": {"temperature": 1.0, "grade_cuts": [], "referral_score": [1, 2]}},
            r"calibration\.referral_score must be .*one that this version can run",
        ),
        ({"operating_point": {"name": "a", "cut": "any", "threshold": 0.5}}, r"cut must be referable, got 'any'"),
        ({"operating_point": {}}, r"operating_point must be one that this version can run"),
        ({"golden_tolerance": 0.011}, r"golden_tolerance in release\.json must be a number above 0 and at most 0\.01"),
        ({"golden_tolerance": -0.001}, r"golden_tolerance in release\.json must be a number above 0 and at most 0\.01"),
        ({"golden_tolerance": True}, r"golden_tolerance in release\.json must be a number above 0 and at most 0\.01"),
        (
            {"calibration": {"temperature": 1e-9, "grade_cuts": [0.5, 1.5, 2.5, 3.5]}},
            r"calibration\.temperature must be a number from 0\.001 to 1000, got 1e-09",
        ),
        (
            {"calibration": {"temperature": 1.0, "grade_cuts": [0.5, 1.5, 2.5, 350]}},
            r"calibration\.grade_cuts must be 4 rising numbers from 0 to 4",
        ),
        (
            {"calibration": CALIBRATION | {"calibrator": {"kind": "platt", "slope": 1e13, "intercept": 0.0}}},
            r"calibration\.calibrator must be one that this version can run, got 'slope and intercept must be 2",
        ),
        (
            {"calibration": CALIBRATION | {"calibrator": {"kind": "isotonic", "scores": [-1e200], "shares": [1.0]}}},
            r"calibration\.calibrator must be one that this version can run, got 'scores of knots must be 1 num",
        ),
        ({"operating_point": {"name": "a", "threshold": 10**30}}, r"threshold must lie between 0 and 1"),
        ({"operating_point": {"name": "a", "threshold": 0.5, "sensitivity": -1}}, r"sensitivity must lie above 0"),
        ({"gate": {"sharpness": 1.1}}, r"gate\.sharpness must lie in \[0, 1\], got 1\.1"),
        ({"gate": {"beauty": 0.5}}, r"gate must be one that this version can run, got .*beauty"),
    ],
)
def test_what_this_version_does_not_know_is_refused(copy, changes, message):
    describe_anew(copy, **changes)

    with pytest.raises(BadRelease, match=message):
        open_release(copy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"golden_tolerance": Infinity', "Infinity, which is no finite number"),
        ('"golden_tolerance": NaN', "NaN, which is no finite number"),
        ('"golden_tolerance": 1e999', "1e999, which is no number up to"),
        ('"golden_tolerance": 0.001, "golden_tolerance": 0.01', "the key 'golden_tolerance' more than once"),
        ('"golden_tolerance": ' + "[" * 50_000, "objects nested deeper than 64"),
        ('"golden_tolerance": ' + '{"a":' * 700 + "1" + "}" * 700, "objects nested deeper than 64"),
    ],
)
def test_a_description_that_cannot_be_computed_with_is_refused_in_a_sentence(copy, text, words):
    path = copy / "release.json"
    path.write_text(path.read_text().replace('"golden_tolerance": 0.001', text))

    with pytest.raises(BadRelease, match=rf"expected JSON in release\.json, got .*{words}.*Fetch the release again"):
        open_release(copy)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("place", ["0.5, 1.5, 2.5, 3.5", '"threshold": 0.5', '"contrast": 0.02', '"margin": 0.0'])
def test_no_number_of_a_release_is_infinite(copy, place, number):
    path = copy / "release.json"
    text = " ".join(path.read_text().split()).replace("[ 0.5", "[0.5")
    assert place in text
    path.write_text(text.replace(place, re.sub(r"[\d.]+$", number, place)))

    with pytest.raises(BadRelease, match=rf"expected JSON in release\.json, got {number}, which is no"):
        open_release(copy)


def test_an_unknown_crop_is_refused(copy, tiny):
    describe_anew(copy, recipe=tiny["tiny_description"]().recipe | {"crop": "heart"})

    with pytest.raises(BadRelease, match=r"recipe must be one that this version can run, got .*heart"):
        open_release(copy)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "..", "a\\b", "C:x"])
def test_a_file_name_that_leads_out_is_refused(copy, name):
    files = json.loads((copy / "release.json").read_text())["files"]
    describe_anew(copy, files=files | {name: "0" * 64})

    with pytest.raises(BadRelease, match=r"which leads out of the release"):
        open_release(copy)


def test_an_archive_with_a_path_that_leads_out_is_refused(tiny_release, tmp_path):
    archive = tmp_path / "release.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../evil.txt", "boo")

    with pytest.raises(BadRelease, match=r"plain file names in the archive, got '\.\./evil\.txt'"):
        open_release(archive)
    assert not (tmp_path.parent / "evil.txt").exists()


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "MODEL_CARD.md", "release.json"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()

    with pytest.raises(BadRelease, match=rf"expected the file {name} in the release, found none"):
        open_release(copy)


def test_a_release_that_is_not_there_is_said_to_be_absent(tmp_path):
    with pytest.raises(BadRelease, match=r"nowhere: expected a release .*, got nothing"):
        open_release(tmp_path / "nowhere")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "release.zip").write_text("hello")

    with pytest.raises(BadRelease, match=r"expected a folder or a \.zip of one, got File is not a zip file"):
        open_release(tmp_path / "release.zip")


def test_golden_outputs_hold_no_pickles(copy):
    buffer = io.BytesIO()
    np.savez(buffer, canvases=np.array([{"a": 1}], dtype=object))
    data = buffer.getvalue()
    (copy / "golden.npz").write_bytes(data)
    import hashlib

    files = json.loads((copy / "release.json").read_text())["files"]
    describe_anew(copy, files=files | {"golden.npz": hashlib.sha256(data).hexdigest()})

    with pytest.raises(BadRelease, match=r"expected finite arrays without objects in golden\.npz"):
        open_release(copy)


def test_a_release_that_could_not_be_opened_is_not_written(tiny, tmp_path):
    with pytest.raises(BadRelease, match=r"head must be one of"):
        tiny["write_tiny_release"](tmp_path / "new", head="oracle")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("graph", "changes", "message"),
    [
        ({"side_px": 96}, {}, r"canvases in golden\.npz must be uint8 \(photo, 64, 64, 3\)"),
        ({"outputs": 3}, {}, r"the outputs of model\.onnx must be raw tensor\(float\) \(any, 4\)"),
        ({"raw_name": "logits"}, {}, r"the outputs of model\.onnx must be raw .*, got logits"),
        ({}, {"features": 9}, r"features tensor\(float\) \(any, 9\).*, got .*features tensor\(float\) \(photo, 8\)"),
    ],
)
def test_a_network_that_does_not_fit_its_description_is_refused(tiny, tmp_path, graph, changes, message):
    model = tiny["tiny_model"](**graph)

    with pytest.raises(BadRelease, match=message):
        open_network(open_release(tiny["write_tiny_release"](tmp_path / "new", model=model, **changes)))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda golden: golden | {"raw": golden["raw"][:2]}, r"must hold outputs for each of its canvases"),
        (
            lambda golden: golden | {"features": golden["features"] + np.inf},
            r"numbers in features that are not finite",
        ),
        (lambda golden: {name: np.repeat(array, 22, 0) for name, array in golden.items()}, r"at most 64 .*, got 66\."),
        (
            lambda golden: golden | {"canvases": golden["canvases"].astype(float)},
            r"canvases in golden\.npz must be uint8",
        ),
    ],
)
def test_golden_outputs_that_cannot_be_computed_again_are_refused(tiny, tmp_path, spoil, words):
    model = tiny["tiny_model"]()
    with pytest.raises(BadRelease, match=words):
        write_release(
            tmp_path, tiny["tiny_description"](), model=model, card="", golden=spoil(tiny["golden_of"](model))
        )


def test_bytes_that_are_no_network_are_refused(tiny, tmp_path):
    good = tiny["tiny_model"]()
    from fundoscope.runtime.release import write_release

    golden = tiny["golden_of"](good)
    write_release(tmp_path, tiny["tiny_description"](), model=b"no graph", card="", golden=golden)

    with pytest.raises(BadRelease, match=r"expected an ONNX graph in model\.onnx, got a file that is none"):
        open_release(tmp_path)


@pytest.mark.parametrize("domain", ["", "evil", "com.microsoft.extensions"])
def test_a_graph_that_asks_for_operators_of_a_library_is_refused(tiny, tmp_path, domain):
    import onnx

    good = tiny["tiny_model"]()
    model = onnx.load_from_string(good)
    model.opset_import.add(domain=domain, version=1) if domain else None
    node = next(node for node in model.graph.node if node.output[0] == "normal")
    node.op_type, node.domain = "RunLibrary", domain
    golden, description = tiny["golden_of"](good), tiny["tiny_description"]()
    write_release(tmp_path, description, model=model.SerializeToString(), card="", golden=golden)

    with pytest.raises(BadRelease, match=r"onnxruntime [\d.]+ cannot load model\.onnx: .*RunLibrary"):
        open_network(open_release(tmp_path))


def test_a_release_carries_the_photographs_that_vote(tmp_path: Path, tiny: dict[str, Any]):
    """Written and read back; and refused where the voters do not fit the network, or nobody says how they vote."""
    known = Neighbours(np.ones((4, tiny["CHANNELS"]), np.float32), np.array([0, 1, 2, 3]), np.array(["a" * 64] * 4))
    model = tiny["tiny_model"]()
    golden = tiny["golden_of"](model)
    votes = Voting(k=3).to_dict()

    def write(folder: str, **changes: Any) -> None:
        description = tiny["tiny_description"](**changes)
        write_release(tmp_path / folder, description, model=model, card="", golden=golden, neighbours=known)

    write("whole", neighbours=votes)

    opened = open_release(tmp_path / "whole")
    assert opened.neighbours is not None
    assert (opened.neighbours.features == known.features).all()
    assert opened.release.neighbours == {"k": 3, "metric": "euclidean", "weights": "uniform"}
    with pytest.raises(BadRelease, match="belong together"):
        write("mute")
    with pytest.raises(BadRelease, match="must hold at least 5 photographs of 8 features, got 4 of 8"):
        write("few", neighbours=votes | {"k": 5})
    with pytest.raises(BadRelease, match="metric must be one of euclidean, cosine, got 'l7'"):
        write("odd", neighbours=votes | {"metric": "l7"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eyes": 3}, "eyes must be 1 or 2, got 3"),
        ({"descriptions": ["one"]}, "descriptions must be texts of 5 labels, or none, got"),
    ],
)
def test_what_a_release_says_of_eyes_and_descriptions_must_fit(
    tmp_path: Path, tiny: dict[str, Any], changes: dict[str, Any], message: str
):
    with pytest.raises(BadRelease, match=message):
        tiny["write_tiny_release"](tmp_path / "odd", **changes)


def test_a_release_from_before_there_were_neighbours_opens(copy: Path):
    """Keys that came later may be absent from the file; they are sealed as absent."""
    describe_anew(copy, **dict.fromkeys(OPTIONAL))

    opened = open_release(copy).release

    assert (opened.eyes, opened.neighbours, opened.descriptions) == (1, {}, [])
