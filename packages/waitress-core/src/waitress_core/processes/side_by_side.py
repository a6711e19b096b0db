"""Workers in one process, on an interpreter without the GIL: each a run with a reactor and threads of its own.

They share application, settings and requests to stop; each has its own descriptors of the listening sockets, so that
one that ends takes nothing from the others. The first is the server's own run, the others are `SideWorkers`. What a
server tells its program once, the side workers leave to the first.

Thread: `SideWorkers` any; each `SideRun` as every run, with a thread of its own that waits for it.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from ..connection.context import State
from ..lifecycle.run import Observer, ServerRun
from ..lifecycle.states import StopRequest
from ..net.listener import Listener
from ..observability.stats import ServerStats
from ..threads.dispatcher import Dispatcher, start_thread
from .scoreboard import Scoreboard, Slot, Word


class SideSlot:
    """What a worker tells the others in its process. Thread: its leader."""

    def __init__(self, slot: Slot) -> None:
        slot[Word.PID] = slot.number  # it is taken
        self._slot = slot
        self.has_more_than_others = slot.has_more_than_others

    def note(self, connections: int, *, accepts: bool) -> None:
        """Tell the others how many connections are open here, and whether this worker accepts."""
        self._slot[Word.CONNECTIONS] = connections
        self._slot[Word.ACCEPTING] = accepts

    def is_dismissed(self) -> bool:
        """Return False: a worker in this process ends with the others."""
        return False

    def on_state(self, state: State) -> None:
        """Tell others what this worker does."""
        self._slot[Word.STATE] = state
        self._slot.beat()

    def on_tick(self) -> None:
        """Tell others that this worker ticks."""
        self._slot.beat()

    def ask_to_be_replaced(self, reason: str) -> None:
        """Do nothing: a part of a process cannot be replaced."""


class SideRun(ServerRun):
    """A further run of a server: its program is told by the first one what happens to the server."""

    def tell_state(self, state: State) -> None:
        """Leave it to the first run."""

    def tell_stopping(self, requests: int, ends_now: str) -> None:
        """Leave it to the first run."""

    def tell_waiting(self) -> None:
        """Leave it to the first run."""


class SideWorkers:
    """The workers beyond the first; `first_slot` is for that one."""

    def __init__(
        self,
        observer: Observer,
        listeners: Sequence[Listener],
        stop_requests: list[StopRequest],
        make_dispatcher: Callable[[str], Dispatcher],  # of the name that its threads start with
        *,
        workers: int,
    ) -> None:
        board = Scoreboard(slots=workers)
        self.first_slot = SideSlot(board.take())
        self.threads: list[threading.Thread] = []
        self._listeners = [[listener.duplicate() for listener in listeners] for _ in range(workers - 1)]
        self._dispatchers = [make_dispatcher(f"waitress-worker-{number}") for number in range(2, workers + 1)]
        self.runs = [
            SideRun(observer, own, dispatcher, stop_requests, deque(), worker=SideSlot(board.take()))
            for own, dispatcher in zip(self._listeners, self._dispatchers, strict=True)
        ]

    def start(self) -> None:
        """Start to serve.

        Raises:
            CannotStartThread: the system has none left; `close` ends those that were started.
        """
        for run in self.runs:
            run.start()
            self.threads.append(start_thread(run.wait, "waitress-run"))

    @property
    def service_threads(self) -> list[threading.Thread]:
        """The threads that serve: they cannot wait for the end."""
        return [*self.threads, *(thread for dispatcher in self._dispatchers for thread in dispatcher.threads)]

    def wake_leaders(self) -> None:
        """Act on a new request to stop at once. Takes no lock."""
        for run in self.runs:
            run.wake_leader()

    def stats(self) -> list[ServerStats]:
        """Return a snapshot of each."""
        return [run.stats() for run in self.runs]

    def remove_listener(self, index: int) -> None:
        """Accept no more from the listener of this number, for good."""
        for run, listeners in zip(self.runs, self._listeners, strict=True):
            run.call_soon_threadsafe(partial(run.manager.remove_listener, listeners[index]))

    def close(self) -> None:
        """Wait for their ends, which must have been asked for, and release everything."""
        for thread in self.threads:
            thread.join()
        for run in self.runs:
            run.close_all()

    def abandon_after_fork(self) -> None:
        """In a forked child: release what is the parent's."""
        for run in self.runs:
            run.abandon_after_fork()
