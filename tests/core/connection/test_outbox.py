"""The outbox: a task fills it, the reactor empties it, and each race is made to happen."""

import io
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.interruptions import interruptions
from waitress_buffers import BufferStorageError, OverflowBuffer, ReadOnlyFileBuffer
from waitress_core.connection import outbox as module
from waitress_core.connection.outbox import MEMORY_BYTES, Outbox, OutboxAborted

SOON = 20.0  # seconds for the end of a wait that comes at once


def drain(outbox: Outbox, piece_bytes: int = 1 << 20) -> bytes:
    """Send all that is pending, as the reactor does."""
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
    """Its append waits for the gate; `entered` is set while a thread is in it."""

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
    """Make the outbox's segments wait for a gate, which is closed at first."""
    monkeypatch.setattr(GatedBuffer, "entered", threading.Event(), raising=False)
    monkeypatch.setattr(GatedBuffer, "gate", threading.Event(), raising=False)
    monkeypatch.setattr(GatedBuffer, "made", [], raising=False)
    monkeypatch.setattr(module, "OverflowBuffer", GatedBuffer)
    return GatedBuffer


class TaskThread(threading.Thread):
    """An application thread: calls a function, and keeps what it returns or raises."""

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

    def end(self) -> "TaskThread":
        self.join(SOON)
        assert not self.is_alive()
        return self


def wait_until_waited_for(outbox: Outbox) -> None:
    ticker = threading.Event()
    for _ in range(2000):
        if outbox.is_waited_for:
            return
        ticker.wait(0.01)
    raise AssertionError("no task waits for room")


# --- order


@pytest.mark.parametrize("overflow", [1, 5, 1000], ids=["all-on-disk", "some-on-disk", "all-in-memory"])
@pytest.mark.parametrize("piece_bytes", [1, 3, 1000])
def test_bytes_leave_in_the_order_in_which_they_were_appended(overflow: int, piece_bytes: int) -> None:
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


def test_the_reactor_never_takes_what_a_task_is_appending_to(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    thread = TaskThread(lambda: outbox.append(b"one,"))
    assert gated.entered.wait(SOON)
    assert outbox.front() is None
    assert outbox.pending_bytes == 0
    gated.gate.set()
    assert thread.end().result is True  # the reactor does not check by itself: notify it
    assert drain(outbox) == b"one,"


def test_a_task_appends_while_the_reactor_sends_the_front(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    gated.gate.set()
    outbox.append(b"one,")
    front = outbox.front()
    assert front is not None
    gated.gate.clear()
    gated.entered.clear()
    thread = TaskThread(lambda: outbox.append(b"two,"))
    assert gated.entered.wait(SOON)
    # No lock is held over the append: the reactor goes on with its own segment, and sees the end of it.
    assert bytes(front.peek()) == b"one,"
    front.skip(4)
    outbox.sent(4)
    outbox.pop_front()
    assert outbox.front() is None
    assert outbox.pending_bytes == 0
    gated.gate.set()
    assert thread.end().result is True
    assert drain(outbox) == b"two,"


# --- when the reactor must be notified


def test_the_reactor_is_notified_until_it_checks_by_itself() -> None:
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


def test_room_is_the_rest_below_the_watermark() -> None:
    outbox = Outbox(1000, 10)
    assert outbox.room_bytes() == 10
    outbox.append(b"1234")
    assert outbox.room_bytes() == 6
    outbox.append_file(prepared(b"x" * 100))
    assert outbox.room_bytes() == -94
    drain(outbox)
    assert outbox.room_bytes() == 10


def test_a_task_does_not_wait_below_the_watermark() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"123456789")
    outbox.wait_for_room()
    assert not outbox.is_waited_for


def test_a_task_waits_at_the_watermark_until_less_is_pending() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"x" * 12)
    thread = TaskThread(outbox.wait_for_room)
    wait_until_waited_for(outbox)
    front = outbox.front()
    assert front is not None
    front.skip(2)
    outbox.sent(2)  # ten are left: still at the watermark
    thread.join(0.05)
    assert thread.is_alive()
    front.skip(1)
    outbox.sent(1)
    assert thread.end().error is None
    assert not outbox.is_waited_for


# --- giving up


def test_an_abort_ends_the_wait_of_a_task() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"x" * 10)
    thread = TaskThread(outbox.wait_for_room)
    wait_until_waited_for(outbox)
    outbox.abort()
    assert isinstance(thread.end().error, OutboxAborted)


def test_after_an_abort_nothing_is_taken_and_nothing_returned() -> None:
    outbox = Outbox(1000, 10)
    outbox.append(b"x" * 7)
    outbox.abort()
    for refused in (lambda: outbox.append(b"y"), lambda: outbox.append_file(prepared(b"y")), outbox.wait_for_room):
        with pytest.raises(OutboxAborted):
            refused()
    assert outbox.front() is None
    assert outbox.is_aborted
    assert outbox.pending_bytes == 7  # or the task would bypass the outbox


def test_an_abort_of_an_empty_outbox_returns_nothing() -> None:
    outbox = Outbox(1000, 10)
    assert outbox.abort() == []
    assert outbox.abort() == []


def test_an_abort_returns_the_files_open_and_closes_the_rest(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    gated.gate.set()
    files = [prepared(b"one"), prepared(b"two"), prepared(b"three")]
    for file in files:
        outbox.append_file(file)
        outbox.append(b"bytes")
    assert outbox.front() is files[0]
    assert outbox.abort() == files
    assert [buffer.is_closed for buffer in gated.made] == [True, True, True]
    assert all(len(file) for file in files)  # closing is for an application thread
    assert outbox.abort() == []


def test_an_abort_while_the_front_is_sent_closes_it(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    gated.gate.set()
    outbox.append(b"bytes")
    assert outbox.front() is gated.made[0]
    outbox.abort()
    assert gated.made[0].is_closed


def test_an_abort_while_a_task_appends_leaves_the_closing_to_the_task(gated: type[GatedBuffer]) -> None:
    outbox = Outbox(1000, 1000)
    thread = TaskThread(lambda: outbox.append(b"bytes"))
    assert gated.entered.wait(SOON)
    outbox.abort()
    assert not gated.made[0].is_closed  # it is in use
    gated.gate.set()
    thread.end()
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


@pytest.mark.parametrize(
    ("overflow", "watermark", "expected"),
    [
        pytest.param(100_000, 1_000_000, 100_000, id="overflow"),
        pytest.param(1_000_000, 100_000, 100_000, id="watermark"),
        pytest.param(1, 1_000_000, MEMORY_BYTES, id="no-less-than-memory-bytes"),
        pytest.param(1, 1000, 1000, id="no-more-than-the-watermark"),
    ],
)
def test_without_storage_as_much_is_pending_as_memory_may_have(overflow: int, watermark: int, expected: int) -> None:
    outbox = Outbox(overflow, watermark)
    outbox.keep_in_memory()
    assert outbox.room_bytes() == expected
    outbox.append(bytes(expected))
    assert outbox.room_bytes() == 0


def test_without_storage_bytes_leave_in_their_order() -> None:
    outbox = Outbox(100, 1000)
    outbox.append(b"one,")
    outbox.keep_in_memory()
    outbox.append(b"two," + bytes(200))
    outbox.append_file(prepared(b"file,"))
    outbox.append(b"three")
    assert drain(outbox) == b"one,two," + bytes(200) + b"file,three"


# --- rate: 20 s without progress, 10 s while a task waits, 100 bytes a second; checked once a second


def start_rate(outbox: Outbox, now: float) -> None:
    outbox.start_rate(now, still_seconds=20, rate=100, blocked_seconds=10, blocked_rate=100)


def outbox_from(now: float) -> Outbox:
    outbox = Outbox(1000, 1000)
    start_rate(outbox, now)
    return outbox


def seconds_until_too_slow(
    outbox: Outbox, taken_a_second: int, is_waited_for: bool, seconds: int = 200, start: int = 0
) -> int | None:
    """Check once a second; return the second at which the client is found to be too slow."""
    outbox.is_waited_for = is_waited_for
    for second in range(1, seconds + 1):
        outbox.sent_bytes += taken_a_second
        if outbox.is_too_slow(1000.0 + start + second):
            return second
    return None


@pytest.mark.parametrize(
    ("taken_a_second", "is_waited_for", "expected"),
    [
        pytest.param(0, False, 20, id="takes-nothing"),
        pytest.param(1, False, 21, id="takes-hardly-anything"),
        pytest.param(50, False, 40, id="takes-half-the-rate"),
        pytest.param(100, False, None, id="takes-the-rate"),
        pytest.param(0, True, 10, id="takes-nothing-while-a-task-waits"),
        pytest.param(50, True, 20, id="takes-half-the-rate-while-a-task-waits"),
        pytest.param(100, True, None, id="takes-the-rate-while-a-task-waits"),
        pytest.param(1000, True, None, id="takes-more-than-the-rate"),
    ],
)
def test_a_client_is_too_slow(taken_a_second: int, is_waited_for: bool, expected: int | None) -> None:
    assert seconds_until_too_slow(outbox_from(1000.0), taken_a_second, is_waited_for) == expected


def test_only_the_time_in_which_a_task_waits_is_charged_to_its_budget() -> None:
    outbox = outbox_from(1000.0)
    assert seconds_until_too_slow(outbox, 0, True, seconds=5) is None
    assert seconds_until_too_slow(outbox, 20, False, seconds=10, start=5) is None
    assert seconds_until_too_slow(outbox, 0, True, start=15) == 7  # the 5 that were left, and 2 for what it has taken


def test_what_was_taken_before_a_task_had_to_wait_earns_nothing() -> None:
    outbox = Outbox(1000, 1000)
    outbox.sent_bytes = 1_000_000
    start_rate(outbox, 1000.0)
    assert seconds_until_too_slow(outbox, 0, True) == 10


def test_what_the_system_takes_at_once_gives_no_more_time_than_there_was() -> None:
    """Its buffers hold megabytes: at 100 bytes a second the client would have hours."""
    outbox = outbox_from(1000.0)
    assert seconds_until_too_slow(outbox, 1_000_000, True, seconds=3) is None
    assert seconds_until_too_slow(outbox, 0, True, start=3) == 10


def test_a_pause_without_output_restores_the_clients_time_but_not_the_tasks() -> None:
    outbox = outbox_from(1000.0)
    assert seconds_until_too_slow(outbox, 0, True, seconds=5) is None
    start_rate(outbox, 1500.0)
    assert seconds_until_too_slow(outbox, 0, False, seconds=19, start=500) is None
    start_rate(outbox, 1600.0)
    assert seconds_until_too_slow(outbox, 0, True, start=600) == 5


def test_no_client_is_too_slow_before_the_rate_is_checked() -> None:
    assert not Outbox(1000, 1000).is_too_slow(1000.0)


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda outbox: outbox.append(b"more"), id="append"),
        pytest.param(lambda outbox: outbox.append_file(prepared(b"more")), id="append-file"),
        pytest.param(lambda outbox: outbox.keep_in_memory(), id="keep-in-memory"),
        pytest.param(drain, id="send"),
        pytest.param(lambda outbox: outbox.abort(), id="abort"),
    ],
)
def test_an_exception_at_any_step_holds_up_nobody(use: Callable[[Outbox], object]) -> None:
    for interruption in interruptions(until={"stop"}):
        outbox = Outbox(100, 100)
        outbox.append(b"some")
        with suppress(SystemExit):
            interruption.start()
            use(outbox)
            interruption.stop()
        aborting = threading.Thread(target=outbox.abort, daemon=True)
        aborting.start()
        aborting.join(SOON)
        assert not aborting.is_alive(), interruption.place
