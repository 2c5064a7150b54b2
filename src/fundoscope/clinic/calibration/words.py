"""Describe a calibration in sentences; read from its record, so that both say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fundoscope.clinic.calibration.calibration import FIGURE_NAMES
from fundoscope.decide.calibrate import cuts_words
from fundoscope.decide.rescale import METHODS
from fundoscope.pages import stored_interval_words

_NAMES: Final = FIGURE_NAMES | {
    "prototypes_log_loss": "prototypes' log loss",
    "prototypes_calibration_error": "prototypes' calibration error",
    "prototypes_brier": "prototypes' Brier score",
    "cuts_log_loss": "cuts' log loss",
    "cuts_calibration_error": "cuts' calibration error",
    "cuts_brier": "cuts' Brier score",
}


def details(written: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines; the first is a headline."""
    yield (
        f"Calibrated by {written['method']} on {written['photographs']} photographs of {written['patients']} patients "
        f"({written['left_out']} left out: no grade, or not gradable)."
    )
    yield f"Predictions: {written['basis']}."
    for name, figures in written["figures_cross_fitted"].items():
        yield (
            f"{_NAMES[name].capitalize()}: before {_words(figures['before'])}, cross-fitted after "
            f"{_words(figures['after'])}, change {_words(figures['change'], signed=True)}."
        )
    yield from _preset(written) if "prototype_temperature" in written else _fitted(written)


def _fitted(written: Mapping[str, Any]) -> Iterator[str]:
    if losses := written["log_loss_by_method"]:
        listed = ", ".join(f"{method} {loss:.4f}" for method, loss in losses.items())
        yield f"Chosen by the log loss on other patients: {listed}."
    if written["temperature"] is not None:
        yield f"Temperature {written['temperature']:.4f}."
    else:
        yield f"Method: {METHODS[written['method']]}."
    cuts = cuts_words(tuple(written["grade_cuts"]), ".3f")
    risk = written.get("risk_control")
    chosen_for = (
        f"finds {written['sensitivity_wanted']:.0%} of the referable photographs it was set on, which guarantees "
        "nothing: fundoscope commission"
        if risk is None
        else f"set by risk control, misses {risk['missed']:.1%} of the diseased {risk['unit']}s it was set on"
    )
    yield (
        "Refitted on the calibrated scores, for the earlier ones are on another scale: referred from "
        f"{written['threshold']:.4f} ({chosen_for}), grade cuts {cuts}."
    )
    if risk is not None:
        yield risk["promise"]
    yield from _sets(written)


def _sets(written: Mapping[str, Any]) -> Iterator[str]:
    sets, coverage = written["conformal"], written["coverage_cross_fitted"]
    yield f"Sets of grades at {1 - sets['alpha']:.0%}: threshold {sets['threshold']:.4f}, {sets['patients']} patients."
    for name, threshold in sets["groups"].items():
        yield f"  {sets['by']} {name}: threshold {threshold:.4f}."
    yield (
        f"On folds their thresholds were not from {_words(coverage['all'])} held the reference grade, each patient "
        "counting once."
    )
    for name, share in coverage["groups"].items():
        yield f"  {sets['by']} {name}: {_words(share)}."
    grades = ", ".join(
        f"grade {grade} {covered['share']:.1%} of {covered['photographs']}"
        for grade, covered in coverage["grades"].items()
    )
    yield f"By reference grade, of which nothing is promised: {grades}."
    sizes = ", ".join(
        f"{count}: {share:.1%}" for count, share in enumerate(coverage["share_of_sets_with_1_to_5_grades"], start=1)
    )
    yield f"Grades in a set: {coverage['mean_size']:.2f} on average ({sizes})."


def _preset(written: Mapping[str, Any]) -> Iterator[str]:
    yield f"Prototypes' temperature {written['prototype_temperature']:.4f}."
    yield f"Cuts' temperature {written['ordinal_temperature']:.4f}, which changes no grade."
    yield f"Thresholds of the cut logits: {', '.join(f'{threshold:.2f}' for threshold in written['thresholds'])}."


def _words(interval: Mapping[str, Any], *, signed: bool = False) -> str:
    return stored_interval_words(interval, style="+.4f" if signed else ".4f")
