"""`server.trigger`, by its old name.

For programs that let the thread in `run` call something, for example the end of the server.
"""

from collections.abc import Callable

__all__ = ["trigger"]


class trigger:  # noqa: N801  # the old name
    """Lets the thread in `run`, or the one that waits for a server in the background, call thunks."""

    kind = "event"

    def __init__(self, call_soon: Callable[[Callable[[], object]], None]) -> None:
        self._call_soon = call_soon

    def pull_trigger(self, thunk: Callable[[], object] | None = None) -> None:
        """Call this soon, in that thread; what it raises is logged. Thread: any."""
        if thunk is not None:
            self._call_soon(thunk)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    handle_close = close
