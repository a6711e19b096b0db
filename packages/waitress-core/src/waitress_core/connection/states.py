"""The phases of a connection and their legal moves, as tables that can be checked by eye.

    IDLE    no octet of a next request           an octet; channel_timeout; making room at the connection limit
    HEAD    a request head is on its way         its end; request_head_timeout
    BODY    a request body is on its way         its end; its minimum rate
    TASK    a request waits or runs              the task's end
    FLUSH   a response is complete               its last octet is sent; the client's standing still
    LINGER  output has ended, input is discarded its end; a bound in octets and one in seconds
    CLOSED  the descriptor is given back

One request at a time: the next is not looked at before the response is sent wholly, so the order of responses is that
of the requests, and a client that does not read costs no more than one response.
"""

import enum
from typing import Final


class Phase(enum.Enum):
    """What a connection waits for."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    TASK = enum.auto()
    FLUSH = enum.auto()
    LINGER = enum.auto()
    CLOSED = enum.auto()


# For the path of every request: on CPython 3.11 a member costs ten times as much by way of its class.
IDLE: Final = Phase.IDLE
HEAD: Final = Phase.HEAD
BODY: Final = Phase.BODY
TASK: Final = Phase.TASK
FLUSH: Final = Phase.FLUSH
LINGER: Final = Phase.LINGER
CLOSED: Final = Phase.CLOSED

# A request that arrives whole goes from IDLE to TASK. FLUSH without a TASK before it is the server's own answer.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    IDLE: frozenset({HEAD, BODY, TASK, FLUSH, CLOSED}),
    HEAD: frozenset({BODY, TASK, FLUSH, CLOSED}),
    BODY: frozenset({TASK, FLUSH, CLOSED}),
    TASK: frozenset({FLUSH}),
    FLUSH: frozenset({IDLE, LINGER, CLOSED}),
    LINGER: frozenset({CLOSED}),
    CLOSED: frozenset(),
}


class Ending(enum.Enum):
    """What becomes of a connection after a response."""

    PERSIST = "the next request"
    CLOSE = "it ends"
    LINGER = "it ends, and the client, which may still be sending, can read the response first"
    RESET = "it ends so that the client sees that the response is not complete"


PERSIST: Final = Ending.PERSIST
