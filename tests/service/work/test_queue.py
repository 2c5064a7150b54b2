"""The bounded queue."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.service.work.queue import WorkQueue


def test_places_are_reserved_for_all_or_for_none():
    queue = WorkQueue(3)

    assert queue.reserve(2)
    assert not queue.reserve(2)
    assert queue.reserve(1)
    queue.release(2)
    assert queue.reserve(2)


def test_what_is_taken_frees_its_place_and_is_still_work():
    queue = WorkQueue(1)
    assert queue.reserve(1)
    queue.put("a")
    assert not queue.reserve(1)

    assert queue.take() == "a"
    assert queue.reserve(1)
    assert queue.depth == 1
    assert not queue.join(0.0)
    queue.done("a")
    assert queue.join(0.0)


def test_a_closed_queue_gives_nothing_and_accepts_nothing():
    queue = WorkQueue(2)
    queue.put_again("a")
    queue.close()

    assert queue.take() is None
    assert not queue.reserve(1)


def test_closing_wakes_who_waits():
    queue, taken = WorkQueue(1), []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(5)

    assert taken == [None]


def test_what_was_accepted_before_is_never_refused():
    queue = WorkQueue(1)
    for name in "abc":
        queue.put_again(name)

    assert [queue.take() for _ in range(3)] == ["a", "b", "c"]


@given(st.lists(st.tuples(st.sampled_from(["reserve", "release", "put", "take", "done"]), st.integers(0, 4))))
def test_never_more_waits_or_is_reserved_than_the_queue_is_long(steps: list[tuple[str, int]]):
    queue, reserved, waiting, running = WorkQueue(5), 0, [], []
    for number, (step, count) in enumerate(steps):
        if step == "reserve":
            fits = reserved + len(waiting) + count <= 5
            assert queue.reserve(count) is fits
            reserved += count if fits else 0
        elif step == "release":
            count = min(count, reserved)
            queue.release(count)
            reserved -= count
        elif step == "put" and reserved:
            queue.put(str(number))
            waiting.append(str(number))
            reserved -= 1
        elif step == "take" and waiting:
            assert queue.take() == waiting[0]
            running.append(waiting.pop(0))
        elif step == "done" and running:
            queue.done(running.pop())
        assert queue.depth == len(waiting) + len(running)


@pytest.mark.parametrize("threads", [1, 4])
def test_each_item_is_taken_once_by_any_number_of_threads(threads: int):
    queue, taken = WorkQueue(100), []

    def work() -> None:
        while (item := queue.take()) is not None:
            taken.append(item)
            queue.done(item)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for number in range(200):
        queue.put_again(str(number))
    assert queue.join(10.0)
    queue.close()
    for worker in workers:
        worker.join(5)

    assert sorted(taken, key=int) == [str(number) for number in range(200)]
