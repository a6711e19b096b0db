"""Forks the supervisor, and names how a child has ended.

In the child a signal finds the child's handlers, never the supervisor's.

Thread: the supervisor's only one.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import gc
import os
import signal
from collections.abc import Callable, Collection, Iterator


def fork(run_child: Callable[[Collection[int]], object]) -> int:
    """Fork; return the process id of the child, which runs `run_child` and never returns.

    No signal is delivered in the child until it sets its mask to the one that `run_child` gets.

    Raises:
        OSError: the system has no process left.
    """
    with signals_blocked() as mask:
        pid = os.fork()
        if not pid:
            try:
                _leave_greenlets()
                run_child(mask)
            finally:
                os._exit(1)
        return pid


def _leave_greenlets() -> None:
    """Let eventlet, if the program uses it, watch descriptors by an epoll of this process's own, not the parent's."""
    hubs = sys.modules.get("eventlet.hubs")
    if hubs is not None:
        hubs.use_hub()


def how_it_ended(status: int) -> str:
    """Return a status of `os.waitpid` in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
        return f"killed by signal {number}"
    return f"exit status {os.WEXITSTATUS(status)}"


def freeze_memory() -> None:
    """Keep what is loaded before the fork in pages that workers share: the collector would write to each object."""
    gc.collect()
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.freeze()


@contextlib.contextmanager
def signals_blocked() -> Iterator[Collection[int]]:
    """Block all signals in this context; yield the mask from before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
