"""Times that a server waits for, shortened so that a test need not wait for them."""

import time
from functools import partial

import pytest

from waitress_core import BaseWSGIServer
from waitress_core.lifecycle import states
from waitress_core.reactor.reactor import Reactor

SHORT_TICK_SECONDS = 0.05

# At the head of a program that serves: an idle reactor waits for IDLE_WAIT, and ticks at most once in TICK_SECONDS.
SHORT_TICKS = f"""
from waitress_core.reactor import reactor as _reactor
from waitress_core.threads import dispatcher as _dispatcher

_reactor.Reactor.tick_seconds = _reactor.TICK_SECONDS = _dispatcher.IDLE_WAIT = {SHORT_TICK_SECONDS}
"""


# At the head of a program that serves: a server that ends waits so long for its threads.
SHORT_END = """
from waitress_core import server as _server
from waitress_core.lifecycle import run as _run

_run.THREADS_SECONDS = _server.THREADS_SECONDS = 0.1
"""


def shorten_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the servers of this process tick twenty times a second."""
    monkeypatch.setattr(Reactor, "tick_seconds", SHORT_TICK_SECONDS, raising=False)
    monkeypatch.setattr("waitress_core.reactor.reactor.TICK_SECONDS", SHORT_TICK_SECONDS, raising=False)
    monkeypatch.setattr("waitress_core.threads.dispatcher.IDLE_WAIT", SHORT_TICK_SECONDS, raising=False)


def shorten_close(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have `close()` give running requests so many seconds."""
    monkeypatch.setattr(BaseWSGIServer, "close_seconds", seconds, raising=False)
    for module in ("waitress_core.server", "waitress_core.lifecycle.run"):
        monkeypatch.setattr(f"{module}.CLOSE_SECONDS", seconds, raising=False)


def shorten_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server that ends wait a tenth of a second for its threads: where the test holds one up."""
    for module in ("waitress_core.server", "waitress_core.lifecycle.run"):
        monkeypatch.setattr(f"{module}.THREADS_SECONDS", 0.1, raising=False)


def default_close_seconds() -> float:
    """Return how many seconds `close()` gives running requests unless a test shortens them."""
    return float(getattr(BaseWSGIServer, "close_seconds", None) or states.CLOSE_SECONDS)


class SkippingClock:
    """The monotonic clock, plus what a test has skipped."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._skipped

    def skip(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._skipped += seconds


def skip_time(monkeypatch: pytest.MonkeyPatch) -> SkippingClock:
    """Give the servers of this process, which also tick often, a clock that can skip time.

    Its instants are ahead of those of `time.monotonic`, from which `close` and `shutdown` reckon: they cut off sooner.
    """
    shorten_ticks(monkeypatch)
    clock = SkippingClock()
    monkeypatch.setattr("waitress_core.lifecycle.run.Reactor", partial(Reactor, clock=clock))
    return clock
