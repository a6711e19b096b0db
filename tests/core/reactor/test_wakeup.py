"""What ends a poll from another thread or a signal handler, with each poller."""

import os
import signal
import sys
import threading

import pytest

from waitress_core.reactor.poller import READ, Poller
from waitress_core.reactor.wakeup import WakeUp

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once


def test_a_wake_up_from_another_thread_ends_a_poll(poller: Poller, wake_up: WakeUp) -> None:
    polling = threading.Event()

    def wake() -> None:
        polling.wait(SOON)
        wake_up.wake()

    thread = threading.Thread(target=wake)
    thread.start()
    polling.set()
    assert poller.poll(SOON) == [(wake_up.descriptor, READ)]
    thread.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that one process can send itself in a poll")
def test_a_wake_up_from_a_signal_handler_ends_a_poll(poller: Poller, wake_up: WakeUp) -> None:
    if sys.platform != "win32":
        polled = threading.Event()

        def send() -> None:
            # Again and again: a signal just before the system call is handled only after it.
            while not polled.wait(0.05):
                os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, lambda number, frame: wake_up.wake())
        thread = threading.Thread(target=send)
        try:
            thread.start()
            assert poller.poll(SOON) == [(wake_up.descriptor, READ)]
        finally:
            polled.set()
            thread.join()
            signal.signal(signal.SIGUSR1, before)


def test_a_wake_up_before_a_poll_ends_it_at_once_until_it_is_cleared(poller: Poller, wake_up: WakeUp) -> None:
    wake_up.wake()
    wake_up.wake()
    assert poller.poll(SOON) == [(wake_up.descriptor, READ)]
    wake_up.clear()
    assert poller.poll(0) == []
    wake_up.wake()
    assert poller.poll(SOON) == [(wake_up.descriptor, READ)]


def test_clearing_without_a_wake_up_does_nothing(wake_up: WakeUp) -> None:
    wake_up.clear()


def test_wake_ups_that_nobody_clears_never_block(poller: Poller, wake_up: WakeUp) -> None:
    for _ in range(20_000):
        wake_up.wake()
    assert poller.poll(SOON) == [(wake_up.descriptor, READ)]


def test_waking_what_is_closed_does_nothing() -> None:
    wake_up = WakeUp()
    wake_up.close()
    wake_up.wake()
    wake_up.close()
