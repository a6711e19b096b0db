"""DeadlineQueue: who is due, in which order, at which cost."""

import pytest

from waitress_core.reactor.deadlines import DeadlineQueue


def queue_of(seconds: float, *armed: tuple[str, float]) -> DeadlineQueue[str]:
    queue = DeadlineQueue[str](seconds, lambda item: None)
    for item, at in armed:
        queue.arm(item, at)
    return queue


def due(queue: DeadlineQueue[str], now: float) -> list[str]:
    """Take out all that are due."""
    items = []
    while (item := queue.pop_due(now)) is not None:
        items.append(item)
    return items


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (109.9, []),
        (110.0, ["a"]),
        (110.9, ["a"]),
        (111.0, ["a", "b"]),
        (1000.0, ["a", "b", "c"]),
        (0.0, []),
    ],
)
def test_items_are_due_after_the_seconds_in_the_order_of_arming(now: float, expected: list[str]) -> None:
    queue = queue_of(10, ("a", 100), ("b", 101), ("c", 102))
    assert due(queue, now) == expected
    assert len(queue) == 3 - len(expected)


def test_a_queue_knows_what_to_do_with_who_is_due() -> None:
    told: list[str] = []
    queue = DeadlineQueue[str](10, told.append)
    queue.on_due("a")
    assert told == ["a"]


def test_an_item_is_due_once() -> None:
    queue = queue_of(10, ("a", 100))
    assert due(queue, 200) == ["a"]
    assert due(queue, 300) == []


def test_arming_again_begins_the_time_anew_and_goes_to_the_end() -> None:
    queue = queue_of(10, ("a", 100), ("b", 101), ("a", 102))
    assert len(queue) == 2
    assert due(queue, 111) == ["b"]
    assert due(queue, 112) == ["a"]


def test_a_disarmed_item_is_never_due() -> None:
    queue = queue_of(10, ("a", 100), ("b", 100))
    queue.disarm("a")
    queue.disarm("never armed")
    assert due(queue, 200) == ["b"]


def test_an_item_that_is_armed_when_it_is_due_waits_its_whole_time() -> None:
    queue = queue_of(10, ("a", 100))
    assert queue.pop_due(200) == "a"
    queue.arm("a", 200)
    assert due(queue, 209) == []
    assert due(queue, 210) == ["a"]


def test_the_longest_armed_is_the_one_that_is_due_next() -> None:
    queue = queue_of(10)
    assert queue.longest_armed() is None
    queue.arm("a", 100)
    queue.arm("b", 101)
    assert queue.longest_armed() == ("a", 100)
    queue.arm("a", 102)
    assert queue.longest_armed() == ("b", 101)


def test_looking_at_a_long_queue_touches_its_front_only() -> None:
    hashes = 0

    class Counted:
        def __hash__(self) -> int:
            nonlocal hashes
            hashes += 1
            return id(self)

    queue = DeadlineQueue[Counted](10, lambda item: None)
    for _ in range(1000):
        queue.arm(Counted(), 100)
    hashes = 0
    assert queue.pop_due(105) is None
    assert queue.pop_due(110) is not None
    assert hashes < 5


def test_an_item_knows_since_when_it_is_armed() -> None:
    queue = queue_of(10, ("a", 100))
    assert (queue.armed_at("a"), queue.armed_at("b")) == (100, None)
