"""Another supervisor, of the version that is installed now: started by this one, with its listening sockets.

It is the same command in the same folder. Once its workers serve it reports that by a pipe, and this one retires. If
it ends before that, nothing has changed.

Its parent is a guard, a process that only waits for it, and ends when it takes over: then its parent is systemd, if
systemd has started this one. It must be when systemd is notified of the new main process: systemd does not wait for the
end of a process that is not its child, but kills the whole service at once (MAINPID=, KillMode=mixed).
The guard also ends the successor of a predecessor that was killed: a server that was killed must not come back by
itself.

Thread: the supervisor's only one.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import io
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..net.handover import handover_text
from ..net.listener import HANDOVER_VARIABLE, Listener
from .child import STATUS_IGNORES
from .waiting import Waiting

CHECK_SECONDS = 1.0  # between two checks of a guard whether the predecessor is there


class Successor:
    """A process that is to take over; `pipes` has what is readable when it does.

    The guard calls `leave`, which closes what is this process's alone. It gives a successor without a predecessor
    `end_seconds` to end.

    Raises:
        OSError: the system has no descriptor or process left; nothing stays open.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        folder: str,
        blocked: Iterable[int],
        leave: Iterable[Callable[[], object]],
        end_seconds: float,
    ) -> None:
        command = [sys.executable, *sys.orig_argv[1:]]
        predecessor = os.getpid()
        with contextlib.ExitStack() as until_forked:
            pipe, write_end = _pipe(until_forked)
            pid_pipe, pid_write_end = _pipe(until_forked)
            self._guard = os.fork()
            until_forked.pop_all()
        if not self._guard:
            try:
                _restore_signals(blocked)
                for leave_one in leave:
                    leave_one()
                os.close(pipe)
                os.close(pid_pipe)
                pid = os.fork()
                if not pid:
                    _become(command, listeners, folder, write_end, predecessor)
                os.close(write_end)
                os.write(pid_write_end, str(pid).encode("ascii"))
                os.close(pid_write_end)
                _end_as(_wait_for(pid, predecessor, end_seconds))
            finally:
                os._exit(127)
        os.close(write_end)
        os.close(pid_write_end)
        self.pipes = [pipe]
        self.pid = int(os.read(pid_pipe, 32) or b"0")  # 0: none could be started, and the guard ends
        os.close(pid_pipe)
        os.set_blocking(pipe, False)
        self._sent = 0  # the last signal
        self.status: int | None = None  # once it has ended, of `os.waitpid`

    def is_ready(self) -> bool | None:
        """Whether it serves; None as long as it has neither reported that nor ended."""
        for pipe in self.pipes:
            # Not os.read: that of eventlet waits until something has come.
            with io.FileIO(pipe, "rb", closefd=False) as reader:
                data = reader.read(1)
            if data:
                return True
            if data is not None:
                self.close()  # it reports nothing any more: usually because it has ended
        if self.status is None:
            self._wait(os.WNOHANG)
        return None if self.status is None else False

    def _wait(self, options: int) -> None:
        try:
            pid, status = os.waitpid(self._guard, options)
        except ChildProcessError:  # somebody else has waited for it
            pid, status = self._guard, 0
        if pid:
            self.status = status

    def release(self) -> None:
        """End the guard of a successor that serves."""
        if self.status is None:
            os.kill(self._guard, signal.SIGKILL)
            self._wait(0)

    def end(self, number: int) -> None:
        """Send it a signal that ends it, unless that was the last one."""
        if self.pid and number != self._sent and self.status is None:
            self._sent = number
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """Release the pipe; any number of times."""
        while self.pipes:
            os.close(self.pipes.pop())


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    """Return the ends of a pipe, to read and to write, which the stack closes."""
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends


def _restore_signals(blocked: Iterable[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _wait_for(pid: int, predecessor: int, end_seconds: float) -> int:
    """Wait for a child, the successor; return its status. End it if the predecessor, the parent, is gone."""
    for name in STATUS_IGNORES:  # what is sent to a whole group of processes is the successor's to follow
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    waiting = Waiting()
    kill_at = float("inf")
    with waiting.woken_by_signals():
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if os.getppid() != predecessor and kill_at == float("inf"):
                kill_at = time.monotonic() + end_seconds
                os.kill(pid, signal.SIGTERM)
            elif time.monotonic() >= kill_at:
                os.kill(pid, signal.SIGKILL)
            waiting.wait((), CHECK_SECONDS)
    return ended[1]


def _end_as(status: int) -> None:
    """End this process in the same way as another one."""
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
