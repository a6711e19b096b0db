"""Limit how long an end may take that a signal has asked for: after that, the system ends the process by SIGALRM.

Any thread may wait for ever, for example to write a log record into a pipe that nobody reads, and the end waits behind
it. The timer needs no thread, and its signal no Python code, unless there are others to end first. A program that uses
SIGALRM itself keeps it.

Thread: the main thread; signal handlers may call all of this.
"""

import signal
import sys
from collections.abc import Callable
from types import FrameType

# After the time that running requests have; longer than a supervisor gives its workers (`plan.KILL_SECONDS`). Doubled:
# whoever stops a server that hangs waits as long again. Halved: threads of a machine under load may need as much.
LIMIT_SECONDS = 6.0
# Three years: setitimer of macOS takes no longer time, and that of other systems no more than 292 years.
LONGEST_SECONDS = 1e8

_is_set = False
_end_others: Callable[[], object] | None = None


def set_limit(seconds: float, end_others: Callable[[], object] | None = None) -> None:
    """End this process in so many seconds and LIMIT_SECONDS, unless it has ended; the shortest time counts.

    `end_others` is called before that, by a signal handler.
    """
    global _is_set, _end_others
    if sys.platform == "win32":
        return
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if not _is_set and (left or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL):
        return
    _is_set = True
    if end_others is not None:
        _end_others = end_others
        signal.signal(signal.SIGALRM, _end)
    seconds = min(seconds + LIMIT_SECONDS, LONGEST_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, left or seconds))


def lift_limit() -> None:
    """Take the limit back, if there is one: the server has ended."""
    global _is_set, _end_others
    if sys.platform != "win32" and _is_set:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGALRM) is _end:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _is_set, _end_others = False, None


def _end(number: int, frame: FrameType | None) -> None:
    if _end_others is not None:
        _end_others()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
