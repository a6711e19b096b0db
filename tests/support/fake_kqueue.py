"""A kqueue on top of epoll, for the poller of macOS and the BSDs on Linux.

It is as strict as the real one: a filter that was not added cannot be deleted, and an event is of one filter.
"""

import errno
import importlib.util
import select
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from waitress_core.reactor import poller

ADD, DELETE = 1, 2  # as sys/event.h has them
READ_FILTER, WRITE_FILTER = -1, -2


class Event(NamedTuple):
    """What `select.kevent` is: a change, or what has happened."""

    ident: int
    filter: int
    flags: int = ADD


_epoll: Any = getattr(select, "epoll", None)
_INPUT, _OUTPUT, _BOTH = 1, 4, 8 | 16  # EPOLLIN, EPOLLOUT, EPOLLERR and EPOLLHUP


class Kqueue:
    """What `select.kqueue` is."""

    def __init__(self) -> None:
        self._epoll = _epoll()
        self._filters: dict[int, set[int]] = {}
        self.fileno = self._epoll.fileno

    def control(self, changes: Iterable[Event] | None, most: int, timeout: float | None = None) -> list[Event]:
        """Make the changes; then wait for events, unless `most` is 0."""
        for change in changes or ():
            self._change(change)
        if most == 0:
            return []
        return [
            Event(descriptor, name)
            for descriptor, readiness in self._epoll.poll(timeout, most)
            for name in sorted(self._filters[descriptor], reverse=True)
            if readiness & ((_INPUT if name == READ_FILTER else _OUTPUT) | _BOTH)
        ]

    def _change(self, change: Event) -> None:
        filters = self._filters.setdefault(change.ident, set())
        is_watched = bool(filters)
        if change.flags == ADD:
            filters.add(change.filter)
        elif change.filter in filters:
            filters.remove(change.filter)
        else:
            raise OSError(errno.ENOENT, "no such filter")
        mask = (_INPUT if READ_FILTER in filters else 0) | (_OUTPUT if WRITE_FILTER in filters else 0)
        if not filters:
            self._epoll.unregister(change.ident)
        elif is_watched:
            self._epoll.modify(change.ident, mask)
        else:
            self._epoll.register(change.ident, mask)

    def close(self) -> None:
        self._epoll.close()


def poller_module_executed_again() -> Any:
    """Execute the module of the pollers again: it looks at the system and at `select` when it is imported."""
    spec = importlib.util.spec_from_file_location("waitress_core.reactor.poller_executed_again", poller.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def poller_module_of_a_bsd() -> Any:
    """Execute the module of the pollers as on a system that has kqueue."""
    with mock.patch("sys.platform", "freebsd14"):
        module = poller_module_executed_again()
    module.select = SimpleNamespace(
        kqueue=Kqueue,
        kevent=Event,
        KQ_FILTER_READ=READ_FILTER,
        KQ_FILTER_WRITE=WRITE_FILTER,
        KQ_EV_ADD=ADD,
        KQ_EV_DELETE=DELETE,
    )
    return module
