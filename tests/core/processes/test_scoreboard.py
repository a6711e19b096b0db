"""The figures that workers share: slots, shares of connections, and snapshots that are never half written."""

import contextlib
import os
import sys
import threading
import time
import warnings

import pytest

from waitress_core.processes.scoreboard import FRESH_NANOSECONDS, PAYLOAD_BYTES, WORDS, Scoreboard, Slot, Word


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard(slots=8)


def add(board: Scoreboard, connections: int, *, accepts: bool = True, age: int = 0) -> Slot:
    """Take a slot for a worker with so many connections that has ticked `age` nanoseconds ago."""
    slot = board.take()
    slot[Word.PID] = 100 + slot.number
    slot[Word.CONNECTIONS], slot[Word.ACCEPTING] = connections, accepts
    slot.beat()
    slot[Word.BEAT] -= age
    return slot


def test_a_slot_is_free_again_after_it_is_cleared(board: Scoreboard) -> None:
    first, second = add(board, 3), add(board, 4)
    assert [slot.number for slot in board.slots()] == [1, 2]
    first.clear()
    assert [slot.number for slot in board.slots()] == [2]
    again = board.take()
    assert (again.number, again[Word.CONNECTIONS], second[Word.CONNECTIONS]) == (1, 0, 4)


def test_more_workers_than_slots_are_refused(board: Scoreboard) -> None:
    for _ in range(8):
        add(board, 0)
    with pytest.raises(LookupError, match="no more than 8 workers"):
        board.take()


@pytest.mark.parametrize(
    ("mine", "theirs", "is_more"),
    [
        (0, 0, False),
        (1, 0, False),
        (2, 0, True),
        (2, 1, False),
        (3, 1, True),
        (10, 8, False),
        (12, 8, True),
        (9, 9, False),
    ],
)
def test_who_has_clearly_more_than_another_leaves_clients_to_it(
    board: Scoreboard, mine: int, theirs: int, is_more: bool
) -> None:
    own = add(board, mine)
    add(board, theirs)
    assert own.has_more_than_others() is is_more
    assert not add(board, min(mine, theirs)).has_more_than_others()


def test_a_worker_that_does_not_accept_or_tick_gets_no_clients(board: Scoreboard) -> None:
    own = add(board, 50)
    add(board, 0, accepts=False)
    add(board, 0, age=FRESH_NANOSECONDS + 1)
    assert not own.has_more_than_others()
    add(board, 0, age=FRESH_NANOSECONDS // 2)
    assert own.has_more_than_others()


def test_the_age_of_a_beat(board: Scoreboard) -> None:
    assert 5 <= add(board, 0, age=5_000_000_000).beat_age < 60


def test_a_snapshot_is_read_as_it_was_published(board: Scoreboard) -> None:
    slot, other = add(board, 0), add(board, 0)
    assert slot.snapshot() is None
    slot.publish({"requests": 5, "paths": ["/\u2603"]})
    other.publish([1])
    slot.publish({"requests": 6})
    assert (slot.snapshot(), other.snapshot()) == ({"requests": 6}, [1])


def test_a_snapshot_that_is_too_large_leaves_the_last(board: Scoreboard) -> None:
    slot = add(board, 0)
    slot.publish("x" * (PAYLOAD_BYTES - 2))
    slot.publish("y" * (PAYLOAD_BYTES - 1))
    assert slot.snapshot() == "x" * (PAYLOAD_BYTES - 2)


def test_the_last_snapshot_is_read_while_the_next_is_written(
    board: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that waits for a processor in the midst, or is killed there, takes nothing from those that read."""
    slot, seen = add(board, 0), []

    def write(word: Word, value: int) -> None:
        seen.append(slot.snapshot())
        board.words[slot.number * WORDS + word] = value

    slot.publish(["old"])
    with monkeypatch.context() as patch:
        patch.setattr(Slot, "__setitem__", lambda self, word, value: write(word, value))
        slot.publish(["new"])
        slot.publish(["newest"])
    assert [*dict.fromkeys(map(str, seen))] == ["['old']", "['new']"]
    assert slot.snapshot() == ["newest"]


def test_a_snapshot_with_a_wrong_checksum_is_not_read(board: Scoreboard) -> None:
    slot = add(board, 0)
    slot.publish(["old"])
    start = board.payload_at(slot.number, slot[Word.VERSION])
    board.memory[start : start + 1] = b"{"
    assert slot.snapshot() is None


def test_a_snapshot_is_never_half_of_two(board: Scoreboard) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    slot = add(board, 0)
    slot.publish([0])
    with warnings.catch_warnings():  # of the threads of this process, which the child does not need
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            for number in range(3000):
                slot.publish([number] * (number % 700 + 1))
        finally:
            os._exit(0)
    seen = []
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        values = slot.snapshot()
        assert len(set(values)) == 1
        assert len(values) == values[0] % 700 + 1
        seen.append(values[0])
    assert seen == sorted(seen)
    assert slot.snapshot()[0] == 2999


def test_what_is_read_while_counters_move_is_read_again(board: Scoreboard, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"slot"}

    def read() -> set[str]:
        found = places & {"slot"}
        if found:
            with board.moving():
                places.clear()
                places.add("sum")
        return found | (places & {"sum"})

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert board.read_between_moves(read) == {"sum"}


def test_what_is_read_amid_a_move_is_read_again(board: Scoreboard, monkeypatch: pytest.MonkeyPatch) -> None:
    places, move = {"slot", "sum"}, contextlib.ExitStack()
    move.enter_context(board.moving())

    def end_move(seconds: float) -> None:
        places.remove("slot")
        move.close()

    monkeypatch.setattr(time, "sleep", end_move)
    assert board.read_between_moves(places.copy) == {"sum"}


def test_a_move_that_never_ends_holds_up_nobody(board: Scoreboard, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with board.moving():
        assert board.read_between_moves(lambda: 5) == 5
    assert sum(waits) < 1


def test_words_of_threads_are_never_torn(board: Scoreboard) -> None:
    slot, values, is_over = add(board, 0), (0, 2**64 - 1), threading.Event()

    def write() -> None:
        while not is_over.is_set():
            for value in values:
                slot[Word.REQUESTS] = value

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert {slot[Word.REQUESTS] for _ in range(20_000)} <= set(values)
    finally:
        is_over.set()
        writer.join()
