"""`server.trigger`, by its old name.

For programs that have something called by the thread which runs the server, from another thread: the end, say.
"""

from collections.abc import Callable

__all__ = ["trigger"]


class trigger:  # noqa: N801  # the old name
    """Has thunks called by the thread in `run`, or by the one that waits for a server in the background."""

    kind = "event"

    def __init__(self, call_soon: Callable[[Callable[[], object]], None]) -> None:
        self._call_soon = call_soon

    def pull_trigger(self, thunk: Callable[[], object] | None = None) -> None:
        """Have this called soon; what it raises is logged. Thread: any."""
        if thunk is not None:
            self._call_soon(thunk)

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    handle_close = close
