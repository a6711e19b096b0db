"""Another supervisor, of the version that is installed now: started by this one, with its listening sockets.

It is the same command in the same folder. Once its workers serve it reports that by a pipe, and this one retires. If
it ends before that, nothing has changed.

Its parent is a guard, a process that only waits for it, and ends when it takes over: then its parent is systemd, if
systemd has started this one. It must be when systemd is notified of the new main process: systemd does not wait for the
end of a process that is not its child, but kills the whole service at once (MAINPID=, KillMode=mixed).

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
        pid_pipe, pid_write_end = os.pipe()
        command = [sys.executable, *sys.orig_argv[1:]]
        predecessor = os.getpid()
        self._guard = os.fork()
        if not self._guard:
            try:
                _restore_signals(blocked)
                pid = os.fork()
                if not pid:
                    _become(command, listeners, folder, write_end, predecessor)
                os.close(write_end)
                os.write(pid_write_end, str(pid).encode("ascii"))
                os.close(pid_write_end)
                _end_as(pid)
            finally:
                os._exit(127)
        os.close(write_end)
        os.close(pid_write_end)
        self.pid = int(os.read(pid_pipe, 32) or b"0")  # 0: none could be started, and the pipe says that it has ended
        os.close(pid_pipe)

    def wait(self) -> int:
        """Return the status of a successor that has ended."""
        try:
            return os.waitpid(self._guard, 0)[1]
        except ChildProcessError:  # somebody else has waited for it
            return 0

    def release(self) -> None:
        """End the guard of a successor that serves."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._guard, signal.SIGKILL)
        self.wait()

    def is_ready(self) -> bool | None:
        """Whether it serves; None as long as it has not reported that."""
        os.set_blocking(self.pipe, False)
        try:
            return bool(os.read(self.pipe, 1))
        except BlockingIOError:
            return None

    def stop(self) -> None:
        """Ask it to end."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Release the pipe."""
        os.close(self.pipe)


def _restore_signals(blocked: Iterable[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _end_as(pid: int) -> None:
    """Wait for a child, and end this process in the same way."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _become(command: list[str], listeners: Sequence[Listener], folder: str, pipe: int, predecessor: int) -> None:
    """Execute the command in this process, the child of a fork."""
    own = [listener.descriptor for listener in listeners if listener.owns_path]
    for descriptor in (pipe, *(listener.descriptor for listener in listeners)):
        os.set_inheritable(descriptor, True)
    with contextlib.suppress(OSError):  # it is gone: modules may be found elsewhere
        os.chdir(folder)
    os.execve(command[0], command, _environ(os.environ, handover_text(pipe, own), predecessor))


def _environ(environ: Mapping[str, str], handover: str, predecessor: int) -> dict[str, str]:
    environ = {**environ, HANDOVER_VARIABLE: handover}
    # What systemd has passed to its process: sockets, by numbers that stay, and that it watches it.
    for name in ("LISTEN_PID", "WATCHDOG_PID"):
        if environ.get(name) == str(predecessor):
            environ[name] = str(os.getpid())
    return environ
