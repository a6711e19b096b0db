"""What ends a poll from another thread: a descriptor that becomes readable.

Knows no poller: the reactor registers the descriptor.

Thread: `WakeUp.wake` from any thread, signal handlers included; all else only from the leader.
"""

import contextlib
import io
import os
import socket
import sys
from collections.abc import Callable


class WakeUp:
    """Ends a poll from another thread: what the one end is given makes the other, which is watched, readable.

    A pipe; on Windows, where select() takes nothing but sockets, a pair of those.
    """

    def __init__(self) -> None:
        self._give: Callable[[bytes], object]
        self._take: Callable[[int], object]
        if sys.platform == "win32":
            watched, given = socket.socketpair()
            watched.setblocking(False)
            given.setblocking(False)
            self._give, self._take = given.send, watched.recv
        else:
            # Files rather than bare numbers: after `close` a number may be another file's.
            read_end, write_end = os.pipe()
            watched, given = io.FileIO(read_end, "rb"), io.FileIO(write_end, "wb")
            os.set_blocking(watched.fileno(), False)
            os.set_blocking(given.fileno(), False)
            self._give, self._take = given.write, watched.read
        self.descriptor: int = watched.fileno()
        self._ends = (watched, given)

    def wake(self) -> None:
        """End the poll under way, or the next one at once."""
        # Full (OSError on Windows): a wake-up is on its way already. Closed (ValueError): there is nothing to wake.
        with contextlib.suppress(OSError, ValueError):
            self._give(b"\0")

    def clear(self) -> None:
        """Take back what woke the poll."""
        with contextlib.suppress(BlockingIOError):
            self._take(4096)

    def close(self) -> None:
        """Close the descriptors."""
        for end in self._ends:
            end.close()
