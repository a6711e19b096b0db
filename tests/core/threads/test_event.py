"""The event at which no thread waits for ever because another one was killed."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

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


def start_waiting(event: Event) -> threading.Thread:
    """Wait in another thread, for longer than a test joins it."""

    def wait() -> None:
        with suppress(SystemExit):
            event.wait(10 * SOON)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def goes_on(thread: threading.Thread) -> bool:
    thread.join(SOON)
    return not thread.is_alive()


def test_all_who_wait_go_on_when_it_is_set() -> None:
    event = Event()
    waiting = [start_waiting(event) for _ in range(3)]
    event.set()
    assert all(map(goes_on, waiting))


def test_one_that_is_killed_at_any_step_of_its_wait_leaves_it_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []
    for interruption in interruptions(until={"stop"}):
        event = Event()
        gate = event._gate

        def acquire(timeout: float, event: Event = event, gate: threading.Lock = gate) -> bool:
            event.set()  # another thread does, while this one waits
            return gate.acquire(timeout=timeout)

        monkeypatch.setattr(event, "_gate", SimpleNamespace(acquire=acquire, release=gate.release))
        with suppress(SystemExit):
            interruption.start()
            event.wait(SOON)
            interruption.stop()
        places.append(interruption.place)
        assert gate.locked() is not event.is_set(), interruption.place
    assert any("acquire" in place and "c_return" in place for place in places)


def test_an_exception_at_any_step_holds_up_nobody() -> None:
    for interruption in interruptions(until={"stop"}):
        event = Event()
        waiting = start_waiting(event)
        with suppress(SystemExit):
            interruption.start()
            event.set()
            interruption.stop()
        setting = threading.Thread(target=event.set, daemon=True)
        setting.start()
        assert goes_on(setting), interruption.place
        assert goes_on(waiting), interruption.place


def test_a_set_between_the_steps_of_another_thread_is_no_end_of_all_waits() -> None:
    event = Event()
    event._gate.release()  # the last step of a `set`, before which another thread has cleared the event
    started_at = time.perf_counter()
    for _ in range(3):
        assert not event.wait(0.01)
    assert time.perf_counter() - started_at >= 0.015


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
