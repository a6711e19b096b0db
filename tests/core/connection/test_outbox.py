"""The outbox: one worker fills it, the reactor empties it, each race told to happen."""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from waitress_buffers import BufferStorageError, OverflowBuffer, ReadOnlyFileBuffer
from waitress_core.connection import outbox as module
from waitress_core.connection.outbox import Outbox, OutboxAborted

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once


def drain(outbox: Outbox, piece_bytes: int = 1 << 20) -> bytes:
    """Take all that is pending, as the reactor does."""
    taken = bytearray()
    while (segment := outbox.front()) is not None:
        piece = bytes(segment.peek(piece_bytes))
        segment.skip(len(piece))
        outbox.sent(len(piece))
        taken += piece
        if not len(segment):
            outbox.pop_front()
            segment.close()
    return bytes(taken)


def prepared(content: bytes) -> ReadOnlyFileBuffer:
    file = ReadOnlyFileBuffer(io.BytesIO(content))
    file.prepare()
    return file


class GatedBuffer(OverflowBuffer):
    """Its append waits for the gate; `entered` tells that a worker is in it."""

    entered: threading.Event
    gate: threading.Event
    made: "list[GatedBuffer]"
    is_closed = False

    def __init__(self, overflow: int, directory: str | None = None) -> None:
        super().__init__(overflow, directory)
        self.made.append(self)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        self.entered.set()
        assert self.gate.wait(SOON)
        super().append(data)

    def close(self) -> None:
        self.is_closed = True
        super().close()


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> type[GatedBuffer]:
    """Have the outbox's segments wait for a gate, which is closed at first."""
    monkeypatch.setattr(GatedBuffer, "entered", threading.Event(), raising=False)
    monkeypatch.setattr(GatedBuffer, "gate", threading.Event(), raising=False)
    monkeypatch.setattr(GatedBuffer, "made", [], raising=False)
    monkeypatch.setattr(module, "OverflowBuffer", GatedBuffer)
    return GatedBuffer


class Worker(threading.Thread):
    """Calls a function, and keeps what it gives or raises."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.result: object = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.call()
        except BaseException as error:
            self.error = error

    def end(self) -> "Worker":
        self.join(SOON)
        assert not self.is_alive()
        return self


def wait_until_waited_for(outbox: Outbox) -> None:
    ticker = threading.Event()
    for _ in range(2000):
        if outbox.is_waited_for:
            return
        ticker.wait(0.01)
    raise AssertionError("nobody waits for room")


# --- order


@pytest.mark.parametrize("overflow", [1, 5, 1000], ids=["all on disk", "some on disk", "all in memory"])
@pytest.mark.parametrize("piece_bytes", [1, 3, 1000])
def test_octets_leave_in_the_order_in_which_they_came(overflow: int, piece_bytes: int) -> None:
    outbox = Outbox(overflow, 1000)
    outbox.append(b"one,")
    outbox.append(memoryview(b"two,"))
    outbox.append_file(prepared(b"a file,"))
    outbox.append(b"three,")
    outbox.append_file(prepared(b"b file,"))
    outbox.append_file(prepared(b"c file."))
    assert outbox.pending_bytes == 35
    assert drain(outbox, piece_bytes) == b"one,two,a file,three,b file,c file."
    assert outbox.pending_bytes == 0
    assert outbox.sent_bytes == 35


def test_what_is_appended_while_the_front_is_sent_goes_behind_it() -> None:
    outbox = Outbox(1000, 1000)
    outbox.append(b"one,")
    front = outbox.front()
    assert front is not None
    outbox.append(b"two,")
    assert outbox.front() is front
    assert bytes(front.peek()) == b"one,"
    assert drain(outbox) == b"one,two,"


def test_a_reactor_never_takes_what_a_worker_is_appending_to(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    worker = Worker(lambda: outbox.append(b"one,"))
    assert gated.entered.wait(SOON)
    assert outbox.front() is None
    assert outbox.pending_bytes == 0
    gated.gate.set()
    assert worker.end().result is True  # nobody looks by itself: the reactor has to be told
    assert drain(outbox) == b"one,"


def test_a_worker_appends_while_the_reactor_sends_the_front(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    gated.gate.set()
    outbox.append(b"one,")
    front = outbox.front()
    assert front is not None
    gated.gate.clear()
    gated.entered.clear()
    worker = Worker(lambda: outbox.append(b"two,"))
    assert gated.entered.wait(SOON)
    # No lock is held over the append: the reactor goes on with what is its own, and sees the end of it.
    assert bytes(front.peek()) == b"one,"
    front.skip(4)
    outbox.sent(4)
    outbox.pop_front()
    assert outbox.front() is None
    assert outbox.pending_bytes == 0
    gated.gate.set()
    assert worker.end().result is True
    assert drain(outbox) == b"two,"


# --- who tells whom


def test_the_reactor_is_told_until_it_looks_by_itself() -> None:
    outbox = Outbox(1000, 1000)
    assert outbox.append(b"1") is True
    assert outbox.append(b"2") is True
    assert outbox.front() is not None
    assert outbox.append(b"3") is False
    assert outbox.append_file(prepared(b"4")) is False
    assert drain(outbox) == b"1234"
    assert outbox.append(b"5") is True
    assert drain(outbox) == b"5"
    assert outbox.append_file(prepared(b"6")) is True


# --- the watermark


def test_room_is_what_is_left_below_the_watermark() -> None:
    outbox = Outbox(1000, 10)
    assert outbox.room_bytes() == 10
    outbox.append(b"1234")
    assert outbox.room_bytes() == 6
    outbox.append_file(prepared(b"x" * 100))
    assert outbox.room_bytes() == -94
    drain(outbox)
    assert outbox.room_bytes() == 10


def test_a_worker_does_not_wait_below_the_watermark() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"123456789")
    outbox.wait_for_room()
    assert not outbox.is_waited_for


def test_a_worker_waits_at_the_watermark_until_an_octet_is_sent() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"x" * 12)
    worker = Worker(outbox.wait_for_room)
    wait_until_waited_for(outbox)
    front = outbox.front()
    assert front is not None
    front.skip(2)
    outbox.sent(2)  # ten are left: still at the watermark
    worker.join(0.05)
    assert worker.is_alive()
    front.skip(1)
    outbox.sent(1)
    assert worker.end().error is None
    assert not outbox.is_waited_for


# --- giving up


def test_an_abort_ends_the_wait_of_a_worker() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"x" * 10)
    worker = Worker(outbox.wait_for_room)
    wait_until_waited_for(outbox)
    outbox.abort()
    assert isinstance(worker.end().error, OutboxAborted)


def test_after_an_abort_nothing_is_taken_and_nothing_given() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"x" * 7)
    outbox.abort()
    for refused in (lambda: outbox.append(b"y"), lambda: outbox.append_file(prepared(b"y")), outbox.wait_for_room):
        with pytest.raises(OutboxAborted):
            refused()
    assert outbox.front() is None
    assert outbox.is_aborted
    assert outbox.pending_bytes == 7  # or the worker would go round the outbox


def test_an_abort_of_an_empty_outbox_gives_nothing() -> None:
    outbox = Outbox(1000, 10)
    assert outbox.abort() == []
    assert outbox.abort() == []


def test_an_abort_gives_the_files_open_and_closes_the_rest(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    gated.gate.set()
    files = [prepared(b"one"), prepared(b"two"), prepared(b"three")]
    for file in files:
        outbox.append_file(file)
        outbox.append(b"octets")
    assert outbox.front() is files[0]
    assert outbox.abort() == files
    assert [buffer.is_closed for buffer in gated.made] == [True, True, True]
    assert all(len(file) for file in files)  # closing is for an application thread
    assert outbox.abort() == []


def test_an_abort_while_the_front_is_sent_closes_it(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    gated.gate.set()
    outbox.append(b"octets")
    assert outbox.front() is gated.made[0]
    outbox.abort()
    assert gated.made[0].is_closed


def test_an_abort_while_a_worker_appends_leaves_the_closing_to_the_worker(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    worker = Worker(lambda: outbox.append(b"octets"))
    assert gated.entered.wait(SOON)
    outbox.abort()
    assert not gated.made[0].is_closed  # it is in use
    gated.gate.set()
    worker.end()
    assert gated.made[0].is_closed
    with pytest.raises(OutboxAborted):
        outbox.append(b"more")


# --- faults


def test_a_full_disk_keeps_what_was_appended_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class WithoutDisk(OverflowBuffer):
        def __init__(self, overflow: int) -> None:
            super().__init__(overflow, str(tmp_path / "missing"))

    monkeypatch.setattr(module, "OverflowBuffer", WithoutDisk)
    outbox = Outbox(5, 1000)
    outbox.append(b"four")
    with pytest.raises(BufferStorageError):
        outbox.append(b"and more")
    assert outbox.pending_bytes == 4
    assert outbox.append(b"") is True
    assert drain(outbox) == b"four"


# --- pace: still 20 s, wait 10 s, 100 bytes a second; looked after once a second


def outbox_from(now: float) -> Outbox:
    outbox = Outbox(1000, 1000)
    outbox.begin_pace(now, 20, 10, 100)
    return outbox


def seconds_of_patience(
    outbox: Outbox, taken_a_second: int, is_waited_for: bool, seconds: int = 200, began: int = 0
) -> int | None:
    """Look once a second; return the second at which the client is found to be too slow."""
    outbox.is_waited_for = is_waited_for
    for second in range(1, seconds + 1):
        outbox.sent_bytes += taken_a_second
        if not outbox.spend_patience(1000.0 + began + second):
            return second
    return None


@pytest.mark.parametrize(
    ("taken_a_second", "is_waited_for", "expected"),
    [
        pytest.param(0, False, 20, id="takes nothing"),
        pytest.param(1, False, 21, id="takes hardly anything"),
        pytest.param(50, False, 40, id="takes half the rate"),
        pytest.param(100, False, None, id="takes the rate"),
        pytest.param(0, True, 10, id="takes nothing while a worker waits"),
        pytest.param(50, True, 20, id="takes half the rate while a worker waits"),
        pytest.param(100, True, None, id="takes the rate while a worker waits"),
        pytest.param(1000, True, None, id="takes more than the rate"),
    ],
)
def test_a_client_is_too_slow(taken_a_second: int, is_waited_for: bool, expected: int | None) -> None:
    assert seconds_of_patience(outbox_from(1000.0), taken_a_second, is_waited_for) == expected


def test_only_the_time_in_which_a_worker_waits_is_the_workers() -> None:
    outbox = outbox_from(1000.0)
    assert seconds_of_patience(outbox, 0, True, seconds=5) is None
    assert seconds_of_patience(outbox, 20, False, seconds=10, began=5) is None
    assert seconds_of_patience(outbox, 0, True, began=15) == 7  # the 5 that were left, and 2 for what it has taken


def test_what_was_taken_before_a_worker_had_to_wait_is_no_merit() -> None:
    outbox = Outbox(1000, 1000)
    outbox.sent_bytes = 1_000_000
    outbox.begin_pace(1000.0, 20, 10, 100)
    assert seconds_of_patience(outbox, 0, True) == 10


def test_what_the_system_takes_at_once_gives_no_more_time_than_there_was() -> None:
    """Its buffers hold megabytes: at 100 octets a second the client would have hours."""
    outbox = outbox_from(1000.0)
    assert seconds_of_patience(outbox, 1_000_000, True, seconds=3) is None
    assert seconds_of_patience(outbox, 0, True, began=3) == 10


def test_a_client_that_had_nothing_to_take_has_all_its_patience_again_but_for_that_of_a_worker() -> None:
    outbox = outbox_from(1000.0)
    assert seconds_of_patience(outbox, 0, True, seconds=5) is None
    outbox.begin_pace(1500.0, 20, 10, 100)
    assert seconds_of_patience(outbox, 0, False, seconds=19, began=500) is None
    outbox.begin_pace(1600.0, 20, 10, 100)
    assert seconds_of_patience(outbox, 0, True, began=600) == 5


def test_nobody_is_too_slow_before_the_pace_is_looked_after() -> None:
    assert Outbox(1000, 1000).spend_patience(1000.0)
