"""Binding: what is bound, what is reported when it cannot be, and what is left behind."""

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

from tests.support.certificates import server_file
from waitress_core import Adjustments
from waitress_core.config.addresses import AF_UNIX, ListenAddress
from waitress_core.net import binding as module
from waitress_core.net.binding import bind_inet, bind_unix, open_listeners
from waitress_core.net.listener import ListeningSocket

needs_unix = pytest.mark.skipif(AF_UNIX is None, reason="this system has no unix sockets")
needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")

LOOPBACK = ListenAddress(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ("127.0.0.1", 0))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for unix sockets."""
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
        assert isinstance(sock, ListeningSocket)
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


@pytest.mark.parametrize(
    ("system", "option"),
    [("linux", "SO_REUSEADDR"), ("darwin", "SO_REUSEADDR"), ("win32", "SO_EXCLUSIVEADDRUSE")],
    ids=["linux", "darwin", "win32"],
)
def test_an_address_is_bound_again_soon_but_by_no_second_server(
    monkeypatch: pytest.MonkeyPatch, system: str, option: str
) -> None:
    """On Windows SO_REUSEADDR lets a second server in, and nothing else than SO_EXCLUSIVEADDRUSE keeps it off."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", ~socket.SO_REUSEADDR, raising=False)
    made: list[tuple[int, int, int]] = []

    class Socket(socket.socket):
        def setsockopt(self, *arguments: Any) -> None:
            made.append(arguments)

    with Socket() as sock:
        module.reserve_address(sock)
    assert made == [(socket.SOL_SOCKET, getattr(socket, option), 1)]


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (10048, "Address already in use"),
        (10013, "another program listens there"),
        (10049, "Cannot assign requested address"),
    ],
)
def test_windows_refuses_an_address_in_plain_words(monkeypatch: pytest.MonkeyPatch, number: int, cause: str) -> None:
    class WindowsError(OSError):
        winerror = number

    def refuse(self: socket.socket, address: object) -> None:
        raise WindowsError(errno.EACCES, "An attempt was made to access a socket in a way forbidden ...")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(OSError, match=f"Cannot listen on 127.0.0.1:0: .*{cause}") as caught:
        bind_inet(LOOPBACK, 5)
    assert "An attempt" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows any port may be bound")
@pytest.mark.parametrize(("port", "has_remedy"), [(80, True), (1023, True), (1024, False)])
def test_a_port_that_needs_a_privilege_is_told_of(port: int, has_remedy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(PermissionError) as caught:
        bind_inet(LOOPBACK._replace(address=("127.0.0.1", port)), 5)
    remedy = (
        "; a port below 1024 needs a privilege: choose another, such as 8080, behind a proxy, or listen on systemd, "
        "which passes its socket"
    )
    expected = f"Cannot listen on 127.0.0.1:{port}: Permission denied{remedy if has_remedy else ''}"
    assert caught.value.strerror == expected


# --- unix sockets


@needs_unix
def test_a_folder_that_is_missing_is_told_of(folder: Path) -> None:
    path = folder / "run" / "it.sock"
    with pytest.raises(FileNotFoundError) as caught:
        bind_unix(str(path), 0o600, 5)
    expected = f"Cannot listen on {path}: No such file or directory; there is no folder {path.parent}: make it first"
    assert caught.value.strerror == expected


@needs_unix
def test_a_folder_that_may_not_be_written_to_is_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(PermissionError) as caught:
        bind_unix(str(folder / "it.sock"), 0o600, 5)
    remedy = f"this user may not create files in {folder}: choose a folder in which the user may"
    assert caught.value.strerror == f"Cannot listen on {folder / 'it.sock'}: Permission denied; {remedy}"


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
    with bind_unix(path, 0o600, 5) as sock:
        assert isinstance(sock, ListeningSocket)
        assert AF_UNIX is not None
        with socket.socket(AF_UNIX) as client:
            client.connect(path)


@needs_unix
@pytest.mark.parametrize("by", ["path", "link"])
@pytest.mark.parametrize(
    "state", ["idle", "backlog full", "no listen", "datagrams"], ids=["idle", "full", "bound", "dgram"]
)
def test_a_path_that_a_living_server_holds_is_not_taken_over(folder: Path, state: str, by: str) -> None:
    assert AF_UNIX is not None
    path = folder / "s"
    clients = [socket.socket(AF_UNIX) for _ in range(3)]
    with socket.socket(AF_UNIX, socket.SOCK_DGRAM if state == "datagrams" else socket.SOCK_STREAM) as living:
        living.bind(str(path))
        if state in ("idle", "backlog full"):
            living.listen(0)
        if state == "backlog full":
            for client in clients:
                client.setblocking(False)
                client.connect_ex(str(path))
        if by == "link":
            path = folder / "link"
            path.symlink_to(folder / "s")
        before = os.lstat(path)
        if state == "no listen":  # what looks like a stale one is replaced
            bind_unix(str(path), 0o600, 5).close()
        else:
            with pytest.raises(OSError, match=f"Cannot listen on {path}: .* in use by a running server") as caught:
                bind_unix(str(path), 0o600, 5)
            assert caught.value.errno == errno.EADDRINUSE
            assert os.path.samestat(before, os.lstat(path))
    for client in clients:
        client.close()


@needs_unix
def test_a_socket_that_nobody_may_connect_to_is_left_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a server listens there cannot be known."""
    path = folder / "s"
    bind_unix(str(path), 0o600, 5).close()

    def refuse(self: socket.socket, address: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(PermissionError, match=f"Cannot listen on {path}: .*denied to connect to the socket"):
        bind_unix(str(path), 0o600, 5)
    assert path.is_socket()


@needs_unix
def test_a_link_to_a_stale_socket_gives_way_as_the_socket_would(folder: Path) -> None:
    bind_unix(str(folder / "target"), 0o600, 5).close()
    (folder / "s").symlink_to(folder / "target")
    with bind_unix(str(folder / "s"), 0o600, 5):
        assert not (folder / "s").is_symlink()
        assert (folder / "target").exists()


@needs_unix
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_link_put_in_place_of_the_socket_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whoever may write to the folder could otherwise open a file of the server's user to everybody."""
    path, secret = folder / "s", folder / "secret"
    secret.touch(mode=0o600)
    chmod = os.chmod

    def put_link() -> None:
        path.unlink()
        path.symlink_to(secret)

    def bind(self: socket.socket, address: str) -> None:
        super(socket.socket, self).bind(address)
        if moment == "before":
            put_link()

    def set_mode(target: Any, mode: int, **options: Any) -> None:
        if moment == "after":
            put_link()
        chmod(target, mode, **options)

    monkeypatch.setattr(socket.socket, "bind", bind, raising=False)
    monkeypatch.setattr(os, "chmod", set_mode)
    monkeypatch.setattr(os, "supports_follow_symlinks", {*os.supports_follow_symlinks, set_mode})
    old = os.umask(0o077)
    try:
        with contextlib.suppress(OSError):
            bind_unix(str(path), 0o666, 5).close()
    finally:
        os.umask(old)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


@needs_unix
def test_a_path_that_is_too_long_is_named_without_a_number(folder: Path) -> None:
    path = str(folder / ("x" * 200))
    with pytest.raises(OSError) as caught:
        bind_unix(path, 0o600, 5)
    length = len(os.fsencode(path))
    remedy = f"it has {length} bytes, and about 100 fit: choose a shorter one, or a relative one"
    assert str(caught.value) == f"Cannot listen on {path}: AF_UNIX path too long; {remedy}"


@needs_unix
@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to nothing"])
def test_anything_else_at_the_path_is_left_there_and_named(folder: Path, kind: str) -> None:
    path = folder / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        if kind == "link":
            (folder / "target").write_text("precious")
        path.symlink_to(folder / "target")
    cause = "by a link to a file that does not exist" if kind == "link to nothing" else "by a file that is not a socket"
    with pytest.raises(OSError, match=f"Cannot listen on {path}: .* {cause}") as caught:
        bind_unix(str(path), 0o600, 5)
    assert caught.value.errno == errno.EADDRINUSE
    assert os.path.lexists(path)
    assert sorted(folder.iterdir())[0] == path


@needs_unix
@pytest.mark.parametrize("name", ["missing/s", "x" * 200], ids=["no-folder", "too-long"])
def test_a_path_that_cannot_be_bound_is_named_with_the_cause(folder: Path, name: str) -> None:
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
        bind_unix(str(folder / "s"), 0o666, 5)
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
    path.unlink()
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


@needs_unix
def test_a_certificate_for_inherited_unix_sockets_alone_is_refused_without_https(folder: Path) -> None:
    """They are plain by default, and nobody would notice that the certificate is not used."""
    certificate = server_file()
    with socket.socket(AF_UNIX or 0) as sock:
        sock.bind(str(folder / "socket"))
        sock.listen()
        word = f"fd:{sock.fileno()}"
        adj = settings(listen=word, tls_certificate=certificate)
        with pytest.raises(
            ValueError, match=r"^tls_certificate has no meaning .*: inherited unix sockets speak TLS only"
        ):
            open_listeners(adj, adj.listen)
        assert sock.getsockname() == str(folder / "socket")  # it is still open
        for given in ({"listen": f"https://{word}"}, {"listen": word, "url_scheme": "https"}):
            adj = settings(**given, tls_certificate=certificate)
            (listener,) = open_listeners(adj, adj.listen)
            assert listener.scheme == "https"
            listener.socket.detach()
