from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fundoscope.decide.heads import probabilities
from fundoscope.decide.neighbours import Neighbours, Voting
from fundoscope.parallel import AHEAD_PER_THREAD, in_order
from fundoscope.runtime import grader as grader_module
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import write_release
from fundoscope.tables import PREDICTION_COLUMNS


@pytest.fixture(scope="module")
def grader(tiny_release):
    return Grader.open(tiny_release, threads=2)


def without_time(reading):
    row = reading.row()
    del row["graded_at"]
    return row


def test_a_retina_is_graded(grader, retinas):
    reading = grader.grade(retinas[0])

    assert reading.status == "graded", reading.reason
    assert reading.grade in range(5)
    assert reading.grade_name is not None
    assert reading.decision in ("refer", "rescreen")
    assert sum(reading.probabilities) == pytest.approx(1)
    assert reading.p_referable == pytest.approx(sum(reading.probabilities[2:]))
    assert reading.features.shape == (8,)
    assert reading.heatmap.max() == pytest.approx(1)
    assert reading.release.startswith("tiny@")


def test_the_row_has_the_columns_of_the_predictions_table_in_their_order(grader, retinas):
    columns = list(grader.grade(retinas[0]).row())

    known = [name for name in PREDICTION_COLUMNS if name in columns]
    assert [name for name in columns if name in PREDICTION_COLUMNS] == known
    assert all(name.startswith("raw") for name in columns if name not in PREDICTION_COLUMNS)
    assert [name for name in columns if name.startswith("raw")] == ["raw0", "raw1", "raw2", "raw3"]


def test_a_row_holds_no_negative_nothing(grader, retinas):
    reading = grader.grade(retinas[0])
    reading = replace(reading, answer=replace(reading.answer, probabilities=(1.0, -0.0, -1e-9, 0.0, 0.0)))

    assert [str(reading.row()[f"p{grade}"]) for grade in range(5)] == ["1.0", "0.0", "0.0", "0.0", "0.0"]


def test_probabilities_are_those_of_the_head_on_the_raw_output(grader, retinas):
    reading = grader.grade(retinas[1])

    expected = probabilities("coral", np.array([reading.raw]), temperature=1.0)[0]
    assert reading.probabilities == pytest.approx(tuple(expected))


def test_pixels_and_the_file_that_holds_them_get_the_same_answer(grader, retinas, tmp_path):
    path = tmp_path / "lossless.png"
    Image.open(retinas[2]).save(path)
    pixels = np.asarray(Image.open(path))

    assert grader.grade(pixels).raw == grader.grade(path).raw


def test_an_answer_does_not_depend_on_neighbours_or_threads(tiny_release, retinas):
    """Not almost: to the last bit, or a resumed run could differ from an undisturbed one."""
    many = retinas * 3
    alone = [Grader.open(tiny_release, threads=1).grade(path) for path in many]

    for threads in (1, 2, 5):
        together = list(Grader.open(tiny_release, threads=threads).grade_many(many))
        assert [without_time(each) for each in together] == [without_time(each) for each in alone]
        assert [each.raw for each in together] == [each.raw for each in alone]
        assert all(np.array_equal(a.heatmap, b.heatmap) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing.jpg", None), ("empty.jpg", b""), ("text.jpg", b"This is a letter, not a photograph.")],
)
def test_what_cannot_be_read_is_an_answer_that_names_the_file(grader, tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    reading = grader.grade(path)

    assert (reading.status, reading.decision) == ("unreadable", "cannot grade")
    assert str(path) in reading.reason
    assert reading.grade is None


def test_a_black_frame_is_ungradable_and_the_network_is_not_asked(grader):
    reading = grader.grade(np.zeros((300, 400, 3), np.uint8))

    assert (reading.status, reading.decision, reading.grade) == ("ungradable", "cannot grade", None)
    assert reading.reason
    assert reading.raw == ()


@pytest.mark.parametrize(("threshold", "decision"), [(1e-6, "cannot grade, refer"), (1.0, "cannot grade")])
def test_a_refused_picture_is_referred_from_the_releases_own_threshold_on(tiny, tmp_path, retinas, threshold, decision):
    strict = dict.fromkeys(tiny["tiny_description"]().gate, 1.0)
    point = tiny["OperatingPoint"](name="test", threshold=threshold).to_dict()
    release = tiny["write_tiny_release"](tmp_path / "strict", gate=strict, operating_point=point)

    reading = Grader.open(release).grade(retinas[0])

    assert (reading.status, reading.grade, reading.decision) == ("ungradable", None, decision)
    assert (reading.p_referable >= threshold) == (decision == "cannot grade, refer")
    assert reading.row()["decision"] == decision


def test_a_refused_picture_of_a_retina_keeps_its_probabilities_but_has_no_grade(tiny, tmp_path, retinas):
    """An evaluation may want to count it in; a clinic must not see a grade."""
    strict = dict.fromkeys(tiny["tiny_description"]().gate, 1.0)
    reading = Grader.open(tiny["write_tiny_release"](tmp_path / "strict", gate=strict)).grade(retinas[0])

    assert (reading.status, reading.grade, reading.grades_set) == ("ungradable", None, None)
    assert reading.quality == "reject"
    assert "at least 1.0" in reading.reason
    assert len(reading.raw) == 4
    assert sum(reading.probabilities) == pytest.approx(1)


def test_a_fault_with_one_photograph_is_confined_to_it(tiny_release, retinas, monkeypatch):
    prepare = grader_module.prepare
    calls = []

    def faulty(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError("half a retina")
        return prepare(*arguments, **options)

    monkeypatch.setattr(grader_module, "prepare", faulty)
    readings = list(Grader.open(tiny_release, threads=1).grade_many(retinas[:3]))

    assert [reading.status for reading in readings] == ["graded", "unreadable", "graded"]
    assert "ZeroDivisionError: half a retina" in readings[1].reason
    assert str(retinas[1]) in readings[1].reason


def test_an_interruption_is_not_taken_for_a_bad_photograph(grader, retinas, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(grader_module, "read_photo", interrupt)

    with pytest.raises(KeyboardInterrupt):
        grader.grade(retinas[0])


def test_results_come_in_the_order_of_the_items_however_long_each_takes():
    import time

    def slow_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number

    assert list(in_order(slow_first, range(20), threads=4)) == list(range(20))


def test_no_more_items_are_drawn_than_are_worked_on():
    drawn = []

    def numbers():
        for number in range(100):
            drawn.append(number)
            yield number

    results = in_order(lambda number: number, numbers(), threads=2)
    next(results)

    assert len(drawn) == 2 * AHEAD_PER_THREAD
    results.close()


def test_threads_below_one_are_refused(tiny_release):
    with pytest.raises(ValueError, match=r"threads must be at least 1, got 0"):
        Grader.open(tiny_release, threads=0)


def test_where_the_nearest_photographs_vote_their_shares_are_the_answer(tiny, retinas, tmp_path):
    """One known photograph of grade 3 with the very features of the first retina outvotes whatever the head says."""
    plain = Grader.open(tiny["write_tiny_release"](tmp_path / "plain"), threads=1)
    readings = [plain.grade(path) for path in retinas[:2]]
    known = Neighbours(np.stack([each.features for each in readings]), np.array([3, 1]), np.array(["a" * 64, "b" * 64]))
    model = tiny["tiny_model"]()
    description = tiny["tiny_description"](neighbours=Voting(k=1).to_dict())
    write_release(
        tmp_path / "votes", description, model=model, card="", golden=tiny["golden_of"](model), neighbours=known
    )

    voted = [Grader.open(tmp_path / "votes", threads=1).grade(path) for path in retinas[:2]]

    assert [each.probabilities for each in voted] == [(0, 0, 0, 1, 0), (0, 1, 0, 0, 0)]
    assert [(each.grade, each.decision) for each in voted] == [(3, "refer"), (1, "rescreen")]
    assert voted[0].raw == readings[0].raw
