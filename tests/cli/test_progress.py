from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from fundoscope.audit.audit import audit, listed, own_cache
from fundoscope.cli import progress as module
from fundoscope.cli.progress import Estimate, Stages, duration, progress
from fundoscope.cli.training.audit import STAGES
from fundoscope.painting import RetinaSpec, paint_retina


@dataclass
class Clock:
    """A clock that is set by hand."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def console(monkeypatch, request) -> Iterator[io.StringIO]:
    """What is printed on standard error, on a terminal of 80 columns or into a file."""
    text = io.StringIO()
    monkeypatch.setattr(module, "troubles", Console(file=text, force_terminal=request.param, width=80))
    return text


log = pytest.mark.parametrize("console", [False], indirect=True)
terminal = pytest.mark.parametrize("console", [True], indirect=True)


@log
def test_a_log_has_a_line_every_half_minute_with_the_time_left(console, clock):
    with progress(now=clock) as show:
        for done in range(101):
            clock.seconds = float(done)
            show("grading", done, 100)

    assert console.getvalue().splitlines() == [
        "grading: 30 of 100, about 70 s left",
        "grading: 60 of 100, about 40 s left",
        "grading: 90 of 100, about 10 s left",
    ]


@log
def test_work_of_less_than_half_a_minute_leaves_no_line_in_a_log(console, clock):
    with progress(now=clock) as show:
        for done in range(30):
            clock.seconds = float(done)
            show("grading", done, 30)

    assert console.getvalue() == ""


@log
def test_the_time_left_of_several_stages_is_that_of_all_of_them(console, clock):
    with progress(stages={"reading": 3.0, "comparing": 1.0}, now=clock) as show:
        show("reading", 0, 10)
        clock.seconds = 60.0
        show("reading", 10, 10)

    assert console.getvalue() == "reading: 10 of 10 (75 % of all stages), about 20 s left\n"


@terminal
def test_a_terminal_has_a_bar_with_the_time_left_within_80_columns(console, clock):
    with progress(stages={"looking for dust": 1.0, "reading": 1.0}, now=clock) as show:
        show("looking for dust", 0, 88_888)
        clock.seconds = 18_000.0
        show("looking for dust", 44_444, 88_888)

    shown = console.getvalue()
    line = next(line for line in shown.splitlines() if "left" in line)
    assert "44444/88888, 15 h 00 min left" in line
    assert "25%" in line


@terminal
def test_names_of_the_work_are_never_read_as_markup(console, clock):
    with progress(now=clock) as show:
        show("[bold]dust[/bold]", 1, 2)

    assert "[bold]dust[/bold]" in console.getvalue()


def test_a_continued_run_is_timed_from_where_it_continued(clock):
    estimate = Estimate(clock)
    assert estimate.seconds_left(0.9) is None
    clock.seconds = 10.0
    assert estimate.seconds_left(0.95) == pytest.approx(10.0)


def test_a_stage_that_was_left_out_counts_as_finished():
    stages = Stages({"reading": 2.0, "searching": 1.0, "comparing": 1.0})

    assert stages.share("comparing", 1, 2) == pytest.approx(0.875)
    assert stages.share("reading", 0, 0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (89.5, "90 s"),
        (90.0, "2 min"),
        (3_541.0, "1 h 00 min"),
        (3_540.0, "59 min"),
        (11_100.0, "3 h 05 min"),
    ],
)
def test_durations_are_rounded_up_to_whole_units(seconds, words):
    assert duration(seconds) == words


def test_the_stages_of_an_audit_are_those_that_it_goes_through(tmp_path):
    for seed in range(3):
        photo = paint_retina(RetinaSpec(side_px=300, grade=2), rng=np.random.default_rng(seed)).photo
        Image.fromarray(photo).save(tmp_path / f"{seed}.jpg")
    Image.fromarray(photo).save(tmp_path / "again.jpg", quality=70)
    (tmp_path / "m.csv").write_text(
        "image,grade,split\n0.jpg,2,train\n1.jpg,2,train\n2.jpg,2,train\nagain.jpg,2,train\n"
    )
    stages: dict[str, None] = {}

    audit(
        listed([tmp_path / "m.csv"]),
        cache=own_cache(keep=False).folder,
        release=None,
        threads=1,
        progress=lambda what, done, total: stages.setdefault(what),
    )

    assert set(stages) <= set(STAGES)
    assert list(stages) == [name for name in STAGES if name in stages]
    assert len(stages) >= 4
