"""The servers that run in this process, and what happens to them in a forked child: it abandons them.

A child has copies of all sockets, but none of the threads. Its parent goes on serving, so the child closes its copies
in silence: no path is removed, no connection is shut down, nothing is logged.

Thread: any; in a child, the only one there is.
"""

import os
import weakref
from typing import Protocol

from .signals import give_signals_back


class Forkable(Protocol):
    """A server, as a forked child sees it."""

    def abandon_after_fork(self) -> None:
        """Release everything that the child shares with its parent."""


_running: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def add(server: Forkable) -> None:
    """Abandon this server in every child that is forked from now on."""
    _running.add(server)


def remove(server: Forkable) -> None:
    """Forget a server that has ended."""
    _running.discard(server)


def _abandon_all() -> None:
    for server in list(_running):
        server.abandon_after_fork()
    if _running:
        give_signals_back()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
