"""The access log: what waits for a thread is bounded, and what is left out is told."""

import logging

import pytest

from tests.core.heads import head
from tests.support.manual_clock import ManualClock
from waitress_core.observability import access_log
from waitress_core.observability.access_log import LINE_BYTES, LOG_SECONDS, AccessLog, Exchange

ROOM = 5000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> AccessLog:
    monkeypatch.setattr(access_log, "MAX_WAITING_BYTES", ROOM)
    caplog.set_level(logging.INFO)
    return AccessLog("{target}", clock)


def ended(log: AccessLog, target: str) -> Exchange:
    exchange = log.start("192.0.2.1", head(target), "", 0)
    exchange.end(0)
    return exchange


def test_a_line_waits_where_there_is_room_and_is_left_out_where_there_is_none(
    log: AccessLog, caplog: pytest.LogCaptureFixture
) -> None:
    large = "/" + "x" * (ROOM // 2 - LINE_BYTES - 10)
    waiting = [ended(log, large), ended(log, large)]
    assert [exchange.reserve_room() for exchange in waiting] == [True, True]
    assert [ended(log, "/small").reserve_room() for _ in range(3)] == [False] * 3
    for exchange in waiting:
        exchange.service()
    told = "3 line(s) of the access log left out: no thread was free to write them"
    assert caplog.messages == [told, large, large]
    again = ended(log, "/again")
    assert again.reserve_room()
    again.cancel()
    assert caplog.messages[3:] == ["/again"]


def test_a_line_that_does_not_wait_takes_no_room(log: AccessLog, caplog: pytest.LogCaptureFixture) -> None:
    ended(log, "/large" + "x" * ROOM).service()
    assert len(caplog.messages) == 1
    assert ended(log, "/").reserve_room()


def test_lines_left_out_for_long_are_told_once_a_second(
    log: AccessLog, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    large = "/" + "x" * (ROOM - LINE_BYTES - 10)
    for _ in range(8):  # each that is written lets one wait, and two are left out meanwhile
        waiting = ended(log, large)
        assert waiting.reserve_room()
        assert [ended(log, "/small").reserve_room() for _ in range(2)] == [False] * 2
        waiting.service()
        clock.advance(LOG_SECONDS / 4)
    assert [int(message.split()[0]) for message in caplog.messages] == [2, 8]
