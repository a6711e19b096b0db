"""An event that an exception of another thread cannot break.

The methods of `threading.Event` run Python code while they hold a lock. An exception that comes there from another
thread (`PyThreadState_SetAsyncExc`, by which programs kill threads) leaves it held, and everybody else waits for ever.
Here each step is one call in C, or an assignment.
"""

import threading
from contextlib import suppress


class Event:
    """Like `threading.Event`.

    Thread: any, and `set` also a signal handler; but one that is cleared has one thread that waits, which clears it.
    """

    __slots__ = ("_gate", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._gate = threading.Lock()  # held while the event is not set
        self._gate.acquire()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it, and end all waits."""
        self._is_set = True
        with suppress(RuntimeError):  # it is set already
            self._gate.release()

    def clear(self) -> None:
        """Set it back."""
        self._is_set = False  # first: a `set` between the two lines is not lost
        self._gate.acquire(blocking=False)

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, for at most so many seconds; return whether it is."""
        if not self._is_set and self._gate.acquire(timeout=max(0.0, seconds)):
            with suppress(RuntimeError):
                self._gate.release()  # for others who wait
        return self._is_set
