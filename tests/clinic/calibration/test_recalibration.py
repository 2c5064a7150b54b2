"""What a calibration writes down, and the copy of a release that carries it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fundoscope.clinic.calibration.calibration import Calibration, calibrate
from fundoscope.clinic.calibration.recalibration import (
    CALIBRATION,
    NO_LONGER,
    calibration_to_dict,
    check_copy,
    cutter_of,
    interval_to_dict,
    recalibrate_release,
    source_of,
    to_json,
    was_commissioned,
)
from fundoscope.clinic.calibration.source import Settings, Source
from fundoscope.clinic.commissioning.protocol import PROTOCOL, READABLE
from fundoscope.decide.calibrators import calibrator_from_dict
from fundoscope.decide.heads import probabilities
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.rescale import calibrated
from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.files import write_text
from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.release import OpenRelease, open_release

PATH = Path("predictions.csv")
DAY = date(2031, 2, 3)
DATA = {"predictions": "predictions.csv", "manifest": "manifest.csv"}


@pytest.fixture
def opened(tiny_release) -> OpenRelease:
    """The tiny release: a CORAL head, whose temperature is 1."""
    return open_release(tiny_release)


def with_calibration(opened: OpenRelease, folder: Path, **calibration: object) -> OpenRelease:
    """The release with other entries of its calibration."""
    changed = replace(opened.release, calibration=opened.release.calibration | calibration)
    return copy_release(opened, folder, changed, {})


@pytest.fixture
def held(rng) -> HeldOut:
    """80 photographs of 40 patients, whose cut logits are twice too large, each patient in one of four folds."""
    grades = rng.integers(0, 5, size=80)
    raw = 4 * ((grades + rng.logistic(size=80) / 2)[:, None] - np.arange(4) - 0.5)
    patients = np.arange(80) // 2
    return HeldOut(probabilities("coral", raw), grades, patients, groups=("good",) * 80, raw=raw, folds=patients % 4)


def fitted(held: HeldOut, source: Source, rng: np.random.Generator, **settings: object) -> Calibration:
    return calibrate(held, source, Settings(**({"method": "temperature"} | settings)), rng=rng, resamples=50)


def recorded(calibration: Calibration) -> dict[str, object]:
    return calibration_to_dict(calibration, data=DATA, basis="out of fold", left_out=3, day=DAY)


def test_of_a_table_alone_its_probabilities_are_calibrated(held):
    source = source_of(held, None, method="temperature", path=PATH)

    assert (source.head, source.raw) == ("", None)
    assert source.scores is held.probabilities
    assert source.given is held.probabilities


def test_by_temperature_the_raw_outputs_of_a_releases_head_are_calibrated(held, opened, tmp_path):
    warm = with_calibration(opened, tmp_path / "warm", temperature=3.0)

    source = source_of(held, warm, method="temperature", path=PATH)

    assert source.head == "coral"
    assert source.scores is held.raw
    np.testing.assert_allclose(source.given, probabilities("coral", held.raw, temperature=3.0))


def test_by_another_method_what_the_releases_temperature_gives_is_calibrated_without_its_calibrator(
    held, opened, rng, tmp_path
):
    platt = fitted(held, source_of(held, None, method="platt", path=PATH), rng, method="platt").fit.calibrator
    before = with_calibration(opened, tmp_path / "platt", temperature=3.0, calibrator=platt.to_dict())

    source = source_of(held, before, method="isotonic", path=PATH)

    assert source.head == ""
    uncalibrated = probabilities("coral", held.raw, temperature=3.0)
    np.testing.assert_allclose(source.base, uncalibrated)
    np.testing.assert_allclose(source.given, calibrated(uncalibrated, calibrator_from_dict(platt.to_dict())))
    assert not np.allclose(source.given, source.base)


@pytest.mark.parametrize(("columns", "came"), [(None, "none"), (5, "5 columns")])
def test_raw_outputs_of_another_head_are_refused(held, opened, columns, came):
    raw = None if columns is None else np.zeros((80, columns))

    with pytest.raises(BadTable, match=rf"the 4 raw outputs of the coral head \(raw0\.\.\.\) of tiny@.*, got {came}\."):
        source_of(replace(held, raw=raw), opened, method="temperature", path=PATH)


def test_cuts_are_fitted_as_the_releases_experiment_fitted_them(write_tiny_release, tmp_path):
    def with_cuts(name: str) -> OpenRelease:
        training = {"experiment": {"release": {"cuts": name}}}
        return open_release(write_tiny_release(tmp_path / name, training=training))

    assert cutter_of(with_cuts("rounded")) == "rounded"
    assert cutter_of(with_cuts("kappa")) == "kappa"
    assert cutter_of(with_cuts("by eye")) == "kappa"
    assert cutter_of(None) == "kappa"
    calibration = {"temperature": 1.0, "grade_cuts": []}
    assert cutter_of(open_release(write_tiny_release(tmp_path / "none", calibration=calibration))) == "median"


def test_everything_that_was_found_is_written_down(held, rng):
    calibration = fitted(held, source_of(held, None, method="vector", path=PATH), rng, method="vector", by="quality")

    record = recorded(calibration)

    assert json.loads(to_json(record)) == record
    assert (record["date"], record["data"], record["basis"], record["left_out"]) == (
        "2031-02-03",
        DATA,
        "out of fold",
        3,
    )
    assert (record["photographs"], record["patients"], record["folds"]) == (80, 40, 4)
    assert record["folds_are_the_predictions_own"] is True
    assert (record["temperature"], record["calibrator"]) == (None, calibration.fit.calibrator.to_dict())
    assert (record["threshold"], record["grade_cuts"]) == (calibration.threshold, list(calibration.fit.cuts))
    assert (record["sensitivity_wanted"], record["risk_control"]) == (0.9, None)
    change = calibration.figures["brier"]["change"]
    assert record["figures_cross_fitted"]["brier"]["change"] == {
        "estimate": change.estimate, "low": change.low, "high": change.high, "level": 0.95
    }  # fmt: skip
    share, photographs = calibration.coverage.grades[3]
    assert record["coverage_cross_fitted"]["grades"]["3"] == {"share": share, "photographs": photographs}
    assert record["coverage_cross_fitted"]["groups"]["good"]["estimate"] == calibration.coverage.all.estimate
    assert record["conformal"]["alpha"] == 0.1
    assert record["warnings"] == list(calibration.warnings())


def test_an_undefined_end_of_an_interval_is_null():
    assert interval_to_dict(Interval(0.5, math.nan, 0.75, 0.9, 3)) == {
        "estimate": 0.5, "low": None, "high": 0.75, "level": 0.9
    }  # fmt: skip


def test_a_copy_carries_the_calibration_its_threshold_and_its_figures(held, opened, rng, tmp_path):
    source = source_of(held, opened, method="temperature", path=PATH)
    calibration = fitted(held, source, rng, sensitivity=0.75)
    record = recorded(calibration)

    copy = recalibrate_release(opened, tmp_path / "copy", calibration, record)

    assert copy.release.calibration == {
        "temperature": calibration.fit.readout.temperature, "grade_cuts": list(calibration.fit.cuts)
    }  # fmt: skip
    assert calibration.fit.readout.temperature == pytest.approx(2, abs=0.6)
    point = copy.operating_point
    assert (point.threshold, point.sensitivity) == (calibration.threshold, 0.75)
    assert point.name == "2031-02-03, calibrated anew: finds 75% of the referable photographs that it was set on"
    figures = copy.release.evaluation["calibration"]
    assert figures["log_loss_before"] == record["figures_cross_fitted"]["log_loss"]["before"]
    assert figures["log_loss_cross_fitted"] == record["figures_cross_fitted"]["log_loss"]["after"]
    assert figures["set_coverage_cross_fitted"] == record["coverage_cross_fitted"]["all"]
    assert copy.grade_sets.thresholds.threshold == calibration.conformal.threshold
    assert (copy.path / CALIBRATION).read_text(encoding="utf-8") == to_json(record)
    title, _, original = opened.card.strip().partition("\n")
    assert copy.card.startswith(f"{title}\n\n> **This copy was calibrated anew on 2031-02-03.** It refers from ")
    assert original.strip() in copy.card
    assert "## Calibrated anew, 2031-02-03" in copy.card
    assert f"are there at the threshold {opened.operating_point.threshold:.6g}" in copy.card
    assert NO_LONGER not in copy.card


def test_a_threshold_set_by_risk_control_is_the_copys_and_its_promise_is_a_limit(held, opened, rng, tmp_path):
    source = source_of(held, opened, method="temperature", path=PATH)
    calibration = fitted(held, source, rng, max_missed=0.2)
    record = recorded(calibration)

    copy = recalibrate_release(opened, tmp_path / "copy", calibration, record)

    assert calibration.risk is not None
    assert copy.operating_point == calibration.risk.operating_point()
    assert copy.operating_point.threshold == calibration.threshold == record["threshold"]
    assert (record["risk_control"]["alpha"], record["risk_control"]["promise"]) == (0.2, calibration.risk.promise())
    assert record["sensitivity_wanted"] is None
    assert calibration.risk.promise() in copy.card
    assert [limit for limit in copy.release.limits if "on average over samples" in limit] == [
        " ".join((calibration.risk.promise(), *calibration.risk.warnings()))
    ]
    by_sensitivity = fitted(held, source_of(held, copy, method="temperature", path=PATH), rng)
    again = recalibrate_release(copy, tmp_path / "again", by_sensitivity, recorded(by_sensitivity))
    assert not [limit for limit in again.release.limits if "on average over samples" in limit]


def test_the_guarantee_of_a_commissioning_does_not_outlive_its_scores(held, opened, rng, tmp_path):
    evaluation = opened.release.evaluation | {"commissioning": {"verdict": "Guaranteed"}, "idrid": {"kappa": 0.5}}
    papers = {PROTOCOL: b"{}", READABLE: b"guaranteed"}
    commissioned = copy_release(opened, tmp_path / "site", replace(opened.release, evaluation=evaluation), papers)
    source = source_of(held, commissioned, method="temperature", path=PATH)
    calibration = fitted(held, source, rng)

    copy = recalibrate_release(commissioned, tmp_path / "copy", calibration, recorded(calibration))

    assert (was_commissioned(commissioned), was_commissioned(copy)) == (True, False)
    assert not (copy.path / PROTOCOL).exists()
    assert not (copy.path / READABLE).exists()
    assert list(copy.release.evaluation) == ["calibration", "before, at the threshold 0.5"]
    assert copy.release.evaluation["before, at the threshold 0.5"] == {"idrid": {"kappa": 0.5}}
    assert NO_LONGER in copy.card


def test_no_copy_is_written_over_files_or_with_groups_that_a_new_photograph_does_not_tell(opened, tmp_path):
    write_text(tmp_path / "used" / "notes.txt", "mine")

    check_copy(opened, tmp_path / "free", by="quality")
    with pytest.raises(BadRequest, match="expected a new or empty folder"):
        check_copy(opened, tmp_path / "used", by="")
    with pytest.raises(
        BadRequest, match=r"--by camera: expected quality, which is all that tiny knows of a photograph"
    ):
        check_copy(opened, tmp_path / "free", by="camera")
