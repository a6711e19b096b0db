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


class Phase(enum.Enum):
    """What a connection waits for."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    TASK = enum.auto()
    FLUSH = enum.auto()
    LINGER = enum.auto()
    CLOSED = enum.auto()


# A request that arrives whole goes from IDLE to TASK. FLUSH without a TASK before it is the server's own answer.
MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.HEAD, Phase.BODY, Phase.TASK, Phase.FLUSH, Phase.CLOSED}),
    Phase.HEAD: frozenset({Phase.BODY, Phase.TASK, Phase.FLUSH, Phase.CLOSED}),
    Phase.BODY: frozenset({Phase.TASK, Phase.FLUSH, Phase.CLOSED}),
    Phase.TASK: frozenset({Phase.FLUSH}),
    Phase.FLUSH: frozenset({Phase.IDLE, Phase.LINGER, Phase.CLOSED}),
    Phase.LINGER: frozenset({Phase.CLOSED}),
    Phase.CLOSED: frozenset(),
}


class Ending(enum.Enum):
    """What becomes of a connection after a response."""

    PERSIST = "the next request"
    CLOSE = "it ends"
    LINGER = "it ends, and the client, which may still be sending, can read the response first"
    RESET = "it ends so that the client sees that the response is not complete"
