"""An event at which no thread waits for ever because another one was killed.

The methods of `threading.Event` run Python code while they hold a lock. An exception that comes there from another
thread (`PyThreadState_SetAsyncExc`, by which programs kill threads) leaves the lock held, and everybody else waits for
it. Here threads wait for a lock, which calls in C take and release.
"""

import threading


class Event:
    """Like `threading.Event`, but every wait has a limit. Thread: any; a signal handler may call `set`.

    If an event is ever cleared, only one thread may wait for it, and only that thread may clear it.
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
        try:  # no `suppress`, which runs Python code: an exception could come before the lock is released
            self._gate.release()
        except RuntimeError:
            pass  # it is set already

    def clear(self) -> None:
        """Reset it."""
        self._is_set = False  # first: a `set` between the two lines is not lost
        self._gate.acquire(blocking=False)

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` until it is set; return whether it is."""
        if not self._is_set:
            try:
                self._gate.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))
            finally:  # also after an exception of another thread, which comes when the lock is taken: others may wait
                if self._is_set:
                    try:
                        self._gate.release()
                    except RuntimeError:
                        pass  # another one has done so
        return self._is_set
