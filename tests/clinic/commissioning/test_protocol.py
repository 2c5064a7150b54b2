"""The protocol, its seal, and the copy of a release that carries it."""

from __future__ import annotations

import json
import shutil
from datetime import date

import numpy as np
import pytest

from fundoscope.clinic.commissioning.cohort import Answers, Flow
from fundoscope.clinic.commissioning.commission import Patients, Terms, commission
from fundoscope.clinic.commissioning.protocol import (
    commission_release,
    protocol_of,
    read_protocol,
    write_protocol,
)
from fundoscope.clinic.commissioning.provenance import OWN
from fundoscope.clinic.commissioning.words import to_markdown
from fundoscope.errors import BadRelease, BadRequest
from fundoscope.records import seal_of
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release


def made(positives: int = 40, *, fixed: float | None = None, negatives: int = 60, **terms: float) -> dict[str, object]:
    """The protocol of a site whose referable patients score 0.01 to 1 and whose others score 0.3."""
    referable = np.arange(positives + negatives) < positives
    scores = np.where(referable, (np.arange(len(referable)) + 1) / positives, 0.3)
    found = commission(
        Patients(scores, np.zeros(len(referable), dtype=bool), referable, referable), Terms(**terms), fixed=fixed
    )
    flow = Flow(
        photographs=100, not_graded=0, patients=len(referable), without_reference=0, referable=positives,
        threatening=positives, ungradable=0, without_name=2,
    )  # fmt: skip
    return protocol_of(
        found, flow, data={"predictions": "p.csv", "only_listed": 3}, answers=Answers(np.zeros(0), "p_referable"),
        basis=OWN, oedema=False, day=date(2026, 11, 21),
    )  # fmt: skip


def test_a_protocol_comes_back_from_its_file_as_it_was_written(tmp_path):
    protocol = made()
    write_protocol(tmp_path, protocol)

    assert read_protocol(tmp_path / "protocol.json") == json.loads(json.dumps(protocol))


def test_a_changed_threshold_breaks_the_seal(tmp_path):
    protocol = made()
    write_protocol(tmp_path, {**protocol, "threshold": 0.9})

    with pytest.raises(BadRelease, match=r"expected the protocol as it was sealed, got a changed one\. Fetch it again"):
        read_protocol(tmp_path / "protocol.json")


def test_the_seal_does_not_depend_on_the_order_of_the_keys():
    protocol = made()

    assert seal_of(dict(reversed(protocol.items()))) == protocol["seal"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a protocol in JSON"),
        ('{"schema": ' + "[" * 50_000, "expected a protocol in JSON, got objects nested deeper than 64"),
        ('{"threshold": NaN}', "expected a protocol in JSON, got NaN, which is no finite number"),
        ('{"threshold": 0.9, "threshold": 0.1}', "expected a protocol in JSON, got the key 'threshold' more than once"),
        ('{"schema": 9}', "expected a protocol of schema 1, got another"),
    ],
)
def test_what_is_no_protocol_is_refused(tmp_path, text, message):
    (tmp_path / "protocol.json").write_text(text)

    with pytest.raises(BadRelease, match=message):
        read_protocol(tmp_path / "protocol.json")


def test_a_protocol_says_plainly_what_is_guaranteed():
    said = to_markdown(made(looks=2))

    assert "Guaranteed: at the threshold 0.04999 at least 85.0% of the referable patients" in said
    assert "2 looks at the data in all, Bonferroni: 98.750% for this one" in said
    assert "But everybody is referred there" in said
    assert "2 photographs name no patient" in said
    assert "3 photographs of the manifest have no prediction and were left out" in said
    assert "not a medical device" in said


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (made(20), "20 referable patients are too few. At least 3 more are needed before any threshold"),
        (made(100, fixed=0.1), "91 of 100 referable patients were referred, lower bound 83.6%. If the true"),
        (made(100, fixed=0.5), "lower bound 40.8%. More patients like these would hardly change that."),
        (made(100, fixed=0.5, negatives=0), "Specificity: nobody to tell it by"),
    ],
)
def test_a_protocol_says_plainly_what_cannot_be_guaranteed(protocol, words):
    said = to_markdown(protocol)

    assert "A sensitivity of 85.0% cannot be guaranteed with these data" in said
    assert words in said


def test_the_copy_is_whole_carries_the_protocol_and_leaves_the_original_alone(tiny_release, tmp_path):
    before = (tiny_release / "release.json").read_bytes()
    protocol = made()
    copy = commission_release(open_release(tiny_release), tmp_path / "copy", protocol)

    assert verify_release(tmp_path / "copy").passed
    assert copy.operating_point.threshold == protocol["threshold"]
    assert read_protocol(tmp_path / "copy" / "protocol.json")["seal"] == protocol["seal"]
    assert str(protocol["seal"]) in copy.release.evaluation["commissioning"]["protocol"]
    assert "## Commissioning, 2026-11-21" in copy.card
    assert f"It refers from {protocol['threshold']:.6g}." in copy.card
    assert "figures of decisions, are there at the threshold 0.5" in copy.card
    assert (tiny_release / "release.json").read_bytes() == before


def test_figures_of_decisions_stay_with_the_threshold_that_they_were_measured_at(write_tiny_release, tmp_path):
    measured = {"estimate": 0.974, "low": 0.91, "high": 1.0, "level": 0.95}
    evaluation = {"idrid_test": {"quadratic_kappa": measured, "decision_specificity": measured, "photographs": 103}}
    original = write_tiny_release(tmp_path / "release", evaluation=evaluation)

    first = commission_release(open_release(original), tmp_path / "first", made())
    second = commission_release(first, tmp_path / "second", made(sensitivity=0.8))

    assert list(first.release.evaluation) == ["commissioning", "idrid_test", "before, at the threshold 0.5"]
    assert first.release.evaluation["idrid_test"] == {"quadratic_kappa": measured, "photographs": 103}
    assert first.release.evaluation["before, at the threshold 0.5"] == {
        "idrid_test": {"decision_specificity": measured}
    }
    assert second.release.evaluation["before, at the threshold 0.5"] == {
        "idrid_test": {"decision_specificity": measured}
    }
    assert second.card.count("> **This copy was ") == 1
    assert f"It refers from {second.operating_point.threshold:.6g}." in second.card


def test_a_copy_can_be_commissioned_again(tiny_release, tmp_path):
    first = commission_release(open_release(tiny_release), tmp_path / "first", made())
    second = commission_release(first, tmp_path / "second", made(sensitivity=0.8))

    assert second.operating_point.sensitivity == 0.8
    assert second.operating_point.threshold > first.operating_point.threshold


def test_a_protocol_changed_inside_the_copy_is_found(tiny_release, tmp_path):
    commission_release(open_release(tiny_release), tmp_path / "copy", made())
    place = tmp_path / "copy" / "protocol.json"
    place.write_text(place.read_text().replace("2026-11-21", "2026-11-22"))

    with pytest.raises(BadRelease, match=r"protocol\.json has changed"):
        open_release(tmp_path / "copy")


def test_no_copy_is_made_without_a_guarantee_or_over_something_else(tiny_release, tmp_path):
    opened = open_release(tiny_release)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("keep me")

    with pytest.raises(BadRequest, match="expected a new or empty folder for the copy, got one in use"):
        commission_release(opened, tmp_path / "used", made())
    with pytest.raises(BadRequest, match="expected a guaranteed threshold to write into a copy, got none"):
        commission_release(opened, tmp_path / "copy", made(20))
    assert not (tmp_path / "copy").exists()


def test_a_zipped_release_is_commissioned_into_a_folder(tiny_release, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_release)
    copy = commission_release(open_release(archive), tmp_path / "copy", made())

    assert verify_release(copy.path).passed
