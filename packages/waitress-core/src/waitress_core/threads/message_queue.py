"""The queue by which threads wait for messages.

That of the standard library is the quickest, but written in C, so it waits with the interpreter's own locks. gevent and
eventlet put greenlets into `threading`, whole or in part, before or after this is imported: then every wait must be one
of `threading`, or it stops all greenlets.
"""

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")


class MessageQueue(Protocol[Item]):
    """What the threads use of a queue. Thread: any."""

    def put(self, item: Item, /) -> None:
        """Append an item."""

    def get(self) -> Item:
        """Wait for an item, and remove it."""

    def qsize(self) -> int:
        """Return how many items there are, roughly."""


class GreenQueue(Generic[Item]):
    """A queue that waits with what `threading` has."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._count = threading.Semaphore(0)

    def put(self, item: Item) -> None:
        self._items.append(item)
        self._count.release()

    def get(self) -> Item:
        self._count.acquire()
        return self._items.popleft()

    def qsize(self) -> int:
        return len(self._items)


def message_queue() -> MessageQueue[Item]:
    """Return a new queue, one that suits the threads of this moment."""
    import queue  # lazy import: only a server needs it

    are_stock = type(threading.Lock()).__module__ == "_thread" and queue.SimpleQueue.__module__ in ("_queue", "queue")
    return queue.SimpleQueue() if are_stock else GreenQueue()
