"""The bounded queue."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.service.work.queue import WorkQueue


def test_places_are_reserved_for_all_or_for_none():
    queue = WorkQueue(3)

    assert queue.reserve(2, "camera")
    assert not queue.reserve(2, "camera")
    assert queue.reserve(1, "camera")
    queue.release(2, "camera")
    assert queue.reserve(2, "camera")


def test_what_is_taken_frees_its_place_and_is_still_work():
    queue = WorkQueue(1)
    assert queue.reserve(1, "camera")
    queue.put("a", "camera")
    assert not queue.reserve(1, "camera")

    assert queue.take() == "a"
    assert queue.reserve(1, "camera")
    assert queue.depth == 1
    assert not queue.join(0.0)
    queue.done("a")
    assert queue.join(0.0)


def test_a_closed_queue_gives_nothing_and_accepts_nothing():
    queue = WorkQueue(2)
    queue.put_again("a", "camera")
    queue.close()

    assert queue.take() is None
    assert not queue.reserve(1, "camera")


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
        queue.put_again(name, "camera")

    assert [queue.take() for _ in range(3)] == ["a", "b", "c"]


def test_senders_take_turns_so_that_none_waits_for_all_that_another_has_sent():
    queue = WorkQueue(100)
    for name in ("archive 1", "archive 2", "archive 3", "archive 4"):
        queue.put_again(name, "archive")
    assert queue.take() == "archive 1"
    queue.put_again("camera 1", "camera")
    queue.put_again("camera 2", "camera")

    assert [queue.take() for _ in range(5)] == ["archive 2", "camera 1", "archive 3", "camera 2", "archive 4"]


def test_one_sender_cannot_fill_the_places_of_all():
    queue = WorkQueue(64)
    while queue.reserve(1, "archive"):
        queue.put("a", "archive")
    assert queue.depth == 56

    assert queue.reserve(8, "camera")
    assert not queue.reserve(1, "camera")
    queue.release(8, "camera")
    assert not queue.reserve(1, "archive")


@given(st.lists(st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(0, 99))), st.integers(0, 30))
def test_each_senders_photographs_keep_their_order_and_no_turn_is_lost(sent: list[tuple[str, int]], early: int):
    queue, taken, remaining = WorkQueue(200), [], len(sent)
    for number, (sender, _) in enumerate(sent):
        queue.put_again(f"{sender}{number}", sender)
        if number % 3 == 0 and early > len(taken):
            taken.append(queue.take())
            remaining -= 1
    taken += [queue.take() for _ in range(remaining)]

    assert queue.depth - len(taken) == 0
    for name in "ABC":
        own = [f"{sender}{number}" for number, (sender, _) in enumerate(sent) if sender == name]
        assert [item for item in taken if item[0] == name] == own


@given(st.lists(st.tuples(st.sampled_from(["reserve", "release", "put", "take", "done"]), st.integers(0, 4))))
def test_never_more_waits_or_is_reserved_than_the_queue_is_long(steps: list[tuple[str, int]]):
    queue, reserved, waiting, running = WorkQueue(5), 0, [], []
    for number, (step, count) in enumerate(steps):
        if step == "reserve":
            fits = reserved + len(waiting) + count <= 5
            assert queue.reserve(count, "camera") is fits
            reserved += count if fits else 0
        elif step == "release":
            count = min(count, reserved)
            queue.release(count, "camera")
            reserved -= count
        elif step == "put" and reserved:
            queue.put(str(number), "camera")
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
        queue.put_again(str(number), "camera")
    assert queue.join(10.0)
    queue.close()
    for worker in workers:
        worker.join(5)

    assert sorted(taken, key=int) == [str(number) for number in range(200)]
