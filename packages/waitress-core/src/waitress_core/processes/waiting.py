"""What the supervisor waits for: a signal, the end of a child, something to read in a pipe, or a tick.

Thread: the supervisor's only one; `wake` any, and signal handlers.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import select
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..reactor.poller import READ, PollPoller, SelectPoller
from ..reactor.wakeup import WakeUp


class Waiting:
    """Waits, and is woken."""

    def __init__(self) -> None:
        self._wake_up = WakeUp()
        self._for_children: list[Callable[[], object]] = []  # what gives signal handlers back
        self.wake = self._wake_up.wake  # takes no lock

    def wait(self, pipes: Iterable[int], seconds: float) -> bool:
        """Wait for at most so long; return whether anything has happened."""
        # No epoll, which would be one more descriptor; eventlet removes poll.
        poller = PollPoller() if hasattr(select, "poll") else SelectPoller()
        for descriptor in (self._wake_up.descriptor, *pipes):
            poller.register(descriptor, READ)
        ready = poller.poll(seconds)
        self._wake_up.clear()
        return bool(ready)

    @contextlib.contextmanager
    def woken_by_signals(self) -> Iterator[None]:
        """Let every signal with a handler, and the end of a child, wake it; it can wait no more afterwards."""
        replaced = signal.getsignal(signal.SIGCHLD)
        if replaced in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(signal.SIGCHLD, lambda number, frame: None)
            self._for_children.append(partial(signal.signal, signal.SIGCHLD, replaced))
        previous = signal.set_wakeup_fd(self._wake_up.write_descriptor, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous)
            for give_back in self._for_children:
                give_back()
            self._wake_up.close()

    def leave(self) -> list[Callable[[], object]]:
        """Return what undoes all of this in a child of a fork."""
        return [self._wake_up.close, *self._for_children]
