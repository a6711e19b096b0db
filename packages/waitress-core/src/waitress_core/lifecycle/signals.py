"""Signals that end a server: SIGTERM and SIGINT, and Ctrl-Break on Windows.

Thread: the main thread, the only one in which Python runs signal handlers.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_SIGNALS = ("SIGTERM", "SIGINT", "SIGBREAK")
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)

_replaced: dict[int, Any] = {}  # handlers that a context has replaced, by signal; the main thread only


@contextlib.contextmanager
def ending_signals(on_signal: Callable[[], None]) -> Iterator[None]:
    """Call `on_signal` for the signals that end a server, as long as the context lasts.

    Only in the main thread (no other can handle signals), and only for signals that nothing else handles.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        on_signal()

    replaced = []
    if _is_main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in _DEFAULTS:
                _replaced[number] = signal.signal(number, handle)
                replaced.append(number)
    try:
        yield
    finally:
        _give_back(replaced)


def _is_main_thread() -> bool:
    current = threading.current_thread()
    # eventlet has its own object of the main thread, of another class of that name.
    return current is threading.main_thread() or type(current).__name__ == "_MainThread"


def give_signals_back() -> None:
    """Undo what the contexts did: in a forked child, which no signal could end otherwise."""
    _give_back(list(_replaced))


def _give_back(numbers: list[int]) -> None:
    for number in numbers:
        if number in _replaced:
            signal.signal(number, _replaced.pop(number))
