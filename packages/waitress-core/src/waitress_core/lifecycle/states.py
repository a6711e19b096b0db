"""The life of a server: its states, and the signals that move it on.

    READY     listening, nothing accepted                run, start
    SERVING                                              shutdown (SIGTERM, SIGINT), close
    LEAVING   new clients too get an answer, and its     shutdown_delay, shutdown_timeout, close
              connection ends: load balancers notice
    DRAINING  nothing new, everything begun is answered  the last connection's end, shutdown_timeout, close
    CLOSING   only what runs, or is being sent, may end  its end, CLOSE_SECONDS
    CLOSED    nothing is left

A wish to move on comes from any thread or a signal handler, and is only written down; the holder of the lead acts on
it. Hence no handler ever waits for a lock.
"""

import contextlib
import enum
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple


class State(enum.IntEnum):
    """What a server does; a server only ever moves to a higher state."""

    READY = 0
    SERVING = 1
    LEAVING = 2
    DRAINING = 3
    CLOSING = 4
    CLOSED = 5


# Straight to CLOSED goes a run that could not begin, one whose last connection has ended, and that of a forked child.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.READY: frozenset({State.SERVING, State.CLOSED}),
    State.SERVING: frozenset({State.LEAVING, State.CLOSING, State.CLOSED}),
    State.LEAVING: frozenset({State.DRAINING, State.CLOSING, State.CLOSED}),
    State.DRAINING: frozenset({State.CLOSING, State.CLOSED}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


class StopRequest(NamedTuple):
    """That the server end: by way of LEAVING or at once by CLOSING, before an instant of `time.monotonic`."""

    state: State
    until: float
    is_signal: bool = False  # from a signal, which can be sent again


CLOSE_SECONDS = 5.0  # given by `close` to running applications, and to responses under way

_SIGNALS = ("SIGTERM", "SIGINT", "SIGBREAK")
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


_replaced: dict[int, Any] = {}  # handlers that a context has replaced, by signal; the main thread only


@contextlib.contextmanager
def ending_signals(on_signal: Callable[[], None]) -> Iterator[None]:
    """Have `on_signal` called for the signals that end a server, for as long as the context lasts.

    Only in the main thread (no other can handle signals), and only for signals that nobody else handles.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        on_signal()

    replaced = []
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in _DEFAULTS:
                _replaced[number] = signal.signal(number, handle)
                replaced.append(number)
    try:
        yield
    finally:
        _give_back(replaced)


def give_signals_back() -> None:
    """Undo all that the contexts have done: in a forked child, which no signal could end otherwise."""
    _give_back(list(_replaced))


def _give_back(numbers: list[int]) -> None:
    for number in numbers:
        if number in _replaced:
            signal.signal(number, _replaced.pop(number))
