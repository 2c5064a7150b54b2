"""Reading run folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.evaluation.runs import (
    Run,
    count_parameters,
    read_run_folder,
    recipe_words,
    seed_groups,
    shared_manifest,
)


def write_run(folder: Path, *, table: str = "out_of_fold.csv", **experiment) -> Path:
    """The files of a run that are read here; its logs and weights are added by the tests."""
    folder.mkdir(parents=True)
    (folder / "experiment.json").write_text(json.dumps({"name": "trial", "seed": 0, **experiment}))
    if table:
        (folder / table).write_text("image,p0,p1,p2,p3,p4\n")
    return folder


def write_log(fit: Path, attempt: str, rows: list[tuple[int, int, float | str, float | str]]) -> None:
    (fit / attempt).mkdir(parents=True)
    lines = [f"{epoch},{step},{loss},{kappa}" for epoch, step, loss, kappa in rows]
    (fit / attempt / "metrics.csv").write_text("\n".join(["epoch,step,train/loss,val/kappa", *lines]) + "\n")


def write_weights(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Safetensors as its specification says, independently of the library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = {"float32": "F32", "int64": "I64", "float16": "F16"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, values in tensors.items():
        offsets = [len(data), len(data) + values.nbytes]
        header[name] = {"dtype": kinds[str(values.dtype)], "shape": list(values.shape), "data_offsets": offsets}
        data += values.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_parameters_are_what_is_learned_not_what_is_counted(tmp_path: Path):
    write_weights(
        tmp_path / "network.safetensors",
        {
            "conv.weight": np.zeros((4, 3, 3, 3), np.float32),
            "bn.weight": np.zeros(4, np.float16),
            "bn.running_mean": np.zeros(4, np.float32),
            "bn.num_batches_tracked": np.zeros((), np.int64),
            "scale": np.zeros((), np.float32),
        },
    )

    assert count_parameters(tmp_path / "network.safetensors") == 4 * 27 + 4 + 1


def test_parameters_are_those_that_torch_counts(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
    save_file = pytest.importorskip("safetensors.torch", reason="needs safetensors (the train extra)").save_file
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 5))
    save_file(network.state_dict(), tmp_path / "network.safetensors")

    counted = count_parameters(tmp_path / "network.safetensors")

    assert counted == sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b'\x04\0\0\0\0\0\0\0{"a"'])
def test_damaged_weights_are_named(tmp_path: Path, data: bytes):
    (tmp_path / "network.safetensors").write_bytes(data)

    with pytest.raises(BadCheckpoint, match=r"network.safetensors: expected weights in safetensors format, got: "):
        count_parameters(tmp_path / "network.safetensors")


def test_a_later_attempt_replaces_the_steps_that_the_killed_one_did_after_its_checkpoint(tmp_path: Path):
    """Killed after step 3, continued from the checkpoint of step 1: steps 2 and 3 are done again."""
    run = write_run(tmp_path / "run")
    write_log(
        run / "fold0", "log", [(0, 0, 4.0, ""), (0, 1, 2.0, ""), (0, 1, "", 0.1), (1, 2, 9.0, ""), (1, 3, 9.0, "")]
    )
    write_log(run / "fold0", "log2", [(1, 2, 1.0, ""), (1, 3, 2.0, ""), (1, 3, "", 0.6), (2, 4, 0.5, "")])
    write_log(run / "fold0", "log10", [(2, 4, 0.25, "")])

    (curve,) = read_run_folder(run).curves

    assert curve.losses == ((1, 3.0), (2, 1.5), (3, 0.25))
    assert curve.kappas == ((1, 0.1), (2, 0.6))


def test_an_attempt_killed_before_it_wrote_anything_changes_nothing(tmp_path: Path):
    run = write_run(tmp_path / "run")
    write_log(run / "fold0", "log", [(0, 0, 4.0, "")])
    write_log(run / "fold0", "log2", [])
    (run / "fold0" / "log3").mkdir()

    assert read_run_folder(run).curves[0].losses == ((1, 4.0),)


def test_folds_come_in_order_and_the_final_fit_last(tmp_path: Path):
    run = write_run(tmp_path / "run")
    for name in ("final", "fold10", "fold2", "fold0"):
        write_log(run / name, "log", [(0, 0, 1.0, "")])
    (run / "release").mkdir()

    assert [curve.fit for curve in read_run_folder(run).curves] == ["fold0", "fold2", "fold10", "final"]


def test_a_log_that_is_no_log_is_named_with_its_line(tmp_path: Path):
    run = write_run(tmp_path / "run")
    write_log(run / "fold0", "log", [(0, 0, 1.0, ""), (0, 1, "much", "")])

    with pytest.raises(BadCheckpoint, match=r"metrics.csv, line 3: expected numbers .*much.*Delete the line"):
        read_run_folder(run)


def test_out_of_fold_predictions_come_before_those_of_the_validation_split(tmp_path: Path):
    run = write_run(tmp_path / "run", table="predictions.csv")
    assert read_run_folder(run).table.name == "predictions.csv"

    (run / "out_of_fold.csv").write_text("image\n")
    assert read_run_folder(run).table.name == "out_of_fold.csv"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(BadRequest, match=r"expected the folder of a run, got one without experiment.json. Give"):
        read_run_folder(tmp_path)


def test_an_unfinished_run_is_refused_with_how_to_finish_it(tmp_path: Path):
    run = write_run(tmp_path / "run", table="")
    write_weights(run / "fold0" / "network.safetensors", {"weight": np.zeros(3, np.float32)})
    (run / "fold1").mkdir()

    with pytest.raises(
        BadRequest, match=r"got neither \(1 of 2 fits begun are done\). Finish it with .*--resume .*run`"
    ):
        read_run_folder(run)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_experiment_is_named(tmp_path: Path, text: str):
    run = write_run(tmp_path / "run")
    (run / "experiment.json").write_text(text)

    with pytest.raises(BadCheckpoint, match=r"experiment.json: expected a JSON object, got"):
        read_run_folder(run)


def test_speed_is_over_all_fits_and_time_only_where_every_fit_was_timed(tmp_path: Path):
    run = write_run(tmp_path / "run")
    for name, seconds in (("fold0", 60.0), ("fold1", 180.0)):
        (run / name).mkdir()
        timing = {"seconds": seconds, "photographs": 600, "threads": 2, "device": "cpu"}
        (run / name / "timing.json").write_text(json.dumps(timing))
    found = read_run_folder(run)
    assert (found.photographs_per_second, found.minutes) == (5.0, 4.0)

    (run / "final").mkdir()
    found = read_run_folder(run)
    assert (found.photographs_per_second, found.minutes) == (5.0, None)


@pytest.mark.parametrize(("first_steps", "minutes"), [((0, 20), 1.0), ((0, 0), 1.0), ((0, 21), None), ((4, 20), None)])
def test_the_time_of_a_resumed_fit_is_known_where_its_attempts_leave_no_gap(tmp_path: Path, first_steps, minutes):
    run = write_run(tmp_path / "run")
    for log in ("log", "log2"):
        write_log(run / "final", log, [(0, 0, 1.0, "")])
    attempts = [
        {"first_step": first, "last_step": last, "seconds": 30, "photographs": 150}
        for first, last in zip(first_steps, (20, 40), strict=True)
    ]
    told = {"seconds": 60, "photographs": 300, "threads": 2, "device": "cpu", "attempts": attempts}
    (run / "final" / "timing.json").write_text(json.dumps(told))

    found = read_run_folder(run)

    assert (found.photographs_per_second, found.minutes) == (5.0, minutes)


def test_of_a_fit_resumed_by_an_earlier_version_the_speed_is_known_but_not_the_time(tmp_path: Path):
    run = write_run(tmp_path / "run")
    for attempt in ("log", "log2"):
        write_log(run / "final", attempt, [(0, 0, 1.0, "")])
    timing = {"seconds": 20, "photographs": 100, "threads": 2, "device": "cpu"}
    (run / "final" / "timing.json").write_text(json.dumps(timing))
    found = read_run_folder(run)
    assert (found.photographs_per_second, found.minutes) == (5.0, None)

    (run / "final" / "timing.json").write_text(json.dumps({**timing, "seconds": 0.0, "photographs": 0}))
    found = read_run_folder(run)
    assert (found.photographs_per_second, found.minutes) == (None, None)


def test_a_run_without_times_weights_or_logs_has_none(tmp_path: Path):
    found = read_run_folder(write_run(tmp_path / "run"))

    assert (found.photographs_per_second, found.minutes, found.parameters, found.curves) == (None, None, None, ())


@pytest.mark.parametrize("timing", ["{}", '{"seconds": -1, "photographs": 1, "threads": 1, "device": "cpu"}'])
def test_a_time_that_cannot_be_is_refused(tmp_path: Path, timing: str):
    run = write_run(tmp_path / "run")
    (run / "final").mkdir()
    (run / "final" / "timing.json").write_text(timing)

    with pytest.raises(
        BadCheckpoint, match=r"timing.json: expected seconds .0 or more., photographs, threads and device"
    ):
        read_run_folder(run)


def test_the_recipe_is_said_in_words_and_blank_where_an_older_run_does_not_say_it():
    words = recipe_words(
        {
            "name": "trial",
            "seed": 3,
            "data": {"folds": 3},
            "network": {"backbone": "resnet18", "head": "cumulative", "second_head": "prototype", "hidden": 512},
            "loss": {"name": "coral", "second": "focal", "second_weight": 0.5, "class_weights": "inverse"},
            "recipe": {"side": 224, "crop": "radius", "enhance": "ben_graham"},
            "sampling": {"strategy": "weights", "weights": [0.1, 1, 0.5, 3, 4]},
        }
    )

    assert words["head"] == "cumulative + prototype (512 hidden)"
    assert words["loss"] == "coral + 0.5 focal"
    assert words["preprocessing"] == "radius + ben_graham"
    assert words["sampling"] == "weights 0.1 1 0.5 3 4, loss weighted inverse"
    assert words["measured on"] == "3 folds by patient"
    assert recipe_words({})["backbone"] == ""


def run_of(tmp_path: Path, name: str, **experiment) -> Run:
    return read_run_folder(write_run(tmp_path / name, **experiment))


def test_one_manifest_under_two_names_is_one_manifest(tmp_path: Path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("image,grade\n")
    runs = [run_of(tmp_path, name, data={"manifest": str(tmp_path / f"{name}.csv")}) for name in ("a", "b")]

    assert shared_manifest(runs) == tmp_path / "a.csv"

    (tmp_path / "b.csv").write_text("image,grade\n1.jpg,0\n")
    with pytest.raises(BadRequest, match=r"got .*a.csv and .*b.csv, whose contents differ. Name the manifest"):
        shared_manifest(runs)


def test_a_manifest_that_is_not_here_is_asked_for(tmp_path: Path):
    with pytest.raises(BadRequest, match=r"run: expected the manifest .* got no such file: gone.csv. Start in"):
        shared_manifest([run_of(tmp_path, "run", data={"manifest": "gone.csv"})])


def test_runs_that_differ_in_their_seed_only_are_one_recipe(tmp_path: Path):
    runs = {
        f"{head}_s{seed}": run_of(tmp_path, f"{head}_s{seed}", seed=seed, network={"head": head})
        for head in ("softmax", "coral")
        for seed in (0, 1, 2)
    }
    runs["softmax_again"] = run_of(tmp_path, "softmax_again", seed=1, network={"head": "softmax"})
    runs["alone"] = run_of(tmp_path, "alone", network={"head": "corn"})

    assert seed_groups(runs) == {
        "softmax": ("softmax_s0", "softmax_s1", "softmax_s2"),
        "coral": ("coral_s0", "coral_s1", "coral_s2"),
    }
