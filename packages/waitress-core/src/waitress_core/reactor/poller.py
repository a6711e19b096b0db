"""Readiness of many descriptors at once: epoll, kqueue, poll or select behind one small type.

Knows descriptor numbers and readiness words; knows no connection, deadline or clock. A readiness is a bit set: `READ`,
`WRITE`, and any other bit for an error or a hang-up, which concerns reader and writer alike: the next call on the
socket shows what it is.

Thread: the leader only.
"""

import select
import sys
from collections.abc import Callable
from typing import Final, Protocol

# The values of EPOLLIN, POLLIN and EPOLLOUT, POLLOUT: the common pollers translate nothing.
READ: Final = 1
WRITE: Final = 4

EVENTS = 1024  # taken from kqueue in one turn
# FD_SETSIZE: CPython on Windows is built for so many sockets; elsewhere descriptor numbers must be lower, and few other
# systems have nothing better than select().
SELECT_LIMIT = 512 if sys.platform == "win32" else 1024


class Poller(Protocol):
    """What the reactor needs of a poller."""

    limit: int | None  # how many descriptors can be watched; None for no limit of the poller's own
    descriptor: int | None  # its own; None if it has none
    exclusive: int  # added to an interest, wakes one of the pollers that watch a descriptor; 0 where all are woken

    def register(self, descriptor: int, interest: int, /) -> None:
        """Watch a descriptor for `interest`, which is not 0."""

    def modify(self, descriptor: int, interest: int, /) -> None:
        """Change the interest in a watched descriptor, unless it is exclusive; not to 0 (an error would spin)."""

    def unregister(self, descriptor: int, /) -> None:
        """Stop watching a descriptor; always before it is closed."""

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        """Wait up to `timeout` seconds; return (descriptor, readiness) pairs."""

    def close(self) -> None:
        """Close the poller's own descriptor; touches no registration (a forked process shares those)."""


class SelectPoller:
    """Every system, Windows among them."""

    limit: int | None = SELECT_LIMIT
    descriptor: int | None = None
    exclusive = 0

    def __init__(self) -> None:
        self._interests: dict[int, int] = {}

    def register(self, descriptor: int, interest: int) -> None:
        self._interests[descriptor] = interest

    modify = register

    def unregister(self, descriptor: int) -> None:
        del self._interests[descriptor]

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        readers = [descriptor for descriptor, interest in self._interests.items() if interest & READ]
        writers = [descriptor for descriptor, interest in self._interests.items() if interest & WRITE]
        # Windows reports a refused or reset peer in the third list only.
        readable, writable, failed = select.select(readers, writers, writers, timeout)
        ready = dict.fromkeys(readable, READ)
        for descriptor in {*writable, *failed}:
            ready[descriptor] = ready.get(descriptor, 0) | WRITE
        return list(ready.items())

    def close(self) -> None:
        self._interests.clear()


if sys.platform != "win32":

    class PollPoller(SelectPoller):
        """Other Unix systems, and gevent.

        Each wait makes an object of `select.poll`: gevent's belongs to the thread that made it, and leaders change.
        """

        limit: int | None = None

        def poll(self, timeout: float) -> list[tuple[int, int]]:
            poll = select.poll()
            for descriptor, interest in self._interests.items():
                poll.register(descriptor, interest)
            return poll.poll(timeout * 1000)


if sys.platform == "linux":

    class EpollPoller:
        """Linux."""

        limit: int | None = None
        exclusive: int = getattr(select, "EPOLLEXCLUSIVE", 1 << 28)  # PyPy has no name for it

        def __init__(self) -> None:
            epoll = select.epoll()
            self.descriptor: int | None = epoll.fileno()
            self.register = epoll.register
            self.modify = epoll.modify
            self.unregister = epoll.unregister
            self.poll = epoll.poll
            self.close = epoll.close


if sys.platform != "linux" and sys.platform != "win32":

    class KqueuePoller:
        """macOS and the BSDs."""

        limit: int | None = None
        exclusive = 0

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self.descriptor: int | None = self._kqueue.fileno()
            self._interests: dict[int, int] = {}

        def register(self, descriptor: int, interest: int) -> None:
            self._change(descriptor, self._interests.get(descriptor, 0), interest)
            self._interests[descriptor] = interest

        modify = register

        def unregister(self, descriptor: int) -> None:
            self._change(descriptor, self._interests.pop(descriptor), 0)

        def _change(self, descriptor: int, before: int, after: int) -> None:
            changes = []
            for word, name in ((READ, select.KQ_FILTER_READ), (WRITE, select.KQ_FILTER_WRITE)):
                if (before ^ after) & word:
                    action = select.KQ_EV_ADD if after & word else select.KQ_EV_DELETE
                    changes.append(select.kevent(descriptor, name, action))
            self._kqueue.control(changes, 0)

        def poll(self, timeout: float) -> list[tuple[int, int]]:
            ready: dict[int, int] = {}
            for event in self._kqueue.control(None, EVENTS, timeout):
                word = READ if event.filter == select.KQ_FILTER_READ else WRITE
                ready[event.ident] = ready.get(event.ident, 0) | word
            return list(ready.items())

        def close(self) -> None:
            self._kqueue.close()


# The best first, by what each needs of the module `select`.
_KINDS: tuple[tuple[str, Callable[[], Poller]], ...]
if sys.platform == "linux":
    _KINDS = (("epoll", EpollPoller), ("poll", PollPoller), ("select", SelectPoller))
elif sys.platform == "win32":
    _KINDS = (("select", SelectPoller),)
else:
    _KINDS = (("kqueue", KqueuePoller), ("poll", PollPoller), ("select", SelectPoller))


def best_poller() -> Poller:
    """Return a new poller, the best of those that `select` offers when this is called.

    gevent and eventlet, which make greenlets of threads, remove what would block all of them: epoll, kqueue, poll.
    """
    return next(make() for name, make in _KINDS if hasattr(select, name))
