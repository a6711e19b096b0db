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
    """Ends a poll from another thread: a byte written to one end makes the other end, which is watched, readable.

    A pipe; on Windows, where select() takes sockets only, a pair of sockets.
    """

    def __init__(self) -> None:
        self._write: Callable[[bytes], object]
        self._read: Callable[[int], object]
        if sys.platform == "win32":
            watched, written = socket.socketpair()
            watched.setblocking(False)
            written.setblocking(False)
            self._write, self._read = written.send, watched.recv
        else:
            # Files rather than bare numbers: after `close` a number may be another file's.
            read_end, write_end = os.pipe()
            watched, written = io.FileIO(read_end, "rb"), io.FileIO(write_end, "wb")
            os.set_blocking(watched.fileno(), False)
            os.set_blocking(written.fileno(), False)
            self._write, self._read = written.write, watched.read
        self.descriptor: int = watched.fileno()
        self.write_descriptor: int = written.fileno()  # for `signal.set_wakeup_fd`
        self._ends = (watched, written)

    def wake(self) -> None:
        """End the current poll, or the next one at once."""
        # Full (OSError on Windows): a wake-up is pending already. Closed (ValueError): there is nothing to wake.
        with contextlib.suppress(OSError, ValueError):
            self._write(b"\0")

    def clear(self) -> None:
        """Read what woke the poll, so that the next one waits."""
        with contextlib.suppress(BlockingIOError):
            self._read(4096)

    def close(self) -> None:
        """Close the descriptors."""
        for end in self._ends:
            with contextlib.suppress(OSError):  # somebody else has closed it: see `lifecycle.descriptors`
                end.close()
