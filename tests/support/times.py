"""Times that a server waits for, shortened so that a test need not wait for them."""

import contextlib
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from waitress_core import BaseWSGIServer
from waitress_core.lifecycle import waiter
from waitress_core.lifecycle.run import ServerRun
from waitress_core.reactor.reactor import Reactor

from .client import TIMEOUT

SHORT_TICK_SECONDS = 0.05

# At the head of a program that serves: an idle reactor ticks so often.
SHORT_TICKS = f"""
from waitress_core.reactor.reactor import Reactor

Reactor.usual_tick_seconds = {SHORT_TICK_SECONDS}
"""

# At the head of a program that serves: a server that ends waits so long for its threads.
SHORT_END = """
from waitress_core.lifecycle.run import ServerRun

ServerRun.threads_seconds = 0.1
"""

# At the head of a program that serves: the thread in `run()` checks so often for lost threads and descriptors.
SHORT_CHECKS = """
from waitress_core.lifecycle import waiter

waiter.CHECK_SECONDS = 0.1
"""

# At the head of a program that serves: a further Ctrl-C counts so soon after the signal that made the server drain.
SHORT_AGAIN_SECONDS = 0.1
SHORT_AGAIN = f"""
from waitress_core.lifecycle import signals

signals.AGAIN_SECONDS = {SHORT_AGAIN_SECONDS}
"""


def shorten_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the servers of this process tick twenty times a second."""
    monkeypatch.setattr(Reactor, "usual_tick_seconds", SHORT_TICK_SECONDS)


def shorten_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the servers of this process check ten times a second that their threads and descriptors are there."""
    monkeypatch.setattr(waiter, "CHECK_SECONDS", 0.1)


def shorten_close(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have `close()` give running requests so many seconds."""
    monkeypatch.setattr(BaseWSGIServer, "close_seconds", seconds)


def shorten_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server that ends wait a tenth of a second for its threads: where the test holds one up."""
    monkeypatch.setattr(ServerRun, "threads_seconds", 0.1)


class SkippingClock:
    """The monotonic clock, plus what a test has skipped."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        stopped_at = self._stopped_at
        return (time.monotonic() if stopped_at is None else stopped_at) + self._skipped

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let no time pass but what is skipped: neither the server nor a busy machine makes a client late."""
        self._stopped_at = time.monotonic()
        try:
            yield
        finally:
            self._stopped_at = None

    def skip(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._skipped += seconds

    def skip_to_tick(self, server: BaseWSGIServer, seconds: float) -> None:
        """Let so many seconds pass at once, and wait until the server has ticked after them."""
        self.skip(seconds)
        now = self()
        for run in server._runs:
            _wait_for_tick(run, now)


def _wait_for_tick(run: ServerRun, now: float) -> None:
    has_ticked = threading.Event()

    def note_tick() -> None:
        if run._ticked_at >= now:
            has_ticked.set()

    run._ticks.append(note_tick)
    run.wake_leader()
    assert has_ticked.wait(TIMEOUT)
    run._ticks.remove(note_tick)


def skip_time(monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    """Give the servers of this process, which also tick often, a clock that can skip time.

    Its instants are ahead of those of `time.monotonic`, from which `close` and `shutdown` reckon: they cut off sooner.
    """
    shorten_ticks(monkeypatch)
    clock = SkippingClock()
    monkeypatch.setattr("waitress_core.lifecycle.run.Reactor", partial(Reactor, clock=clock))
    return clock
