"""The access log of real servers: which requests get a line, when, and what it says of what was sent."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Held, Recorder, answering, get, post, set_at_end
from tests.support.processes import becomes_true
from tests.support.servers import running
from tests.support.times import SkippingClock, shorten_close, shorten_ticks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGE = 32 * 1024 * 1024  # more than the system takes for a client that does not read


class Lines:
    """What was written to the access log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records if record.name == "waitress.access"]

    @property
    def one(self) -> dict[str, Any]:
        """Wait for the one line, and read it."""
        return self.first(1)[0]

    def first(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many lines, and read them; there are no more."""
        assert becomes_true(lambda: len(self.texts) >= count, SECONDS), f"{len(self.texts)} of {count} lines came"
        assert len(self.texts) == count
        return [json.loads(text) for text in self.texts]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO)
    return Lines(caplog)


def logging_server(application: WSGIApplication, **settings: Any) -> Any:
    return running(application, access_log=True, **{"access_log_format": "json", **settings})


def test_the_name_of_a_format_turns_the_log_on(lines: Lines) -> None:
    with running(Recorder(), access_log="json") as server, server.client() as client:
        assert client.get("/tea").status == 200
        assert (lines.one["target"], lines.one["status"]) == ("/tea", 200)


def generated(*pieces: bytes) -> WSGIApplication:
    """Make an application with a body without a length."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from pieces

    return application


def endless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return iter(lambda: b"x" * 10_000, b"")


def raising(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("no tea")


def test_it_is_off_by_default(lines: Lines) -> None:
    with running(Recorder()) as server, server.client() as client:
        client.get()
        client.send(b"nonsense\r\n\r\n")
        assert client.response().status == 400
    assert lines.texts == []


@pytest.mark.plain
def test_a_line_says_what_was_asked_and_answered(lines: Lines) -> None:
    with logging_server(Recorder()) as server, server.client() as client:
        client.get("/tea?cup=1", "Referer: http://example.org/", "User-Agent: cup/1.0")
        line = lines.one
    assert 0 <= line.pop("queue_time") <= line.pop("duration") < SECONDS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "remote_addr": "127.0.0.1",
        "remote_user": None,
        "method": "GET",
        "target": "/tea?cup=1",
        "version": "1.1",
        "status": 200,
        "bytes": 2,
        "referer": "http://example.org/",
        "user_agent": "cup/1.0",
        "request_id": None,
        "trace_id": None,
        "tls_version": None,
        "tls_cipher": None,
        "client_dn": None,
    }


def test_the_format_can_be_a_text(lines: Lines) -> None:
    with logging_server(Recorder(), access_log_format="{method} {target} {status} {bytes}") as server:
        with server.client() as client:
            client.get("/a")
            client.get("/b", version="1.0")
    assert lines.texts == ["GET /a 200 2", "GET /b 200 2"]


LONGEST = 4096  # characters of a value


@pytest.mark.parametrize("format_text", ["json", "combined"])
def test_of_a_long_value_a_line_has_the_start(format_text: str, lines: Lines) -> None:
    """A client could fill a disk otherwise: each byte of its head becomes up to six of a line."""
    data = "\xff" * 50_000
    target = "/" + "x" * 50_000
    with logging_server(answering([b"tea"]), access_log_format=format_text) as server, server.client() as client:
        client.send(get(f"Referer: {data}", f"User-Agent: {data}", target=target))
        assert client.response().status == 200
    (text,) = lines.texts
    if format_text == "json":
        line = lines.one
        assert (line["target"], line["referer"], line["user_agent"]) == (
            target[:LONGEST],
            data[:LONGEST],
            data[:LONGEST],
        )
    else:
        assert f'"GET {target[:LONGEST]} HTTP/1.1" 200' in text
        assert text.endswith('"{0}" "{0}"'.format("\\xFF" * LONGEST))


def test_of_a_long_value_from_a_proxy_or_an_application_a_line_has_the_start(lines: Lines) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["REMOTE_USER"] = "u" * 50_000
        return answering([b"tea"])(environ, start_response)

    trust = {"trusted_proxy": "*", "trusted_proxy_headers": "x-forwarded-for"}
    with logging_server(application, **trust) as server, server.client() as client:
        client.send(get(f"X-Forwarded-For: {'a' * 8_000}"))
        assert client.response().status == 200
    line = lines.one
    assert len(line["remote_user"]) == LONGEST
    assert len(line["remote_addr"]) <= LONGEST


def test_the_line_is_written_at_info_whatever_the_level_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    caplog.handler.setLevel(logging.NOTSET)
    logging.getLogger("waitress.access").setLevel(logging.NOTSET)
    with logging_server(Recorder()) as server, server.client() as client:
        client.get()
    assert [(record.name, record.levelno) for record in caplog.records] == [("waitress.access", logging.INFO)]


@pytest.mark.parametrize(
    ("application", "request_bytes", "status", "size"),
    [
        pytest.param(answering([b"abc"]), get(), 200, 3, id="length"),
        pytest.param(answering([]), get(), 200, 0, id="empty"),
        pytest.param(generated(b"abc", b"de"), get(), 200, len(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), id="chunks"),
        pytest.param(generated(b"abc", b"de"), get(version="1.0"), 200, 5, id="until-the-end"),
        pytest.param(answering([b"abc"]), b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 0, id="head"),
        pytest.param(answering([], status="204 No Content"), get(), 204, 0, id="no-body"),
        pytest.param(answering([b"abc"], status="404 Not Found"), get(), 404, 3, id="not-found"),
    ],
)
def test_the_bytes_are_those_of_the_body(
    application: WSGIApplication, request_bytes: bytes, status: int, size: int, lines: Lines
) -> None:
    with logging_server(application) as server, server.client() as client:
        client.send(request_bytes)
        line = lines.one
    assert (line["status"], line["bytes"]) == (status, size)


def test_each_request_of_a_connection_has_its_own_bytes(lines: Lines) -> None:
    with logging_server(Recorder()) as server, server.client() as client:
        client.send(
            get(target="/a") + post("Content-Length: 3", "Expect: 100-continue", body=b"abc") + get(target="/c")
        )
        read = lines.first(3)
    assert [(line["target"], line["bytes"]) for line in read] == [("/a", 2), ("/", 2), ("/c", 2)]


@pytest.mark.parametrize("has_descriptor", [True, False])
def test_the_bytes_of_a_file_are_counted(has_descriptor: bool, tmp_path: Path, lines: Lines) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        file = path.open("rb") if has_descriptor else io.BytesIO(path.read_bytes())
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    with logging_server(application) as server, server.client() as client:
        assert len(client.get().body) == 3_000_000
        assert lines.one["bytes"] == 3_000_000


def test_a_slow_readers_line_comes_when_all_is_sent(lines: Lines) -> None:
    with logging_server(answering([b"x" * LARGE]), outbuf_high_watermark=2 * LARGE) as server:
        with server.client() as client, server.client() as other:
            client.send(get(target="/large"))
            client.socket.recv(1, 2)  # MSG_PEEK: it has started
            other.send(b"nonsense\r\n\r\n")
            other.rest()
            assert lines.one["status"] == 400  # but no line of the other
            assert len(client.response().body) == LARGE
            large = lines.first(2)[1]
    assert (large["target"], large["status"], large["bytes"]) == ("/large", 200, LARGE)


@pytest.mark.parametrize(
    ("data", "status", "method", "target"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, None, None, id="request-line"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, "GET", None, id="no-host"),
        pytest.param(b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "GET", None, id="version"),
        pytest.param(get("X: " + "x" * 70_000), 431, "GET", None, id="head-too-large"),
        pytest.param(post("Content-Length: 2000"), 413, "POST", None, id="declared-too-large"),
        pytest.param(
            post("Transfer-Encoding: chunked", body=b"7d0\r\n" + b"x" * 2000), 413, "POST", "/", id="chunks-too-large"
        ),
        pytest.param(post("Transfer-Encoding: chunked", body=b"zz\r\n"), 400, "POST", "/", id="chunk"),
        pytest.param(b"GET / HT", 400, None, None, id="end-within-a-head"),
        pytest.param(post("Content-Length: 3", body=b"a"), 400, "POST", "/", id="end-within-a-body"),
    ],
)
def test_a_refused_request_has_a_line(
    data: bytes, status: int, method: str | None, target: str | None, lines: Lines
) -> None:
    settings = {"max_request_header_size": 65536, "max_request_body_size": 1000}
    with logging_server(Recorder(), **settings) as server, server.client() as client:
        client.send(data)
        client.end_output()
        answer = client.response(method or "GET")
        line = lines.one
    assert (line["status"], line["method"], line["target"]) == (answer.status, method, target)
    assert line["status"] == status
    assert line["bytes"] == len(answer.body)


def test_a_request_that_does_not_arrive_in_time_has_a_line(lines: Lines, skipping_clock: SkippingClock) -> None:
    with logging_server(Recorder()) as server, server.client() as client:
        client.send(b"GET /slow")
        assert becomes_true(lambda: server.server.stats().connections_by_state["head"] == 1)
        skipping_clock.skip(31)
        assert client.response().status == 408
        assert lines.one["status"] == 408


def test_a_failing_application_has_a_line(lines: Lines) -> None:
    with logging_server(raising) as server, server.client() as client:
        answer = client.get("/tea")
        line = lines.one
    assert (line["status"], line["target"], line["bytes"]) == (500, "/tea", len(answer.body))


def test_a_client_that_leaves_within_the_response_has_a_line(lines: Lines) -> None:
    with logging_server(endless) as server:
        with server.client() as client:
            client.send(get(target="/endless"))
            client.socket.recv(1)
            client.reset()
        line = lines.one
    assert (line["status"], line["target"]) == (200, "/endless")
    assert line["bytes"] > 0


def test_a_client_that_leaves_within_its_body_has_a_line_without_a_status(lines: Lines) -> None:
    with logging_server(Recorder()) as server:
        with server.client() as client:
            client.send(post("Content-Length: 1000", "Expect: 100-continue"))
            assert client.response().status == 100
            client.reset()
        line = lines.one
    assert (line["method"], line["target"], line["status"], line["bytes"]) == ("POST", "/", None, 0)


def test_a_client_that_leaves_between_requests_has_no_line(lines: Lines) -> None:
    with logging_server(Recorder()) as server:
        with server.client() as client:
            client.get()
        with server.client() as client:
            client.send(b"GET / HT")
            client.reset()
        with server.client() as client:
            client.get()
    lines.first(2)


@pytest.mark.parametrize("end", ["close", "shutdown"])
def test_a_response_that_is_cut_off_by_the_end_of_the_server_has_a_line(
    end: str, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_close(monkeypatch, 0.1)
    shorten_ticks(monkeypatch)
    with logging_server(answering([b"x" * LARGE]), outbuf_high_watermark=2 * LARGE) as server:
        with server.client() as client:
            client.send(get(target="/large"))
            client.socket.recv(1, 2)
            if end == "close":
                server.server.close()
            else:
                server.server.shutdown(0.1)
            line = lines.one
    assert (line["status"], line["target"]) == (200, "/large")
    assert 0 < line["bytes"] < LARGE


def test_a_request_that_is_cancelled_has_a_line_without_a_status(lines: Lines) -> None:
    application = Held()
    with logging_server(application, threads=1) as server, set_at_end(application.released):
        with server.client() as first, server.client() as second:
            first.send(get(target="/first"))
            assert application.entered.wait(SECONDS)
            second.send(get(target="/second"))
            dispatcher = server.server._dispatcher
            assert becomes_true(lambda: bool(dispatcher.ready or dispatcher._queue._items))
            closing = threading.Thread(target=server.server.close)
            closing.start()
            assert lines.one["target"] == "/second"
            application.released.set()
            closing.join(SECONDS)
    assert [(line["target"], line["status"], line["bytes"]) for line in lines.first(2)] == [
        ("/second", None, 0),
        ("/first", 200, 2),
    ]


def test_the_time_in_the_queue_is_told(lines: Lines) -> None:
    application = Held()
    with logging_server(application, threads=1) as server, set_at_end(application.released):
        with server.client() as first, server.client() as second:
            first.send(get(target="/first"))
            assert application.entered.wait(SECONDS)
            second.send(get(target="/second"))
            assert not second.is_closed_within(0.2)
            application.released.set()
            by_target = {line["target"]: line for line in lines.first(2)}
    assert by_target["/first"]["queue_time"] < by_target["/first"]["duration"]
    assert 0.1 <= by_target["/second"]["queue_time"] <= by_target["/second"]["duration"]


def test_the_address_is_the_one_that_a_trusted_proxy_reports(lines: Lines) -> None:
    settings = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-for"}
    with logging_server(Recorder(), **settings) as server, server.client() as client:
        client.get("/", "X-Forwarded-For: 203.0.113.9")
        client.get("/", 'X-Forwarded-For: "')
        good, bad = lines.first(2)
    assert (good["remote_addr"], good["status"]) == ("203.0.113.9", 200)
    assert (bad["remote_addr"], bad["status"]) == ("127.0.0.1", 400)


def test_an_application_changes_the_user_and_not_the_address(lines: Lines) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        user = environ["PATH_INFO"][1:]
        environ["REMOTE_USER"] = user or object()
        environ["REMOTE_ADDR"] = "forged"
        start_response("200 OK", [])
        return [b"ok"]

    with logging_server(application) as server, server.client() as client:
        client.get("/ann")
        client.get("/")
        read = lines.first(2)
    assert [(line["remote_addr"], line["remote_user"]) for line in read] == [("127.0.0.1", "ann"), ("127.0.0.1", None)]


def test_a_dispatcher_of_ones_own_serves_with_an_access_log(lines: Lines) -> None:
    class Threads:
        def add_task(self, task: Any) -> None:
            threading.Thread(target=task.service).start()

    with logging_server(Recorder(), dispatcher=Threads()) as server, server.client() as client:
        client.get("/a")
        client.send(b"nonsense\r\n\r\n")
        assert client.response().status == 400
        read = lines.first(2)
    assert [line["status"] for line in read] == [200, 400]


def test_a_line_is_never_written_by_the_thread_that_watches_the_sockets(
    caplog: pytest.LogCaptureFixture, lines: Lines
) -> None:
    with logging_server(answering([b"x" * LARGE]), outbuf_high_watermark=2 * LARGE) as server:
        with server.client() as client:
            client.get("/large")
            client.send(b"nonsense\r\n\r\n")
            assert client.response().status == 400
            lines.first(2)
    threads = {str(record.threadName) for record in caplog.records if record.name == "waitress.access"}
    assert threads
    assert all(re.fullmatch(r"waitress-\d+", thread) for thread in threads)


@pytest.mark.parametrize("has_failing_handler", [True, False])
def test_a_log_that_fails_costs_no_request(has_failing_handler: bool, lines: Lines) -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise OSError("the disk is full")

    logger = logging.getLogger("waitress.access")
    if has_failing_handler:
        logger.addFilter(fail)
    try:
        with logging_server(Recorder()) as server, server.client() as client:
            assert [client.get().status for _ in range(3)] == [200] * 3
            client.send(b"nonsense\r\n\r\n")
            assert client.response().status == 400
            client.rest()
    finally:
        logger.removeFilter(fail)
    assert len(lines.texts) == (0 if has_failing_handler else 4)
