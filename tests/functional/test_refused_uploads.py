"""The server's own answer to an upload that is too large reaches a client that reads only when it has sent all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.applications import post
from tests.functional.test_held_up import APPLICATION
from tests.support import over_tls
from tests.support.client import Client
from tests.support.processes import Program, serving_program

MB = 1_000_000
UPLOADS = 20


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Program]:
    seconds = 60 if sys.platform == "win32" else 2  # by default 2, but under Wine an upload takes longer
    with serving_program(APPLICATION, tmp_path, max_request_body_size=100_000, linger_timeout=seconds) as served:
        yield served


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 50_000):
        yield bytes(50_000)


@pytest.mark.parametrize("fields", [{}, {"Connection": "close"}], ids=["persistent", "close"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [200_000, 20 * MB])
def test_http_client_sees_413(size: int, is_chunked: bool, fields: dict[str, str], served: Program) -> None:
    statuses = []
    for _ in range(UPLOADS):
        connection = over_tls.http_connection(served.address)
        if is_chunked:
            connection.request("POST", "/", pieces(size), fields, encode_chunked=True)
        else:
            connection.request("POST", "/", bytes(size), fields)
        response = connection.getresponse()
        assert b"exceeds" in response.read()
        statuses.append(response.status)
        connection.close()
    assert statuses == [413] * UPLOADS


def test_an_upload_of_a_hundred_megabytes_sees_413(served: Program) -> None:
    connection = over_tls.http_connection(served.address)
    connection.request("POST", "/", bytes(100 * MB))
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="nonsense"),
        pytest.param(post("Content-Length: x"), 400, id="no-length"),
        pytest.param(post("Transfer-Encoding: gzip"), 501, id="coding"),
        pytest.param(post("Transfer-Encoding: chunked") + b"x\r\n", 400, id="chunk"),
        pytest.param(post(f"X: {'a' * 300_000}"), 431, id="head"),
    ],
)
def test_each_answer_of_the_server_itself_is_seen_by_a_client_that_sends_on(
    request_: bytes, status: int, served: Program
) -> None:
    for _ in range(UPLOADS):
        with served.client() as client:
            send_all(client, request_ + bytes(5 * MB))
            assert client.response().status == status


def send_all(client: Client, data: bytes) -> None:
    """Send as the clients that do not look for an answer before all is sent."""
    client.send(data)
