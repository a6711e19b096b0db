"""The trigger, by its old name: another thread wakes a loop, and has it call something.

For programs that let the thread in `run`, or in the loop of `wasyncore`, call something, for example the end of the
server. Each server has one, as `server.trigger` and in its map; a program may make one for its own loop.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from waitress_core.reactor.wakeup import WakeUp
from waitress_core.safe_logger import contained

from ._left_out import LeftOut
from ._logs import Logs
from ._modules import old_module

__all__ = ["trigger"]


class _triggerbase(Logs):  # noqa: N801  # the old name
    """Calls thunks in the thread that loops over a map.

    Guarded by `lock`: `thunks`, appended to by any thread, and taken by the one that calls them.
    """

    kind: str | None = None
    accepting = False
    connected = True

    def __init__(self) -> None:
        self.lock = threading.RLock()  # reentrant: a signal handler may pull the trigger
        self.thunks: list[Callable[[], object]] = []

    def pull_trigger(self, thunk: Callable[[], object] | None = None) -> None:
        """Wake the loop, and have it call this, if there is one; what it raises is logged. Thread: any."""
        if thunk is not None:
            with self.lock:
                self.thunks.append(thunk)
        self._physical_pull()

    def call_thunks(self) -> None:
        """Call each thunk that was given before this call."""
        with self.lock:
            thunks, self.thunks = self.thunks, []
        for thunk in thunks:
            try:
                thunk()
            except Exception:
                with contained:
                    self.logger.exception("exception in trigger thunk")

    def readable(self) -> bool:
        """Return True: the loop shall wait for it."""
        return True

    def writable(self) -> bool:
        """Return False: nothing is sent by it."""
        return False

    def handle_read(self) -> None:
        """Call the thunks."""
        self._physical_clear()
        self.call_thunks()

    def handle_read_event(self) -> None:
        """Do what `handle_read` does: the loop calls this."""
        self.handle_read()

    def handle_write_event(self) -> None:
        """Do nothing: it never waits to write."""

    def handle_connect(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def handle_expt_event(self) -> None:
        """Do nothing: nothing urgent is sent by it."""

    def handle_error(self) -> None:
        """Log what a handler has raised."""
        with contained:
            self.logger.exception("uncaptured python exception in a trigger")

    def handle_close(self) -> None:
        """Do what `close` does: programs end the entries of a map by either name."""
        self.close()

    def close(self) -> None:
        """Leave the map, and release the descriptors; any number of times."""
        raise NotImplementedError

    def _physical_pull(self) -> None:
        raise NotImplementedError

    def _physical_clear(self) -> None:
        raise NotImplementedError


class trigger(_triggerbase):  # noqa: N801  # the old name
    """A trigger in a map, by its descriptor. `on_pull` is called too, by the thread that pulls."""

    kind = "pipe" if os.name == "posix" else "loopback"

    def __init__(self, map: dict[int, Any], on_pull: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._map = map
        self._on_pull = on_pull
        self._wake_up = WakeUp()
        self._fileno: int | None = self._wake_up.descriptor
        self.add_channel()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} {self.kind} at {id(self):#x}>"

    def fileno(self) -> int:
        """Return the descriptor that the loop waits for; -1 after `close`."""
        return -1 if self._fileno is None else self._fileno

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        """Enter a map."""
        if self._fileno is not None:
            (self._map if map is None else map)[self._fileno] = self

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        """Leave a map, unless the descriptor is another's there already."""
        entries = self._map if map is None else map
        if self._fileno is not None and entries.get(self._fileno) is self:
            entries.pop(self._fileno, None)

    def close(self) -> None:
        """Leave the map, and release the descriptors; any number of times. Thread: any."""
        self.del_channel()
        self._fileno = None
        self._close()

    def abandon_after_fork(self) -> None:
        """In a forked child: release what is the parent's."""
        self.lock = threading.RLock()  # another thread may have held it
        self.close()

    trigger = LeftOut("call `pull_trigger` to wake the loop")

    def _close(self) -> None:
        self._wake_up.close()

    def _physical_pull(self) -> None:
        self._wake_up.wake()
        if self._on_pull is not None:
            self._on_pull()

    def _physical_clear(self) -> None:
        self._wake_up.clear()


old_module(__name__, "errno socket wasyncore")
