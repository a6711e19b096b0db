"""Requests that wait: `waitress.queue_seconds`, `queue_timeout`, `queue_limit`."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Held, Recorder, get, set_at_end
from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from tests.support.times import SkippingClock
from waitress_core.observability.refusals import Refusals

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Told:
    """Holds its first request until `released`; keeps the queue_seconds of all."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.queue_seconds: list[float] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.queue_seconds.append(environ["waitress.queue_seconds"])
        self.entered.set()
        assert self.released.wait(SECONDS)
        start_response("200 OK", [])
        return [b"ok"]


def has_queue(server: Running, depth: int) -> bool:
    return server.server.stats().queue_depth == depth


@contextmanager
def queued(application: Any, count: int, **settings: Any) -> Iterator[tuple[Running, Client, list[Client]]]:
    """Serve with one thread, which runs the first request, while `count` more wait for it."""
    with running(application, threads=1, **settings) as server, set_at_end(application.released), ExitStack() as stack:
        first, *others = [stack.enter_context(server.client()) for _ in range(count + 1)]
        first.send(get(target="/first"))
        assert application.entered.wait(SECONDS)
        for index, client in enumerate(others):
            client.send(get(target=f"/{index}"))
            assert becomes_true(partial(has_queue, server, index + 1), SECONDS)
        yield server, first, others


@pytest.mark.usefixtures("kind")
def test_the_environ_says_how_long_a_request_has_waited() -> None:
    application = Told()
    started_at = time.monotonic()
    with queued(application, 1) as (server, first, (second,)):
        run = server.server._run
        assert run is not None
        (at_once,) = application.queue_seconds
        # On a busy machine the first request, too, waits for its thread.
        assert becomes_true(lambda: run._dispatcher.oldest_waiting_seconds > at_once + 0.1, SECONDS)
        application.released.set()
        assert [first.response().status, second.response().status] == [200, 200]
        assert run._dispatcher.oldest_waiting_seconds == 0
    waited = application.queue_seconds[1]
    assert 0 <= at_once < at_once + 0.1 < waited < time.monotonic() - started_at


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("t={:.3f}", 5),
        ("t={:.0f}", 5),
        ("{:.3f}", 5),
        ("t={0:.3f}000", 5),
        ("milliseconds", 5),
        ("microseconds", 5),
        ("t=later", 0),
        ("t=", 0),
        ("t=-5", 0),
        ("t=0", 0),
        ("future", 0),
    ],
    ids=["t", "whole", "bare", "long", "milliseconds", "microseconds", "word", "empty", "negative", "1970", "future"],
)
@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "untrusted"])
def test_the_time_since_a_trusted_proxy_has_got_the_request_counts(
    field: str, seconds: int, is_trusted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    application = Recorder()
    settings = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-for"} if is_trusted else {}
    now = time.time()
    special = {"milliseconds": f"t={(now - 5) * 1e3:.0f}", "microseconds": f"t={(now - 5) * 1e6:.0f}"}
    special["future"] = f"t={now + 500:.3f}"
    value = special.get(field, field.format(now - 5))
    with running(application, access_log="json", **settings) as server, server.client() as client:
        assert client.get("/", f"X-Request-Start: {value}").status == 200
    expected = seconds if is_trusted else 0
    assert expected - 1.1 < application.environs[0]["waitress.queue_seconds"] < expected + SECONDS
    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "waitress.access"]
    assert expected - 1.1 < line["queue_time"] < expected + SECONDS
    if not expected:
        assert application.environs[0]["waitress.queue_seconds"] < 4


@pytest.mark.usefixtures("kind")
def test_a_request_that_has_waited_too_long_is_answered_503_and_never_called(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, skipping_clock: SkippingClock
) -> None:
    monkeypatch.setattr(Refusals, "quiet_seconds", 0.1)
    caplog.set_level(logging.INFO)
    application = Told()
    settings: dict[str, Any] = {"queue_timeout": 0.05, "access_log": "{target} {status}", "request_id_header": True}
    with (
        skipping_clock.stopped(),  # on a busy machine the first request may wait for longer than queue_timeout, too
        queued(application, 3, status_listen="127.0.0.1:0", **settings) as (server, first, others),
    ):
        skipping_clock.skip(0.06)  # longer than queue_timeout
        application.released.set()
        assert first.response().status == 200
        for client in others:
            response = client.response()
            assert (response.status, response.header("Retry-After")) == (503, "1")
            assert response.header("X-Request-Id")
            assert response.header("Connection") == "close"
            assert client.rest() == b""
        with server.client() as client:
            assert client.get("/later").status == 200
        run = server.server._run
        assert run is not None
        assert run._context.counters.refused.counts()["queue_timeout"] == 3
        assert becomes_true(lambda: sum(server.server.stats().responses.values()) == 5, SECONDS)
        counts = run.figures.snapshot()["waits"]["counts"]
        assert (sum(counts), sum(counts[6:])) == (5, 3)  # of which the refused ones were longer than 50 ms
        skipping_clock.skip_to_tick(server.server, 2 * Refusals.quiet_seconds)
        assert "Requests are no longer answered 503: 3 were" in caplog.messages
    assert len(application.queue_seconds) == 2
    records = [text for text in caplog.messages if text.startswith("Requests are answered 503")]
    assert len(records) == 1
    assert re.match(
        r"Requests are answered 503, because of queue_timeout: a request has waited for \d+\.\d+ seconds, longer than",
        records[0],
    )
    lines = [record.getMessage() for record in caplog.records if record.name == "waitress.access"]
    assert sorted(lines) == ["/0 503", "/1 503", "/2 503", "/first 200", "/later 200"]


@pytest.mark.usefixtures("kind")
def test_a_request_that_finds_too_many_before_it_is_answered_503_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    application = Told()
    settings: dict[str, Any] = {"queue_limit": 2, "access_log": "{target} {status}", "request_id_header": True}
    with queued(application, 2, **settings) as (server, first, others):
        for _ in range(3):
            with server.client() as client:  # while the only thread is busy
                response = client.get("/refused")
                assert (response.status, response.header("Retry-After")) == (503, "1")
                assert response.header("X-Request-Id")
                assert client.rest() == b""
        application.released.set()
        assert [client.response().status for client in (first, *others)] == [200] * 3
        run = server.server._run
        assert run is not None
        assert run._context.counters.refused.counts()["queue_limit"] == 3
    (record,) = [text for text in caplog.messages if text.startswith("Requests are answered 503")]
    assert record == "Requests are answered 503, because of queue_limit: a request has found 2 others waiting"
    lines = [record.getMessage() for record in caplog.records if record.name == "waitress.access"]
    assert sorted(lines) == ["/0 200", "/1 200", "/first 200", *["/refused 503"] * 3]


class Stepped(Told):
    """Answers one request each time that `steps` is released."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = threading.Semaphore(0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.released.set()
        body = super().__call__(environ, start_response)
        assert self.steps.acquire(timeout=SECONDS)
        return body


def test_log_lines_of_refused_requests_take_no_place_in_the_queue() -> None:
    application = Stepped()
    with queued(application, 2, queue_limit=2, access_log="{status}") as (server, first, others):
        for _ in range(3):
            with server.client() as client:
                assert client.get().status == 503
        application.steps.release()
        assert first.response().status == 200
        assert becomes_true(lambda: len(application.queue_seconds) == 2, SECONDS)
        with server.client() as late:  # one waits before it, and three lines
            late.send(get())
            application.steps.release(3)
            assert [client.response().status for client in (*others, late)] == [200] * 3


def test_a_refused_request_with_a_body_leaves_nothing_behind() -> None:
    application = Held()
    with running(application, threads=1, queue_limit=1) as server, set_at_end(application.released):
        with server.client() as first, server.client() as second, server.client() as third:
            first.send(get())
            assert application.entered.wait(SECONDS)
            second.send(get())
            assert becomes_true(partial(has_queue, server, 1), SECONDS)
            third.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n" + b"x" * 600_000)
            assert third.response().status == 503
            application.released.set()
            assert first.response().status == second.response().status == 200


def test_with_twice_the_load_no_answer_has_waited_long_and_no_capacity_is_lost() -> None:
    """The whole measurement is `python -m tests.soak.overload`; here it is short, with bounds for a busy machine."""
    from tests.soak.overload import measure

    result = measure(threads=2, work_seconds=0.1, queue_timeout=0.2, load=2.0, seconds=2.0)
    assert result.refused > 0
    assert result.p99_seconds < 0.2 + 1.5
    assert result.answered_per_second > 0.3 * 2 / 0.1
    assert Counter(result.other) == Counter()
