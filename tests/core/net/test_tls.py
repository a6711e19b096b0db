"""The TLS transport: records of every size, cut anywhere, between a client that is stepped by hand and a socket."""

import contextlib
import io
import os
import random
import select
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import client_context, server_file
from tests.support.pairs import reset, tcp_pair
from tests.support.tls_peer import TlsPeer
from waitress_buffers import ReadOnlyFileBuffer
from waitress_core import Adjustments
from waitress_core.connection.context import BODY_READ_BYTES
from waitress_core.net.tls import (
    BATCH_BYTES,
    MAX_UNSENT_BYTES,
    READ_BYTES,
    RECORD_BYTES,
    RUN_BYTES,
    TlsTransport,
)
from waitress_core.net.tls_contexts import TlsContexts
from waitress_core.net.transport import Disconnected, HandshakeFailed, PlainRequest
from waitress_core.reactor.poller import READ, WRITE

BUFFER = memoryview(bytearray(BODY_READ_BYTES))


class Full:
    """A socket that takes nothing."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real

    def send(self, data: bytes) -> int:
        raise BlockingIOError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Noted:
    """A socket, or a session, of which the names that are used are noted."""

    def __init__(self, real: Any, names: list[str]) -> None:
        self._real = real
        self._names = names

    def __getattr__(self, name: str) -> Any:
        self._names.append(name)
        return getattr(self._real, name)


def contexts(**settings: Any) -> TlsContexts:
    return TlsContexts(Adjustments(listen="127.0.0.1:0", tls_certificate=server_file(), **settings))


class Ends:
    """A transport, and its client; what the transport receives is kept."""

    def __init__(self, buffer_bytes: int | None = None, **peer: Any) -> None:
        open_transport = contexts().opener()  # skips the test where no certificate can be made
        accepted, self.client = tcp_pair(buffer_bytes)
        self.transport = open_transport(accepted)
        self.received: list[bytes] = []
        self.is_established = False
        self.peer = TlsPeer(self.client, self.turn, **peer)

    def turn(self) -> None:
        """Do what the reactor does when the socket is readable."""
        if not self.is_established:
            self.is_established = self.transport.handshake() == 0
            if not self.is_established:
                return
        while (data := self.transport.receive(8192)) is not None:
            self.received.append(data)
            if not data:
                break

    def shake_hands(self) -> "Ends":
        self.peer.shake_hands()
        while not self.is_established:
            self.peer.step()
        return self

    def close(self) -> None:
        self.transport.close()
        self.client.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    with contextlib.closing(Ends()) as made:
        yield made.shake_hands()


# --- the handshake


@pytest.mark.parametrize("piece_bytes", [1, 7, 500, None])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_handshake_in_any_pieces_ends_with_what_came_behind_it(
    version: ssl.TLSVersion, piece_bytes: int | None
) -> None:
    context = client_context()
    context.maximum_version = version
    with contextlib.closing(Ends(context=context, piece_bytes=piece_bytes)) as ends:
        ends.peer.until_done(ends.peer.session.do_handshake)
        ends.peer.send(b"GET")
        while not ends.received:
            ends.peer.step()
        assert b"".join(ends.received) == b"GET"
        info = ends.transport.tls
        assert info is not None
        assert info.version == f"TLSv{version.name[-3:].replace('_', '.')}"
        assert info.environ["SSL_SERVER_NAME"] == "localhost"


def test_what_comes_in_one_piece_with_the_end_of_the_handshake_is_not_left_behind() -> None:
    with contextlib.closing(Ends()) as ends:
        peer = ends.peer
        with pytest.raises(ssl.SSLWantReadError):
            peer.session.do_handshake()
        while True:
            peer.step()
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.session.do_handshake()
                break
        peer.session.write(b"request")  # in the same segment as Finished
        peer.step()
        assert b"".join(ends.received) == b"request"


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\n\r\n", b"POST"])
def test_a_plain_request_can_be_answered_in_plain(data: bytes) -> None:
    with contextlib.closing(Ends()) as ends:
        ends.client.sendall(data)
        with pytest.raises(PlainRequest):
            ends.transport.handshake()
        assert ends.transport.tls is None
        assert ends.transport.send(b"400") == 3
        assert ends.transport.end_output()
        assert ends.client.recv(10) == b"400"
        ends.client.sendall(b"more")
        assert ends.transport.receive(10) == b"more"
        assert ends.transport.receive_into(BUFFER, 10) is None


@pytest.mark.parametrize("data", [b"\0", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01", b"\xff" * 9])
def test_what_is_no_tls_fails_with_a_reason(data: bytes) -> None:
    with contextlib.closing(Ends()) as ends:
        ends.client.sendall(data)
        ends.client.shutdown(socket.SHUT_WR)
        with pytest.raises(HandshakeFailed) as caught:  # noqa: PT012  # in the first or the second step
            ends.transport.handshake()
            ends.transport.handshake()
        assert str(caught.value)
        assert "_" not in str(caught.value)


def test_a_client_that_leaves_before_its_first_byte_is_no_failed_handshake() -> None:
    with contextlib.closing(Ends()) as ends:
        ends.client.shutdown(socket.SHUT_WR)
        with pytest.raises(Disconnected) as caught:
            ends.transport.handshake()
        assert caught.value.is_expected


def test_a_client_that_trusts_another_authority_is_told_of_by_its_alert() -> None:
    with contextlib.closing(Ends(context=ssl.create_default_context())) as ends:
        with pytest.raises(ssl.SSLCertVerificationError):
            ends.peer.shake_hands()
        with pytest.raises(HandshakeFailed, match="unknown ca"):
            ends.peer.step()


def test_a_client_of_old_versions_only_is_told_why() -> None:
    context = client_context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with contextlib.closing(Ends(context=context)) as ends:
        with pytest.raises(HandshakeFailed, match=r"unsupported protocol|version"):
            ends.peer.shake_hands()
        ends.peer.turn = lambda: None
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            ends.peer.until_done(ends.peer.session.do_handshake)


def test_a_handshake_ends_with_one_ticket() -> None:
    with contextlib.closing(Ends()) as ends:
        peer = ends.shake_hands().peer
        peer.step()
        data, records = peer.incoming.read(), 0
        while data:
            data = data[5 + int.from_bytes(data[3:5], "big") :]
            records += 1
        assert records == 1


def test_a_handshake_without_room_waits_for_room() -> None:
    with contextlib.closing(Ends(buffer_bytes=2048)) as ends:
        peer, transport = ends.peer, ends.transport
        real, sent = transport.socket, []

        class Narrow:
            """A socket that takes 100 bytes at a time, and nothing every other time."""

            def send(self, data: bytes) -> int:
                sent.append(len(data))
                if len(sent) % 2:
                    raise BlockingIOError
                return real.send(data[:100])

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        transport.socket = Narrow()  # type: ignore[assignment]  # a stand-in
        waits = []

        def turn() -> None:
            if not ends.is_established:
                waits.append(transport.handshake())
                ends.is_established = not waits[-1]

        peer.turn = turn
        peer.shake_hands()
        while not ends.is_established:
            peer.step()
        assert {READ, WRITE, 0} == set(waits)


# --- records


@pytest.mark.parametrize("into", [False, True], ids=["receive", "receive-into"])
def test_records_of_every_size_cut_anywhere_arrive_whole_and_none_waits_for_the_next(into: bool) -> None:
    generator = random.Random(7)
    content = generator.randbytes(2 * RECORD_BYTES)
    with contextlib.closing(Ends()) as ends:
        ends.shake_hands()
        transport, peer, client = ends.transport, ends.peer, ends.client
        client.setblocking(True)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for size in generator.sample(range(1, RECORD_BYTES + 1), RECORD_BYTES):
            data = content[size : 2 * size]
            peer.session.write(data)
            wire = peer.outgoing.read()
            cut = generator.randrange(len(wire))
            received = b""
            client.sendall(wire[:cut])
            received += read_all(transport, into=into)
            client.sendall(wire[cut:])
            while len(received) < size:  # what the transport held would never come
                assert select.select([transport.descriptor], [], [], 5)[0], f"a record of {size} bytes is held"
                received += read_all(transport, into=into)
            assert received == data


def read_all(transport: TlsTransport, *, into: bool) -> bytes:
    """Read until the socket has nothing more, which is when the poller would be asked."""
    received = b""
    while True:
        if into:
            size = transport.receive_into(BUFFER, len(BUFFER))
            data = None if size is None else bytes(BUFFER[:size])
        else:
            data = transport.receive(8192)
        if not data:
            return received
        received += data


@pytest.mark.parametrize("into", [False, True], ids=["receive", "receive-into"])
def test_one_read_takes_a_record_to_its_end_if_that_is_there(ends: Ends, into: bool) -> None:
    """A deadline looks into the socket once before it gives a client up."""
    ends.peer.turn = lambda: None
    data = os.urandom(RECORD_BYTES)
    ends.peer.session.write(data)
    wire = ends.peer.outgoing.read()
    ends.client.setblocking(True)
    ends.client.sendall(wire)
    ends.transport.socket.setblocking(True)  # so that all of it has come
    ends.transport.socket.recv(len(wire), socket.MSG_PEEK | socket.MSG_WAITALL)
    ends.transport.socket.setblocking(False)
    size = ends.transport.receive_into(BUFFER, 1000) if into else len(ends.transport.receive(1000) or b"")
    assert size == len(data)


def test_many_records_in_one_read_are_all_returned(ends: Ends) -> None:
    ends.peer.turn = lambda: None
    for number in range(100):
        ends.peer.session.write(b"%03d" % number)
    ends.peer.step()
    assert ends.transport.receive(65536) == b"".join(b"%03d" % number for number in range(100))
    assert ends.transport.receive(65536) is None


def test_the_buffer_for_bodies_has_room_for_a_whole_read_and_the_rest_of_a_record() -> None:
    assert READ_BYTES + RECORD_BYTES <= BODY_READ_BYTES


def test_a_buffer_of_a_receiver_has_room_for_the_rest_of_a_record(ends: Ends) -> None:
    ends.peer.turn = lambda: None
    data = os.urandom(3 << 20)
    received = bytearray()

    def read() -> None:
        while (size := ends.transport.receive_into(BUFFER, 16 * 1024)) is not None:
            received.extend(BUFFER[:size])

    ends.peer.turn = read
    ends.peer.send(data)
    while len(received) < len(data):
        ends.peer.step()
    assert bytes(received) == data


def test_what_is_not_taken_is_offered_again_and_not_encrypted_twice() -> None:
    with contextlib.closing(Ends(buffer_bytes=4096)) as ends:
        ends.shake_hands()
        data = os.urandom(1 << 20)
        sent, received = 0, bytearray()
        ends.peer.turn = lambda: None
        refused = 0
        generator = random.Random(3)
        while len(received) < len(data):
            if sent < len(data):
                # As an outbox does, in pieces of any size: also fewer bytes than were offered before.
                taken = ends.transport.send(memoryview(data)[sent : sent + generator.randrange(1, 200_000)])
                refused += not taken
                sent += taken
                assert ends.transport.sent_bytes == sent
            with contextlib.suppress(ssl.SSLWantReadError):
                received += ends.peer.session.read(65536)
                continue
            ends.peer.step()
        assert bytes(received) == data
        assert refused


class Drip:
    """A socket that takes so many bytes of each call."""

    def __init__(self, real: socket.socket, size: int) -> None:
        self._real = real
        self._size = size

    def send(self, data: bytes) -> int:
        return self._real.send(data[: self._size])

    def sendmsg(self, records: list[bytes]) -> int:
        return self.send(b"".join(records))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize("is_file", [False, True], ids=["bytes", "file"])
@pytest.mark.parametrize("size", [RUN_BYTES, BATCH_BYTES], ids=["run", "batch"])
def test_each_byte_that_a_slow_reader_takes_counts_at_once(
    ends: Ends, size: int, is_file: bool, tmp_path: Path
) -> None:
    """Else a reader that takes less than a batch in `channel_timeout` seconds would seem to take nothing."""
    path = tmp_path / "file"
    data = os.urandom(size)
    path.write_bytes(data)
    transport: Any = ends.transport
    transport.socket = Drip(transport.socket, 5000)
    ends.peer.turn = lambda: None
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        file.prepare()
        while transport.sent_bytes < size:
            before = transport.sent_bytes
            if is_file:
                transport.send_file(file, size)
                assert len(file) == size - transport.sent_bytes
            else:
                assert transport.send(memoryview(data)[before:]) == transport.sent_bytes - before
            assert transport.sent_bytes > before  # records of a batch add 352 bytes to it
            ends.peer.step()  # make room
    assert ends.peer.receive(size) == data


def test_a_file_is_read_and_sent(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = os.urandom(300_000)
    path.write_bytes(data)
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        file.prepare()
        received = bytearray()
        ends.peer.turn = lambda: None
        while len(received) < len(data):
            if len(file):
                ends.transport.send_file(file, 1 << 20)
            received += ends.peer.receive(min(1000, len(data) - len(received)))
    assert bytes(received) == data


def test_the_records_of_much_data_leave_in_one_call(ends: Ends) -> None:
    """Each call may wake the client, which then reads little."""
    transport: Any = ends.transport
    real, calls = transport.socket, []

    class Counting:
        def sendmsg(self, records: list[bytes]) -> int:
            calls.append(len(records))
            return int(real.sendmsg(records))

        def send(self, data: bytes) -> int:
            calls.append(1)
            return int(real.send(data))

    transport.socket = Counting()
    assert 0 < transport.send(bytes(BATCH_BYTES)) <= BATCH_BYTES
    assert len(calls) == 1
    transport.socket = real


def test_a_session_keeps_no_memory_of_a_large_response(ends: Ends) -> None:
    """OpenSSL's buffer keeps the size that it once had. A connection may be idle for long after it has sent a file."""
    transport: Any = ends.transport
    sizes = []

    class Outgoing:
        def read(self) -> bytes:
            sizes.append(real.pending)
            return bytes(real.read())

        @property
        def pending(self) -> int:
            return int(real.pending)

    real, transport._outgoing = transport._outgoing, Outgoing()
    transport.send(bytes(BATCH_BYTES))
    assert RUN_BYTES < max(sizes) < RUN_BYTES * 1.1


def test_a_file_is_not_read_again_while_the_client_makes_no_room(ends: Ends, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    transport: Any = ends.transport
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        file.prepare()
        transport.socket = Full(transport.socket)
        assert transport.send_file(file, 100) == 0
    assert transport.send_file(file, 100) == 0  # it is closed: a read would fail
    assert len(file) == 100


def test_garbage_after_the_handshake_is_a_client_that_is_gone(ends: Ends) -> None:
    ends.client.setblocking(True)
    ends.client.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
    with pytest.raises(Disconnected) as caught:
        ends.transport.receive(100)
    assert caught.value.is_expected
    with pytest.raises(Disconnected):
        ends.transport.send(b"x" * 100)


# --- the end


@pytest.mark.parametrize("into", [False, True], ids=["receive", "receive-into"])
def test_data_and_close_notify_in_one_segment_are_data_and_then_a_visible_end(ends: Ends, into: bool) -> None:
    ends.peer.turn = lambda: None
    ends.peer.session.write(b"last")
    with contextlib.suppress(ssl.SSLWantReadError):
        ends.peer.session.unwrap()
    ends.peer.step()

    def receive() -> bytes | None:
        if not into:
            return ends.transport.receive(100)
        size = ends.transport.receive_into(BUFFER, 100)
        return None if size is None else bytes(BUFFER[:size])

    assert receive() == b"last"
    assert select.select([ends.transport.socket], [], [], 0)[0]  # it is readable
    assert receive() == b""
    assert receive() == b""
    assert ends.transport.send(b"answer") == 6  # the other direction is open
    assert not ends.transport.has_failed()
    assert ends.peer.receive(6) == b"answer"


def test_close_notify_alone_is_an_end_at_once(ends: Ends) -> None:
    ends.peer.turn = lambda: None
    with contextlib.suppress(ssl.SSLWantReadError):
        ends.peer.session.unwrap()
    ends.peer.step()
    transport: Any = ends.transport
    names: list[str] = []
    transport.socket = Noted(transport.socket, names)
    assert transport.receive(100) == b""
    assert names == ["recv"]


def test_an_end_without_close_notify_is_an_end(ends: Ends) -> None:
    ends.client.shutdown(socket.SHUT_WR)
    assert ends.transport.receive(100) == b""
    assert ends.transport.receive_into(BUFFER, 100) == 0


def test_an_end_of_output_is_close_notify_and_input_is_discarded(ends: Ends) -> None:
    assert ends.transport.end_output()
    ends.peer.turn = lambda: None
    assert ends.peer.rest() == (b"", "close_notify")
    ends.client.sendall(b"still something")
    assert ends.transport.receive(100) == b"still something"


@pytest.mark.parametrize(
    ("is_complete", "resets", "end"),
    [(True, False, "close_notify"), (False, False, "cut"), (False, True, "reset"), (True, True, "reset")],
    ids=["complete", "incomplete", "reset", "reset-and-complete"],
)
def test_only_a_complete_response_ends_with_close_notify(ends: Ends, is_complete: bool, resets: bool, end: str) -> None:
    ends.transport.send(b"a part")
    if resets:
        ends.transport.reset()
    ends.transport.end(is_complete=is_complete)
    ends.transport.close()
    ends.peer.turn = lambda: None
    received, found = ends.peer.rest()
    assert found == end
    assert received in ((b"a part", b"") if resets else (b"a part",))


WAYS_TO_SEE_A_RESET: dict[str, Callable[[TlsTransport], object]] = {
    "receive": lambda transport: transport.receive(8192),
    "receive-into": lambda transport: transport.receive_into(BUFFER, 8192),
    "send": lambda transport: transport.send(b"x"),
    "send-batch": lambda transport: transport.send(bytes(BATCH_BYTES)),
}


@pytest.mark.parametrize("way", WAYS_TO_SEE_A_RESET)
def test_nothing_is_said_to_a_client_that_has_reset_the_connection(ends: Ends, way: str) -> None:
    reset_seen(ends)
    with pytest.raises(Disconnected) as caught:
        WAYS_TO_SEE_A_RESET[way](ends.transport)
    assert caught.value.is_expected
    assert calls_of_end(ends.transport) == []
    ends.transport.end(is_complete=False)  # as when a task still runs, which finds the same
    with pytest.raises(Disconnected):
        ends.transport.send(b"x")


def test_nothing_is_said_to_a_client_that_has_reset_the_connection_in_its_handshake() -> None:
    with contextlib.closing(Ends()) as ends:
        reset_seen(ends)
        with pytest.raises(Disconnected):
            ends.transport.handshake()
        assert calls_of_end(ends.transport) == []


def reset_seen(ends: Ends) -> None:
    """Reset the connection, and wait until the server's system has seen that."""
    reset(ends.client)
    assert select.select([ends.transport.descriptor], [], [], 20)[0]


def calls_of_end(transport: Any) -> list[str]:
    """Let a transport end, and return what it uses of its socket and its session."""
    names: list[str] = []
    transport.socket = Noted(transport.socket, names)
    transport._session = Noted(transport._session, names)
    transport.end(is_complete=True)
    return names


def test_a_close_notify_without_room_is_sent_later() -> None:
    with contextlib.closing(Ends(buffer_bytes=4096)) as ends:
        ends.shake_hands()
        ends.peer.turn = lambda: None
        total = 0
        while taken := ends.transport.send(bytes(100)):
            total += taken
        assert not ends.transport.end_output()
        received = bytearray()
        is_sent = False
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                data = ends.peer.session.read(65536)
                if not data:
                    break
                received += data
                continue
            is_sent = is_sent or ends.transport.end_output()
            ends.peer.step()
        assert is_sent
        assert total <= len(received) <= total + 100
        assert len(received) % 100 == 0  # the system may have taken a part of a record


def test_a_forked_childs_copy_says_nothing(ends: Ends) -> None:
    parents = ends.transport.socket.dup()
    with parents:
        ends.transport.close()
        ends.client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            ends.client.recv(1)


# --- what a client can do to a session


@pytest.mark.skipif(not hasattr(ssl, "OP_NO_RENEGOTIATION"), reason="this OpenSSL cannot refuse renegotiation")
def test_renegotiation_and_compression_are_refused() -> None:
    context = contexts()._loaded.default
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


def test_a_client_that_only_makes_the_server_talk_is_dropped(ends: Ends) -> None:
    # Python has no call that asks for a key update: its answer is put where OpenSSL puts it.
    transport: Any = ends.transport
    transport._unsent = bytes(MAX_UNSENT_BYTES + 1)
    transport.socket = Full(transport.socket)
    with pytest.raises(Disconnected, match="reads no TLS records"):
        transport._answer_locked()


class Meeting:
    """Sees whether two threads are within OpenSSL at once.

    The first one stays there until a second one has come too, or waits for the transport's lock: nothing is left to
    chance, and nothing to time.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: list[int] = []
        self._waiting = 0
        self.first_is_inside = threading.Event()
        self.is_over = False  # nobody else comes
        self.overlaps = 0

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """Be within OpenSSL."""
        with self._changed:
            self._inside.append(threading.get_ident())
            self.overlaps += len(set(self._inside)) > 1
            self.first_is_inside.set()
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.is_over or self._waiting or self.overlaps, timeout=20)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(threading.get_ident())

    def wait_for_lock(self, lock: threading.Lock) -> None:
        if lock.acquire(blocking=False):
            return
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
        lock.acquire()
        with self._changed:
            self._waiting -= 1

    def end(self) -> None:
        with self._changed:
            self.is_over = True
            self._changed.notify_all()


class WatchedLock:
    """The lock of a transport; a thread that waits for it says so."""

    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._meeting.wait_for_lock(self._lock)

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class Watched:
    """A session, or a buffer of one, in which threads can meet: each of its methods and attributes."""

    def __init__(self, real: Any, meeting: Meeting) -> None:
        self._real = real
        self._meeting = meeting

    def __getattr__(self, name: str) -> Any:
        if not callable(getattr(type(self._real), name, None)):
            with self._meeting.attended():
                return getattr(self._real, name)

        def call(*arguments: Any) -> Any:
            with self._meeting.attended():
                return getattr(self._real, name)(*arguments)

        return call


@contextlib.contextmanager
def watched(ends: Ends, meeting: Meeting) -> Iterator[Any]:
    """Have threads meet in the session of an open connection, and in its buffers."""
    transport: Any = ends.transport
    transport._lock = WatchedLock(meeting)
    for name in ("_session", "_incoming", "_outgoing"):
        setattr(transport, name, Watched(getattr(transport, name), meeting))
    yield transport


def prepared_file(data: bytes) -> ReadOnlyFileBuffer:
    file = ReadOnlyFileBuffer(io.BytesIO(data))
    file.prepare()
    return file


# What a task does, and what the leader does meanwhile
OF_TASKS: dict[str, Callable[[TlsTransport], object]] = {
    "send": lambda transport: transport.send(b"y" * 50),
    "send-batch": lambda transport: transport.send(bytes(BATCH_BYTES)),
    "send-file": lambda transport: transport.send_file(prepared_file(b"y" * 50), 50),
    "tls": lambda transport: transport.tls,
}
OF_THE_LEADER: dict[str, Callable[[TlsTransport], object]] = {
    "receive": lambda transport: transport.receive(8192),
    "receive-into": lambda transport: transport.receive_into(BUFFER, 8192),
    "tls": lambda transport: transport.tls,
    "end-output": lambda transport: transport.end_output(),
    "end": lambda transport: transport.end(is_complete=True),
}


@pytest.mark.parametrize("leaders", OF_THE_LEADER)
@pytest.mark.parametrize("tasks", OF_TASKS)
@pytest.mark.parametrize("leader_is_first", [False, True], ids=["task-first", "leader-first"])
def test_a_thread_that_finds_another_within_a_session_waits(
    ends: Ends, tasks: str, leaders: str, leader_is_first: bool
) -> None:
    """A task sends while the reactor reads ahead, for example. Without the lock each of these pairs meets."""
    ends.peer.turn = lambda: None
    ends.peer.send(b"x" * 10)
    calls = [OF_TASKS[tasks], OF_THE_LEADER[leaders]]
    first, second = reversed(calls) if leader_is_first else calls
    meeting = Meeting()
    with watched(ends, meeting) as transport, ThreadPoolExecutor(2) as pool:
        done = [pool.submit(first, transport)]
        assert meeting.first_is_inside.wait(20)
        done.append(pool.submit(second, transport))
        for one in done:
            one.add_done_callback(lambda _: meeting.end())
        for one in done:
            with contextlib.suppress(Disconnected):  # after `end`
                one.result(20)
    assert meeting.overlaps == 0


def test_both_directions_at_once_stay_intact(ends: Ends) -> None:
    """Nothing slows these threads down, so their calls meet wherever they may."""
    transport, peer = ends.transport, ends.peer
    peer.turn = lambda: None
    data = os.urandom(RUN_BYTES)
    size, received = 100 * len(data), bytearray()
    is_over = threading.Event()

    def send() -> None:
        sent = 0
        while sent < size:
            sent += transport.send(memoryview(data)[sent % len(data) :])

    def receive() -> bytes:
        pieces = []
        while not is_over.is_set():
            pieces.append(transport.receive(8192) or b"")
        return b"".join(pieces)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            sending, receiving = pool.submit(send), pool.submit(receive)
            try:
                while len(received) < size:
                    peer.send(b"x" * 10)
                    with contextlib.suppress(ssl.SSLWantReadError):
                        received += peer.session.read(1 << 20)
            finally:
                is_over.set()
            sending.result(20)
            assert not receiving.result(20).strip(b"x")
    finally:
        sys.setswitchinterval(interval)
    assert received == data * 100
