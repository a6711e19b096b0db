"""What is done about a client that is late, by the state of its connection.

Each function reads the socket before it gives up on the client: an application that keeps the interpreter, or a
signal, may have held up the server. The bytes have come in time, and nobody has read them.

Thread: the leader, once a second.
"""

from collections.abc import Callable
from typing import Protocol

from ..reactor.poller import READ, WRITE
from .context import ServerContext
from .receiver import Receiver
from .sender import Sender
from .states import BODY, FLUSH, HANDSHAKE, HEAD, IDLE, LINGER, PENDING, ReceiveState

LAST_READS = 8  # of up to BODY_READ_BYTES: what a system holds for a socket, 4 MiB or so


class Client(Protocol):
    """A connection, as this file sees it."""

    descriptor: int
    receiver: Receiver
    sender: Sender

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended."""

    def on_ready(self, readiness: int) -> None:
        """Read or send what the socket allows."""

    def close_if_idle(self, reason: str) -> bool:
        """Close a connection that has sent no byte of a request."""

    def end_handshake(self, result: str, reason: str) -> None:
        """Close a connection on which TLS is not agreed on."""

    def answer_late(self) -> None:
        """Answer a request that has not arrived in time."""

    def reset_slow_reader(self, reason: str) -> None:
        """Reset the connection of a client that does not read its response."""

    def close(self, reason: str = "") -> None:
        """End the connection."""


def on_handshake_overdue(client: Client, context: ServerContext) -> None:
    """End a connection with a TLS handshake that is not complete."""
    if not goes_on_with_handshake(client, context):
        context.counters.deadlines.add("handshake")
        client.end_handshake("late", "not complete in time")


def goes_on_with_handshake(client: Client, context: ServerContext) -> bool:
    """Read from a client in its handshake; return whether that has brought it further.

    A client that only now gets an answer has its time again: without it, it could not go on. A handshake has three
    answers at most, so that no client stays for ever.
    """
    before = client.receiver.handshake_answers
    client.on_ready(READ)
    if client.receiver.state is not HANDSHAKE:
        return True
    if client.receiver.handshake_answers == before:
        return False
    context.handshake.arm(client.descriptor, context.reactor.now)
    return True


def on_idle_overdue(client: Client, context: ServerContext) -> None:
    """End a connection on which no next request has started."""
    if client.close_if_idle("deadline"):
        context.counters.deadlines.add("idle")


def on_head_overdue(client: Client, context: ServerContext) -> None:
    """Answer a client that has not sent its request head."""
    while client.receiver.state is HEAD and _reads_more(client, context):
        pass
    if client.receiver.state is HEAD:
        client.answer_late()


def on_body_tick(client: Client, context: ServerContext) -> None:
    """Answer a client that sends its request body too slowly; otherwise check again after a while."""
    while client.receiver.is_too_slow():
        if not _reads_more(client, context):
            client.answer_late()
            return
        if client.receiver.state is not BODY:
            return
    context.body.arm(client.descriptor, context.reactor.now)


def on_linger_overdue(client: Client, context: ServerContext) -> None:
    """Close a connection on which the client may send no more, with nothing unread that would make it a reset."""
    for _ in range(LAST_READS):
        if client.receiver.state is not LINGER or not _reads_more(client, context):
            break
    if client.receiver.state is LINGER:
        context.counters.deadlines.add("linger")
    client.close()


def on_output_tick(client: Client, context: ServerContext) -> None:
    """Reset the connection of a client that does not read its response; otherwise check again after a while."""
    sender, reactor = client.sender, context.reactor
    # Linux calls a socket writable when a third of its buffer is free, which may be megabytes, but takes bytes as
    # soon as there is any room: without this a slow reader that reads steadily would seem to be stuck.
    client.on_ready(WRITE)
    while sender.state is PENDING or sender.state is FLUSH:
        if not sender.is_too_slow(reactor.now):
            context.output.arm(client.descriptor, reactor.now)
            return
        before = sender.sent_bytes
        client.on_ready(WRITE)
        if sender.sent_bytes == before and not client.is_gone:
            context.counters.deadlines.add("response")
            client.reset_slow_reader("deadline")


def _reads_more(client: Client, context: ServerContext) -> bool:
    """Read once; return whether bytes were there."""
    before = context.counters.bytes_in
    client.on_ready(READ)
    return context.counters.bytes_in != before


# Of the receiving side; on the sending side it is always `on_output_tick`.
BY_STATE: dict[ReceiveState, Callable[[Client, ServerContext], None]] = {
    HANDSHAKE: on_handshake_overdue,
    IDLE: on_idle_overdue,
    HEAD: on_head_overdue,
    BODY: on_body_tick,
    LINGER: on_linger_overdue,
}
