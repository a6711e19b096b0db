"""The PROXY protocol before real connections: who may send it, what it changes, and what becomes of anything else."""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import Any

import pytest

from tests.functional.applications import SECONDS, Recorder, get
from tests.parser.proxy_headers import LINE, TCP4, TCP6, block, tlv
from tests.support.certificates import client_context, server_file
from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from tests.support.times import shorten_ticks
from waitress_core import Adjustments
from waitress_core.connection.prelude import Preludes
from waitress_parser.proxy_protocol import TLV_AUTHORITY, TLV_SSL, TLV_UNIQUE_ID

TRUSTING: dict[str, Any] = {"trusted_proxy": "127.0.0.1", "proxy_protocol": "required"}
OPTIONAL = {**TRUSTING, "proxy_protocol": "optional"}
TLS = tlv(TLV_SSL, b"\x03\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"J\xc3\xbcrgen") + tlv(0x23, b"AES"))

pytestmark = pytest.mark.plain  # it says by itself who speaks TLS


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)


def answered(server: Running, data: bytes) -> int:
    """Send bytes; return the status of the response, or 0 if the connection closes without one."""
    with server.client() as client:
        client.send_until_refused([data])
        if client.is_closed_within(0):
            return 0
        try:
            return client.response().status
        except (ConnectionError, AssertionError, EOFError):
            return 0


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (LINE, ("192.0.2.7", "50123", "443")),
        (block(), ("192.0.2.7", "50123", "443")),
        (block(TCP6, family=0x21), ("2001:db8::7", "50123", "443")),
        (block(b"/run/a".ljust(216, b"\0"), family=0x31), ("unix", "", "")),
        (b"PROXY UNKNOWN\r\n", ("127.0.0.1", "", "")),
        (block(b"", command=0x20, family=0), ("127.0.0.1", "", "")),
    ],
    ids=["line", "tcp4", "tcp6", "unix", "unknown", "local"],
)
@pytest.mark.parametrize("mode", ["required", "optional"])
@pytest.mark.parametrize("size", [0, 1], ids=["whole", "byte-by-byte"])
def test_the_client_is_the_one_that_the_header_names(
    header: bytes, peer: tuple[str, str, str], mode: str, size: int
) -> None:
    application = Recorder()
    with running(application, **{**TRUSTING, "proxy_protocol": mode}) as server, server.client() as client:
        data = header + get()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(0, len(data), size or len(data)):
            client.send(data[index : index + (size or len(data))])
        assert client.response().status == 200
        assert client.get().status == 200  # the header is of the connection, not of a request
        own = client.socket.getsockname()
    host, port, server_port = peer
    for environ in application.environs:
        assert (environ["REMOTE_ADDR"], environ["REMOTE_HOST"]) == (host, host)
        assert environ["REMOTE_PORT"] == (str(own[1]) if host == "127.0.0.1" else port)
        assert environ["SERVER_PORT"] == (server_port or str(server.address[1]))
        assert environ["wsgi.url_scheme"] == "http"


@pytest.mark.usefixtures("kind")
def test_the_tls_of_the_client_is_in_the_environ_and_the_unique_id_in_the_request_id() -> None:
    application = Recorder()
    header = block(TCP4 + TLS + tlv(TLV_AUTHORITY, b"shop.example") + tlv(TLV_UNIQUE_ID, b"up/17"))
    with running(application, request_id_header=True, **TRUSTING) as server, server.client() as client:
        client.send(header + get())
        assert client.response().header("X-Request-Id") == "up/17"
        assert client.get().header("X-Request-Id") == "up/17/2"
        client.send(b"nonsense\r\n\r\n")
        assert client.response().header("X-Request-Id") == "up/17/3"
    for environ in application.environs:
        assert environ["HTTPS"] == "on"
        assert environ["SSL_PROTOCOL"] == "TLSv1.3"
        assert environ["SSL_CIPHER"] == "AES"
        assert environ["SSL_SERVER_NAME"] == "shop.example"
        assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert environ["SSL_CLIENT_S_DN_CN"] == "J\xc3\xbcrgen"
        assert environ["SERVER_PORT"] == "443"


def test_the_scheme_of_a_client_with_tls_is_https_and_headers_of_a_proxy_say_more() -> None:
    application = Recorder()
    settings = {"trusted_proxy": "127.0.0.1 192.0.2.7", "trusted_proxy_headers": "x-forwarded-for x-forwarded-proto"}
    with running(application, **{**TRUSTING, **settings}) as server, server.client() as client:
        client.send(block(TCP4 + TLS) + get())
        assert client.response().status == 200
        client.send(get("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http"))
        assert client.response().status == 200
    first, second = application.environs
    assert (first["wsgi.url_scheme"], first["REMOTE_ADDR"]) == ("https", "192.0.2.7")
    assert (second["wsgi.url_scheme"], second["REMOTE_ADDR"]) == ("http", "203.0.113.9")


def test_a_certificate_that_the_proxy_has_not_verified_names_nobody() -> None:
    application = Recorder()
    unverified = tlv(TLV_SSL, b"\x03\0\0\0\x14" + tlv(0x22, b"root"))
    with running(application, **TRUSTING) as server, server.client() as client:
        client.send(block(TCP4 + unverified) + get())
        assert client.response().status == 200
    (environ,) = application.environs
    assert environ["SSL_CLIENT_VERIFY"] == "FAILED"
    assert "SSL_CLIENT_S_DN_CN" not in environ
    assert "SSL_PROTOCOL" not in environ


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (get(), 'no PROXY protocol header: the connection starts with "GET / HTTP/1.1'),
        (b"PROXY TCP4 a b c d\r\n" + get(), '"PROXY TCP4 a b c d" is not a line of the PROXY protocol'),
        (block(command=0x2F), "0x2F is not a version and command of the PROXY protocol"),
        (block(TCP4 + bytes(5000)), "a PROXY protocol header of 5028 bytes, which exceeds the limit of 4096"),
    ],
    ids=["absent", "malformed-line", "malformed-block", "too-long"],
)
def test_a_required_header_that_is_invalid_closes_the_connection_with_one_record(
    data: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    application = Recorder()
    with running(application, **TRUSTING) as server:
        assert answered(server, data) == 0
        assert becomes_true(lambda: len(caplog.messages) == 1, SECONDS)
        assert caplog.messages[0].startswith(f"Connection from 127.0.0.1 closed: {reason}")
        assert answered(server, LINE + get()) == 200
    assert len(application.environs) == 1


def test_an_optional_header_may_be_absent_but_not_malformed() -> None:
    application = Recorder()
    with running(application, **OPTIONAL) as server:
        assert answered(server, get()) == 200
        assert answered(server, b"\r\n" + get()) == 200
        assert answered(server, b"PROXY TCP4 a b c d\r\n" + get()) == 0
        with server.client() as client:
            for piece in (b"P", b"RO", b"PFIND / HTTP/1.1\r\nHost: a\r\n\r\n"):
                client.send(piece)
            assert client.response().status == 200
    assert application.environs[-1]["REQUEST_METHOD"] == "PROPFIND"
    assert {environ["REMOTE_ADDR"] for environ in application.environs} == {"127.0.0.1"}


@pytest.mark.parametrize(("mode", "status"), [("required", 0), ("optional", 400)])
def test_a_peer_that_is_no_trusted_proxy_cannot_say_who_it_is(
    mode: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    application = Recorder()
    settings = {"trusted_proxy": "192.0.2.1", "proxy_protocol": mode}
    with running(application, **settings) as server:
        assert answered(server, LINE + get()) == status
        assert answered(server, get()) == (200 if mode == "optional" else 0)
    assert all(environ["REMOTE_ADDR"] == "127.0.0.1" for environ in application.environs)
    if mode == "required":
        assert caplog.messages[0] == "Connection from 127.0.0.1 closed: it is not in trusted_proxy"


@pytest.mark.parametrize("start", [b"", b"PROXY TCP4", block()[:20]], ids=["nothing", "line", "block"])
def test_a_required_header_must_be_complete_in_time(
    start: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Preludes, "header_seconds", 0.2)
    with running(Recorder(), **TRUSTING) as server, server.client() as client:
        client.send(start)
        assert client.is_closed_within(SECONDS)
        assert server.server.stats().connections == 0
    assert caplog.messages == ["Connection from 127.0.0.1 closed: no PROXY protocol header within 0.2 seconds"]


def test_where_a_header_is_optional_a_client_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Preludes, "header_seconds", 0.1)
    with running(Recorder(), **OPTIONAL) as server, server.client() as client:
        assert becomes_true(lambda: server.server.stats().idle_connections == 1, SECONDS)
        assert client.get().status == 200


def test_a_connection_without_a_byte_is_closed_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    with running(Recorder(), **TRUSTING) as server:
        server.client().close()  # as health checks do
        assert answered(server, LINE + get()) == 200
    assert caplog.messages == []


def test_clients_that_have_not_sent_their_header_count_for_the_connection_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Preludes, "header_seconds", 0.3)
    with running(Recorder(), connection_limit=2, **TRUSTING) as server:
        with server.client(), server.client(), server.client() as third:
            third.send(LINE + get())
            assert not third.can_read_within(0.1)
            assert third.response().status == 200  # when the header of the others is overdue


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_clients_that_do_not_send_their_header_make_room_the_longest_first(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Preludes, "header_seconds", 60.0)
    monkeypatch.setattr(Preludes, "patience_seconds", 0.1)
    settings = {**TRUSTING, "proxy_protocol": mode, "connection_limit": 3}
    with running(Recorder(), **settings) as server, server.clients(3) as clients:
        clients[1].send(b"PROXY ")
        with server.client() as fourth, server.client() as fifth:
            for client in (fourth, fifth):
                client.send(LINE + get())
                assert client.response().status == 200
        for client in clients[:2]:
            assert client.is_closed_within(SECONDS)
        clients[2].send(LINE + get())
        assert clients[2].response().status == 200


def test_a_server_that_ends_closes_clients_without_their_header_and_answers_others() -> None:
    with running(Recorder(), **TRUSTING) as server, server.client() as silent, server.client() as client:
        client.send(LINE)
        client.send(get())
        assert client.response().status == 200
        server.server.shutdown()
        assert silent.is_closed_within(SECONDS)


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_the_header_comes_before_tls(mode: str) -> None:
    application = Recorder()
    settings = {**TRUSTING, "proxy_protocol": mode, "tls_certificate": server_file()}
    with running(application, **settings) as server, socket.create_connection(server.address, SECONDS) as plain:
        plain.sendall(LINE[:10])
        plain.sendall(LINE[10:])
        with client_context().wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(get("Connection: close"))
            assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"ok")
    (environ,) = application.environs
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("192.0.2.7", "443")
    assert (environ["wsgi.url_scheme"], environ["SSL_PROTOCOL"]) == ("https", "TLSv1.3")


def test_what_is_neither_a_header_nor_tls_is_closed_where_both_are_expected() -> None:
    settings = {**OPTIONAL, "tls_certificate": server_file()}
    with running(Recorder(), **settings) as server:
        with socket.create_connection(server.address, SECONDS) as client, contextlib.suppress(ConnectionError):
            client.sendall(b"P")  # it could be the first byte of a header
            client.sendall(b"OST / HTTP/1.1\r\nHost: a\r\n\r\n")
            received = client.recv(65536)
            assert not received or received.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))


def test_a_listen_word_says_which_listener_has_it() -> None:
    application = Recorder()
    settings = {"listen": "proxy+http://127.0.0.1:0 127.0.0.1:0", "trusted_proxy": "127.0.0.1"}
    with running(application, **settings) as server:
        with server.client() as client:
            client.send(LINE + get())
            assert client.response().status == 200
        other = server.server._listeners[1]
        with Client((other.host, int(other.port))) as client:
            assert client.get().status == 200
    assert [environ["REMOTE_ADDR"] for environ in application.environs] == ["192.0.2.7", "127.0.0.1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"proxy_protocol": "required"}, "have no meaning without trusted_proxy"),
        ({"listen": "proxy+127.0.0.1:0"}, "have no meaning without trusted_proxy"),
        ({"proxy_protocol": "v2", "trusted_proxy": "*"}, "proxy_protocol='v2': expected off, optional or required"),
    ],
    ids=["setting", "word", "mode"],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adjustments(**settings)


@pytest.mark.one_worker  # each logs it
@pytest.mark.parametrize("header", [LINE, block(), b"PROXY UNKNOWN\r\n"], ids=["line", "block", "unknown"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "forwarded"},
        {**OPTIONAL, "trusted_proxy": "192.0.2.1"},
    ],
    ids=["off", "off-and-trusted", "optional-and-not-trusted"],
)
def test_a_header_that_is_not_expected_is_named_in_one_record_a_minute(
    header: bytes, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with running(Recorder(), **settings) as server:
        for _ in range(2):
            assert answered(server, header + get()) == 400
        with server.client() as client:
            assert client.get().status == 200
    [text] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert text == (
        "Client 127.0.0.1 has sent a PROXY protocol header, which is not expected from it: if it is your proxy, set"
        " proxy_protocol, and add its address to trusted_proxy. This is logged once a minute at most."
    )


@pytest.mark.one_worker
def test_a_request_that_only_looks_like_a_header_is_not_logged_as_one(caplog: pytest.LogCaptureFixture) -> None:
    with running(Recorder()) as server:
        assert answered(server, b"PROXY / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n") == 400
        assert answered(server, b"GET /a b HTTP/1.1\r\nX: PROXY TCP4\r\n\r\n") == 400
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
