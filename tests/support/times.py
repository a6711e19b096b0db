"""Times that a server waits for, shortened so that a test need not wait for them."""

import pytest

SHORT_TICK_SECONDS = 0.05

# At the head of a program that serves: an idle reactor waits for IDLE_WAIT, and ticks at most once in TICK_SECONDS.
SHORT_TICKS = f"""
from waitress_core.reactor import reactor as _reactor
from waitress_core.threads import dispatcher as _dispatcher

_reactor.Reactor.tick_seconds = _reactor.TICK_SECONDS = _dispatcher.IDLE_WAIT = {SHORT_TICK_SECONDS}
"""


def shorten_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the servers of this process tick twenty times a second."""
    monkeypatch.setattr("waitress_core.reactor.reactor.Reactor.tick_seconds", SHORT_TICK_SECONDS, raising=False)
    monkeypatch.setattr("waitress_core.reactor.reactor.TICK_SECONDS", SHORT_TICK_SECONDS, raising=False)
    monkeypatch.setattr("waitress_core.threads.dispatcher.IDLE_WAIT", SHORT_TICK_SECONDS, raising=False)


def shorten_close(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have `close()` give running requests so many seconds."""
    monkeypatch.setattr("waitress_core.server.BaseWSGIServer.close_seconds", seconds, raising=False)
    for module in ("server", "lifecycle.run"):
        monkeypatch.setattr(f"waitress_core.{module}.CLOSE_SECONDS", seconds, raising=False)
