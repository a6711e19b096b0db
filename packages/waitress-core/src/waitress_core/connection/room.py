"""Chooses which connections end for others: decisions only, the manager acts.

At the connection limit, while a client waits in the backlog, a connection that waits for its own client makes room. One
that is idle goes first, and is no matter of this file. Then those that have started something, each after a time in
which no client need hurry (PATIENCE):

    LINGER                  the answer has been sent
    HANDSHAKE, HEAD, FLUSH  the one that has taken longest; of FLUSH only those that take little
    BODY                    the slowest; only those that send little

Of these connections the address that has most gives up one, in this order, and then again the address that has most:
so a few clients cannot keep all others out, whatever they do, and nobody is refused for an address, which may be that
of a proxy or of a whole company. A client that moves bytes at QUICK (see `data_rate`) is never closed: otherwise more
clients than fit, each with a large file, would end each other's transfers, and none would finish.

When no thread is free and requests wait for one, a client that makes a thread wait goes in the same way, if it is slow:
the one that is furthest behind the rate that a thread is worth. The more requests wait, the sooner.

Pure: states, instants and rates in, an order out. Never reads a clock.
"""

import socket
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import NamedTuple

from .data_rate import QUICK

# By the name of a state, seconds in which the server waits for a client, whoever else waits. Doubled: when an attack
# starts, others wait for 3 s. Halved: at the limit, a client is closed because a packet had to be sent again.
PATIENCE = {"linger": 1.0, "handshake": 1.5, "head": 1.5, "flush": 1.5, "body": 1.5}

# Behind its minimum rate (see `data_rate`), from which on a client that makes a thread wait may go. The more requests
# wait for a thread, the sooner: down to what a client far away needs to take something.
BEHIND_SECONDS = 3.0
LEAST_BEHIND_SECONDS = 0.25

_RANKS = {"linger": 0, "handshake": 1, "head": 1, "flush": 1, "body": 2}


class Waiting(NamedTuple):
    """A connection that waits for its client within a request or a response."""

    descriptor: int
    address: str
    state: str  # a key of PATIENCE
    since: float
    bytes_per_second: float  # what the client has sent or taken lately; of BODY and FLUSH


def order_for_room(connections: Iterable[Waiting], now: float) -> list[Waiting]:
    """Return those that make room next, in their order; none when no connection can be spared.

    These are of the addresses that have most. When the turn is another's, ask again: whoever had most may have come
    back in the meantime.
    """
    by_network: dict[str | bytes, list[Waiting]] = {}
    counts: dict[str | bytes, int] = {}
    for one in connections:
        network = network_of(one.address)
        counts[network] = counts.get(network, 0) + 1
        if now - one.since >= PATIENCE[one.state] and one.bytes_per_second < QUICK:
            by_network.setdefault(network, []).append(one)
    # A turn for each connection: the address that has most by then comes first, then the one with the best choice.
    most = max((counts[network] for network in by_network), default=0)
    turns = []
    for number, (network, those) in enumerate(by_network.items()):
        those.sort(key=_urgency)
        count, has_most = counts[network], counts[network] == most
        turns += [(given - count, _urgency(one), number, has_most, one) for given, one in enumerate(those)]
    turns.sort()
    return [one for *_, one in takewhile(lambda turn: turn[3], turns)]


def _urgency(one: Waiting) -> tuple[int, float]:
    """Return what is less for a connection that goes earlier."""
    return _RANKS[one.state], one.bytes_per_second if one.state == "body" else one.since


def network_of(address: str) -> str | bytes:
    """Return what an address is counted as: itself, or for IPv6 its /64, as one client has all addresses of that."""
    if ":" not in address:
        return address
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return packed if packed.startswith(_IPV4_MAPPED) else packed[:8]


_IPV4_MAPPED = bytes(10) + b"\xff\xff"


def order_for_threads(behind_seconds: Mapping[int, float], *, requests: int, threads: int) -> list[int]:
    """Return those that are ended for `requests` that wait for one of `threads`, the slowest client first.

    `behind_seconds` has each descriptor with a task that waits for its client to take output: how far that is behind.

    One for each request at most. The clients of these requests may be as slow: all of them together have BEHIND_SECONDS
    or so, but none has so little that it could not show whether it takes anything.
    """
    patience = max(BEHIND_SECONDS * threads / (threads + requests), LEAST_BEHIND_SECONDS)
    late = [descriptor for descriptor, seconds in behind_seconds.items() if seconds >= patience]
    late.sort(key=behind_seconds.__getitem__, reverse=True)
    return late[:requests]
