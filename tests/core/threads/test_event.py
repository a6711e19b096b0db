"""The event that an exception of another thread cannot break."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

import pytest

from tests.support.interruptions import interruptions
from waitress_core.threads.event import Event

SOON = 20.0


def test_it_is_set_until_it_is_cleared() -> None:
    event = Event()
    assert not event.is_set()
    assert not event.wait(0.001)
    for _ in range(2):
        event.set()
        event.set()
        assert event.is_set()
        assert event.wait(SOON)
        assert event.wait(0)
        event.clear()
        event.clear()
        assert not event.is_set()
        assert not event.wait(0.001)


def test_no_time_left_is_no_wait() -> None:
    event = Event()
    for seconds in (0.0, -1.0, -0.5):  # -1 is for ever to a lock
        assert not event.wait(seconds)


def test_all_who_wait_go_on_when_it_is_set() -> None:
    event = Event()
    went_on: list[bool] = []
    waiting = [threading.Thread(target=lambda: went_on.append(event.wait(SOON)), daemon=True) for _ in range(3)]
    for thread in waiting:
        thread.start()
    event.set()
    for thread in waiting:
        thread.join(SOON)
    assert went_on == [True] * 3
    event.clear()
    assert not event.wait(0.001)


def test_an_exception_at_any_step_holds_up_nobody() -> None:
    for interruption in interruptions(until={"stop"}):
        event = Event()
        with suppress(SystemExit):
            interruption.start()
            event.set()
            interruption.stop()
        setting = threading.Thread(target=event.set, daemon=True)
        setting.start()
        setting.join(SOON)
        assert not setting.is_alive(), interruption.place
        assert event.wait(SOON), interruption.place


@pytest.mark.skipif(sys.platform == "win32", reason="no signal ends a wait on Windows")
def test_a_signal_handler_may_set_it_while_its_thread_waits() -> None:
    event = Event()
    before = signal.signal(signal.SIGINT, lambda number, frame: event.set())
    try:
        killing = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        killing.start()
        started_at = time.monotonic()
        assert event.wait(SOON)
        assert time.monotonic() - started_at < SOON / 2
        killing.join()
    finally:
        signal.signal(signal.SIGINT, before)
