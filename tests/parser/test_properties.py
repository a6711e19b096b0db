"""Any bytes in any cut give an event, NEED_MORE or a ProtocolError, the same for every cut, and bounded."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.parser.helpers import CHUNKED, Message, Outcome, drain, parse
from tests.parser.models import STRUCTURE, are_extensions, first_fault, up_to_its_end
from waitress_parser import InvalidChunkExtension, InvalidChunkSize, Limits, ProtocolError, RequestParser

LIMITS = Limits(
    max_head_bytes=150,
    max_request_line_bytes=60,
    max_fields=6,
    max_body_bytes=300,
    max_chunk_line_bytes=24,
    max_chunk_extension_bytes=40,
)

# Fragments of requests, right and wrong: random bytes alone would never get past the request line.
FRAGMENTS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"get / HTTP/2.0\r\n",
        b"GET http://b/c HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Host: [::1]:80\r\n",
        b"Host:a/b\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 301\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"X_y: z\r\n",
        b"X-New: z\r\n",
        b" fold\r\n",
        b"\tfold\r\n",
        b"Bad : z\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b"\x00",
        b"\xff",
        b" ",
        b"abcde",
        b"5\r\nabcde\r\n",
        b"5;a=b\r\nabcde\r\n",
        b"0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b'1;a="b\r\n',
        b"5 ;a = b\t; c\r\nabcde\r\n",
        b"5 \r\nabcde\r\n",
        b"Cookie: a=b\r\n",
        b"Authorization: a\r\n",
        b"Connection: close,,,, ,\r\n",
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"ffffffff\r\n",
        b"x" * 30,
        b"1" * 17,
    ]
)
START = st.sampled_from(
    [b"", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"PUT / HTTP/1.1\r\nHost: a\r\n"]
)
WIRES = st.builds(
    lambda start, pieces: start + b"".join(pieces),
    START,
    st.lists(st.one_of(FRAGMENTS, FRAGMENTS, FRAGMENTS, st.binary(max_size=4)), max_size=12),
)


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(wire), *(place for place in places if place < len(wire))})
    return [wire[a:b] for a, b in pairwise(edges)]


@settings(max_examples=600, derandomize=True, deadline=None)
@given(WIRES, st.lists(st.integers(1, 300), max_size=6))
def test_the_outcome_is_the_same_for_every_cut(wire: bytes, places: list[int]) -> None:
    whole = parse([wire] if wire else [], LIMITS)
    assert parse(cut(wire, places), LIMITS) == whole
    assert parse([wire[i : i + 1] for i in range(len(wire))], LIMITS) == whole
    assert all(len(message.content) <= LIMITS.max_body_bytes for message in whole.messages)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(1, 60), max_size=4))
def test_random_bytes_are_events_or_an_error(wire: bytes, places: list[int]) -> None:
    assert parse(cut(wire, places), LIMITS) == parse([wire] if wire else [], LIMITS)


SECTIONS = st.lists(
    st.sampled_from(
        [b"\r\n", b"A: b\r\n", b"\r\nA", b" \r\n", b"\t", b"A", b"\r", b"\n", b"\0", b"\x7f", b"\xff", b"-" * 60]
    ),
    max_size=16,
).map(b"".join)


@settings(max_examples=1500, derandomize=True, deadline=None)
@given(SECTIONS, st.lists(st.integers(1, 200), max_size=3))
def test_the_fault_of_a_section_is_the_one_that_a_byte_by_byte_reading_meets_first(
    section: bytes, places: list[int]
) -> None:
    line = b"GET / HTTP/1.1"
    section = up_to_its_end(section)
    expected = first_fault(b"\r\n" + section, LIMITS.max_head_bytes - len(line), LIMITS.max_fields)
    refusal = parse(cut(line + b"\r\n" + section, places), LIMITS).refusal
    kind = refusal.kind if refusal is not None and issubclass(refusal.kind, STRUCTURE) else None
    assert kind is expected


# No hexadecimal digits, which would be more of the size.
EXTENSIONS = st.lists(
    st.sampled_from(
        [b";", b" ", b"\t", b"=", b"g", b"hi", b'"', b"\\", b"\xff", b"(", b"; j", b" = ", b'"k l"', b";m=n"]
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=1500, derandomize=True, deadline=None)
@given(EXTENSIONS, st.lists(st.integers(60, 80), max_size=2))
def test_what_follows_a_chunk_size_is_read_by_the_grammar_of_extensions(text: bytes, places: list[int]) -> None:
    wire = CHUNKED + b"1" + text + b"\r\nx\r\n0\r\n\r\n"
    outcome = parse(cut(wire, places), Limits())
    if are_extensions(text):
        assert outcome.refusal is None
        assert outcome.messages[0].content == b"x"
    else:
        assert outcome.refusal is not None
        kinds = (InvalidChunkSize, InvalidChunkExtension)
        assert outcome.refusal.kind in kinds


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.lists(
        st.lists(st.from_regex(r'[a-z]{1,3}=("[a-z ,=]{0,3}"|[a-z]{0,3})', fullmatch=True), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_cookies_are_the_same_in_one_line_as_in_many(lines: list[list[str]]) -> None:
    start = b"GET / HTTP/1.1\r\nHost: a\r\n"
    cookies = ["; ".join(pairs) for pairs in lines]
    in_many = b"".join(b"Cookie: %b\r\nX: y\r\n" % cookie.encode() for cookie in cookies)
    in_one = b"cookie: %b\r\n" % "; ".join(cookies).encode()
    many, one = (parse([start + fields + b"\r\n"], Limits()).head for fields in (in_many, in_one))
    assert many.values["cookie"] == one.values["cookie"]


class Calls(RuleBasedStateMachine):
    """Calls a parser in any order, and compares it with one that received everything at once."""

    @initialize(start=START)
    def start(self, start: bytes) -> None:
        self.parser = RequestParser(LIMITS)
        self.wire = b""
        self.messages: list[Message] = []
        self.refusal: object = None
        self.has_ended = False
        if start:
            self.receive(start)

    @rule(data=st.one_of(FRAGMENTS, st.binary(max_size=4)), as_view=st.booleans())
    def receive_and_take_all(self, data: bytes, as_view: bool) -> None:
        buffer = bytearray(data)
        self.receive(memoryview(buffer) if as_view else data)
        self.take_all()
        buffer[:] = b"\x00" * len(buffer)

    @rule(data=FRAGMENTS)
    def receive_only(self, data: bytes) -> None:
        self.receive(data)

    @rule()
    def take_all(self) -> None:
        refusal = drain(self.parser, self.messages)
        assert self.refusal in (None, refusal)
        self.refusal = refusal
        if not self.has_ended:
            assert Outcome(self.messages, refusal) == parse([self.wire] if self.wire else [], LIMITS)

    @rule()
    def end(self) -> None:
        self.has_ended = True
        try:
            self.parser.end_of_input()
        except ProtocolError:
            self.take_all()

    def receive(self, data: bytes | memoryview) -> None:
        if self.has_ended and not self.refusal:
            return
        if not self.refusal:
            self.wire += data
        self.parser.receive(data)

    @invariant()
    def what_is_held_is_part_of_what_was_received(self) -> None:
        if hasattr(self, "parser"):
            assert 0 <= self.parser.held_bytes <= len(self.wire)
            if self.refusal:
                assert self.parser.held_bytes == 0


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=80, stateful_step_count=20, derandomize=True, deadline=None)
