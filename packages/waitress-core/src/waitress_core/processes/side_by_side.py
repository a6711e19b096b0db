"""Workers in one process, on an interpreter without the GIL: each a run with its own reactor and threads.

They share application, settings and requests to stop; each has its own descriptors of the listening sockets, so that
one that ends takes nothing from the others. The first is the server's own run, the others are `SideRun`s. What a server
reports to its program once, these leave to the first.

Thread: as every run; a side run has its own thread that waits for it.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..connection.context import State
from ..lifecycle.run import ServerRun
from ..lifecycle.states import StopRequest
from ..net.listener import Listener
from ..threads.dispatcher import Dispatcher
from ..threads.pool import start_thread
from .scoreboard import Scoreboard, Slot, Word

if TYPE_CHECKING:
    from ..lifecycle.observer import Observer


class SideSlot:
    """What a worker reports to the others in its process. Thread: its leader."""

    def __init__(self, slot: Slot) -> None:
        slot[Word.PID] = slot.number  # it is taken
        self._slot = slot
        self.note = slot.note_connections
        self.has_more_than_others = slot.has_more_than_others

    def is_dismissed(self) -> bool:
        """Return False: a worker in this process ends with the others."""
        return False

    def on_state(self, state: State) -> None:
        """Report to others what this worker does."""
        self._slot[Word.STATE] = state
        self._slot.beat()

    def on_tick(self) -> None:
        """Report to others that this worker ticks."""
        self._slot.beat()

    def ask_to_be_replaced(self, reason: str) -> None:
        """Do nothing: a part of a process cannot be replaced."""


class SideRun(ServerRun):
    """A further run of a server: the first one reports to the program what happens to the server."""

    _waiting_thread: threading.Thread | None = None  # once it has started

    def start(self) -> None:
        """Start to serve, and a thread that waits for the end.

        Raises:
            CannotStartThread: the system has none left.
        """
        super().start()
        self._waiting_thread = start_thread(self.wait, "waitress-run")

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that serve: they cannot wait for the end."""
        return super().threads if self._waiting_thread is None else [*super().threads, self._waiting_thread]

    def close_all(self) -> None:
        """Wait for the end, which must have been asked for, and release everything."""
        if self._waiting_thread is not None:
            self._waiting_thread.join()
        super().close_all()

    def report_state(self, state: State) -> None:
        """Leave it to the first run."""

    def report_stopping(self, requests: int, ends_now: str) -> None:
        """Leave it to the first run."""

    def report_waiting(self) -> None:
        """Leave it to the first run."""


def make_side_runs(
    observer: "Observer",
    listeners: Sequence[Listener],
    stop_requests: list[StopRequest],
    make_dispatcher: Callable[[str], Dispatcher],  # of the name that its threads start with
    *,
    workers: int,
) -> tuple[SideSlot, list[SideRun]]:
    """Return the slot of the first worker, and the runs of the others; each has the listeners in the same order."""
    board = Scoreboard(slots=workers)
    first_slot = SideSlot(board.take())
    duplicates = [[listener.duplicate() for listener in listeners] for _ in range(workers - 1)]
    return first_slot, [
        SideRun(
            observer,
            own,
            make_dispatcher(f"waitress-worker-{number}"),
            stop_requests=stop_requests,
            waiter_callbacks=deque(),
            worker=SideSlot(board.take()),
        )
        for number, own in enumerate(duplicates, 2)
    ]
