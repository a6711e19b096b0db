"""A wall clock that jumps: nothing of the server but the Date of its responses depends on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import SECONDS, errors_in, get, post, set_at_end
from tests.support.client import Response
from tests.support.processes import becomes_true
from tests.support.servers import running
from tests.support.times import SHORT_TICK_SECONDS, shorten_ticks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

YEAR = 365 * 24 * 3600.0
LARGE = 20_000_000  # more than the system takes without a reader


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["forward", "back"])
def test_a_wall_clock_that_jumps_ends_nothing_and_dates_what_comes_after(
    jump: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shorten_ticks(monkeypatch)
    is_running, may_end = threading.Event(), threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/large":
            return [bytes(LARGE)]
        if environ["PATH_INFO"] == "/wait":
            is_running.set()
            may_end.wait(SECONDS)
        return [environ["wsgi.input"].read()]

    wall_clock = time.time

    def dated(response: Response) -> float:
        assert response.status == 200
        return parsedate_to_datetime(str(response.header("Date"))).timestamp() - wall_clock()

    with running(application, threads=2) as server, set_at_end(may_end):
        with server.client() as idle, server.client() as sender, server.client() as reader, server.client() as waiter:
            assert abs(dated(idle.get())) < 60
            sender.send(post("Content-Length: 10") + b"first")
            reader.send(get(target="/large"))
            waiter.send(get(target="/wait"))
            assert is_running.wait(SECONDS)
            monkeypatch.setattr(time, "time", lambda: wall_clock() + jump)
            assert server.server._run is not None
            reactor = server.server._run._reactor
            after = reactor.clock()
            assert becomes_true(
                lambda: reactor._next_tick_at > after + 2 * SHORT_TICK_SECONDS
            )  # it has looked for what is due
            may_end.set()
            assert abs(dated(waiter.response()) - jump) < 60
            assert abs(dated(idle.get()) - jump) < 60
            sender.send(b"after")
            response = sender.response()
            assert response.body == b"firstafter"
            assert abs(dated(response) - jump) < 60
            assert len(reader.response().body) == LARGE
        server.server.shutdown()
        assert server.server._ended.is_set()
    assert errors_in(caplog.records) == []
