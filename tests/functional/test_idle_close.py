"""The race of an idle connection: the server closes it while a request is on its way.

The bytes have come before the close: they are read and answered. Or the close came first: the client sees the end, or a
reset, before any byte of a response. Never a part of one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import SECONDS, Recorder, get
from tests.support.servers import Running, running
from tests.support.times import shorten_ticks

if TYPE_CHECKING:
    from tests.support.client import Client

IDLE_SECONDS = 0.2


def whole_or_nothing(client: Client) -> bool:
    """Send a request on an idle connection; return whether it was answered. Anything but all or nothing fails."""
    try:
        client.send(get(target="/again"))
    except ConnectionError:
        return False
    received = client.rest()  # a reset is an end
    if not received:
        return False
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"2\r\nok\r\n0\r\n\r\n" or body == b"ok"
    return True


def race(server: Running, delay: float, outcomes: list[bool]) -> None:
    with server.client() as client:
        assert client.get().status == 200
        time.sleep(delay)
        outcomes.append(whole_or_nothing(client))


def test_a_request_that_meets_an_idle_close_is_answered_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)
    outcomes: list[bool] = []
    application = Recorder()
    with running(application, channel_timeout=IDLE_SECONDS, threads=2) as server:
        # Around the instant at which the server closes: IDLE_SECONDS, and up to a tick later.
        delays = [IDLE_SECONDS + 0.002 * step for step in range(-15, 45)]
        clients = [threading.Thread(target=race, args=(server, delay, outcomes)) for delay in delays]
        for client in clients:
            client.start()
        for client in clients:
            client.join(SECONDS)
    assert len(outcomes) == len(delays)
    assert application.paths.count("/again") == sum(outcomes), "what was run was answered"


def test_bytes_that_have_come_before_the_close_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is over, and a request is in the socket: it is looked at before the close."""
    application = Recorder()
    with running(application, channel_timeout=IDLE_SECONDS) as server, server.client() as client:
        assert client.get().status == 200
        run = server.server._run
        assert run is not None
        looked, sent = threading.Event(), threading.Event()
        (connection,) = run.manager.connections.values()

        def close_while_a_request_is_there() -> None:
            looked.set()
            assert sent.wait(SECONDS)
            connection.on_receiving_overdue()

        run.call_soon_threadsafe(close_while_a_request_is_there)
        assert looked.wait(SECONDS)
        client.send(get(target="/again"))
        sent.set()
        assert client.response().status == 200
        assert client.get().status == 200
    assert application.paths == ["/", "/again", "/"]
