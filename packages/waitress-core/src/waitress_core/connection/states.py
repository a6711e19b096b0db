"""The two sides of a connection as two state machines, with tables that can be checked by eye.

The receiving side says what the bytes that arrive belong to:

    HANDSHAKE  TLS is not agreed on yet                 tls_handshake_timeout; may be closed to make room (see `room`)
    IDLE       no byte of a next request yet            channel_timeout; closed to make room at the connection limit
    HEAD       a request head is arriving               request_head_timeout; may be closed to make room
    BODY       a request body is arriving               its minimum rate (request_body_timeout, request_body_rate); may
                                                        be closed to make room
    AHEAD      a request is being answered; what comes  -
               is kept for the next one, up to
               recv_bytes
    LINGER     the last answer is sent and output has   linger_timeout, and a bound in bytes; may be closed to make
               ended; what arrives is discarded         room
    ENDED      the client has ended its output, or the  -
               connection has ended: nothing is read

The sending side says who sends:

    READY    nothing is pending: a task sends on the    -
             socket itself
    PENDING  a task is running, or a body is arriving   the minimum rate of the client (channel_timeout,
             after 100 (Continue); the reactor sends    response_timeout, response_rate)
             what the client did not take at once
    FLUSH    the response is complete; the reactor      the same; may be closed to make room
             sends the rest
    SHUT     output has ended                           - (the receiving side lingers)
    GONE     the connection has ended, but its task     -
             still runs and may use the descriptor
    CLOSED   the descriptor is closed                   -

One request at a time: the next one is not parsed before the response is sent completely. So responses keep the order
of their requests, and a client that does not read costs one response and no more.

`Receiver.enter` and `Sender.enter` are the only ways into a state. They arm its deadline and disarm the one before.
"""

import enum
from typing import Final


class ReceiveState(enum.IntEnum):
    """What the bytes that arrive belong to. Their order counts: the receiver compares with `> HEAD` and `< AHEAD`."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    AHEAD = 3
    LINGER = 4
    ENDED = 5
    HANDSHAKE = 6


class SendState(enum.IntEnum):
    """Who sends; from GONE on the connection has ended."""

    READY = 0
    PENDING = 1
    FLUSH = 2
    SHUT = 3
    GONE = 4
    CLOSED = 5


# Every request uses them: on CPython 3.11 a member costs ten times as much through its class.
IDLE: Final = ReceiveState.IDLE
HEAD: Final = ReceiveState.HEAD
BODY: Final = ReceiveState.BODY
AHEAD: Final = ReceiveState.AHEAD
LINGER: Final = ReceiveState.LINGER
ENDED: Final = ReceiveState.ENDED
HANDSHAKE: Final = ReceiveState.HANDSHAKE
READY: Final = SendState.READY
PENDING: Final = SendState.PENDING
FLUSH: Final = SendState.FLUSH
SHUT: Final = SendState.SHUT
GONE: Final = SendState.GONE
CLOSED: Final = SendState.CLOSED

# A request that arrives whole goes from IDLE to AHEAD, a plain one in place of TLS from HANDSHAKE. After ENDED the
# requests that have arrived are still answered.
# The tests hold `Receiver.enter` and `Sender.enter` to these tables: a check there would cost each request.
RECEIVE_TRANSITIONS: dict[ReceiveState, frozenset[ReceiveState]] = {
    HANDSHAKE: frozenset({IDLE, AHEAD, ENDED}),
    IDLE: frozenset({HEAD, BODY, AHEAD, ENDED}),
    HEAD: frozenset({BODY, AHEAD, ENDED}),
    BODY: frozenset({AHEAD, ENDED}),
    AHEAD: frozenset({IDLE, HEAD, BODY, LINGER, ENDED}),
    LINGER: frozenset({ENDED}),
    ENDED: frozenset(),
}
SEND_TRANSITIONS: dict[SendState, frozenset[SendState]] = {
    READY: frozenset({PENDING, FLUSH, SHUT, GONE}),
    PENDING: frozenset({READY, FLUSH, GONE}),
    FLUSH: frozenset({READY, GONE}),
    SHUT: frozenset({GONE}),
    GONE: frozenset({CLOSED}),
    CLOSED: frozenset(),
}

# What `stats` and the log call the two sides together. "task": a request waits for a thread or runs.
STATE_NAMES: Final = ("handshake", "idle", "head", "body", "task", "flush", "linger")


class Ending(enum.Enum):
    """What becomes of a connection after a response."""

    PERSIST = "the next request"
    CLOSE = "it ends"
    LINGER = "it ends, and the client, which may still be sending, can read the response first"
    RESET = "it ends so that the client sees that the response is not complete"


PERSIST: Final = Ending.PERSIST
