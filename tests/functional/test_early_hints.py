"""103 (Early Hints) from `wsgi.early_hints`, over real connections."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LINK = ("Link", "</style.css>; rel=preload; as=style")


def hinting(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.early_hints"]([LINK])
    start_response("200 OK", [LINK])
    environ["wsgi.early_hints"]([("Link", "</late.js>; rel=preload")])
    return [b"ok"]


def test_hints_come_before_the_response_and_the_connection_goes_on() -> None:
    with running(hinting) as server, server.client() as client:
        for method in ("GET", "HEAD", "GET"):
            client.send(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            hints = [client.response(), client.response()]
            assert [hint.status for hint in hints] == [103, 103]
            assert [hint.headers for hint in hints] == [[LINK], [("Link", "</late.js>; rel=preload")]]
            response = client.response(method)
            assert (response.status, response.body) == (200, b"ok" if method == "GET" else b"")


def test_hints_arrive_while_the_application_still_works() -> None:
    released = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.early_hints"]([LINK])
        assert released.wait(SECONDS)
        start_response("204 No Content", [])
        return []

    with running(application) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response().status == 103
        released.set()
        assert client.response().status == 204


def test_a_client_of_http_1_0_gets_no_hints() -> None:
    with running(hinting) as server, server.client() as client:
        assert client.get(version="1.0").status == 200


@pytest.mark.parametrize(
    "hints",
    [[("Link", "a\r\nX: y")], [("Content-Length", "1")], [("Link", None)]],
    ids=["line-break", "length", "type"],
)
def test_hints_that_cannot_be_sent_raise_in_the_application(hints: Any, caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.early_hints"](hints)
        return []

    with running(application) as server, server.client() as client:
        assert client.get().status == 500
    assert "Exception while serving /" in caplog.text


def test_hints_after_an_error_are_followed_by_its_response() -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.early_hints"]([LINK])
        raise ValueError("of the application")

    with running(application) as server, server.client() as client:
        assert client.get().status == 103
        assert client.response().status == 500


def test_the_access_log_does_not_count_hints_as_the_body(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(hinting, access_log="json") as server, server.client() as client:
        assert client.get().status == 103
        assert client.response().status == 103
        assert client.response().body == b"ok"
    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "waitress.access"]
    assert (line["status"], line["bytes"]) == (200, 2)
