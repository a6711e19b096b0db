"""Listeners: what is bound, what is said when it cannot be, what is left behind, and accepting."""

import contextlib
import errno
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_poller import FakePoller
from tests.support.fake_socket import DESCRIPTOR, FakeSocket, as_socket
from waitress_core import Adjustments
from waitress_core.config.addresses import AF_UNIX, ListenAddress
from waitress_core.net import listener as module
from waitress_core.net.listener import ACCEPT_BURST, Listener, bind_inet, bind_unix, open_listeners
from waitress_core.reactor.poller import READ
from waitress_core.reactor.reactor import Reactor

needs_unix = pytest.mark.skipif(AF_UNIX is None, reason="this system has no unix sockets")
needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")

LOOPBACK = ListenAddress(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("127.0.0.1", 0))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="wl"))
    yield path
    shutil.rmtree(path)


def settings(**given: Any) -> Adjustments:
    return Adjustments(**given or {"listen": "127.0.0.1:0"})


def count_sockets(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """Remember the sockets that are made from now on."""
    made: list[socket.socket] = []
    init = socket.socket.__init__

    def remember(self: socket.socket, *arguments: Any, **named: Any) -> None:
        made.append(self)
        init(self, *arguments, **named)

    monkeypatch.setattr(socket.socket, "__init__", remember)
    return made


# --- binding


def test_a_bound_socket_listens() -> None:
    with bind_inet(LOOPBACK, 5) as sock, socket.create_connection(sock.getsockname(), 20):
        assert sock.getsockname()[0] == "127.0.0.1"
        sock.accept()[0].close()


def test_an_address_in_use_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind_inet(LOOPBACK, 5) as sock:
        port = sock.getsockname()[1]
        made = count_sockets(monkeypatch)
        with pytest.raises(OSError, match=f"127.0.0.1:{port}") as caught:
            bind_inet(LOOPBACK._replace(address=("127.0.0.1", port)), 5)
    assert caught.value.errno == errno.EADDRINUSE
    assert os.strerror(errno.EADDRINUSE) in str(caught.value) or sys.platform == "win32"
    assert [sock.fileno() for sock in made] == [-1]


@needs_ipv6
def test_an_ipv6_address_is_named_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, *arguments: Any, **named: Any) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
    with pytest.raises(OSError, match=r"\[::1\]:80.*not supported") as caught:
        bind_inet(ListenAddress(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("::1", 80, 0, 0)), 5)
    assert caught.value.errno == errno.EAFNOSUPPORT


@needs_ipv6
def test_an_ipv6_socket_takes_no_ipv4() -> None:
    (address,) = Adjustments(listen="[::1]:0").listen
    with bind_inet(address, 5) as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows SO_REUSEADDR lets a second server in")
def test_an_address_that_was_just_left_can_be_had_again() -> None:
    with bind_inet(LOOPBACK, 5) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


# --- unix sockets


@needs_unix
@pytest.mark.promise("S09", "S11")
@pytest.mark.parametrize("permissions", [0o600, 0o660, 0o777])
def test_a_unix_socket_has_its_permissions_before_anybody_can_connect(
    folder: Path, monkeypatch: pytest.MonkeyPatch, permissions: int
) -> None:
    path = folder / "s"
    seen: list[int] = []
    listen = socket.socket.listen

    def look(self: socket.socket, *arguments: int) -> None:
        seen.append(stat.S_IMODE(path.stat().st_mode))
        listen(self, *arguments)

    monkeypatch.setattr(socket.socket, "listen", look)
    with bind_unix(str(path), permissions, 5):
        assert stat.S_IMODE(path.stat().st_mode) == permissions
    assert seen == [permissions]


@needs_unix
def test_a_unix_socket_that_an_earlier_server_has_left_is_replaced(folder: Path) -> None:
    path = str(folder / "s")
    bind_unix(path, 0o600, 5).close()
    assert Path(path).is_socket()
    with bind_unix(path, 0o600, 5):
        assert AF_UNIX is not None
        with socket.socket(AF_UNIX) as client:
            client.connect(path)


@needs_unix
def test_a_link_to_a_socket_gives_way_as_the_socket_would(folder: Path) -> None:
    with bind_unix(str(folder / "target"), 0o600, 5):
        (folder / "s").symlink_to(folder / "target")
        with bind_unix(str(folder / "s"), 0o600, 5):
            assert not (folder / "s").is_symlink()
            assert (folder / "target").exists()


@needs_unix
def test_a_path_that_is_too_long_is_named_without_a_number(folder: Path) -> None:
    path = str(folder / ("x" * 200))
    with pytest.raises(OSError) as caught:
        bind_unix(path, 0o600, 5)
    assert str(caught.value) == f"Cannot listen on {path}: AF_UNIX path too long"


@needs_unix
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_anything_else_at_the_path_is_left_there_and_named(folder: Path, kind: str) -> None:
    path = folder / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        (folder / "target").write_text("precious")
        path.symlink_to(folder / "target")
    with pytest.raises(OSError, match=f"Cannot listen on {path}: .* by what is not a socket") as caught:
        bind_unix(str(path), 0o600, 5)
    assert caught.value.errno == errno.EADDRINUSE
    assert path.exists()
    assert sorted(folder.iterdir())[0] == path


@needs_unix
@pytest.mark.parametrize("name", ["missing/s", "x" * 200], ids=["no folder", "too long"])
def test_a_path_that_can_not_be_had_is_named_with_the_cause(folder: Path, name: str) -> None:
    with pytest.raises(OSError) as caught:
        bind_unix(str(folder / name), 0o600, 5)
    message = str(caught.value)
    assert f"Cannot listen on {folder / name}: " in message
    assert "None" not in message.rpartition(": ")[2]


@needs_unix
@pytest.mark.parametrize("fails", ["chmod", "listen"])
def test_a_path_that_was_bound_in_vain_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    made = count_sockets(monkeypatch)
    if fails == "chmod":
        monkeypatch.setattr(os, "chmod", fail)
    else:
        monkeypatch.setattr(socket.socket, "listen", fail)
    with pytest.raises(PermissionError, match=str(folder)):
        bind_unix(str(folder / "s"), 0o600, 5)
    assert list(folder.iterdir()) == []
    assert [sock.fileno() for sock in made] == [-1]


@pytest.mark.promise("S10")
def test_a_system_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AF_UNIX", None)
    with pytest.raises(OSError, match=r"Cannot listen on /s: this system has no unix sockets") as caught:
        bind_unix("/s", 0o600, 5)
    assert caught.value.errno == errno.EAFNOSUPPORT


@needs_unix
def test_the_path_is_removed_at_the_end(folder: Path) -> None:
    adj = settings(unix_socket=str(folder / "s"))
    (listener,) = open_listeners(adj, [])
    assert (listener.host, listener.port) == ("unix", str(folder / "s"))
    listener.close()
    listener.close()
    assert list(folder.iterdir()) == []


@needs_unix
def test_a_path_that_another_server_has_taken_over_is_left(folder: Path) -> None:
    path = folder / "s"
    (mine,) = open_listeners(settings(unix_socket=str(path)), [])
    with bind_unix(str(path), 0o600, 5):
        mine.close()
        assert path.is_socket()


@needs_unix
def test_a_path_that_somebody_has_removed_is_no_matter(folder: Path) -> None:
    (listener,) = open_listeners(settings(unix_socket=str(folder / "s")), [])
    (folder / "s").unlink()
    listener.close()


# --- opening


@pytest.mark.promise("S07")
def test_there_is_a_listener_for_each_address() -> None:
    adj = settings(listen="127.0.0.1:0 127.0.0.1:0")
    listeners = open_listeners(adj, adj.listen)
    assert len({listener.port for listener in listeners}) == 2
    assert all(listener.port != "0" and listener.host == "127.0.0.1" for listener in listeners)
    assert all(not listener.socket.getblocking() and listener.owns_socket for listener in listeners)
    for listener in listeners:
        listener.close()
        assert listener.socket.fileno() == -1


def test_all_listeners_are_opened_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with bind_inet(LOOPBACK, 5) as taken:
        adj = settings(listen=f"127.0.0.1:0 127.0.0.1:0 127.0.0.1:{taken.getsockname()[1]}")
        made = count_sockets(monkeypatch)
        with pytest.raises(OSError, match=r"^\[Errno \d+\] Cannot listen on 127\.0\.0\.1:"):
            open_listeners(adj, adj.listen)
    assert [sock.fileno() for sock in made] == [-1, -1, -1]


def test_given_sockets_are_listened_on_and_stay_their_owners() -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        (listener,) = open_listeners(settings(sockets=[given]), [])
        with socket.create_connection(given.getsockname(), 20):
            assert listener.socket is given
            assert not listener.owns_socket
            listener.close()
            assert given.fileno() != -1


@needs_unix
def test_the_path_of_a_given_unix_socket_stays(folder: Path) -> None:
    assert AF_UNIX is not None
    with socket.socket(AF_UNIX) as given:
        given.bind(str(folder / "s"))
        (listener,) = open_listeners(settings(sockets=[given]), [])
        listener.close()
    assert (folder / "s").is_socket()


@pytest.mark.skipif(sys.platform != "linux", reason="abstract unix sockets are Linux only")
def test_a_given_abstract_unix_socket_can_be_listened_on() -> None:
    assert AF_UNIX is not None
    with socket.socket(AF_UNIX) as given:
        given.bind(f"\0waitress-test-{os.getpid()}")
        (listener,) = open_listeners(settings(sockets=[given]), [])
        assert listener.host == "unix"
        assert listener.url_authority == ("unix", f"@waitress-test-{os.getpid()}")


@pytest.mark.parametrize(
    ("name", "authority"), [(("127.0.0.1", 80), ("127.0.0.1", "80")), (("::1", 80, 0, 0), ("[::1]", "80"))]
)
def test_a_listener_knows_how_it_stands_in_a_url(name: Any, authority: tuple[str, str]) -> None:
    listener = Listener(as_socket(FakeSocket(getsockname=[name])), settings(), owns_socket=True)
    assert listener.url_authority == authority
    assert (listener.host, listener.port) == (name[0], "80")


@needs_unix
@pytest.mark.parametrize(("scheme", "port"), [("http", "80"), ("https", "443")])
def test_the_server_port_of_a_unix_socket_is_that_of_the_scheme(folder: Path, scheme: str, port: str) -> None:
    (listener,) = open_listeners(settings(unix_socket=str(folder / "s"), url_scheme=scheme), [])
    assert listener.environ_builder._base["SERVER_PORT"] == port
    listener.close()


# --- accepting


class FakeGate:
    """Room for so many, and no more made than told."""

    def __init__(self, room: int = 1000, can_make_room: bool = False) -> None:
        self.room = room
        self.can_make_room = can_make_room
        self.admitted: list[object] = []
        self.paused: list[OSError] = []
        self.asked = 0

    def has_room(self) -> bool:
        return len(self.admitted) < self.room

    def make_room(self) -> bool:
        self.asked += 1
        if self.can_make_room:
            self.room += 1
        return self.can_make_room

    def pause_accepting(self, listener: Listener, cause: OSError) -> None:
        self.paused.append(cause)

    def add(self, accepted: socket.socket, peer: Any, listener: Listener) -> None:
        self.admitted.append(peer)


def accepting(gate: FakeGate, *accepts: object) -> FakeSocket:
    """Have a listener look once at what its socket gives; return the socket."""
    fake = FakeSocket(accept=list(accepts))
    listener = Listener(as_socket(fake), settings(), owns_socket=True)
    with contextlib.closing(Reactor(poller=FakePoller())) as reactor:
        listener.begin(gate, reactor)
        assert listener.interest == READ
        listener.on_ready(READ)
    return fake


def test_all_that_wait_are_accepted() -> None:
    gate = FakeGate()
    accepting(gate, (None, "a"), (None, "b"), (None, "c"))
    assert gate.admitted == ["a", "b", "c"]
    assert gate.paused == []


def test_a_flood_of_clients_does_not_hold_up_a_turn() -> None:
    gate = FakeGate()
    accepting(gate, *[(None, f"client {number}") for number in range(3 * ACCEPT_BURST)])
    assert len(gate.admitted) == ACCEPT_BURST


def test_no_more_are_accepted_than_there_is_room_for() -> None:
    gate = FakeGate(room=2)
    fake = accepting(gate, (None, "a"), (None, "b"), (None, "c"))
    assert gate.admitted == ["a", "b"]
    assert fake.names.count("accept") == 2
    assert gate.asked == 0  # room is made for a client that is surely there: at the next readiness


def test_without_room_nothing_is_accepted() -> None:
    gate = FakeGate(room=0)
    fake = accepting(gate, (None, "a"))
    assert gate.asked == 1
    assert "accept" not in fake.names


def test_room_is_made_for_one_client_at_a_time() -> None:
    gate = FakeGate(room=0, can_make_room=True)
    accepting(gate, (None, "a"), (None, "b"))
    assert gate.admitted == ["a"]
    assert gate.asked == 1


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO], ids=errno.errorcode.get)
def test_a_client_that_left_before_it_was_accepted_does_not_hold_up_the_next(
    caplog: pytest.LogCaptureFixture, number: int
) -> None:
    gate = FakeGate()
    accepting(gate, OSError(number, "text"), (None, "b"))
    assert gate.admitted == ["b"]
    assert gate.paused == []
    assert not caplog.records


def test_a_client_without_an_address_has_left_already() -> None:
    gate = FakeGate()
    left = FakeSocket()
    accepting(gate, (left, b""), (None, "b"))
    assert left.is_closed
    assert gate.admitted == ["b"]


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL], ids=errno.errorcode.get
)
def test_an_error_that_trying_again_would_not_mend_pauses(number: int) -> None:
    gate = FakeGate()
    fake = accepting(gate, (None, "a"), OSError(number, "text"), (None, "never"))
    assert gate.admitted == ["a"]
    assert [cause.errno for cause in gate.paused] == [number]
    assert fake.names.count("accept") == 2


def test_a_listener_has_the_descriptor_of_its_socket() -> None:
    listener = Listener(as_socket(FakeSocket()), settings(), owns_socket=True)
    assert listener.descriptor == DESCRIPTOR
    assert repr(listener) == "<Listener 127.0.0.1:8080>"
    listener.on_notify()
    listener.on_fault()
