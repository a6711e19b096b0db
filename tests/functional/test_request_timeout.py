"""`request_timeout`: a request that runs too long is answered, logged, and its thread replaced."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, get, set_at_end
from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from tests.support.times import shorten_checks, shorten_ticks
from waitress_core.status.document import why_not_ready

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOST = "it is given up, and its thread waitress-"


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)
    shorten_checks(monkeypatch)


class Hanging:
    """Hangs at `/hang`, before its response, after its hints, or within its body, until `released`."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.ended = threading.Semaphore(0)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/quick":
            start_response("200 OK", [("Content-Length", "5")])
            return [b"quick"]
        if path == "/hints":
            environ["wsgi.early_hints"]([("Link", "</a>")])
        if path == "/body":
            return self.body(start_response)
        self.hang()
        try:
            start_response("200 OK", [])(b"too late")
        finally:
            self.ended.release()
        return []

    def body(self, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        self.hang()
        self.ended.release()
        yield b"too late"

    def hang(self) -> None:
        self.released.wait(SECONDS)


def ask(server: Running, path: str, version: str = "1.1") -> Client:
    client = server.client()
    client.send(get(target=path, version=version))
    return client


def receive_for_ever(client: Client, received: bytearray) -> None:
    while data := client.socket.recv(65536):
        received += data


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_answered_503_and_logged_with_its_stack_and_others_are_served(
    threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    application = Hanging()
    settings: dict[str, Any] = {"access_log": "{target} {status}", "request_id_header": True, "threads": threads}
    # Not less: on a busy machine a quick request may take a part of a second.
    with running(application, request_timeout=1, **settings) as server, set_at_end(application.released):
        with ask(server, "/hang") as client:
            response = client.response()
            assert (response.status, response.header("Connection")) == (503, "close")
            request_id = response.header("X-Request-Id")
            assert request_id
            assert client.rest() == b""
        run = server.server._run
        assert run is not None
        # It has ended for its client: it is counted and logged, even if its thread never ends.
        assert becomes_true(lambda: "/hang 503" in caplog.messages, SECONDS)
        assert server.server.stats().responses["5xx"] == 1
        assert run._context.counters.by_end_reason["response"] == 1
        assert becomes_true(partial(has_lost, server, 1), SECONDS)
        for _ in range(2 * threads):
            with server.client() as other:
                assert other.get("/quick").body == b"quick"
        assert run._dispatcher.is_short_of_threads is (threads == 1)
        assert run._context.counters.refused.counts()["request_timeout"] == 1
        application.released.set()
        assert application.ended.acquire(timeout=SECONDS)
        assert becomes_true(lambda: run._dispatcher.lost_count == 0, SECONDS)
        assert f"The request that was given up has ended: /hang (request {request_id})" in caplog.messages
        assert "cut off" not in caplog.text  # the client has its whole 503
        assert becomes_true(lambda: len(run._dispatcher.threads) == threads + 2, SECONDS)
        with server.client() as other:
            assert other.get("/quick").body == b"quick"
        assert becomes_true(lambda: sum(server.server.stats().responses.values()) == 2 * threads + 2, SECONDS)
        assert server.server.stats().responses == {"2xx": 2 * threads + 1, "3xx": 0, "4xx": 0, "5xx": 1, "none": 0}
    (text,) = [text for text in caplog.messages if LOST in text]
    assert "in hang" in text
    assert "has ended: another one replaces it" not in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.name == "waitress.access"]
    assert sorted(lines) == ["/hang 503", *["/quick 200"] * (2 * threads + 1)]


@pytest.mark.parametrize("path", ["/body", "/hints"])
@pytest.mark.parametrize("status_listen", [None, "127.0.0.1:0"], ids=["no-status", "status"])
def test_what_has_started_is_cut_off_and_looks_incomplete(
    path: str, status_listen: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    application = Hanging()
    settings = {"status_listen": status_listen, "access_log": "{target} {status} {request_id} {duration}"}
    with running(application, request_timeout=0.1, **settings) as server, set_at_end(application.released):
        with ask(server, path) as client:
            if path == "/hints":
                assert client.response().status == 103
                assert client.rest() == b""
            else:
                with pytest.raises((ConnectionError, AssertionError, EOFError)):
                    client.response()
        kind = "2xx" if path == "/body" else "none"
        assert becomes_true(lambda: server.server.stats().responses[kind] == 1, SECONDS)
        assert not application.ended.acquire(blocking=False)
        with server.client() as other:
            assert other.get("/quick").body == b"quick"


def test_a_response_without_its_own_end_is_reset() -> None:
    application = Hanging()
    with running(application, request_timeout=0.1) as server, set_at_end(application.released):
        with ask(server, "/body", "1.0") as client:
            if sys.platform == "win32":  # which resets the connection when its task ends
                assert becomes_true(partial(has_lost, server, 1), SECONDS)
                application.released.set()
            received = bytearray()
            with pytest.raises(ConnectionResetError):
                receive_for_ever(client, received)
            assert application.ended.acquire(blocking=False) is (sys.platform == "win32")
            application.released.set()
            assert becomes_true(partial(has_lost, server, 0), SECONDS)
        with server.client() as other:
            assert other.get("/quick").body == b"quick"
    assert b"too late" not in received


def test_as_many_threads_are_replaced_as_there_should_be(caplog: pytest.LogCaptureFixture) -> None:
    application = Hanging()
    with running(application, request_timeout=0.1, threads=2) as server, set_at_end(application.released):
        run = server.server._run
        assert run is not None
        for lost in (1, 2):
            assert not run._dispatcher.is_short_of_threads
            with ask(server, "/hang") as client:
                assert client.response().status == 503
            assert becomes_true(partial(has_lost, server, lost), SECONDS)
        assert run._dispatcher.is_short_of_threads
        with ask(server, "/hang") as client:
            assert client.response().status == 503
        with server.client() as other:  # by the one thread that is left
            assert other.get("/quick").body == b"quick"
        assert why_not_ready([run.figures.snapshot()], ready_queue_seconds=0, now=time.monotonic()) == (
            "its threads are lost to requests that do not end, see request_timeout"
        )
        application.released.set()
        assert becomes_true(partial(has_lost, server, 0), SECONDS)
        assert not run._dispatcher.is_short_of_threads
        for _ in range(4):
            with server.client() as other:
                assert other.get("/quick").body == b"quick"
    assert "2 thread(s) lost to requests that do not end: further ones are not replaced" in caplog.text


def has_lost(server: Running, count: int) -> bool:
    run = server.server._run
    return run is not None and run._dispatcher.lost_count == count


def test_by_default_a_request_may_run_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    application = Hanging()
    with running(application) as server, set_at_end(application.released), ask(server, "/hang") as client:
        assert not client.can_read_within(0.3)
        application.released.set()
        assert client.response().body == b"too late"
    assert caplog.messages == []
