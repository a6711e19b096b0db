"""The transport: what a socket's answers and errors become."""

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_socket import DESCRIPTOR, FakeSocket, as_socket
from tests.support.pairs import reset, tcp_pair
from tests.support.processes import becomes_true
from tests.support.rows import each_row
from waitress_buffers import ReadOnlyFileBuffer
from waitress_core.net import transport as module
from waitress_core.net.transport import Disconnected, FileFailed, SocketTransport

LEAVING = [errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN, errno.EBADF, errno.ETIMEDOUT]
LEAVING += [errno.EPROTOTYPE, errno.EPROTO, errno.ENETDOWN]
NOT_LEAVING = [errno.EIO, errno.ENOMEM, errno.EINVAL]


def transport_of(fake: FakeSocket) -> SocketTransport:
    return SocketTransport(as_socket(fake))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ReadOnlyFileBuffer]:
    """A prepared file with ten bytes."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    wrapper = ReadOnlyFileBuffer(path.open("rb"))
    wrapper.prepare()
    yield wrapper
    wrapper.close()


def test_the_socket_does_not_block_from_the_start() -> None:
    fake = FakeSocket()
    assert transport_of(fake).descriptor == DESCRIPTOR
    assert fake.calls == [("setblocking", False)]


def test_bytes_are_received() -> None:
    transport = transport_of(FakeSocket(recv=[b"abc", b""], recv_into=[b"def", b""]))
    assert transport.receive(10) == b"abc"
    assert transport.receive(10) == b""
    buffer = memoryview(bytearray(10))
    assert transport.receive_into(buffer, len(buffer)) == 3
    assert bytes(buffer[:3]) == b"def"
    assert transport.receive_into(buffer, len(buffer)) == 0


@pytest.fixture(params=["poll", "no-poll"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, socket.socket]]:
    """A transport and its client, on systems with and without poll()."""
    if request.param == "no-poll":
        monkeypatch.setattr(module, "_poll", None)
    accepted, client = tcp_pair()
    yield SocketTransport(accepted), client
    client.close()
    accepted.close()


@pytest.mark.parametrize("data", [b"", b"unread"])
def test_a_connection_has_not_failed_before_its_client_resets_it(pair: Any, data: bytes) -> None:
    transport, client = pair
    client.sendall(data)
    assert not transport.has_failed()
    client.shutdown(socket.SHUT_WR)  # it can still read
    assert not transport.has_failed()


def test_a_connection_that_its_client_has_reset_has_failed(pair: Any) -> None:
    transport, client = pair
    reset(client)
    assert becomes_true(transport.has_failed, 20)  # not the usual two minutes: Wine never reports it


def test_nothing_now_is_no_end() -> None:
    transport = transport_of(FakeSocket(send=[BlockingIOError()]))
    assert transport.receive(10) is None
    assert transport.receive_into(memoryview(bytearray(10)), 10) is None
    assert transport.send(b"abc") == 0


def test_what_the_system_takes_is_told() -> None:
    fake = FakeSocket(send=[2])
    transport = transport_of(fake)
    assert transport.send(b"abcd") == 2
    assert transport.send(memoryview(b"cd")) == 2
    assert fake.sent == b"abcd"


@each_row("number", LEAVING + NOT_LEAVING, ids=errno.errorcode.get)
@each_row("call", ["recv", "recv_into", "send"])
def test_every_error_of_the_socket_means_that_the_connection_has_ended(call: str, number: int) -> None:
    fake = FakeSocket()
    fake.script[call] = deque([OSError(number, "text")])
    transport = transport_of(fake)
    calls: dict[str, Callable[[], object]] = {
        "recv": lambda: transport.receive(10),
        "recv_into": lambda: transport.receive_into(memoryview(bytearray(10)), 10),
        "send": lambda: transport.send(b"x"),
    }
    with pytest.raises(Disconnected) as caught:
        calls[call]()
    assert caught.value.is_expected is (number in LEAVING)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("has_poll", [True, False], ids=["poll", "select"])
def test_room_is_waited_for(monkeypatch: pytest.MonkeyPatch, has_poll: bool) -> None:
    if not has_poll:
        monkeypatch.setattr(module, "_poll", None)
    accepted, client = socket.socketpair()
    with accepted, client:
        transport = SocketTransport(accepted)
        assert transport.wait_for_room(20)
        while transport.send(bytes(65536)):
            pass
        assert not transport.wait_for_room(0.001)
        client.close()
        assert transport.wait_for_room(20)
        with pytest.raises(Disconnected):
            transport.send(b"x")


# --- files


@pytest.mark.skipif(not hasattr(os, "sendfile"), reason="this system has no sendfile")
def test_a_regular_file_is_sent_by_the_system(file: ReadOnlyFileBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def sendfile(out: int, descriptor: int, offset: int, size: int) -> int:
        asked.append((out, descriptor == file.file_descriptor, offset, size))
        return 4

    monkeypatch.setattr(module, "_sendfile", sendfile)
    transport = transport_of(FakeSocket())
    assert transport.send_file(file, 6) == 4
    assert transport.send_file(file, 100) == 4
    assert asked == [(DESCRIPTOR, True, 0, 6), (DESCRIPTOR, True, 4, 6)]
    assert len(file) == 2


@pytest.mark.parametrize("number", sorted({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}), ids=errno.errorcode.get)
def test_where_sendfile_does_not_work_the_file_is_read(
    file: ReadOnlyFileBuffer, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def sendfile(*arguments: int) -> int:
        raise OSError(number, "text")

    monkeypatch.setattr(module, "_sendfile", sendfile)
    fake = FakeSocket(send=[3])
    transport = transport_of(fake)
    assert transport.send_file(file, 6) == 3
    assert transport.send_file(file, 6) == 6
    assert fake.sent == b"012345678"
    assert len(file) == 1


def test_where_there_is_no_sendfile_the_file_is_read(file: ReadOnlyFileBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_sendfile", None)
    monkeypatch.setattr(module, "READ_BYTES", 4)
    fake = FakeSocket()
    transport = transport_of(fake)
    assert [transport.send_file(file, 100) for _ in range(3)] == [4, 4, 2]
    assert fake.sent == b"0123456789"


def test_a_blocked_socket_takes_nothing_of_a_file(file: ReadOnlyFileBuffer, monkeypatch: pytest.MonkeyPatch) -> None:
    def sendfile(*arguments: int) -> int:
        raise BlockingIOError

    monkeypatch.setattr(module, "_sendfile", sendfile)
    assert transport_of(FakeSocket()).send_file(file, 100) == 0
    monkeypatch.setattr(module, "_sendfile", None)
    assert transport_of(FakeSocket(send=[BlockingIOError()])).send_file(file, 100) == 0
    assert len(file) == 10


def test_a_client_that_leaves_while_a_file_is_sent_has_left(
    file: ReadOnlyFileBuffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sendfile(*arguments: int) -> int:
        raise BrokenPipeError(errno.EPIPE, "text")

    monkeypatch.setattr(module, "_sendfile", sendfile)
    with pytest.raises(Disconnected):
        transport_of(FakeSocket()).send_file(file, 100)


@pytest.mark.parametrize("has_sendfile", [True, False])
def test_a_file_that_has_become_shorter_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_sendfile: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as opened:
        wrapper = ReadOnlyFileBuffer(opened)
        wrapper.prepare()
        os.truncate(path, 0)
        monkeypatch.setattr(module, "_sendfile", (lambda *arguments: 0) if has_sendfile else None)
        with pytest.raises(FileFailed):
            transport_of(FakeSocket()).send_file(wrapper, 100)


def test_a_file_that_can_not_be_read_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        position = 0

        def seek(self, offset: int, whence: int = 0) -> None:
            self.position = 10 if whence == 2 else offset

        def tell(self) -> int:
            return self.position

        def read(self, size: int, /) -> bytes:
            raise OSError(errno.EIO, "the disk is broken")

    wrapper = ReadOnlyFileBuffer(Broken())
    assert wrapper.prepare() == 10
    with pytest.raises(FileFailed, match="the disk is broken"):
        transport_of(FakeSocket()).send_file(wrapper, 100)


# --- the end


def test_ending_is_seen_by_the_peer_in_each_direction() -> None:
    fake = FakeSocket()
    transport = transport_of(fake)
    assert transport.end_output()
    transport.end(is_complete=True)
    transport.close()
    assert fake.calls[1:] == [("shutdown", socket.SHUT_WR), ("shutdown", socket.SHUT_RDWR), ("close",)]


def test_ending_a_connection_that_has_ended_raises_nothing() -> None:
    gone = OSError(errno.ENOTCONN, "text")
    transport = transport_of(FakeSocket(shutdown=[gone, gone], setsockopt=[gone]))
    assert transport.end_output()
    transport.end(is_complete=True)
    transport.reset()


def test_a_reset_is_not_preceded_by_a_proper_end() -> None:
    fake = FakeSocket()
    transport = transport_of(fake)
    transport.reset()
    transport.end(is_complete=True)
    transport.close()
    ((level, option, value),) = [call[1:] for call in fake.calls if call[0] == "setsockopt"]
    assert (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER)
    assert struct.unpack("ii", value) == (1, 0) if len(value) == 8 else struct.unpack("hh", value) == (1, 0)
    assert fake.names[-2:] == ["setsockopt", "close"]
