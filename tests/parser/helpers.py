"""Feeds a parser with the same bytes in every cut, and checks that the cut makes no difference."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from waitress_parser import (
    NEED_MORE,
    BodyPiece,
    EndOfMessage,
    Limits,
    ProtocolError,
    RequestHead,
    RequestParser,
)

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

MAX_BYTES_FOR_PAIRS = 52  # 1300 pairs of places are parsed in about 20 ms


class Message(NamedTuple):
    head: RequestHead
    content: bytes
    trailers: list[tuple[str, str]] | None
    """None while the message is incomplete."""


class Refusal(NamedTuple):
    kind: type[ProtocolError]
    status: int
    detail: str
    method: str
    version: str


class Outcome(NamedTuple):
    messages: list[Message]
    refusal: Refusal | None

    @property
    def head(self) -> RequestHead:
        """The head of the only message, which is complete and was not refused."""
        assert self.refusal is None
        (message,) = self.messages
        assert message.trailers is not None
        return message.head


def describe(error: ProtocolError) -> Refusal:
    return Refusal(type(error), error.status, error.detail, error.method, error.version)


def drain(parser: RequestParser, messages: list[Message]) -> Refusal | None:
    """Take all events and add them to `messages`; return the refusal if there is one."""
    while True:
        try:
            event = parser.next_event()
        except ProtocolError as error:
            return describe(error)
        if event is NEED_MORE:
            return None
        if isinstance(event, RequestHead):
            messages.append(Message(event, b"", None))
        elif isinstance(event, BodyPiece):
            assert len(event.data)
            last = messages.pop()
            messages.append(last._replace(content=last.content + event.data))
        else:
            assert isinstance(event, EndOfMessage)
            assert messages[-1].trailers is None
            messages.append(messages.pop()._replace(trailers=event.trailers))


def exhaust(parser: RequestParser) -> None:
    """Take all events and drop them."""
    try:
        while parser.next_event() is not NEED_MORE:
            pass
    except ProtocolError:
        pass


def parse(pieces: Iterable[bytes | memoryview], limits: Limits, *, has_end: bool = False) -> Outcome:
    """Parse pieces one after the other; with `has_end` the input ends after them."""
    parser = RequestParser(limits)
    messages: list[Message] = []
    for piece in pieces:
        parser.receive(piece)
        refusal = drain(parser, messages)
        if refusal is not None:
            break
    else:
        refusal = None
    if has_end:
        refusal = end(parser) or refusal
    if refusal is not None:  # what arrives now is dropped
        parser.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert drain(parser, messages) == refusal
        assert parser.held_bytes == 0
    return Outcome(messages, refusal)


def end(parser: RequestParser) -> Refusal | None:
    """End the input; return the refusal if a message is incomplete."""
    try:
        parser.end_of_input()
    except ProtocolError as error:
        return describe(error)
    return None


def reused(wire: bytes, size: int) -> Iterator[memoryview]:
    """Yield the bytes as views of one buffer, which is overwritten before the next view."""
    buffer = bytearray(size)
    for start in range(0, len(wire), size):
        piece = wire[start : start + size]
        buffer[: len(piece)] = piece
        with memoryview(buffer) as whole, whole[: len(piece)] as view:
            yield view
        buffer[:] = b"\xff" * size


def parse_undrained(wire: bytes, size: int, limits: Limits) -> Outcome:
    """Receive everything in pieces before the first call of `next_event()`."""
    parser = RequestParser(limits)
    for start in range(0, len(wire), size):
        parser.receive(wire[start : start + size])
    messages: list[Message] = []
    return Outcome(messages, drain(parser, messages))


def parse_every_cut(wire: bytes, limits: Limits | None = None, *, has_end: bool = False) -> Outcome:
    """Parse whole, byte by byte, cut at every place, and at every pair of places of a short input."""
    limits = limits or Limits()
    outcome = parse([wire], limits, has_end=has_end)
    single_bytes = [wire[i : i + 1] for i in range(len(wire))]
    assert parse(single_bytes, limits, has_end=has_end) == outcome, "byte by byte"
    for cut in range(1, len(wire)):
        assert parse([wire[:cut], wire[cut:]], limits, has_end=has_end) == outcome, cut
    if len(wire) <= MAX_BYTES_FOR_PAIRS:
        for a, b in combinations(range(1, len(wire)), 2):
            assert parse([wire[:a], wire[a:b], wire[b:]], limits, has_end=has_end) == outcome, (a, b)
    for size in (1, 7, max(len(wire), 1)):
        assert parse(reused(wire, size), limits, has_end=has_end) == outcome, f"views of {size}"
        if not has_end:
            assert parse_undrained(wire, size, limits) == outcome, f"undrained pieces of {size}"
    return outcome


def refusal_of(wire: bytes, limits: Limits | None = None, *, has_end: bool = False) -> Refusal:
    """Return the refusal of the last request in `wire`, the same in every cut."""
    outcome = parse_every_cut(wire, limits, has_end=has_end)
    assert outcome.refusal is not None, outcome.messages
    return outcome.refusal


def head_of(wire: bytes, limits: Limits | None = None) -> RequestHead:
    """Return the head of the only request in `wire`, which is complete, the same in every cut."""
    return parse_every_cut(wire, limits).head


def is_shown_by_last_byte(wire: bytes, limits: Limits | None = None) -> bool:
    """Return whether the fault in `wire` is found at its last byte, and not before."""
    limits = limits or Limits()
    return parse([wire[:-1]], limits).refusal is None and parse([wire], limits).refusal is not None


# Windows counts the time of a process in steps of 15.6 ms.
CLOCK_STEP_SECONDS = 1 / 64 if os.name == "nt" else 0.0


def processor_seconds(call: Callable[[], object], *, runs: int = 3) -> float:
    """Return how long a call takes of the processor, as the least of some runs: the machine only adds to it.

    Where the clock has steps, runs together take at least one, from its start, and their mean counts.
    """
    best = float("inf")
    gc.disable()  # the garbage of all tests before may take longer than what is measured
    try:
        while runs > 0:
            started_at, count, taken = start_of_step(), 0, -1.0
            while taken < CLOCK_STEP_SECONDS:
                call()
                count += 1
                taken = time.process_time() - started_at
            best = min(best, taken / count)
            runs -= count
    finally:
        gc.enable()
    return best


def start_of_step() -> float:
    """Return the time of this process; where its clock has steps, wait for the next."""
    before = now = time.process_time()
    while CLOCK_STEP_SECONDS and now == before:
        now = time.process_time()
    return now


def seconds(wire: bytes, step: int, limits: Limits, *, runs: int = 3) -> float:
    """Return how long parsing takes of the processor, in pieces of `step` bytes."""

    def parse() -> None:
        parser = RequestParser(limits)
        for start in range(0, len(wire), step):
            parser.receive(wire[start : start + step])
            exhaust(parser)

    return processor_seconds(parse, runs=runs)
