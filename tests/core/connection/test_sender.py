"""The sender: straight to the socket where possible, else through the outbox, never out of order; its states."""

import errno
import io
import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context
from pathlib import Path

import pytest

from tests.support.fake_poller import FakePoller
from tests.support.fake_socket import DESCRIPTOR, FakeSocket, as_socket
from waitress_buffers import ReadOnlyFileBuffer
from waitress_core import Adjustments, Task
from waitress_core.connection import sender as module
from waitress_core.connection.context import ServerContext
from waitress_core.connection.sender import ClientDisconnected, FileClosing, Sender
from waitress_core.connection.states import CLOSED, FLUSH, GONE, PENDING, READY, SHUT, SendState
from waitress_core.net.transport import Disconnected, FileFailed, SocketTransport
from waitress_core.reactor.reactor import Reactor

BLOCKED = BlockingIOError()
RESET = ConnectionResetError(errno.ECONNRESET, "text")


class Transport(SocketTransport):
    """Finds room this many times when it waits for some."""

    rooms = 0

    def wait_for_room(self, seconds: float) -> bool:
        self.rooms -= 1
        return self.rooms >= 0


class NotedReactor(Reactor):
    """Remembers whom it was asked to notify."""

    def __init__(self, notified: list[int]) -> None:
        super().__init__(poller=FakePoller())
        self.noted = notified

    def notify(self, descriptor: int) -> None:
        self.noted.append(descriptor)


class Sending:
    """A sender over a fake socket, and what it has asked of its server."""

    def __init__(self, *sends: object, rooms: int = 0, **settings: object) -> None:
        self.socket = FakeSocket(send=list(sends))
        self.notified: list[int] = []
        self.yields = 0
        self.on_yield: Callable[[], None] = lambda: None
        self.tasks: list[Task] = []
        adj = Adjustments(listen="127.0.0.1:0", **settings)
        reactor = NotedReactor(self.notified)
        self.context = ServerContext(
            adj,
            reactor,
            submit=self.tasks.append,
            yield_leadership=self._yield_leadership,
            resume_leadership=lambda: False,
        )
        self.transport = Transport(as_socket(self.socket))
        self.transport.rooms = rooms
        self.sender = Sender(self.transport, self.context)
        reactor.close()

    def _yield_leadership(self) -> None:
        self.yields += 1
        self.on_yield()

    def let_send(self, *sends: object) -> None:
        """Let the socket take this in the next calls."""
        self.socket.script["send"].extend(sends)


class Wrapped(ReadOnlyFileBuffer):
    """A prepared file without a descriptor; remembers whether it was closed."""

    __slots__ = ("was_closed",)

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.was_closed = False
        self.prepare()

    def close(self) -> None:
        self.was_closed = True
        super().close()


# --- application thread, while a task runs


def test_what_the_socket_takes_at_once_needs_no_outbox() -> None:
    sending = Sending()
    sending.sender.send(b"bytes")
    assert sending.socket.sent == b"bytes"
    assert not sending.sender.has_pending
    assert sending.notified == []


def test_what_the_socket_does_not_take_is_left_to_the_reactor() -> None:
    sending = Sending(3)
    sending.sender.send(b"abcdef")
    assert sending.sender.has_pending
    assert sending.notified == [DESCRIPTOR]
    assert not sending.sender.flush()
    assert sending.socket.sent == b"abcdef"
    assert not sending.sender.has_pending


def test_what_the_client_makes_room_for_at_once_needs_no_outbox() -> None:
    sending = Sending(2, 2, rooms=2)
    sending.sender.send(b"abcdef")
    assert sending.socket.sent == b"abcdef"
    assert sending.sender.outbox is None
    assert sending.notified == []
    assert sending.yields == 1  # even a short wait must not stop all I/O


@pytest.mark.parametrize(
    ("sends", "rooms"),
    [pytest.param([2, 2], 1, id="no-room-in-time"), pytest.param([2, 2, BLOCKED], 9, id="no-room-after-all")],
)
def test_what_the_client_makes_no_room_for_is_left_to_the_reactor(sends: list[object], rooms: int) -> None:
    sending = Sending(*sends, rooms=rooms)
    sending.sender.send(b"abcdef")
    assert sending.socket.sent == b"abcd"
    assert sending.notified == [DESCRIPTOR]
    sending.sender.flush()
    assert sending.socket.sent == b"abcdef"


def test_a_client_that_leaves_while_it_is_waited_for_is_reported_to_the_task() -> None:
    sending = Sending(2, RESET, rooms=1)
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"abcdef")


def test_a_task_does_not_overtake_what_is_pending() -> None:
    sending = Sending(BLOCKED)
    sending.sender.send(b"one,")
    sending.sender.send(b"two,")
    assert len(sending.socket.calls) == 2  # setblocking, and one send
    sending.sender.flush()
    sending.sender.send(b"three")
    assert sending.socket.sent == b"one,two,three"


def test_a_task_waits_at_the_watermark_and_yields_the_leadership_before() -> None:
    sending = Sending(BLOCKED, outbuf_high_watermark=10)
    events: list[str] = []

    def on_yield() -> None:
        events.append(f"{len(sending.socket.sent)} sent")
        sending.sender.flush()  # as the standby does, once it is the leader

    sending.on_yield = on_yield
    sending.sender.send(b"0123456789" * 3)
    assert events == ["0 sent", "0 sent", "10 sent"]  # before it waits for the client, and at the watermark
    sending.sender.flush()
    assert sending.socket.sent == b"0123456789" * 3


def test_a_task_fills_only_the_room_that_there_is() -> None:
    sending = Sending(BLOCKED, outbuf_high_watermark=10)
    sending.on_yield = sending.sender.abort
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"x" * 25)
    assert sending.yields == 2  # before it waits for the client, and at the watermark


def test_a_client_that_is_gone_is_reported_to_the_task(caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending(RESET)
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"bytes")
    assert not caplog.records


def test_an_abort_is_reported_to_the_task(caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending(BLOCKED)
    sending.sender.send(b"bytes")
    sending.sender.abort()
    for send in (lambda: sending.sender.send(b"x"), lambda: sending.sender.send_file(Wrapped(b"x"))):
        with pytest.raises(ClientDisconnected):
            send()


CANNOT_STORE = "Output cannot be stored, and waits in memory for its client: "


def test_without_a_place_to_store_output_waits_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    sending = Sending(BLOCKED, outbuf_overflow=4)
    for data in (b"one", b"two", b"three"):
        sending.sender.send(data)
    assert sending.sender.flush() is False
    assert sending.socket.sent == b"onetwothree"
    assert [message.startswith(CANNOT_STORE) for message in caplog.messages] == [True]  # once


def test_without_a_place_to_store_the_server_itself_answers_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    sending = Sending(BLOCKED, outbuf_overflow=1)
    sending.sender.send_now(b"408")
    assert sending.sender.flush() is False
    assert sending.socket.sent == b"408"


def test_without_a_place_to_store_a_task_waits_as_at_the_watermark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    sending = Sending(BLOCKED, outbuf_overflow=100_000, outbuf_high_watermark=10_000_000)
    thread = threading.Thread(target=sending.sender.send, args=(b"x" * 300_000,), daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while thread.is_alive() or sending.sender.has_pending:
        assert time.monotonic() < until
        outbox = sending.sender.outbox
        assert outbox is None or outbox.pending_bytes <= 100_000
        sending.sender.flush()
    assert sending.socket.sent == b"x" * 300_000


# --- files


def test_a_file_that_the_socket_takes_whole_stays_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_FILE_BYTES", 4)
    sending = Sending()
    file = Wrapped(b"0123456789")
    assert sending.sender.send_file(file) is True
    assert sending.socket.sent == b"0123456789"
    assert [len(call[1]) for call in sending.socket.calls if call[0] == "send"] == [4, 4, 2]
    assert not file.was_closed
    assert sending.notified == []


def test_the_rest_of_a_file_is_left_to_the_reactor_and_a_task_closes_it() -> None:
    sending = Sending(4, BLOCKED)
    file = Wrapped(b"0123456789")
    assert sending.sender.send_file(file) is False
    assert sending.notified == [DESCRIPTOR]
    assert sending.sender.has_pending
    assert not sending.sender.flush()
    assert sending.socket.sent == b"0123456789"
    (task,) = sending.tasks
    assert isinstance(task, FileClosing)
    assert not file.was_closed
    task.service()
    assert file.was_closed


def test_a_file_keeps_its_place_behind_what_is_pending() -> None:
    sending = Sending(BLOCKED)
    sending.sender.send(b"head,")
    assert sending.sender.send_file(Wrapped(b"file,")) is False
    sending.sender.send(b"end")
    sending.sender.flush()
    assert sending.socket.sent == b"head,file,end"


def test_a_file_stays_the_callers_when_the_client_leaves() -> None:
    sending = Sending(4, RESET)
    file = Wrapped(b"0123456789")
    with pytest.raises(ClientDisconnected):
        sending.sender.send_file(file)
    assert not file.was_closed
    assert sending.tasks == []


def test_a_cancelled_closing_closes_the_file_too() -> None:
    file = Wrapped(b"x")
    FileClosing(file, Context()).cancel()
    assert file.was_closed


# --- reactor only


def test_a_flush_sends_until_the_socket_is_full() -> None:
    sending = Sending(BLOCKED, 4, 3, BLOCKED)
    sending.sender.send(b"0123456789")
    assert sending.sender.flush()
    assert sending.socket.sent == b"0123456"
    assert sending.sender.has_pending
    assert not sending.sender.flush()
    assert sending.socket.sent == b"0123456789"


def test_a_flush_ends_after_its_share_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_BYTES", 4)
    sending = Sending(BLOCKED)
    sending.sender.send(b"01234567")
    assert sending.sender.flush()
    assert sending.socket.sent == b"0123"
    assert sending.sender.flush()
    assert sending.socket.sent == b"01234567"
    assert not sending.sender.flush()


def test_after_a_flush_with_nothing_left_the_next_append_notifies() -> None:
    sending = Sending(BLOCKED, 3, BLOCKED)
    sending.sender.send(b"012345")
    assert sending.sender.flush()
    sending.sender.send(b"67")
    assert sending.notified == [DESCRIPTOR]  # the reactor checks by itself
    assert not sending.sender.flush()
    sending.let_send(BLOCKED)
    sending.sender.send(b"89")
    assert sending.notified == [DESCRIPTOR, DESCRIPTOR]


def test_a_flush_reports_a_client_that_is_gone() -> None:
    sending = Sending(BLOCKED, RESET)
    sending.sender.send(b"bytes")
    with pytest.raises(Disconnected):
        sending.sender.flush()


def test_a_flush_reports_a_file_that_became_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waitress_core.net.transport._sendfile", None)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    sending = Sending(BLOCKED)
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        file.prepare()
        sending.sender.send(b"head")
        sending.sender.send_file(file)
        path.write_bytes(b"")
        with pytest.raises(FileFailed):
            sending.sender.flush()
        assert sending.socket.sent == b"head"


def test_flushing_nothing_is_done_at_once() -> None:
    assert not Sending().sender.flush()


def test_an_abort_lets_tasks_close_the_files() -> None:
    sending = Sending(BLOCKED)
    files = [Wrapped(b"one"), Wrapped(b"two")]
    sending.sender.send(b"bytes")
    for file in files:
        sending.sender.send_file(file)
    sending.sender.abort()
    assert not any(file.was_closed for file in files)
    for task in sending.tasks:
        task.service()
    assert all(file.was_closed for file in files)


def test_an_abort_with_nothing_pending_does_nothing() -> None:
    sending = Sending()
    sending.sender.abort()
    assert sending.tasks == []


def test_the_servers_own_answer_is_sent_at_once() -> None:
    sending = Sending(3)
    sending.sender.send_now(b"answer")
    assert sending.notified == []  # the caller is the reactor
    assert sending.sender.has_pending
    sending.sender.flush()
    assert sending.socket.sent == b"answer"


def test_the_servers_own_answer_does_not_overtake_what_is_pending() -> None:
    sending = Sending(4)
    sending.sender.send_now(b"100 Continue,")
    sending.sender.send_now(b"408")
    sending.sender.flush()
    assert sending.socket.sent == b"100 Continue,408"


def test_a_response_that_is_sent_leaves_nothing_behind() -> None:
    sending = Sending(BLOCKED)
    sending.sender.send(b"bytes")
    sending.sender.flush()
    sending.sender.outbox = None
    sending.sender.send(b",next")
    assert sending.socket.sent == b"bytes,next"


def test_the_minimum_rate_is_that_of_the_settings() -> None:
    sending = Sending(BLOCKED, channel_timeout=7, response_timeout=3)
    sending.sender.start_rate(999.0)
    assert not sending.sender.is_too_slow(1000.0)  # there is nothing to take
    sending.sender.send(b"bytes")
    sending.sender.start_rate(1000.0)
    assert [sending.sender.is_too_slow(1000.0 + second) for second in range(8)] == [False] * 7 + [True]
    sending.sender.start_rate(2000.0)
    assert sending.sender.outbox is not None
    sending.sender.outbox.is_waited_for = True
    assert [sending.sender.is_too_slow(2000.0 + second) for second in range(4)] == [False] * 3 + [True]


# --- states


@pytest.mark.parametrize("state", [PENDING, FLUSH], ids=lambda state: state.name)
def test_output_that_the_reactor_sends_is_checked_from_its_start_on(state: SendState) -> None:
    sending = Sending()
    assert sending.sender.state is READY
    sending.sender.enter(state, 1000.0)
    assert sending.context.output.armed_at(DESCRIPTOR) == 1000.0
    sending.sender.enter(READY, 1001.0)
    assert len(sending.context.output) == 0


def test_the_end_of_a_task_does_not_restart_the_time_to_the_next_check() -> None:
    sending = Sending()
    sending.sender.enter(PENDING, 1000.0)
    sending.sender.enter(FLUSH, 1000.5)
    assert sending.context.output.armed_at(DESCRIPTOR) == 1000.0


@pytest.mark.parametrize("state", [PENDING, FLUSH], ids=lambda state: state.name)
def test_a_connection_that_is_gone_has_no_deadline(state: SendState) -> None:
    sending = Sending()
    sending.sender.enter(state, 1000.0)
    sending.sender.enter(GONE, 0.0)
    assert len(sending.context.output) == 0


def test_a_state_without_output_has_no_deadline() -> None:
    sending = Sending()
    for state in (SHUT, GONE, CLOSED):
        sending.sender.enter(state, 1000.0)
        assert sending.sender.state is state
        assert len(sending.context.output) == 0


# --- the log


@pytest.mark.parametrize(
    ("number", "logs", "expected"),
    [
        (errno.ECONNRESET, True, []),
        (errno.EPIPE, True, []),
        (errno.EIO, True, ["Socket error"]),
        (errno.EIO, False, []),
    ],
)
def test_only_an_error_that_is_no_ordinary_end_of_a_client_is_logged(
    caplog: pytest.LogCaptureFixture, number: int, logs: bool, expected: list[str]
) -> None:
    sending = Sending(OSError(number, "text"), log_socket_errors=logs)
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"bytes")
    assert [record.getMessage() for record in caplog.records] == expected
    assert all(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)
