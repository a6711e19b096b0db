"""Pending output of one connection: filled by one task, emptied by the reactor.

A FIFO of segments, each a byte queue with one owner at a time: the task appends to the last one, the reactor sends from
the one that it has taken from the front. The lock guards who owns what and the count, so it is never held over a spill
to disk, a send or a log record.

Guarantees
- Bytes leave in the order in which they were appended; a file keeps its place among them.
- `pending_bytes` is 0 only when the reactor is not sending: then the task may send on the socket itself.
- After `abort` nobody waits, nothing is held, and every further append raises; what was pending stays counted, so that
  the task does not send around the outbox.
"""

import sys
import threading
from collections import deque

from waitress_buffers import OverflowBuffer, ReadOnlyFileBuffer

from .data_rate import MinDataRate

MEMORY_BYTES = 64 * 1024  # at least, where nothing can be stored: with less a task would wait for each piece

Segment = OverflowBuffer | ReadOnlyFileBuffer


class OutboxAborted(Exception):
    """The connection has been given up; what is appended can go nowhere."""


class Outbox:
    """Output that the system has not taken yet.

    A segment of `overflow` bytes or more is in a temporary file. While `high_watermark` bytes or more are pending,
    `wait_for_room` waits. If output cannot be stored, `keep_in_memory` lowers the watermark to what memory may hold.
    """

    __slots__ = (
        "_changed",
        "_filling",
        "_front",
        "_has_sender",
        "_has_waited",
        "_high_watermark",
        "_lock",
        "_overflow",
        "_rate",
        "_rate_while_waiting",
        "_segments",
        "is_aborted",
        "is_waited_for",
        "pending_bytes",
        "sent_bytes",
    )

    def __init__(self, overflow: int, high_watermark: int) -> None:
        # Changed by `keep_in_memory` only, read anywhere
        self._overflow = overflow
        self._high_watermark = high_watermark
        # Guarded by self._lock; `with` takes the lock itself, because that of a condition runs Python code, in which an
        # exception of another thread would leave the lock held for ever
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._segments: deque[Segment] = deque()
        self._filling: Segment | None = None  # the task appends to it right now: not to be taken
        self._front: Segment | None = None  # taken by the reactor
        self._has_sender = False  # the reactor will check again by itself
        self.pending_bytes = 0
        self.sent_bytes = 0  # by the reactor, since the outbox was made
        self.is_waited_for = False
        self._has_waited = False  # a task, since the last check of the rate
        self.is_aborted = False
        # Reactor only
        self._rate: MinDataRate | None = None  # of a client that has something to take
        self._rate_while_waiting: MinDataRate | None = None  # and makes a task wait meanwhile

    # --- application thread (while no task runs, the reactor in its place)

    def append(self, data: bytes | memoryview) -> bool:
        """Append bytes; True when the reactor must be notified that there is something to send.

        Raises:
            OutboxAborted: the connection has been given up.
            BufferStorageError: it cannot be stored; what was appended before is kept.
        """
        with self._lock:
            self._raise_if_aborted_locked()
            segment = self._segments[-1] if self._segments else None
            if not isinstance(segment, OverflowBuffer):
                segment = OverflowBuffer(self._overflow)
                self._segments.append(segment)
            self._filling = segment
        appended = 0
        try:
            segment.append(data)
            appended = len(data)
        finally:
            with self._lock:
                self._filling = None
                self.pending_bytes += appended
                if self.is_aborted:
                    segment.close()
                must_notify = not self._has_sender
        return must_notify

    def append_file(self, file: ReadOnlyFileBuffer) -> bool:
        """Append the prepared rest of a file, which the reactor sends and then has closed; otherwise as `append`."""
        with self._lock:
            self._raise_if_aborted_locked()
            self._segments.append(file)
            self.pending_bytes += len(file)
            return not self._has_sender

    def keep_in_memory(self) -> None:
        """Store nothing from now on, because it has failed: what can be pending is what memory may have of it."""
        with self._lock:
            self._high_watermark = min(self._high_watermark, max(self._overflow, MEMORY_BYTES))
            self._overflow = sys.maxsize
            self._segments.append(OverflowBuffer(self._overflow))  # the one before would be stored

    def room_bytes(self) -> int:
        """Return how much can be appended below the high watermark."""
        return self._high_watermark - self.pending_bytes

    def wait_for_room(self) -> None:
        """Wait until less than the high watermark is pending. Blocks: the caller has given the leadership away.

        Raises:
            OutboxAborted: the connection has been given up.
        """
        with self._lock:
            self.is_waited_for = self._has_waited = True
            while self.pending_bytes >= self._high_watermark and not self.is_aborted:
                self._changed.wait()
            self.is_waited_for = False
            self._raise_if_aborted_locked()

    def _raise_if_aborted_locked(self) -> None:
        if self.is_aborted:
            raise OutboxAborted

    # --- reactor only

    def front(self) -> Segment | None:
        """Return the segment to send from, which is the reactor's until `pop_front`; None when there is none now.

        After None, the caller of the next append notifies the reactor.
        """
        with self._lock:
            if self._front is None and self._segments and self._segments[0] is not self._filling:
                self._front = self._segments.popleft()
            self._has_sender = self._front is not None
            return self._front

    def sent(self, size: int) -> None:
        """Count bytes that the system has taken, and that the front has skipped."""
        with self._lock:
            self.pending_bytes -= size
            self.sent_bytes += size
            if self.is_waited_for and self.pending_bytes < self._high_watermark:
                self._changed.notify()

    def pop_front(self) -> None:
        """Forget the front, which is sent and closed (or will be closed)."""
        with self._lock:
            self._front = None

    def start_rate(
        self, now: float, *, still_seconds: float, rate: int, blocked_seconds: float, blocked_rate: int
    ) -> None:
        """Start to check the client's rate: it had nothing to take before. See `data_rate`.

        The client may take less than `rate` for `still_seconds`, and less than `blocked_rate` for `blocked_seconds` of
        those in which a task waits for it. Otherwise a few that read a little now and then could hold all connections,
        or all threads, of which there are far fewer.
        """
        self._rate = MinDataRate(still_seconds, rate, now, self.sent_bytes)
        if self._rate_while_waiting is None:
            self._rate_while_waiting = MinDataRate(blocked_seconds, blocked_rate, now, self.sent_bytes)
        else:
            self._rate_while_waiting.is_too_slow(now, self.sent_bytes, is_free=True)

    def is_too_slow(self, now: float) -> bool:
        """Whether the client takes its output too slowly."""
        always, while_waiting = self._rate, self._rate_while_waiting
        if always is None or while_waiting is None:
            return False
        is_too_slow = always.is_too_slow(now, self.sent_bytes)
        return self._charge_waiting(while_waiting, now) or is_too_slow

    def _charge_waiting(self, rate: MinDataRate, now: float) -> bool:
        """Charge the time since the last check if a task has waited in it; return whether the budget is used up."""
        with self._lock:
            # Also one that has just been let go on: a client could take its output just before each check.
            has_waited, self._has_waited = self.is_waited_for or self._has_waited, False
        return rate.is_too_slow(now, self.sent_bytes, is_free=not has_waited)

    @property
    def bytes_per_second(self) -> float:
        """The present rate of the client, which takes its response: see `data_rate`."""
        return 0.0 if self._rate is None else self._rate.bytes_per_second

    def behind_seconds(self, now: float) -> float | None:
        """Return how far the client is behind the rate at which it must take output while a task waits for it.

        None when no task waits.
        """
        rate = self._rate_while_waiting
        if rate is None or not self.is_waited_for:
            return None
        self._charge_waiting(rate, now)
        return rate.behind_seconds

    def abort(self) -> list[ReadOnlyFileBuffer]:
        """Drop what is pending and end the wait of a task; return the files, which an application thread closes."""
        with self._lock:
            self.is_aborted = True
            segments = [*([self._front] if self._front is not None else []), *self._segments]
            filling = self._filling
            self._front = None
            self._segments.clear()
            self._changed.notify_all()
        files = []
        for segment in segments:
            if isinstance(segment, ReadOnlyFileBuffer):
                files.append(segment)
            elif segment is not filling:
                segment.close()
        return files
