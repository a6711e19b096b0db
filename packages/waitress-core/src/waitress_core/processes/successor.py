"""Another supervisor, of the version that is installed now: started by this one, with its listening sockets.

It is the same command in the same folder. Once its workers serve it says so by a pipe, and this one retires. If it ends
before that, nothing has changed.

Thread: the supervisor's only one.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping, Sequence

from ..net.handover import handover_text
from ..net.listener import HANDOVER_VARIABLE, Listener


class Successor:
    """A process that is to take over; `pipe` is readable when it does, or has ended."""

    def __init__(self, listeners: Sequence[Listener], folder: str, blocked: Iterable[int]) -> None:
        self.pipe, write_end = os.pipe()
        command = [sys.executable, *sys.orig_argv[1:]]
        self.pid = os.fork()
        if not self.pid:
            try:
                _become(command, listeners, folder, write_end, blocked)
            finally:
                os._exit(127)
        os.close(write_end)

    def is_ready(self) -> bool | None:
        """Whether it serves; None as long as it has not said so."""
        os.set_blocking(self.pipe, False)
        try:
            return bool(os.read(self.pipe, 1))
        except BlockingIOError:
            return None

    def stop(self) -> None:
        """Have it end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Release the pipe."""
        os.close(self.pipe)


def _become(command: list[str], listeners: Sequence[Listener], folder: str, pipe: int, blocked: Iterable[int]) -> None:
    """Execute the command in this process, the child of a fork."""
    own = [listener.descriptor for listener in listeners if listener.owns_path]
    for descriptor in (pipe, *(listener.descriptor for listener in listeners)):
        os.set_inheritable(descriptor, True)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    with contextlib.suppress(OSError):  # it is gone: modules may be found elsewhere
        os.chdir(folder)
    os.execve(command[0], command, _environ(os.environ, handover_text(pipe, own)))


def _environ(environ: Mapping[str, str], handover: str) -> dict[str, str]:
    environ = {**environ, HANDOVER_VARIABLE: handover}
    # What systemd says to its process: the sockets that it has passed, whose numbers stay, and that it watches it.
    for name in ("LISTEN_PID", "WATCHDOG_PID"):
        if environ.get(name) == str(os.getppid()):
            environ[name] = str(os.getpid())
    return environ
