"""A listening socket: where it listens, and how it accepts."""

import contextlib
import enum
import errno
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fake_socket import DESCRIPTOR, FakeSocket, as_socket
from tests.support.rows import each_row
from waitress_core.config.addresses import AF_UNIX
from waitress_core.net.errors import error_numbers
from waitress_core.net.listener import ClientLeft, Listener, ListeningSocket

# For these the socket module raises BlockingIOError, and InterruptedError, which it handles itself.
WOULD_BLOCK = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EALREADY, errno.EINPROGRESS, errno.EINTR}

needs_unix = pytest.mark.skipif(AF_UNIX is None, reason="this system has no unix sockets")


def listening(*accepts: object) -> Listener:
    """Return a listener with a socket that gives this when it accepts."""
    return Listener(as_socket(FakeSocket(accept=list(accepts))), owns_socket=True)


@pytest.fixture
def unix() -> Iterator[Listener]:
    """A listener on a unix socket without a path."""
    first, second = socket.socketpair()
    with first, second:
        yield Listener(first, owns_socket=False)


def test_a_listener_has_the_descriptor_of_its_socket() -> None:
    listener = listening()
    assert listener.descriptor == DESCRIPTOR
    assert repr(listener) == "<Listener 127.0.0.1:8080>"


@pytest.mark.parametrize(
    ("name", "authority"),
    [(("127.0.0.1", 80), ("127.0.0.1", "80")), (("::1", 80, 0, 0), ("[::1]", "80"))],
    ids=["ipv4", "ipv6"],
)
def test_a_listener_knows_how_it_is_written_in_a_url(name: Any, authority: tuple[str, str]) -> None:
    listener = Listener(as_socket(FakeSocket(getsockname=[name])), owns_socket=True)
    assert listener.url_authority == authority
    assert (listener.host, listener.port) == (name[0], "80")


def test_a_listener_has_the_scheme_that_its_clients_speak() -> None:
    sock = as_socket(FakeSocket())
    plain, secure = Listener(sock, owns_socket=True), Listener(sock, owns_socket=True, scheme="https")
    assert (plain.url, secure.url) == ("http://127.0.0.1:8080", "https://127.0.0.1:8080")


@pytest.mark.parametrize(
    ("scheme", "setting", "expected"),
    [("http", "http", "http"), ("http", "https", "https"), ("https", "http", "https")],
    ids=["plain", "plain-behind-a-proxy", "tls"],
)
def test_requests_have_the_scheme_of_the_listener_or_of_the_proxy(scheme: str, setting: str, expected: str) -> None:
    assert Listener(as_socket(FakeSocket()), owns_socket=True, scheme=scheme).request_scheme(setting) == expected


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_server_port_of_a_tcp_listener_is_its_own(scheme: str) -> None:
    assert listening().server_port(scheme) == "8080"


@needs_unix
@pytest.mark.parametrize(("scheme", "port"), [("http", "80"), ("https", "443")], ids=["http", "https"])
def test_the_server_port_of_a_unix_socket_is_that_of_the_scheme(unix: Listener, scheme: str, port: str) -> None:
    assert unix.server_port(scheme) == port


@needs_unix
def test_the_server_port_of_a_unix_socket_with_tls_is_443() -> None:
    first, second = socket.socketpair()
    with first, second:
        assert Listener(first, owns_socket=False, scheme="https").server_port("http") == "443"


# --- accepting


def test_a_client_is_accepted_with_its_address() -> None:
    accepted = as_socket(FakeSocket())
    assert listening((accepted, ("192.0.2.1", 5))).accept() == (accepted, ("192.0.2.1", 5))


def test_nobody_waits() -> None:
    assert listening().accept() is None


LASTING = sorted(
    error_numbers("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EBADF", "EINVAL", "ENOTSOCK", "NOTINITIALISED")
)


@each_row("number", sorted(set(errno.errorcode) - {*LASTING, *WOULD_BLOCK}), ids=errno.errorcode.get)
def test_a_client_that_left_before_it_was_accepted_has_left(number: int) -> None:
    with pytest.raises(ClientLeft):
        listening(OSError(number, "text")).accept()


def test_a_client_without_an_address_has_left_already() -> None:
    """So macOS reports it."""
    left = FakeSocket()
    with pytest.raises(ClientLeft):
        listening((left, b"")).accept()
    assert left.is_closed


@needs_unix
def test_a_client_of_a_unix_socket_needs_no_address(unix: Listener) -> None:
    accepted = as_socket(FakeSocket())
    unix.socket = as_socket(FakeSocket(accept=[(accepted, "")]))
    assert unix.accept() == (accepted, "")


@pytest.mark.parametrize("number", LASTING, ids=errno.errorcode.get)
def test_an_error_that_trying_again_would_not_mend_is_raised(number: int) -> None:
    with pytest.raises(OSError) as caught:
        listening(OSError(number, os.strerror(number))).accept()
    assert caught.value.errno == number


needs_descriptors = pytest.mark.skipif(os.name == "nt", reason="on Windows a socket has no descriptor of this kind")


@pytest.fixture
def bound() -> Iterator[Listener]:
    """A listener with a descriptor that the test may close."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield Listener(sock, owns_socket=False)
        if sock.fileno() != -1:
            with contextlib.suppress(OSError):
                socket.close(sock.detach())


@needs_descriptors
def test_a_listener_is_lost_when_other_code_closes_its_descriptor(bound: Listener) -> None:
    assert not bound.is_lost
    os.close(bound.descriptor)
    assert bound.is_lost


@needs_descriptors
def test_a_listener_is_lost_when_its_descriptor_is_of_another_file(bound: Listener) -> None:
    with open(os.devnull, "rb") as other:
        os.dup2(other.fileno(), bound.descriptor)
    assert bound.is_lost


@pytest.mark.parametrize(
    "end", [socket.socket.close, lambda sock: socket.close(sock.detach())], ids=["closed", "detached"]
)
def test_a_listener_with_a_socket_that_is_closed_is_not_lost(bound: Listener, end: Any) -> None:
    end(bound.socket)
    assert not bound.is_lost


@needs_descriptors
def test_closing_a_listener_that_is_lost_raises_nothing() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener(sock, owns_socket=True)
    os.close(sock.fileno())
    listener.close()
    assert not listener.is_lost


def test_a_listening_socket_makes_no_enum_member_for_a_client() -> None:
    called: list[str] = []
    with ListeningSocket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with socket.create_connection(sock.getsockname()):
            sys.setprofile(lambda frame, event, argument: called.append(frame.f_code.co_filename))
            try:
                accepted, _ = sock.accept()
            finally:
                sys.setprofile(None)
    with accepted:
        assert (accepted.family, accepted.type) == (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
    # Not `__file__`: with the standard library in a zip that is the name of a compiled file.
    assert socket.socket.accept.__code__.co_filename in called
    assert enum.EnumMeta.__call__.__code__.co_filename not in called


def test_a_duplicate_of_a_listening_socket_is_one_too() -> None:
    with ListeningSocket(socket.AF_INET, socket.SOCK_STREAM) as sock, sock.dup() as duplicate:
        assert type(duplicate) is ListeningSocket
        assert duplicate.fileno() != sock.fileno()
        assert (duplicate.family, duplicate.type) == (sock.family, sock.type)
