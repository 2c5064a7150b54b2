from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from fundoscope.errors import BadRelease
from fundoscope.runtime.certificate import NEVER, Certificate, Outcome, Verdict, heatmap_state
from fundoscope.runtime.release import open_release

NEEDED = Outcome(
    name="chance", says="finds lesions", needed="lower bound above 0", result="passed", value=0.2, low=0.1, high=0.3
)
EXTRA = Outcome(
    name="randomised", says="changes", needed="upper bound below 0.3", result="not run", why="x", needs_checkpoint=True
)


def certificate(*tests: Outcome, model: str = "m") -> Certificate:
    return Certificate(
        method="grad-cam",
        model_sha256=model,
        made_at="2026-11-21",
        fundoscope="0",
        judged_by="the release's own network",
        photographs={"lesions": 3, "left_out": []},
        settings={"seed": 0},
        verdicts=(Verdict(method="grad-cam", tests=tests), Verdict(method="eigen-cam", tests=())),
    )


@pytest.mark.parametrize(
    ("tests", "certified", "words"),
    [
        ((NEEDED, EXTRA), True, "certified: passed 1 of 2 tests; not run: changes"),
        ((NEEDED, replace(EXTRA, result="passed", value=0.1)), True, "certified: passed 2 of 2 tests"),
        (
            (replace(NEEDED, result="failed", low=-0.1), EXTRA),
            False,
            r"tested and failed: finds lesions: 0.200 \(95% CI -0.100 to 0.300\), needed lower bound above 0",
        ),
        ((NEEDED, replace(EXTRA, result="failed", value=0.9, low=0.8, high=1.0)), False, "tested and failed: changes"),
        (
            (replace(NEEDED, result="not run", why="no time"),),
            False,
            r"finds lesions: not run \(no time",
        ),
        ((EXTRA,), False, "no test was run"),
        ((), False, "no test was run"),
    ],
)
def test_a_method_is_certified_when_nothing_failed_and_all_that_needs_no_checkpoint_was_passed(tests, certified, words):
    verdict = certificate(*tests).own

    assert verdict.certified is certified
    assert re.search(words, verdict.words())
    assert verdict.words().startswith("certified") is certified


def test_a_certificate_survives_its_file_and_what_it_says_of_passing_is_worked_out_again():
    made = certificate(NEEDED, EXTRA)
    stored = json.loads(json.dumps(made.to_dict()))

    stored["verdicts"][1]["certified"] = True

    assert Certificate.from_dict(stored) == made
    assert not Certificate.from_dict(stored).verdicts[1].certified


def test_what_a_certificate_does_not_know_is_refused():
    stored = certificate(NEEDED).to_dict()

    with pytest.raises(ValueError, match=r"certificate must hold method, .*, got"):
        Certificate.from_dict(stored | {"approved_by": "me"})
    with pytest.raises(ValueError, match="verdicts must be one of each method, 'rollout' among them"):
        Certificate.from_dict(stored | {"method": "rollout"})
    with pytest.raises(ValueError, match="result must be one of passed, failed, not run, got 'maybe'"):
        replace(NEEDED, result="maybe")
    with pytest.raises(ValueError, match="test must hold name, says"):
        Certificate.from_dict(stored | {"verdicts": [{"method": "grad-cam", "tests": [{}], "lesion_free": {}}]})


def test_a_certificate_holds_for_its_own_network_only():
    made = certificate(NEEDED)

    assert heatmap_state("grad-cam", made, "m")[0]
    assert heatmap_state("grad-cam", made, "another") == (
        False,
        "not certified: its certificate is of another network. Certify it anew (fundoscope certify)",
    )
    assert heatmap_state("grad-cam", None, "m") == (False, NEVER)
    assert heatmap_state("none", None, "m") == (False, "the release exports none")


def test_a_release_carries_its_certificate_and_one_from_before_there_were_any_has_none(tiny, tmp_path, tiny_release):
    folder = tiny["write_tiny_release"](tmp_path / "r", certificate=certificate(NEEDED).to_dict())

    assert open_release(folder).certificate == certificate(NEEDED)
    assert open_release(tiny_release).certificate is None
    assert open_release(tiny_release).heatmap_state == (False, NEVER)
    with pytest.raises(BadRelease, match=r"certificate must be one that this version can run, got .certificate must"):
        tiny["write_tiny_release"](tmp_path / "bad", certificate={"method": "grad-cam"})
