"""What a release's heatmap was tested on and whether it passed; without a certificate that holds, no page shows one.

The tests and their thresholds are `audit.map_tests`; here only what came of them is read and put into words, so that
the clinic needs nothing but the release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from fundoscope.pages import interval_words
from fundoscope.records import is_number

RESULTS: Final = ("passed", "failed", "not run")
"""What may come of a test."""

NEVER: Final = "not certified: never tested against lesions (fundoscope certify)"
"""What is said of a heatmap without a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One test of one method."""

    name: str
    """A key of `audit.map_tests.TESTS`."""
    says: str
    """What is claimed if it is passed."""
    needed: str
    """The threshold in words, stated before anything was run."""
    result: str
    """One of `RESULTS`."""
    why: str = ""
    """Of one that was not run: why."""
    needs_checkpoint: bool = False
    """It needs a network whose weights can be changed, which a release has not."""
    value: float | None = None
    """Mean over photographs; None where there is none."""
    low: float | None = None
    high: float | None = None
    photographs: int = 0
    """That the mean is of."""
    patients: int = 0

    def __post_init__(self) -> None:
        if self.result not in RESULTS:
            raise ValueError(f"result must be one of {', '.join(RESULTS)}, got {self.result!r}")
        numbers = self.value, self.low, self.high
        if not all(number is None or is_number(number) for number in numbers):
            raise ValueError(f"value, low and high of test {self.name!r} must be numbers or null, got {numbers}")

    def words(self) -> str:
        """Return the claim with its figures."""
        if self.result == "not run":
            return f"{self.says}: not run ({self.why})"
        figures = interval_words(self.value, self.low, self.high, level=0.95)
        return f"{self.says}: {figures}, needed {self.needed}{f' ({self.why})' if self.why else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All tests of one method."""

    method: str
    """As `--method` names it: grad-cam, or grad-cam:LAYER."""
    tests: tuple[Outcome, ...]
    lesion_free: dict[str, float | None] = field(default_factory=dict)
    """What it shows on photographs without lesions: means; empty where none were given."""

    @property
    def certified(self) -> bool:
        """No test failed, and every test that needs no checkpoint was passed."""
        required = [test for test in self.tests if not test.needs_checkpoint]
        return bool(required) and not self.failed and all(test.result == "passed" for test in required)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Tests that were run and not passed."""
        return tuple(test for test in self.tests if test.result == "failed")

    @property
    def not_run(self) -> tuple[Outcome, ...]:
        """Tests that were not run."""
        return tuple(test for test in self.tests if test.result == "not run")

    def words(self) -> str:
        """Return whether it is certified, and what stands against it."""
        if self.failed:
            return f"not certified: tested and failed: {'; '.join(test.words() for test in self.failed)}"
        if not self.certified:
            missing = [test.words() for test in self.not_run if not test.needs_checkpoint]
            return f"not certified: {'; '.join(missing) or 'no test was run'}"
        passed = sum(test.result == "passed" for test in self.tests)
        not_run = f"; not run: {', '.join(test.says for test in self.not_run)}" if self.not_run else ""
        return f"certified: passed {passed} of {len(self.tests)} tests{not_run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What came of testing a release's heatmap, and of other methods where a checkpoint was there."""

    method: str
    """The release's own: one of `verdicts`."""
    model_sha256: str
    """Of the network that it is about: of another one a certificate says nothing."""
    made_at: str
    """Day, ISO 8601."""
    fundoscope: str
    """Version that tested."""
    judged_by: str
    """Whose maps were scored: the release's own, or those of the networks of its folds."""
    photographs: dict[str, Any]
    """Counts, and which photographs were left out for what reason."""
    settings: dict[str, Any]
    """What else the figures depend on: steps, shifts, budgets, seed."""
    verdicts: tuple[Verdict, ...]

    @property
    def own(self) -> Verdict:
        """Of the release's method."""
        return next(verdict for verdict in self.verdicts if verdict.method == self.method)

    def to_dict(self) -> dict[str, Any]:
        """As `release.json` holds it."""
        stored = asdict(self)
        return stored | {"verdicts": [asdict(verdict) | {"certified": verdict.certified} for verdict in self.verdicts]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Certificate:
        """Read what `to_dict` wrote; whether a method is certified is computed again.

        Raises:
            ValueError: If a key is missing or unknown, a value is not allowed, or the release's method is not in it.
        """
        _check_keys(cls, values, "certificate")
        verdicts = tuple(_verdict(verdict) for verdict in values["verdicts"])
        certificate = cls(**(dict(values) | {"verdicts": verdicts}))
        methods = [verdict.method for verdict in verdicts]
        if certificate.method not in methods or len(set(methods)) != len(methods):
            raise ValueError(f"verdicts must be one of each method, {certificate.method!r} among them, got {methods}")
        return certificate


def heatmap_state(method: str, certificate: Certificate | None, model_sha256: str) -> tuple[bool, str]:
    """Return whether a release's heatmap may be shown, and in one line why, or why not.

    Args:
        method: `Release.heatmap`.
        certificate: The release's, if it has one.
        model_sha256: Of the release's network.
    """
    if method == "none":
        return False, "the release exports none"
    if certificate is None:
        return False, NEVER
    if certificate.model_sha256 != model_sha256:
        return False, "not certified: its certificate is of another network. Certify it anew (fundoscope certify)"
    return certificate.own.certified, certificate.own.words()


def _verdict(values: Mapping[str, Any]) -> Verdict:
    stored = {key: value for key, value in values.items() if key != "certified"}
    _check_keys(Verdict, stored, "verdict")
    for test in stored["tests"]:
        _check_keys(Outcome, test, "test")
    return Verdict(**(stored | {"tests": tuple(Outcome(**test) for test in stored["tests"])}))


def _check_keys(kind: type, values: object, name: str) -> None:
    keys: Sequence[str] = [key.name for key in fields(kind)]
    if not isinstance(values, Mapping) or set(values) != set(keys):
        got = sorted(values) if isinstance(values, Mapping) else values
        raise ValueError(f"{name} must hold {', '.join(keys)}, got {got}")
