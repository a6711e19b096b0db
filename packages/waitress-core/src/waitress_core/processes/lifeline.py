"""The end of the supervisor, as a worker notices it that cannot look for it.

The end of a pipe is that of the supervisor (`worker_pipes`). A worker that ticks checks once a second whether its
supervisor is there, and drains. One that loads its application has no client yet, and ends at once. No code of the
application can be relied on for that: it may wait for ever, keep the interpreter, handle or block every signal. So on
Linux the system itself kills the worker (F_SETSIG, fcntl(2)). That needs no thread, so an application may fork while it
is loaded. On other systems a thread waits, which an application that keeps the interpreter holds up.

The supervisor asks the same of the system for a worker that serves and does not tick, because native code keeps the
interpreter, or because nobody reads its log: it cannot drain. Linux only; not for a worker that hangs for less than
`scoreboard.FRESH_SECONDS` when the supervisor is killed, nor for one that is deadlocked at the fork, and so has not
closed its copies of the other ends.

Thread: the main thread of a worker, or of the supervisor; on other systems than Linux also another thread of a worker.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import fcntl
import os
import select
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def ending_with_supervisor(pipe: int) -> Iterator[None]:
    """Kill this process if the other end of the pipe is closed in this context, or has been before it."""
    is_over = threading.Event()
    by_system = let_system_kill(pipe, os.getpid())
    if not by_system:
        threading.Thread(target=_kill_at_end, args=(pipe, is_over), name="waitress-lifeline", daemon=True).start()
    elif select.select([pipe], [], [], 0)[0]:  # closed before the system was asked
        _kill()
    try:
        yield
    finally:
        is_over.set()
        if by_system:
            let_live(pipe)


def let_system_kill(pipe: int, pid: int) -> bool:
    """Let the system kill a process when the pipe ends; return False if it cannot."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.fcntl(pipe, fcntl.F_SETOWN, pid)
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:  # what takes the place of Linux does not know it
        return False
    return True


def let_live(pipe: int) -> None:
    """Take back what `let_system_kill` has asked for."""
    with contextlib.suppress(OSError):  # the application has closed what it did not know
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) & ~os.O_ASYNC)


def _kill_at_end(pipe: int, is_over: threading.Event) -> None:
    with contextlib.suppress(OSError):  # the application has closed what it did not know
        if not os.read(pipe, 1) and not is_over.is_set():
            _kill()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
