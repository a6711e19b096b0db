"""Exceptions that another thread raises, at the step that a test chooses.

Programs kill threads with `PyThreadState_SetAsyncExc`. CPython raises the exception when a function starts, when a call
of a function that is written in C has returned, or at the end of a round of a loop, and nowhere else. Here a profile
function raises it at the first two of these, and on every interpreter.

It does not at two kinds of steps, which may leave a lock held for ever:

- When a `with` of the server has taken a lock. Only CPython 3.14 raises an exception there, which nobody can mend: a
  thread that did nothing but take a lock left it held in 48 of 3,000 tries. Profile functions see that step elsewhere.
- Within `queue`, which only PyPy has in Python. There nobody can raise in another thread.
"""

import ctypes
import queue
import sys
import threading
from collections.abc import Collection, Iterator
from types import FrameType

import pytest

# Callbacks of weak references and of the garbage collector, and generators that are closed: what they raise is printed.
PRINTED = ("_remove", "gc_callback", "<genexpr>")

needs_kill = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="needs CPython's PyThreadState_SetAsyncExc"
)


def kill(thread: threading.Thread) -> None:
    """Have a thread raise SystemExit at its next step."""
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


class Interruption:
    """Raises SystemExit in the thread that calls `start`, once, after `steps` steps.

    It gives up when a function with a name in `until` is called.
    """

    def __init__(self, steps: int, *, until: Collection[str] = ()) -> None:
        self._left = steps
        self._until = until
        self.place = ""  # where it has raised; empty when it has not
        self.is_over = threading.Event()  # it has raised, or has given up

    def start(self) -> None:
        """Count the steps of this thread from now on."""
        sys.setprofile(self._profile)

    def stop(self) -> None:
        """Count no more."""
        sys.setprofile(None)
        self.is_over.set()

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name in self._until:
            self.stop()
        elif frame.f_code.co_name in PRINTED:
            pass
        elif event in ("call", "c_return") and not (_has_taken_lock(frame, argument) or _is_in_queue(frame)):
            self._left -= 1
            if self._left < 0:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name} ({event} {argument})"
                self.stop()
                raise SystemExit


def _has_taken_lock(frame: FrameType, function: object) -> bool:
    """Whether a lock has been taken, but not by `threading`: its conditions and events keep it if they raise then."""
    is_lock = isinstance(getattr(function, "__self__", None), (type(threading.Lock()), type(threading.RLock())))
    return (
        is_lock and getattr(function, "__name__", "") == "__enter__" and frame.f_code.co_filename != threading.__file__
    )


def _is_in_queue(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != queue.__file__:
        frame = frame.f_back
    return frame is not None


def interruptions(*, until: Collection[str]) -> Iterator[Interruption]:
    """Yield one for each step, from the first to the one that is not reached any more."""
    steps, has_raised = 0, True
    while has_raised:
        interruption = Interruption(steps, until=until)
        yield interruption
        steps, has_raised = steps + 1, bool(interruption.place)
