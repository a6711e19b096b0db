"""The workers of a supervisor, as processes: start one, see which have ended, kill all.

Why one is started or ended is the supervisor's to decide.

Thread: the supervisor's only one; a signal handler in it may call `kill`.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from .child import run_in_child
from .forking import fork
from .lifeline import ending_with_supervisor
from .scoreboard import Scoreboard, Word
from .states import WorkerState
from .worker import Worker, WorkerServer
from .worker_handle import WorkerHandle
from .worker_pipes import WorkerPipes


class Workers:
    """A handle of each worker, in the order of their start, until `remove`."""

    def __init__(self) -> None:
        self.scoreboard = Scoreboard()
        self._handles: dict[int, WorkerHandle] = {}  # by process

    def __len__(self) -> int:
        return len(self._handles)

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter(list(self._handles.values()))

    def __getitem__(self, pid: int) -> WorkerHandle:
        return self._handles[pid]

    @property
    def pids(self) -> set[int]:
        """Their processes."""
        return {*self._handles}

    @property
    def pipes(self) -> list[int]:
        """What is readable when one has reported something."""
        return [handle.pipe for handle in self if handle.can_report]

    def of(self, *states: WorkerState) -> list[WorkerHandle]:
        """Return those in one of these states."""
        return [handle for handle in self if handle.state in states]

    def start(self, server: WorkerServer, leave: Iterable[Callable[[], object]]) -> None:
        """Fork a worker of a server; in its process `leave` is called first, for what is the supervisor's alone.

        Raises:
            LookupError: no slot is left.
            OSError: the system has no process or descriptor left for it.
        """
        slot = self.scoreboard.take()
        pipes = WorkerPipes()
        try:
            worker = Worker(
                slot,
                pipes.reports_end,
                server.adj,
                os.getpid(),
                ending_with_supervisor=partial(ending_with_supervisor, pipes.lifeline_end),
            )
            leave = [*leave, pipes.keep_workers]
            pid = fork(partial(run_in_child, server, worker, pipes.reports_end, leave))
        except OSError:
            pipes.close()
            raise
        finally:
            pipes.keep_supervisors()
        slot[Word.PID] = pid
        slot.beat()
        self._handles[pid] = WorkerHandle(pid, slot, pipes)

    def leave(self) -> list[Callable[[], object]]:
        """Return what closes all of this in a child of a fork."""
        return [handle.pipes.close for handle in self]

    def ended(self) -> Iterator[tuple[WorkerHandle, int]]:
        """Yield those that have ended since the last call, with their status of `os.waitpid`."""
        for handle in self:
            try:
                pid, status = os.waitpid(handle.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                pid, status = handle.pid, 0
            if pid:
                yield handle, status

    def remove(self, handle: WorkerHandle) -> None:
        """Forget one that has ended."""
        del self._handles[handle.pid]

    def kill(self) -> None:
        """Kill all of them. Takes no lock."""
        for handle in self:
            handle.send(signal.SIGKILL)


def reap_others(own: Collection[int]) -> None:
    """As process 1: wait for the children that have ended, in silence, but not for the own ones."""
    if os.getpid() == 1 and sys.platform == "linux" and hasattr(os, "waitid"):  # PyPy has none
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if found.si_pid in own:  # it has ended just now
                    break
                os.waitpid(found.si_pid, os.WNOHANG)
