"""`request_id_header`: the id in the environ, on the response, in the access log and in the records of a request."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Held, Recorder, get, set_at_end
from tests.support.client import Response
from tests.support.processes import becomes_true
from tests.support.servers import running
from tests.support.times import shorten_close, shorten_end, shorten_ticks, skip_time
from waitress_buffers import OverflowBuffer, StorageFullError
from waitress_core.observability.request_ids import RequestIdFilter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

GIVEN = "X-Request-ID: of-the-proxy/1"
TRACEPARENT = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_by_default_a_request_has_no_id() -> None:
    application = Recorder()
    with running(application) as server, server.client() as client:
        assert client.get("/", GIVEN).header("X-Request-ID") is None
    (environ,) = application.environs
    assert "waitress.request_id" not in environ
    assert environ["HTTP_X_REQUEST_ID"] == "of-the-proxy/1"


@pytest.mark.usefixtures("kind")
def test_each_request_has_its_own_id_in_environ_and_response() -> None:
    application = Recorder()
    with running(application, request_id_header=True) as server, server.client() as client:
        ids = [client.get("/", GIVEN).header("X-Request-ID") for _ in range(3)]
    assert len(set(ids)) == 3
    for said, environ in zip(ids, application.environs, strict=True):
        assert said is not None
        assert UUID.fullmatch(said), "what a client gives is not taken"
        assert environ["waitress.request_id"] == environ["HTTP_X_REQUEST_ID"] == said


@pytest.mark.parametrize(
    ("field", "is_taken"),
    [
        (GIVEN, True),
        (f"X-Request-ID: {'x' * 128}", True),
        (f"X-Request-ID: {'x' * 129}", False),
        ("X-Request-ID: a b", False),
        ("X-Request-ID: \xe4", False),
        ("X-Request-ID:", False),
        ("X-Request-ID: a\r\nX-Request-ID: b", False),
        ("X_Request_ID: a", False),
    ],
    ids=["plain", "128", "129", "blank", "latin-1", "empty", "two", "underscore"],
)
def test_the_id_of_a_trusted_proxy_is_taken_if_it_is_one(field: str, is_taken: bool) -> None:
    settings = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-for"}
    with running(Recorder(), request_id_header="x-request-id", **settings) as server, server.client() as client:
        said = client.get("/", field, "X-Forwarded-For: 192.0.2.9").header("x-request-id")
    assert said is not None
    assert (said == field.partition(":")[2].strip()) is is_taken
    assert is_taken or UUID.fullmatch(said)


def test_the_header_may_have_another_name_and_an_application_may_send_its_own() -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        fields = [("x-correlation-id", "own")] if environ["PATH_INFO"] == "/own" else []
        start_response("200 OK", fields)
        return [environ["HTTP_X_CORRELATION_ID"].encode()]

    with running(application, request_id_header="X-Correlation-ID") as server, server.client() as client:
        response = client.get()
        assert response.header("X-Correlation-Id") == response.body.decode()
        assert client.get("/own").all("X-Correlation-Id") == ["own"]


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("access_log", ["", "{request_id} {trace_id} {status}"], ids=["no-log", "log"])
def test_exceptions_and_their_response_have_the_id(access_log: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise ValueError("of the application")

    with running(application, request_id_header=True, access_log=access_log) as server, server.client() as client:
        response = client.get("/tea", TRACEPARENT)
    said = response.header("X-Request-ID")
    assert response.status == 500
    assert f"Exception while serving /tea (request {said})" in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name == "waitress.access"]
    assert lines == ([f"{said} 0af7651916cd43dd8448eb211c80319c 500"] if access_log else [])


@pytest.mark.parametrize(
    "traceparent",
    [
        pytest.param("00-00000000000000000000000000000000-b7ad6b7169203331-01", id="zeros"),
        pytest.param("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", id="version-ff"),
        pytest.param("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", id="upper-case"),
        pytest.param("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", id="short"),
        pytest.param("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x", id="more"),
        pytest.param("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", id="more-of-version-00"),
        pytest.param("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", id="zeros-of-the-parent"),
        pytest.param(" 00 -0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", id="blank"),
        pytest.param("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x", id="later-version-without-hyphen"),
        pytest.param(f"{TRACEPARENT[13:]}\r\n{TRACEPARENT}", id="two"),
    ],
)
def test_what_is_no_traceparent_has_no_trace_id(traceparent: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(Recorder(), access_log="json") as server, server.client() as client:
        client.get("/", f"traceparent: {traceparent}")
    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "waitress.access"]
    assert (line["request_id"], line["trace_id"]) == (None, None)


@pytest.mark.parametrize("rest", ["", "-", "-what-the-future-will-be-like"])
def test_a_traceparent_of_a_later_version_may_have_more(rest: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(Recorder(), access_log="{trace_id}") as server, server.client() as client:
        client.get("/", f"traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01{rest}")
    assert "0af7651916cd43dd8448eb211c80319c" in caplog.messages


@pytest.fixture
def records() -> Iterator[list[tuple[str, str]]]:
    """Return (request_id, message) of the records of application and server, as a handler with the filter sees them."""
    seen: list[tuple[str, str]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.request_id, record.getMessage()))  # type: ignore[attr-defined]  # the filter sets it

    handler, loggers = Handler(), [logging.getLogger(name) for name in ("tests.shop", "waitress")]
    handler.addFilter(RequestIdFilter())
    for logger in loggers:
        logger.addHandler(handler)
    yield seen
    for logger in loggers:
        logger.removeHandler(handler)


def test_the_filter_gives_the_applications_records_the_id_of_their_request(records: list[tuple[str, str]]) -> None:
    logger = logging.getLogger("tests.shop")
    both = threading.Barrier(2)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        both.wait(SECONDS)  # two at once
        logger.warning("called %s", environ["waitress.request_id"])
        start_response("200 OK", [])
        yield b"a"
        logger.warning("iterated %s", environ["waitress.request_id"])

    with running(application, request_id_header=True, threads=2) as server:
        with server.client() as first, server.client() as second:
            for client in (first, second):
                client.send(get())
            assert {client.response().status for client in (first, second)} == {200}
    logger.warning("outside -")
    logger.warning("own own", extra={"request_id": "own"})
    assert len(records) == 6
    for request_id, text in records:
        assert text.endswith(f" {request_id}")


@pytest.mark.parametrize("setting", ["log_slow_requests", "request_timeout"])
def test_the_filter_gives_the_leaders_records_of_a_request_its_id(
    setting: str, records: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_ticks(monkeypatch)
    application = Held()
    settings: dict[str, Any] = {setting: 0.1, "request_id_header": True, "status_listen": "127.0.0.1:0"}
    with running(application, **settings) as server, set_at_end(application.released), server.client() as client:
        client.send(get())
        assert becomes_true(lambda: any("has been running" in text for _, text in records), SECONDS)
        (request_id,) = [said for said, text in records if "has been running" in text]
        assert UUID.fullmatch(request_id)
        if setting == "log_slow_requests":  # the other one answers by itself, after its record
            application.released.set()
        assert client.response().header("X-Request-ID") == request_id


def test_slow_requests_and_those_that_are_cut_off_are_logged_with_their_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shorten_ticks(monkeypatch)
    caplog.set_level(logging.INFO)
    shorten_close(monkeypatch, 0.1)
    shorten_end(monkeypatch)
    released = threading.Event()
    seen: list[str] = []

    def application(environ: Any, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ["waitress.request_id"])
        assert released.wait(SECONDS)
        start_response("200 OK", [])
        return [b"ok"]

    settings: dict[str, Any] = {"log_slow_requests": 0.1, "shutdown_timeout": 0}
    with running(application, request_id_header=True, **settings) as server, set_at_end(released):
        with server.client() as client:
            client.send(get())
            assert becomes_true(lambda: "has been running for" in caplog.text, SECONDS)
            server.server.shutdown(0)
            assert becomes_true(lambda: "cut off, not done in time" in caplog.text, SECONDS)
            released.set()
            ended = f"while serving / (request {seen[0]})"
            assert becomes_true(lambda: ended in caplog.text, SECONDS)
    assert f"<WSGITask GET /, request {seen[0]}> has been running for" in caplog.text
    assert re.search(rf"cut off, not done in time: <Connection .* TASK, request {seen[0]}>", caplog.text)


# --- requests that are refused

HEAD = f"POST /tea HTTP/1.1\r\nHost: localhost\r\n{GIVEN}\r\n".encode()
TRUSTS = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-for"}
BEFORE_THE_END_OF_THE_HEAD = {
    "nonsense": (b"nonsense\r\n\r\n", 400),
    "field": (HEAD + b"Bad Name: a\r\n\r\n", 400),
    "length": (HEAD + b"Content-Length: 5000\r\n\r\n", 413),
    "large": (HEAD + b"X: " + b"a" * 3000 + b"\r\n\r\n", 431),
    "coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "late-head": (HEAD, 408),
}
AFTER_THE_HEAD = {
    "chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n200\r\n" + b"a" * 512 + b"\r\n200\r\n", 413),
    "late-body": (HEAD + b"Content-Length: 5\r\n\r\n", 408),
}
REFUSED = BEFORE_THE_END_OF_THE_HEAD | AFTER_THE_HEAD


def refused(data: bytes, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Response:
    """Return the answer to bytes that are refused, by a server with low limits, or that are late."""
    clock = skip_time(monkeypatch)
    limits = {
        "max_request_header_size": 2000,
        "max_request_body_size": 1000,
        "request_head_timeout": 1,
        "request_body_timeout": 1,
    }
    with running(Recorder(), access_log="{request_id} {status}", **limits, **settings) as server:
        with server.client() as client:
            client.send(data)
            assert becomes_true(lambda: server.server.stats().bytes_in == len(data), SECONDS)
            clock.skip(1)
            return client.response()


def lines_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "waitress.access"]


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_request_has_an_id_of_the_servers_own(
    case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data, status = REFUSED[case]
    response = refused(data, monkeypatch, request_id_header=True)
    said = response.header("X-Request-ID")
    assert response.status == status
    assert said is not None
    assert UUID.fullmatch(said), "what a client gives is not taken"
    assert lines_in(caplog) == [f"{said} {status}"]


@pytest.mark.parametrize("case", REFUSED)
def test_of_a_refused_request_only_a_complete_head_is_believed(
    case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data, status = REFUSED[case]
    said = refused(data, monkeypatch, request_id_header="X-Request-Id", **TRUSTS).header("X-Request-ID")
    assert said is not None
    assert (said == "of-the-proxy/1") is (case in AFTER_THE_HEAD)
    assert case in AFTER_THE_HEAD or UUID.fullmatch(said)
    assert lines_in(caplog) == [f"{said} {status}"]


def test_by_default_a_refused_request_has_no_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data, status = REFUSED["chunk"]
    assert refused(data, monkeypatch, **TRUSTS).header("X-Request-ID") is None
    assert lines_in(caplog) == [f"- {status}"]


@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_the_record_of_a_body_that_cannot_be_stored_has_the_id(
    is_on: bool, records: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(buffer: OverflowBuffer, data: bytes) -> None:
        raise StorageFullError("no room")

    monkeypatch.setattr(OverflowBuffer, "append", append)
    data = HEAD + b"Content-Length: 5\r\n\r\nwater"
    response = refused(data, monkeypatch, **({"request_id_header": True} if is_on else {}))
    said = response.header("X-Request-ID")
    assert response.status == 413
    assert (said is not None) is is_on
    described = f"/tea (request {said})" if is_on else "/tea"
    (request_id,) = [said for said, text in records if f"body for {described} cannot be stored: no room" in text]
    assert request_id == (said or "-")


@pytest.mark.plain  # TLS is not expected
def test_the_record_of_a_client_that_speaks_tls_has_the_id(
    records: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    response = refused(b"\x16\x03\x01\x02\x00\x01\x00", monkeypatch, request_id_header=True)
    said = response.header("X-Request-ID")
    assert said is not None
    assert [request_id for request_id, text in records if "has started TLS" in text] == [said]
