"""The sending side of a connection: bytes go to the socket, or to the outbox where the socket does not take them.

A task sends on the socket itself while nothing is pending, which is nearly always the case, and as long as the client
makes room at once. The rest goes to the outbox, and the reactor sends it, in order, when the client reads.
"""

import logging
from contextvars import Context, copy_context

from waitress_buffers import BufferStorageError, ReadOnlyFileBuffer

from ..net.transport import Disconnected, Transport
from ..safe_logger import SafeLogger
from ..threads.tasks import InternalTask
from .context import ServerContext
from .outbox import Outbox, OutboxAborted, Segment
from .states import GONE, READY, SendState

logger = SafeLogger(logging.getLogger("waitress"))

FLUSH_BYTES = 256 * 1024  # sent for one connection in one turn, so that a fast reader does not hold up the others
PROMPT_SECONDS = 0.002  # a client that makes room within these reads as fast as it is sent to
SEND_FILE_BYTES = 1024 * 1024  # of a file given to the system in one call by a task
NO_VARIABLES = Context()  # while the reactor has no file to close


class ClientDisconnected(Exception):
    """The client has left: what is sent to it goes nowhere. `write` raises it in the application."""


class Sender:
    """Sends for one connection."""

    __slots__ = ("_context", "_file_context", "_transport", "has_client_left", "outbox", "since", "state")

    def __init__(self, transport: Transport, context: ServerContext) -> None:
        # Set once, read anywhere
        self._transport = transport
        self._context = context
        # Written by the reactor, read anywhere
        self.state: SendState = READY  # by `enter` only
        self.since = 0.0  # in FLUSH, the instant at which it entered that
        # Made by the task while one runs, when the system does not take everything, else by the reactor. A stale None
        # does no harm to the reactor: the first append ends in `notify`.
        self.outbox: Outbox | None = None
        # Set by the task before it leaves a file to the reactor: the context variables in which the file is closed
        self._file_context = NO_VARIABLES
        # Set by whoever sees it, the task or the reactor, while the connection is open; read anywhere
        self.has_client_left = False

    # --- application thread, while a task runs

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes, or leave them to the reactor; waits while the client makes room at once, and at the watermark.

        Raises:
            ClientDisconnected: they cannot reach the client.
        """
        outbox = self.outbox
        sent = 0
        if outbox is None or not outbox.pending_bytes:
            try:
                sent = self._transport.send(data)
                if sent == len(data):
                    return
                sent += self._send_promptly(memoryview(data)[sent:])
            except Disconnected as error:
                self.log(error)
                raise ClientDisconnected from error
        if sent < len(data):
            self._append(memoryview(data)[sent:])

    def send_file(self, file: ReadOnlyFileBuffer) -> bool:
        """Send the prepared part of a file.

        True when all of it has been sent; False when the rest is left to the reactor, which then owns the file and has
        it closed on an application thread.

        Raises:
            ClientDisconnected, FileFailed: the rest cannot be sent.
        """
        outbox = self.outbox
        try:
            if outbox is None or not outbox.pending_bytes:
                while self._transport.send_file(file, SEND_FILE_BYTES):
                    if not len(file):
                        return True
            self._file_context = copy_context()
            if self._need_outbox().append_file(file):
                self._context.reactor.notify(self._transport.descriptor)
        except Disconnected as error:
            self.log(error)
            raise ClientDisconnected from error
        except OutboxAborted as error:
            raise ClientDisconnected from error
        return False

    def _send_promptly(self, data: memoryview) -> int:
        """Go on sending while the client makes room at once: the outbox would cost a copy, and a change of threads."""
        self._context.yield_leadership()
        sent = 0
        while sent < len(data) and self._transport.wait_for_room(PROMPT_SECONDS):
            taken = self._transport.send(data[sent:])
            if not taken:  # the system was wrong about the room
                break
            sent += taken
        return sent

    def _append(self, data: memoryview) -> None:
        """Leave bytes to the reactor, no more at a time than there is room for."""
        outbox = self._need_outbox()
        try:
            while data:
                room = outbox.room_bytes()
                if room <= 0:
                    self._context.yield_leadership()
                    outbox.wait_for_room()
                    continue
                try:
                    must_notify = outbox.append(data[:room])
                except BufferStorageError as error:
                    self._keep_in_memory(outbox, error)
                    continue
                if must_notify:
                    self._context.reactor.notify(self._transport.descriptor)
                data = data[room:]
        except OutboxAborted as error:
            raise ClientDisconnected from error

    def _keep_in_memory(self, outbox: Outbox, error: BufferStorageError) -> None:
        logger.warning("Output cannot be stored, and waits in memory for its client: %s", error)
        outbox.keep_in_memory()

    def _need_outbox(self) -> Outbox:
        if self.outbox is None:
            adj = self._context.adj
            self.outbox = Outbox(adj.outbuf_overflow, adj.outbuf_high_watermark)
        return self.outbox

    # --- both

    @property
    def sent_bytes(self) -> int:
        """The number of bytes that the system has taken since the connection started."""
        return self._transport.sent_bytes

    @property
    def has_pending(self) -> bool:
        """Whether there is output that the system has not taken."""
        return self.outbox is not None and self.outbox.pending_bytes > 0

    # --- reactor only

    def enter(self, state: SendState, since: float) -> None:
        """Move to a state; its deadline, if it has one, counts from `since`."""
        deadlines = self._context.send_deadlines
        before, after = deadlines[self.state], deadlines[state]
        self.state = state
        self.since = since
        if before is not after:
            descriptor = self._transport.descriptor
            if before is not None:
                before.disarm(descriptor)
            if after is not None:
                after.arm(descriptor, since)

    def send_now(self, data: bytes) -> None:
        """Send for the server itself, while no task runs. Raises Disconnected."""
        sent = 0 if self.has_pending else self._transport.send(data)
        if sent < len(data):
            outbox = self._need_outbox()
            try:
                outbox.append(data[sent:])
            except BufferStorageError as error:
                self._keep_in_memory(outbox, error)
                outbox.append(data[sent:])

    def flush(self) -> bool:
        """Send what is pending, up to FLUSH_BYTES; False when there is nothing more to send for now.

        After False, the next one to append notifies the reactor.

        Raises:
            Disconnected, FileFailed: the rest cannot be sent.
        """
        outbox = self.outbox
        budget = FLUSH_BYTES
        while outbox is not None and budget > 0:
            segment = outbox.front()
            if segment is None:
                return False
            if not len(segment):  # what should have been in it could not be stored
                outbox.pop_front()
                self._close(segment)
                continue
            if isinstance(segment, ReadOnlyFileBuffer):
                sent = self._transport.send_file(segment, budget)
            else:
                sent = self._transport.send(segment.peek(budget))
                segment.skip(sent)
            if not sent:
                return True
            budget -= sent
            outbox.sent(sent)
            if not len(segment):
                outbox.pop_front()
                self._close(segment)
        return outbox is not None

    def start_rate(self, now: float) -> None:
        """Start to check the client's rate: there was nothing for it to take before."""
        adj = self._context.adj
        if self.outbox is not None:
            self.outbox.start_rate(
                now,
                still_seconds=adj.channel_timeout,
                rate=adj.response_rate,
                blocked_seconds=adj.response_timeout,
                blocked_rate=adj.blocked_response_rate,
            )

    def is_too_slow(self, now: float) -> bool:
        """Whether the client takes its output too slowly. Call it once in RATE_SECONDS."""
        return self.outbox is not None and self.outbox.is_too_slow(now)

    def abort(self) -> None:
        """Drop what is pending, and end the wait of a task."""
        if self.outbox is not None:
            for file in self.outbox.abort():
                self._close(file)

    def log(self, error: Disconnected) -> None:
        """Note that the client has left, unless the server has ended the connection before; log an unusual error."""
        if self.state < GONE:
            self.has_client_left = True
        if not error.is_expected and self._context.adj.log_socket_errors:
            logger.error("Socket error", exc_info=error)

    def _close(self, segment: Segment) -> None:
        if isinstance(segment, ReadOnlyFileBuffer):
            self._context.submit(FileClosing(segment, self._file_context))
            self._file_context = NO_VARIABLES  # what a request has set there may be large
        else:
            segment.close()


class FileClosing(InternalTask):
    """A task that closes a file of the application; its `close` may run code of the application."""

    __slots__ = ("_context", "_file")

    def __init__(self, file: ReadOnlyFileBuffer, context: Context) -> None:
        self._file = file
        self._context = context  # of the request that has sent the file

    def service(self) -> None:
        """Close the file. Thread: an application thread."""
        self._context.run(self._file.close)

    def cancel(self) -> None:
        """Close the file: there is no application thread any more, or each is busy with its request."""
        self._context.run(self._file.close)
