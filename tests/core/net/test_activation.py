"""Sockets that a process inherits: by what systemd says of them, or by their descriptor."""

import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import server_file
from tests.support.client import Client
from tests.support.servers import Running
from waitress_core import Adjustments, MultiSocketServer, create_server
from waitress_core.config.addresses import parse_listen_word
from waitress_core.net import activation as module
from waitress_core.net.activation import inherited_sockets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows passes no sockets as descriptors")


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Three listening sockets with descriptors one after the other, as if systemd had passed them."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        first = max(sock.fileno() for sock in made) + 1
        while any(is_open(first + offset) for offset in range(3)):  # by something that lives longer than this test
            first += 1
        for offset, sock in enumerate(made):
            os.dup2(sock.fileno(), first + offset)
        monkeypatch.setattr(module, "FIRST_DESCRIPTOR", first)
        yield made
        for descriptor in range(first, first + 3):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def environ(count: int | str = 3, names: str = "web:admin:web", process_id: int | str = "") -> dict[str, str]:
    return {"LISTEN_FDS": str(count), "LISTEN_FDNAMES": names, "LISTEN_PID": str(process_id or os.getpid())}


def found(text: str, given: dict[str, str], taken: tuple[int, ...] = ()) -> list[int]:
    """Return the ports of the sockets that a word inherits."""
    sockets = inherited_sockets(parse_listen_word(text), taken, given)
    assert not any(sock.get_inheritable() for sock in sockets)
    numbers = ports(sockets)
    for sock in sockets:
        sock.detach()
    return numbers


def ports(sockets: list[socket.socket]) -> list[int]:
    return [sock.getsockname()[1] for sock in sockets]


def test_systemd_alone_is_every_socket(passed: list[socket.socket]) -> None:
    assert found("systemd", environ()) == ports(passed)
    assert found("systemd", environ(2)) == ports(passed[:2])


def test_a_name_is_every_socket_of_that_name(passed: list[socket.socket]) -> None:
    assert found("systemd:web", environ()) == ports([passed[0], passed[2]])
    assert found("systemd:admin", environ()) == ports([passed[1]])
    assert found("systemd:shop.socket", environ(1, "shop.socket")) == ports(passed[:1])


def test_a_descriptor_needs_no_systemd(passed: list[socket.socket]) -> None:
    assert found(f"fd:{passed[1].fileno()}", {}) == ports([passed[1]])


@pytest.mark.parametrize(
    ("text", "given", "fault"),
    [
        ("systemd", {}, "LISTEN_FDS is not set, so no socket was passed; a socket unit of systemd passes .*"),
        ("systemd", environ("none"), "LISTEN_FDS=none is not a number of sockets"),
        ("systemd", environ(0), "LISTEN_FDS=0 is not a number of sockets"),
        (
            "systemd:web",
            environ(process_id=1),
            r"the sockets were passed to the process LISTEN_PID=1, and this is \d+; a shell .* start this one by exec",
        ),
        (
            "systemd:shop",
            environ(),
            "systemd has passed no socket of that name, but web, admin; FileDescriptorName= in a socket unit names it",
        ),
        ("systemd:shop", environ(names=""), "systemd has passed no socket of that name, but without names; .*"),
        ("systemd", environ(10**8), r"descriptor \d+ is not open, although LISTEN_FDS=100000000"),
        ("systemd", environ("9" * 5000), "LISTEN_FDS=9+ is not a number of sockets"),
        ("fd:999999999", {}, r"descriptor 999999999 is not open"),
    ],
    ids=[
        "none",
        "no-number",
        "zero",
        "another-process",
        "unknown-name",
        "no-names",
        "not-open",
        "too-long",
        "no-descriptor",
    ],
)
def test_what_was_not_passed_is_refused(
    text: str, given: dict[str, str], fault: str, passed: list[socket.socket]
) -> None:
    with pytest.raises(ValueError) as caught:
        found(text, given)
    assert re.fullmatch(f"Cannot listen on {text}: {fault}", str(caught.value))


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("file", "not a socket"),
        ("datagrams", "not a stream socket: a socket unit has ListenStream= for it"),
        ("connected", "a socket that does not listen; a socket unit with Accept=yes passes such, .*"),
        ("bound", "a socket that does not listen; .*"),
    ],
)
def test_a_descriptor_that_is_no_listening_socket_is_refused_and_stays_open(kind: str, fault: str) -> None:
    with contextlib.ExitStack() as stack:
        if kind == "file":
            descriptor = stack.enter_context(open(os.devnull)).fileno()
        elif kind == "datagrams":
            descriptor = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).fileno()
        elif kind == "bound":
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            descriptor = sock.fileno()
        else:
            descriptor, _ = (stack.enter_context(end).fileno() for end in socket.socketpair())
        with pytest.raises(ValueError) as caught:
            inherited_sockets(parse_listen_word(f"fd:{descriptor}"))
        assert re.fullmatch(f"Cannot listen on fd:{descriptor}: descriptor {descriptor} is {fault}", str(caught.value))
        os.fstat(descriptor)


def test_what_is_fine_stays_open_when_another_is_refused(passed: list[socket.socket]) -> None:
    os.close(module.FIRST_DESCRIPTOR + 1)
    with pytest.raises(ValueError, match=f"descriptor {module.FIRST_DESCRIPTOR + 1} is not open"):
        inherited_sockets(parse_listen_word("systemd"), (), environ())
    os.fstat(module.FIRST_DESCRIPTOR)


def test_a_socket_is_listened_on_once(passed: list[socket.socket]) -> None:
    with pytest.raises(ValueError, match=r"Cannot listen on systemd: descriptor \d+ is already used"):
        found("systemd", environ(), (module.FIRST_DESCRIPTOR + 2,))


# --- a server


def application(environ: object, start_response: object) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])  # type: ignore[operator]  # as WSGI has it
    return [b"ok"]


def test_a_server_serves_what_it_inherits_and_what_it_binds(
    passed: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ().items():
        monkeypatch.setenv(name, value)
    server = create_server(application, listen="127.0.0.1:0 systemd:web")
    assert isinstance(server, MultiSocketServer)
    assert [int(port) for _, port in server.effective_listen][1:] == ports([passed[0], passed[2]])
    with server:
        for sock in (passed[0], passed[2]):
            with Client(sock.getsockname()) as client:
                assert client.get().body == b"ok"
    with socket.create_connection(passed[0].getsockname()):  # it waits for the next server
        pass
    with pytest.raises(OSError):
        os.fstat(module.FIRST_DESCRIPTOR)


def test_the_path_of_an_inherited_unix_socket_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(getattr(socket, "AF_UNIX", -1)) as listening:
        listening.bind("it.sock")
        listening.listen()
        server = create_server(application, listen=f"fd:{os.dup(listening.fileno())}")
        assert server.urls == ["http://unix:it.sock"]
        with server, Running(server).client() as client:
            assert client.get().body == b"ok"
        assert Path("it.sock").exists()


@pytest.mark.parametrize(
    ("scheme", "url_scheme", "schemes"),
    [("", "http", ["https", "http"]), ("", "https", ["https", "https"]), ("http://", "http", ["http", "http"])],
    ids=["tcp-alone", "both", "not-at-http"],
)
def test_with_a_certificate_inherited_sockets_speak_what_bound_ones_would(
    scheme: str, url_scheme: str, schemes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(getattr(socket, "AF_UNIX", -1)) as unix:
        unix.bind("it.sock")
        unix.listen()
        words = [f"{scheme}fd:{os.dup(sock.fileno())}" for sock in (tcp, unix)]
        server = create_server(
            application, listen=["https://127.0.0.1:0", *words], tls_certificate=server_file(), url_scheme=url_scheme
        )
        server.close()
    assert [url.partition("://")[0] for url in server.urls[1:]] == schemes


def test_a_certificate_has_a_meaning_for_inherited_sockets_alone(passed: list[socket.socket]) -> None:
    server = create_server(application, listen=f"fd:{module.FIRST_DESCRIPTOR}", tls_certificate=server_file())
    server.close()
    assert server.url.startswith("https://")
    with pytest.raises(ValueError, match=r"needs a certificate: .* listen on http://systemd:web "):
        Adjustments(listen="https://systemd:web")


def test_a_server_that_cannot_be_made_closes_nothing_that_it_has_inherited(passed: list[socket.socket]) -> None:
    taken = passed[1].getsockname()[1]
    with pytest.raises(OSError, match="Cannot listen on"):
        create_server(application, listen=f"fd:{module.FIRST_DESCRIPTOR} 127.0.0.1:{taken}")
    os.fstat(module.FIRST_DESCRIPTOR)


def test_a_socket_that_cannot_be_inherited_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    before = os.listdir("/dev/fd")
    with pytest.raises(ValueError, match="Cannot listen on systemd: LISTEN_FDS is not set"):
        create_server(application, listen="127.0.0.1:0 systemd")
    assert os.listdir("/dev/fd") == before


def test_nothing_is_looked_for_before_the_server_is_made() -> None:
    (address,) = Adjustments(listen="systemd:web").listen
    assert address.inherited == parse_listen_word("systemd:web")
