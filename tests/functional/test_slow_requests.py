"""`log_slow_requests` on real servers."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import SECONDS, get, set_at_end
from tests.support.processes import becomes_true
from tests.support.servers import running
from tests.support.times import SHORT_TICK_SECONDS, shorten_ticks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Waiting:
    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.brew()
        start_response("200 OK", [])
        return [b"ok"]

    def brew(self) -> None:
        self.entered.set()
        self.released.wait(SECONDS)


def slow_records(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if "has been running for" in text]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_request_that_runs_too_long_is_logged_once(
    threads: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shorten_ticks(monkeypatch)
    application = Waiting()
    with running(application, threads=threads, log_slow_requests=0.2) as server, set_at_end(application.released):
        with server.client() as client:
            client.send(get(target="/tea%0a?milk=1"))
            assert becomes_true(lambda: bool(slow_records(caplog)), SECONDS)
            assert not client.is_closed_within(5 * SHORT_TICK_SECONDS)
            application.released.set()
            assert client.response().body == b"ok"
    (text,) = slow_records(caplog)
    first, *stack = text.split("\n")
    assert first.startswith("<WSGITask GET /tea%0a> has been running for ")
    assert ", in thread waitress-" in first
    assert any("in brew" in line for line in stack)


def test_by_default_none_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    shorten_ticks(monkeypatch)
    application = Waiting()
    with running(application) as server, set_at_end(application.released), server.client() as client:
        client.send(get())
        assert application.entered.wait(SECONDS)
        assert not client.is_closed_within(1.2)
        application.released.set()
        client.response()
    assert slow_records(caplog) == []
