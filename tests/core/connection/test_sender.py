"""The sender: straight to the socket where it can, by way of the outbox where it cannot, never out of order."""

import errno
import io
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fake_socket import DESCRIPTOR, FakeSocket, as_socket
from waitress_buffers import BufferStorageError, ReadOnlyFileBuffer
from waitress_core import Adjustments, Task
from waitress_core.connection import sender as module
from waitress_core.connection.sender import ClientDisconnected, FileClosing, Sender, SenderContext
from waitress_core.net.transport import Disconnected, FileFailed, SocketTransport

BLOCKED = BlockingIOError()
RESET = ConnectionResetError(errno.ECONNRESET, "text")


class Transport(SocketTransport):
    """Finds room so many times when it waits for some."""

    rooms = 0

    def wait_for_room(self, seconds: float) -> bool:
        self.rooms -= 1
        return self.rooms >= 0


class Sending:
    """A sender over a fake socket, with what it has asked of its server."""

    def __init__(self, *sends: object, rooms: int = 0, **settings: object) -> None:
        self.socket = FakeSocket(send=list(sends))
        self.attended: list[int] = []
        self.yields = 0
        self.on_yield: Callable[[], None] = lambda: None
        self.tasks: list[Task] = []
        adj = Adjustments(listen="127.0.0.1:0", **settings)
        services = SenderContext(adj, self.attended.append, self._yield_lead, self.tasks.append)
        self.transport = Transport(as_socket(self.socket))
        self.transport.rooms = rooms
        self.sender = Sender(self.transport, services)

    def _yield_lead(self) -> None:
        self.yields += 1
        self.on_yield()

    def let_send(self, *sends: object) -> None:
        """Have the socket take what these say in the next calls."""
        self.socket.script["send"].extend(sends)


class Wrapped(ReadOnlyFileBuffer):
    """A prepared file without a descriptor that remembers whether it was closed."""

    __slots__ = ("was_closed",)

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.was_closed = False
        self.prepare()

    def close(self) -> None:
        self.was_closed = True
        super().close()


# --- the worker


def test_what_the_socket_takes_at_once_goes_no_other_way() -> None:
    sending = Sending()
    sending.sender.send(b"octets")
    assert sending.socket.sent == b"octets"
    assert not sending.sender.has_pending
    assert sending.attended == []


def test_what_the_socket_does_not_take_is_left_to_the_reactor() -> None:
    sending = Sending(3)
    sending.sender.send(b"abcdef")
    assert sending.sender.has_pending
    assert sending.attended == [DESCRIPTOR]
    assert not sending.sender.flush()
    assert sending.socket.sent == b"abcdef"
    assert not sending.sender.has_pending


def test_what_the_client_makes_room_for_at_once_needs_no_outbox() -> None:
    sending = Sending(2, 2, rooms=2)
    sending.sender.send(b"abcdef")
    assert sending.socket.sent == b"abcdef"
    assert sending.sender.outbox is None
    assert sending.attended == []
    assert sending.yields == 1  # a wait, and be it short, is not to stop the I/O


@pytest.mark.parametrize(
    ("sends", "rooms"),
    [pytest.param([2, 2], 1, id="no-room-in-time"), pytest.param([2, 2, BLOCKED], 9, id="no-room-after-all")],
)
def test_what_the_client_makes_no_room_for_is_left_to_the_reactor(sends: list[object], rooms: int) -> None:
    sending = Sending(*sends, rooms=rooms)
    sending.sender.send(b"abcdef")
    assert sending.socket.sent == b"abcd"
    assert sending.attended == [DESCRIPTOR]
    sending.sender.flush()
    assert sending.socket.sent == b"abcdef"


def test_a_client_that_leaves_while_it_is_waited_for_is_told_to_the_worker() -> None:
    sending = Sending(2, RESET, rooms=1)
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"abcdef")


def test_a_worker_does_not_overtake_what_is_pending() -> None:
    sending = Sending(BLOCKED)
    sending.sender.send(b"one,")
    sending.sender.send(b"two,")
    assert len(sending.socket.calls) == 2  # setblocking, and one send
    sending.sender.flush()
    sending.sender.send(b"three")
    assert sending.socket.sent == b"one,two,three"


def test_a_worker_waits_at_the_watermark_and_gives_the_lead_away_before() -> None:
    sending = Sending(BLOCKED, outbuf_high_watermark=10)
    events: list[str] = []

    def on_yield() -> None:
        events.append(f"{len(sending.socket.sent)} sent")
        sending.sender.flush()  # as the spare does, once it has the lead

    sending.on_yield = on_yield
    sending.sender.send(b"0123456789" * 3)
    assert events == ["0 sent", "0 sent", "10 sent"]  # before it waits for the client, and at the watermark
    sending.sender.flush()
    assert sending.socket.sent == b"0123456789" * 3


def test_a_worker_fills_only_the_room_that_there_is() -> None:
    sending = Sending(BLOCKED, outbuf_high_watermark=10)
    sending.on_yield = sending.sender.abort
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"x" * 25)
    assert sending.yields == 2  # before it waits for the client, and at the watermark


def test_a_client_that_is_gone_is_told_to_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending(RESET)
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"octets")
    assert not caplog.records


def test_after_an_abort_the_worker_is_told(caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending(BLOCKED)
    sending.sender.send(b"octets")
    sending.sender.abort()
    for send in (lambda: sending.sender.send(b"x"), lambda: sending.sender.send_file(Wrapped(b"x"))):
        with pytest.raises(ClientDisconnected):
            send()


def test_a_full_disk_is_told_to_the_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    sending = Sending(BLOCKED, outbuf_overflow=4)
    with pytest.raises(BufferStorageError):
        sending.sender.send(b"octets")


# --- files


def test_a_file_that_the_socket_takes_whole_is_the_callers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEND_FILE_BYTES", 4)
    sending = Sending()
    file = Wrapped(b"0123456789")
    assert sending.sender.send_file(file) is True
    assert sending.socket.sent == b"0123456789"
    assert [len(call[1]) for call in sending.socket.calls if call[0] == "send"] == [4, 4, 2]
    assert not file.was_closed
    assert sending.attended == []


def test_the_rest_of_a_file_is_left_to_the_reactor_which_has_it_closed_by_a_task() -> None:
    sending = Sending(4, BLOCKED)
    file = Wrapped(b"0123456789")
    assert sending.sender.send_file(file) is False
    assert sending.attended == [DESCRIPTOR]
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


def test_a_client_that_leaves_while_a_file_is_sent_leaves_the_file_to_the_caller() -> None:
    sending = Sending(4, RESET)
    file = Wrapped(b"0123456789")
    with pytest.raises(ClientDisconnected):
        sending.sender.send_file(file)
    assert not file.was_closed
    assert sending.tasks == []


def test_a_cancelled_closing_closes_all_the_same() -> None:
    file = Wrapped(b"x")
    FileClosing(file).cancel()
    assert file.was_closed


# --- the holder of the lead


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


def test_after_a_flush_with_nothing_left_the_next_append_tells() -> None:
    sending = Sending(BLOCKED, 3, BLOCKED)
    sending.sender.send(b"012345")
    assert sending.sender.flush()
    sending.sender.send(b"67")
    assert sending.attended == [DESCRIPTOR]  # the reactor looks by itself
    assert not sending.sender.flush()
    sending.let_send(BLOCKED)
    sending.sender.send(b"89")
    assert sending.attended == [DESCRIPTOR, DESCRIPTOR]


def test_a_flush_tells_of_a_client_that_is_gone() -> None:
    sending = Sending(BLOCKED, RESET)
    sending.sender.send(b"octets")
    with pytest.raises(Disconnected):
        sending.sender.flush()


def test_a_flush_tells_of_a_file_that_became_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_abort_has_the_files_closed_by_tasks() -> None:
    sending = Sending(BLOCKED)
    files = [Wrapped(b"one"), Wrapped(b"two")]
    sending.sender.send(b"octets")
    for file in files:
        sending.sender.send_file(file)
    sending.sender.abort()
    assert not any(file.was_closed for file in files)
    for task in sending.tasks:
        task.service()
    assert all(file.was_closed for file in files)


def test_an_abort_of_what_never_was_pending_does_nothing() -> None:
    sending = Sending()
    sending.sender.abort()
    assert sending.tasks == []


def test_the_servers_own_answer_is_sent_at_once() -> None:
    sending = Sending(3)
    sending.sender.send_now(b"answer")
    assert sending.attended == []  # the caller is the reactor
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
    sending.sender.send(b"octets")
    sending.sender.flush()
    sending.sender.outbox = None
    sending.sender.send(b",next")
    assert sending.socket.sent == b"octets,next"


def test_the_pace_is_that_of_the_settings() -> None:
    sending = Sending(BLOCKED, channel_timeout=7, response_timeout=3)
    sending.sender.begin_pace(999.0)
    assert sending.sender.spend_patience(1000.0)  # there is nothing to take
    sending.sender.send(b"octets")
    sending.sender.begin_pace(1000.0)
    assert [sending.sender.spend_patience(1000.0 + second) for second in range(8)] == [True] * 7 + [False]
    sending.sender.begin_pace(2000.0)
    assert sending.sender.outbox is not None
    sending.sender.outbox.is_waited_for = True
    assert [sending.sender.spend_patience(2000.0 + second) for second in range(4)] == [True] * 3 + [False]


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
def test_only_an_error_that_no_leaving_explains_is_logged(
    caplog: pytest.LogCaptureFixture, number: int, logs: bool, expected: list[str]
) -> None:
    sending = Sending(OSError(number, "text"), log_socket_errors=logs)
    with pytest.raises(ClientDisconnected):
        sending.sender.send(b"octets")
    assert [record.getMessage() for record in caplog.records] == expected
    assert all(record.levelno == logging.ERROR and record.exc_info for record in caplog.records)
