"""Clients that start TLS on a port that speaks plain HTTP: an `https:` URL by mistake, a proxy, a scanner."""

import http.client
import logging
import socket
import ssl
from collections.abc import Callable

import pytest

from tests.functional.applications import Recorder
from tests.support.servers import Running, running
from waitress_core.connection import context

pytestmark = pytest.mark.plain  # it is about ports that speak plain HTTP

RECORD = (
    "Client 127.0.0.1 has started TLS on a port that speaks plain HTTP: use http:// in its URL, or for its proxy."
    " This is logged once a minute at most."
)


def start_tls(server: Running) -> None:
    tls = ssl.create_default_context()
    with socket.create_connection(server.address, 20) as client, pytest.raises((ssl.SSLError, ConnectionError)):
        tls.wrap_socket(client, server_hostname="shop.example")


def ask_by_https(server: Running) -> None:
    client = http.client.HTTPSConnection(server.address[0], server.address[1], timeout=20)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.request("GET", "/")
    client.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged at WARNING or above."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.one_worker  # each logs it
@pytest.mark.parametrize("connect", [start_tls, ask_by_https], ids=["ssl", "http.client"])
@pytest.mark.parametrize(("seconds", "records"), [(60.0, 1), (0.0, 3)], ids=["minute", "no-wait"])
def test_a_client_that_starts_tls_is_named_in_one_record_a_minute(
    connect: Callable[[Running], None],
    seconds: float,
    records: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert context.OTHER_PROTOCOL_LOG_SECONDS == 60.0
    monkeypatch.setattr(context, "OTHER_PROTOCOL_LOG_SECONDS", seconds)
    with running(Recorder()) as server:
        for _ in range(3):
            connect(server)
        with server.client() as client:
            assert client.get().body == b"ok"
    assert warnings(caplog) == [RECORD] * records


def test_what_only_looks_like_tls_is_not_logged_as_that(caplog: pytest.LogCaptureFixture) -> None:
    with running(Recorder()) as server:
        for first in (b"\x16\x02\x00\r\n\r\n", b"\x15\x03\x01\r\n\r\n", b"GET /\x16\x03\x01 HTTP/1.1\r\n\r\n"):
            with server.client() as client:
                client.send(first)
                assert client.rest().startswith(b"HTTP/1.0 400 ")
    assert warnings(caplog) == []


def test_the_access_log_has_no_byte_of_a_client_that_starts_tls(caplog: pytest.LogCaptureFixture) -> None:
    with running(Recorder(), access_log=True) as server:
        start_tls(server)
        with server.client() as client:
            assert client.get().body == b"ok"
    lines = [record.getMessage() for record in caplog.records if record.name == "waitress.access"]
    assert ['"-" 400 ' in line for line in lines] == [True, False]
