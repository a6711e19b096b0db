"""The loop and the dispatcher, for sockets that a program serves itself."""

import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.support.client import Client
from tests.waitress.serving import PATIENCE, address_of, answer, application, running
from waitress import wasyncore
from waitress.server import create_server
from waitress_core.net import transport

# Not on Windows: for type checkers too, which run for each system.
file_dispatcher: Any = getattr(wasyncore, "file_dispatcher", object)
file_wrapper: Any = getattr(wasyncore, "file_wrapper", None)


class Echo(wasyncore.dispatcher):
    """Sends back what comes, until the client has no more."""

    def __init__(self, sock: socket.socket, map: dict[int, Any]) -> None:
        super().__init__(sock, map)
        self.pending = b""

    def handle_read(self) -> None:
        self.pending += self.recv(100)

    def writable(self) -> bool:
        return bool(self.pending)

    def handle_write(self) -> None:
        self.pending = self.pending[self.send(self.pending) :]


class EchoServer(wasyncore.dispatcher):
    """Accepts one client."""

    def __init__(self, map: dict[int, Any]) -> None:
        super().__init__(map=map)
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", 0))
        self.listen(5)

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        Echo(sock, self._map)  # type: ignore[arg-type]  # a dict, as given
        self.close()


def test_a_program_serves_its_own_sockets_in_the_loop() -> None:
    own: dict[int, Any] = {}
    server = EchoServer(own)
    thread = threading.Thread(target=wasyncore.loop, args=(5,), kwargs={"map": own})
    with socket.create_connection(server.socket.getsockname(), PATIENCE) as client:
        thread.start()
        client.sendall(b"tea")
        assert client.recv(3) == b"tea"
    thread.join(PATIENCE)
    assert own == {}


def test_a_program_serves_its_own_sockets_next_to_a_server() -> None:
    own: dict[int, Any] = {}
    server = create_server(application, own, listen="127.0.0.1:0")
    echo = EchoServer(own)
    with socket.create_connection(echo.socket.getsockname()) as client:
        client.sendall(b"tea")
        while echo.socket is not None:
            wasyncore.loop(1, map=own, count=1)
        wasyncore.loop(1, map=own, count=2)
        assert client.recv(3) == b"tea"
    with Client(("127.0.0.1", int(server.effective_port))) as request:  # type: ignore[attr-defined]  # it has one
        assert request.get("/tea").body == b"/tea"
    wasyncore.close_all(own)
    assert own == {}


@pytest.mark.parametrize("poll", [wasyncore.poll, wasyncore.poll2], ids=["poll", "poll2"])
@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.1:0 127.0.0.1:0"], ids=["one listener", "two listeners"])
def test_a_program_serves_a_server_by_polling_its_map(poll: Callable[..., None], listen: str) -> None:
    own: dict[int, Any] = {}
    server = create_server(application, own, listen=listen)

    def serve() -> None:
        while own:
            poll(0.2, own)

    with running(server, serve) as thread:
        assert answer(address_of(server)) == b"/"
        wasyncore.close_all(own)
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_loop_without_a_timeout_waits_until_its_map_is_empty() -> None:
    own: dict[int, Any] = {}
    entry, other = pair(own)
    other.close()
    wasyncore.loop(None, map=own)
    assert entry.socket is None
    server = create_server(application, own, listen="127.0.0.1:0")
    with running(server, lambda: wasyncore.loop(timeout=None, map=own)):
        assert answer(address_of(server)) == b"/"


def test_the_map_of_the_module_is_the_default() -> None:
    server = EchoServer(wasyncore.socket_map)
    assert wasyncore.socket_map == {server.socket.fileno(): server}
    wasyncore.poll()
    wasyncore.close_all()
    wasyncore.loop()
    assert wasyncore.socket_map == {}
    wasyncore.poll()


def pair(map: dict[int, Any]) -> tuple[Echo, socket.socket]:
    ours, theirs = socket.socketpair()
    return Echo(ours, map), theirs


def test_what_a_handler_raises_is_logged_and_closes_it(caplog: pytest.LogCaptureFixture) -> None:
    own: dict[int, Any] = {}
    entry, other = pair(own)
    entry.handle_read = lambda: 1 / 0  # type: ignore[method-assign,assignment]  # it fails
    with other:
        other.sendall(b"x")
        wasyncore.loop(5, map=own)
    assert own == {}
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    logged = caplog.messages[0]
    assert logged.startswith("uncaptured python exception, closing channel <tests.waitress.test_wasyncore.Echo at 0x")
    assert "(<class 'ZeroDivisionError'>:division by zero [" in logged
    assert caplog.messages[1] == "unhandled close event"


def test_a_program_collects_what_is_logged_by_its_own_log_info() -> None:
    own: dict[int, Any] = {}
    entry, other = pair(own)
    logged: list[tuple[str, str]] = []
    entry.handle_read = lambda: 1 / 0  # type: ignore[method-assign,assignment]  # it fails
    entry.log_info = lambda message, type="info": logged.append((type, message.split(",")[0]))  # type: ignore[method-assign]
    with other:
        other.sendall(b"x")
        wasyncore.loop(5, map=own)
    assert logged == [("error", "uncaptured python exception"), ("warning", "unhandled close event")]


def by_readwrite(entry: Any) -> None:
    wasyncore.readwrite(entry, wasyncore.READ)


@pytest.mark.parametrize(
    ("handle", "raised", "closes"),
    [
        pytest.param(wasyncore.read, errno.ECONNRESET, False, id="read"),
        pytest.param(by_readwrite, errno.ECONNRESET, True, id="readwrite"),
        pytest.param(by_readwrite, errno.ENOMEM, False, id="readwrite, no disconnect"),
    ],
)
def test_a_reset_that_a_handler_raises_closes_in_readwrite_and_is_an_error_in_read(
    handle: Callable[[Any], None], raised: int, closes: bool
) -> None:
    called: list[str] = []

    class Failing(wasyncore.dispatcher):
        def handle_read(self) -> None:
            raise OSError(raised, "")

        def handle_error(self) -> None:
            called.append("error")

        def handle_close(self) -> None:
            called.append("close")

    handle(Failing(map={}))
    assert called == ["close" if closes else "error"]


@pytest.mark.parametrize("kind", [wasyncore.ExitNow, KeyboardInterrupt, SystemExit])
def test_what_is_to_end_the_program_passes(kind: type[BaseException]) -> None:
    own: dict[int, Any] = {}
    entry, other = pair(own)

    def fail() -> None:
        raise kind

    entry.handle_read = fail  # type: ignore[method-assign]  # it fails
    with other:
        other.sendall(b"x")
        with pytest.raises(kind):
            wasyncore.loop(5, map=own)
    entry.close()


def test_the_errors_of_a_client_that_leaves_can_be_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert errno.ECONNRESET in wasyncore._DISCONNECTED
    assert not transport.Disconnected(OSError(errno.ENOMEM, "")).is_expected
    monkeypatch.setattr(wasyncore, "_DISCONNECTED", frozenset({*wasyncore._DISCONNECTED, errno.ENOMEM}))
    assert transport.Disconnected(OSError(errno.ENOMEM, "")).is_expected
    own: dict[int, Any] = {}
    entry, other = pair(own)

    def fail() -> None:
        raise OSError(errno.ENOMEM, "")

    entry.handle_read = fail  # type: ignore[method-assign]  # it fails
    with other:
        wasyncore.readwrite(entry, wasyncore.READ)
    assert caplog.messages == ["unhandled close event"]
    monkeypatch.undo()
    assert not transport.Disconnected(OSError(errno.ENOMEM, "")).is_expected


def fails_with(error: Exception) -> Callable[[], None]:
    def close() -> None:
        raise error

    return close


@pytest.mark.parametrize(
    ("error", "ignores", "passes"),
    [
        (OSError(errno.EBADF, "closed"), False, False),
        (OSError(errno.EIO, "broken"), False, True),
        (OSError(errno.EIO, "broken"), True, False),
        (ValueError("odd"), False, True),
        (ValueError("odd"), True, False),
    ],
)
def test_close_all_raises_what_is_not_expected(error: Exception, ignores: bool, passes: bool) -> None:
    own: dict[int, Any] = {}
    entry, other = pair(own)
    sock = entry.socket
    entry.close = fails_with(error)  # type: ignore[method-assign]  # it fails
    if passes:
        with pytest.raises(type(error)):
            wasyncore.close_all(own, ignores)
    else:
        wasyncore.close_all(own, ignores)
        assert own == {}
    sock.close()
    other.close()


def test_what_is_not_handled_is_logged_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    entry = wasyncore.dispatcher(map={})
    entry.handle_read()
    entry.handle_write()
    entry.handle_connect()
    entry.handle_close()
    entry.log("a detail")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "unhandled read event"),
        ("WARNING", "unhandled write event"),
        ("WARNING", "unhandled connect event"),
        ("WARNING", "unhandled close event"),
        ("DEBUG", "a detail"),
    ]


@pytest.mark.parametrize(
    ("addr", "accepting", "connected", "shown"),
    [
        (("192.0.2.1", 80), False, True, " connected 192.0.2.1:80"),
        (("192.0.2.1", 80), True, True, " listening 192.0.2.1:80"),
        (("2001:db8::1", 80, 0, 0), False, True, " connected ('2001:db8::1', 80, 0, 0)"),
        (("localhost", None), False, True, " connected ('localhost', None)"),
        ("/run/tea", True, False, " listening '/run/tea'"),
        (None, True, False, ""),
        (None, False, False, ""),
    ],
)
def test_a_dispatcher_shows_its_state_and_its_address(addr: Any, accepting: bool, connected: bool, shown: str) -> None:
    entry = wasyncore.dispatcher(map={})
    entry.addr, entry.accepting, entry.connected = addr, accepting, connected
    assert str(entry) == f"<waitress.wasyncore.dispatcher{shown} at {id(entry):#x}>"


def test_a_dispatcher_of_a_given_socket_shows_nothing_of_its_peer() -> None:
    own: dict[int, Any] = {}
    entry, other = pair(own)
    with other:
        assert (entry.connected, entry.addr, entry.socket.getblocking()) == (False, None, False)
        entry.close()
    assert (entry.socket, own) == (None, {})
    entry.close()


def test_closing_passes_over_a_descriptor_that_is_closed_already() -> None:
    class Closed:
        def close(self) -> None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    entry = wasyncore.dispatcher(map={})
    entry.socket = Closed()
    entry.close()
    assert entry.socket is None


def test_a_fault_of_an_entry_that_can_not_be_named_ends_no_loop(caplog: pytest.LogCaptureFixture) -> None:
    class Nameless(wasyncore.dispatcher):
        def __repr__(self) -> str:
            raise IndexError

        def handle_read_event(self) -> None:
            raise RuntimeError("no tea")

    own: dict[int, Any] = {}
    with socket.socket() as sock:
        entry = Nameless(sock, own)
        wasyncore.read(entry)
        assert own == {}
    assert "no tea" in caplog.text
    assert "Nameless object at" in caplog.text


def test_a_socket_that_fails_to_connect_says_why_in_words() -> None:
    class Refused:
        def getsockopt(self, *args: int) -> int:
            return errno.ECONNREFUSED

    entry = wasyncore.dispatcher(map={})
    entry.socket, entry.connecting = Refused(), True
    with pytest.raises(ConnectionRefusedError, match=os.strerror(errno.ECONNREFUSED)):
        entry.handle_read_event()


def test_a_traceback_is_shown_in_one_line() -> None:
    with pytest.raises(AssertionError):
        wasyncore.compact_traceback()
    error = ValueError("odd")
    shown: Any = None
    try:
        raise error
    except ValueError:
        shown = wasyncore.compact_traceback()
    (file, function, _), kind, raised, calls = shown
    assert (file, function) == (__file__, "test_a_traceback_is_shown_in_one_line")
    assert (kind, raised) == (ValueError, error)
    assert calls.startswith(f"[{__file__}|")


def test_a_socket_connects_in_the_loop() -> None:
    own: dict[int, Any] = {}
    connected: list[bool] = []

    class Connecting(wasyncore.dispatcher):
        def handle_connect(self) -> None:
            connected.append(True)

        def handle_write(self) -> None:
            self.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        entry = Connecting(map=own)
        entry.create_socket()
        entry.connecting = True
        entry.socket.connect_ex(server.getsockname())
        wasyncore.loop(5, map=own)
    assert connected == [True]


def test_a_wait_for_entries_that_want_nothing_is_never_longer_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Echo):
        def readable(self) -> bool:
            return False

    waits: list[float] = []
    monkeypatch.setattr("waitress.wasyncore.time.sleep", waits.append)
    ours, theirs = socket.socketpair()
    own: dict[int, Any] = {}
    with theirs:
        silent = Silent(ours, own)
        wasyncore.loop(30.0, map=own, count=1)
        silent.close()
    assert waits == [1.0]


posix = pytest.mark.skipif("sys.platform == 'win32'", reason="Windows cannot wait for a file by its descriptor")


@posix
def test_a_file_is_served_in_the_loop_by_a_copy_of_its_descriptor() -> None:
    own: dict[int, Any] = {}
    reader, writer = os.pipe()
    got: list[bytes] = []

    class Pipe(file_dispatcher):  # type: ignore[misc]  # there is none on Windows
        def handle_read(self) -> None:
            got.append(self.recv(100))

        def writable(self) -> bool:
            return False

        def handle_close(self) -> None:
            self.close()

    with open(reader, "rb", buffering=0) as file:
        pipe = Pipe(file, own)
        assert pipe.connected
        assert list(own.values()) == [pipe]
        assert pipe.socket.fileno() not in (-1, reader)
    os.write(writer, b"tea")
    wasyncore.poll(PATIENCE, own)
    os.close(writer)
    wasyncore.loop(1, map=own)
    assert (got, own) == ([b"tea", b""], {})


@posix
def test_a_copy_of_a_descriptor_has_what_a_dispatcher_calls() -> None:
    reader, writer = os.pipe()
    copies = [file_wrapper(reader), file_wrapper(writer)]
    os.close(reader)
    os.close(writer)
    assert copies[1].send(b"tea") == 3
    assert copies[0].read(10) == b"tea"
    assert copies[0].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    with pytest.raises(NotImplementedError):
        copies[0].getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    for copy in copies:
        copy.close()
        copy.close()
        assert copy.fileno() == -1


@posix
def test_a_copy_that_is_not_closed_warns() -> None:
    copy = file_wrapper(0)
    with pytest.warns(ResourceWarning, match="unclosed file"):
        copy.__del__()  # as the interpreter calls it
    assert copy.fileno() == -1


@pytest.mark.skipif("sys.platform == 'win32'", reason="loopback of Windows has no urgent data that can be waited for")
@pytest.mark.parametrize("without_poll", [False, True], ids=["poll", "select"])
def test_urgent_data_is_handled(without_poll: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if without_poll:  # as with eventlet
        monkeypatch.delattr(select, "poll")
    own: dict[int, Any] = {}
    seen: list[str] = []

    class Urgent(wasyncore.dispatcher):
        def handle_expt(self) -> None:
            seen.append("urgent")

        def handle_read(self) -> None:
            with suppress(BlockingIOError):  # Linux says that it is readable while memory for TCP is short
                seen.append(self.recv(10).decode())

        def writable(self) -> bool:
            return False

    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as accepted:
            urgent = Urgent(accepted, own)
            client.send(b"!", socket.MSG_OOB)
            wasyncore.poll(PATIENCE, own)
            assert seen == ["urgent"]
            urgent.del_channel()


def test_an_error_of_a_socket_closes_it_where_urgent_data_is_handled(caplog: pytest.LogCaptureFixture) -> None:
    entry = wasyncore.dispatcher(map={})
    entry.handle_expt_event()  # it has no socket any more
    entry.handle_expt()
    assert caplog.messages == ["unhandled close event", "unhandled incoming priority event"]
    entry.create_socket(socket.AF_INET, socket.SOCK_STREAM)
    assert entry.family_and_type == (socket.AF_INET, socket.SOCK_STREAM)
    entry.close()
    assert wasyncore._strerror(errno.EPIPE) == os.strerror(errno.EPIPE)


def test_a_hang_up_closes_what_is_served_by_events() -> None:
    calls: list[str] = []

    class Entry(wasyncore.dispatcher):
        def handle_close(self) -> None:
            calls.append("closed")

        def handle_expt_event(self) -> None:
            calls.append("urgent")

    wasyncore.readwrite(Entry(map={}), wasyncore.URGENT | 16)
    assert calls == ["urgent", "closed"]
