"""The machine: its transitions, pipelining, what it holds, errors, the end of input."""

import contextlib
import gc
import sys
import weakref
from typing import Any

import pytest

from tests.parser.helpers import (
    CHUNKED,
    GET,
    HOST,
    Message,
    describe,
    drain,
    exhaust,
    parse,
    parse_every_cut,
    refusal_of,
)
from tests.support.rows import each_row
from waitress_parser import (
    NEED_MORE,
    BodyPiece,
    EndOfMessage,
    IncompleteRequest,
    InvalidChunkSize,
    Limits,
    ProtocolError,
    RequestHead,
    RequestParser,
    StartLineInvalid,
    machine,
)
from waitress_parser.head import read_whole_head
from waitress_parser.machine import TRANSITIONS, Step

PLAIN = GET + HOST + b"\r\n"
FIXED = b"PUT /f HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nabcde"
WHOLE_CHUNKED = CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"
REQUESTS = [
    pytest.param(PLAIN, id="no-body"),
    pytest.param(FIXED, id="fixed-body"),
    pytest.param(WHOLE_CHUNKED, id="chunked-body"),
]
NOTHING = pytest.param(b"", id="nothing")
IS_CPYTHON = sys.implementation.name == "cpython"


def parser_at_body(length: int) -> RequestParser:
    parser = RequestParser()
    parser.receive(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
    assert isinstance(parser.next_event(), RequestHead)
    return parser


def test_the_transitions_that_happen_are_those_of_the_table() -> None:
    wires = [PLAIN, FIXED, WHOLE_CHUNKED, b"x\r\n", CHUNKED + b"x", PLAIN + b"\n"]
    made: dict[Step, set[Step]] = {step: set() for step in Step}
    for wire in wires:
        parser = RequestParser()
        for position in range(len(wire)):
            parser.receive(wire[position : position + 1])
            event: object = None
            while event is not NEED_MORE:
                before = parser._step
                try:
                    event = parser.next_event()
                except ProtocolError:
                    event = NEED_MORE
                if parser._step is not before:
                    made[before].add(parser._step)
    parser = parser_at_body(5)
    with pytest.raises(IncompleteRequest):
        parser.end_of_input()
    made[Step.FIXED_BODY].add(parser._step)
    assert made == {step: set(after) for step, after in TRANSITIONS.items()}


# Pipelining


def test_pipelined_requests_are_returned_one_after_the_other() -> None:
    outcome = parse_every_cut(PLAIN + FIXED + WHOLE_CHUNKED + PLAIN)
    assert outcome.refusal is None
    assert [(message.head.method, message.content) for message in outcome.messages] == [
        ("GET", b""),
        ("PUT", b"abcde"),
        ("POST", b"abc"),
        ("GET", b""),
    ]


@pytest.mark.parametrize("first", REQUESTS)
def test_what_follows_a_request_is_not_parsed_before_the_next_call(first: bytes) -> None:
    parser = RequestParser()
    parser.receive(first + b"\x00" + PLAIN)
    while not isinstance(parser.next_event(), EndOfMessage):
        pass
    assert parser.held_bytes == 1 + len(PLAIN)
    with pytest.raises(ProtocolError):
        parser.next_event()


@pytest.mark.parametrize(
    "second", [b"x\r\n\r\n", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["request-line", "tls", "no-host"]
)
def test_a_fault_in_the_second_request_leaves_the_first_as_it_is(second: bytes) -> None:
    outcome = parse_every_cut(FIXED + second)
    assert outcome.refusal is not None
    assert outcome.refusal.method != "PUT"
    assert [message.content for message in outcome.messages] == [b"abcde"]
    assert outcome.messages[0].trailers == []


def test_the_version_of_an_error_is_not_that_of_the_request_before() -> None:
    refusal = refusal_of(WHOLE_CHUNKED + b"GET\r\n")
    assert (refusal.method, refusal.version) == ("", "1.0")


@pytest.mark.parametrize("before", [NOTHING, *REQUESTS])
def test_one_empty_line_before_a_request_line_is_skipped_and_a_second_is_not(before: bytes) -> None:
    assert len(parse_every_cut(before + b"\r\n" + PLAIN).messages) == bool(before) + 1
    assert refusal_of(before + b"\r\n\r\n" + PLAIN).kind is StartLineInvalid
    assert parse_every_cut(before + b"\r\n" + PLAIN + b"\r\n" + PLAIN).refusal is None


def test_two_heads_in_one_bytes_object_are_not_taken_for_one() -> None:
    wire = PLAIN + PLAIN
    assert len(parse([wire], Limits(max_head_bytes=len(PLAIN))).messages) == 2
    assert len(parse([wire], Limits()).messages) == 2


# Receiving


def test_pieces_of_a_fixed_body_are_the_objects_that_were_received() -> None:
    parser = parser_at_body(10)
    data = b"01234"
    parser.receive(data)
    event = parser.next_event()
    assert isinstance(event, BodyPiece)
    assert event.data == data
    if IS_CPYTHON:  # elsewhere a slice may be a copy though it is all of the bytes
        assert event.data is data
    view = memoryview(bytearray(b"56789"))
    parser.receive(view)
    assert parser.held_bytes == 5
    event = parser.next_event()
    assert isinstance(event, BodyPiece)
    assert event.data is view
    assert isinstance(parser.next_event(), EndOfMessage)


def test_a_view_is_copied_unless_all_of_it_is_content() -> None:
    for length, received in ((3, b"abc" + PLAIN), (3, b"a")):
        buffer = bytearray(received)
        parser = parser_at_body(length)
        if received == b"a":
            parser.receive(b"x")
        parser.receive(memoryview(buffer))
        buffer[:] = b"\xff" * len(buffer)
        messages = [Message(RequestHead("", "", "", [], {}, None, "", "", 0, True, False), b"", None)]
        assert drain(parser, messages) is None
        assert messages[0].content == (b"xa" if received == b"a" else b"abc")


def test_the_parser_releases_a_view_with_its_event() -> None:
    buffer = bytearray(b"abc")
    parser = parser_at_body(10)
    parser.receive(memoryview(buffer))
    parser.next_event()
    gc.collect()
    buffer.extend(b"grown, which an exported buffer does not allow")


def test_a_view_that_was_not_taken_yet_is_copied_by_the_next_receive() -> None:
    parser = parser_at_body(10)
    buffer = bytearray(b"01234")
    parser.receive(memoryview(buffer))
    parser.receive(memoryview(b"56789"))
    buffer[:] = b"\xff" * len(buffer)
    assert parser.held_bytes == 10
    assert parser.next_event() == BodyPiece(b"0123456789")


def test_held_data_is_a_copy_of_what_is_held() -> None:
    parser = RequestParser()
    assert parser.held_data() == b""
    parser.receive(PLAIN + b"GET")
    parser.next_event()
    parser.next_event()
    assert parser.held_data() == parser.held_data() == b"GET"
    parser.receive(b" /")
    assert parser.held_data() == b"GET /"
    parser = parser_at_body(10)
    buffer = bytearray(b"01234")
    parser.receive(memoryview(buffer))
    held = parser.held_data()
    buffer[:] = b"\xff" * len(buffer)
    assert held == b"01234"


def test_any_bytes_like_object_may_be_received() -> None:
    parser = RequestParser()
    buffer: Any = bytearray(PLAIN)
    parser.receive(buffer)
    buffer[:] = b"\xff" * len(buffer)
    messages: list[Message] = []
    assert drain(parser, messages) is None
    assert len(messages) == 1


def test_receiving_nothing_changes_nothing() -> None:
    parser = RequestParser()
    parser.receive(b"")
    parser.receive(memoryview(b""))
    assert parser.next_event() is NEED_MORE
    assert parser.is_between_messages


def test_held_bytes_and_is_between_messages_follow_what_is_held() -> None:
    parser = RequestParser()

    def state() -> tuple[bool, int]:
        return parser.is_between_messages, parser.held_bytes

    assert state() == (True, 0)
    parser.receive(b"\r")
    assert (parser.next_event(), state()) == (NEED_MORE, (False, 1))
    parser.receive(b"\n")
    assert (parser.next_event(), state()) == (NEED_MORE, (True, 0))
    parser.receive(FIXED[:3])
    assert state() == (False, 3)
    assert (parser.next_event(), state()) == (NEED_MORE, (False, 3))
    parser.receive(FIXED[3:] + b"GE")
    assert state() == (False, len(FIXED) + 2)
    assert isinstance(parser.next_event(), RequestHead)
    assert state() == (False, 7)
    assert isinstance(parser.next_event(), BodyPiece)
    assert state() == (False, 2)
    assert isinstance(parser.next_event(), EndOfMessage)
    assert state() == (False, 2)
    parser.receive(PLAIN[2:])
    assert isinstance(parser.next_event(), RequestHead)
    assert state() == (False, 0)
    assert isinstance(parser.next_event(), EndOfMessage)
    assert state() == (True, 0)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(GET + b"A: " + b"x" * 5000, id="field"),
        pytest.param(b"GET /" + b"x" * 5000, id="request-line"),
        pytest.param(GET + b"A: b\r\n" * 5000, id="many-fields"),
        pytest.param(GET + b"A: b\r\n" + b" c\r\n" * 5000, id="many-folds"),
        pytest.param(CHUNKED + b"1;" + b"a" * 5000, id="chunk-line"),
        pytest.param(CHUNKED + b"1;a\r\nx\r\n" * 5000, id="chunks"),
        pytest.param(CHUNKED + b"0\r\nA: " + b"x" * 5000, id="trailer"),
        pytest.param(b"\r\n" * 5000, id="garbage"),
        pytest.param(PLAIN * 500, id="requests"),
    ],
)
def test_what_is_held_stays_within_the_limits(wire: bytes) -> None:
    limits = Limits(
        max_head_bytes=200, max_request_line_bytes=100, max_chunk_line_bytes=50, max_chunk_extension_bytes=99
    )
    parser = RequestParser(limits)
    for start in range(0, len(wire), 13):
        parser.receive(wire[start : start + 13])
        exhaust(parser)
        assert parser.held_bytes <= limits.max_head_bytes + 2
        if IS_CPYTHON:
            assert sys.getsizeof(parser._buffer.data) < 1000


def test_an_idle_parser_is_small() -> None:
    parser = RequestParser()
    parser.receive(PLAIN)
    drain(parser, [])
    assert not hasattr(parser, "__dict__")
    assert not hasattr(parser._buffer, "__dict__")
    if IS_CPYTHON:
        assert sys.getsizeof(parser) + sys.getsizeof(parser._buffer) <= 200


# Errors


@pytest.mark.parametrize(
    "wire",
    [b"x\r\n", GET + b"\n", PLAIN + b"\x00", CHUNKED + b"x", CHUNKED + b"1\r\na\r\n+"],
    ids=["request-line", "field", "second-request", "chunk-size", "second-chunk-size"],
)
def test_an_error_is_raised_again_and_nothing_is_held(wire: bytes) -> None:
    parser = RequestParser()
    parser.receive(wire + PLAIN)
    first = drain(parser, [])
    assert first is not None
    for _ in range(3):
        parser.receive(PLAIN)
        parser.receive(memoryview(PLAIN))
        with pytest.raises(first.kind) as caught:
            parser.next_event()
        assert describe(caught.value) == first
        assert str(caught.value) == first.detail
        assert parser.held_bytes == 0
        assert not parser.is_between_messages


def test_a_failed_parser_is_in_no_reference_cycle() -> None:
    class Watched(RequestParser):
        __slots__ = ("__weakref__",)

    gc.disable()
    try:
        parser = Watched()
        parser.receive(b"x\r\n")
        for _ in range(2):
            try:
                parser.next_event()
            except ProtocolError:
                pass
        reference = weakref.ref(parser)
        del parser
        if IS_CPYTHON:
            assert reference() is None
    finally:
        gc.enable()


# End of input


@pytest.mark.parametrize(
    "before",
    [
        NOTHING,
        *REQUESTS,
        pytest.param(PLAIN + b"\r\n", id="empty-line-after-a-request"),
        pytest.param(b"\r\n", id="empty-line"),
    ],
)
def test_the_input_may_end_between_messages(before: bytes) -> None:
    assert parse_every_cut(before, has_end=True).refusal is None


@pytest.mark.parametrize(
    ("wire", "method", "version"),
    [
        pytest.param(b"G", "", "1.0", id="request-line"),
        pytest.param(b"\r", "", "1.0", id="half-an-empty-line"),
        pytest.param(b"\r\n\r", "", "1.0", id="one-and-a-half-empty-lines"),
        pytest.param(GET, "GET", "1.0", id="fields"),
        pytest.param(PLAIN[:-1], "GET", "1.0", id="last-byte-of-the-head"),
        pytest.param(FIXED[:-1], "PUT", "1.1", id="last-byte-of-the-body"),
        pytest.param(FIXED[:-5], "PUT", "1.1", id="whole-body"),
        pytest.param(CHUNKED, "POST", "1.1", id="chunk-size"),
        pytest.param(CHUNKED + b"3\r\nab", "POST", "1.1", id="chunk-data"),
        pytest.param(CHUNKED + b"3\r\nabc", "POST", "1.1", id="chunk-end"),
        pytest.param(CHUNKED + b"0\r\n", "POST", "1.1", id="trailers"),
        pytest.param(PLAIN + b"G", "", "1.0", id="second-request"),
    ],
)
def test_an_end_inside_a_message_is_an_error(wire: bytes, method: str, version: str) -> None:
    refusal = refusal_of(wire, has_end=True)
    assert (refusal.kind, refusal.status) == (IncompleteRequest, 400)
    assert (refusal.method, refusal.version) == (method, version)


@pytest.mark.parametrize("rest", [b"", b"G", FIXED[:-1]], ids=["complete", "part-of-a-head", "part-of-a-body"])
def test_complete_requests_that_are_held_are_returned_after_the_end(rest: bytes) -> None:
    parser = RequestParser()
    parser.receive(PLAIN + FIXED + rest)
    parser.end_of_input()
    messages: list[Message] = []
    refusal = drain(parser, messages)
    assert [message.content for message in messages[:2]] == [b"", b"abcde"]
    assert (refusal is None) == (rest == b"")
    if refusal is not None:
        assert refusal.kind is IncompleteRequest
        assert drain(parser, messages) == refusal


def test_an_end_after_the_last_piece_of_a_body_is_no_error() -> None:
    parser = parser_at_body(1)
    parser.receive(b"x")
    assert isinstance(parser.next_event(), BodyPiece)
    parser.end_of_input()
    assert isinstance(parser.next_event(), EndOfMessage)
    assert parser.next_event() is NEED_MORE
    assert parser.is_between_messages


def test_an_end_inside_a_body_is_an_error_before_any_need_more() -> None:
    parser = parser_at_body(1)
    with pytest.raises(IncompleteRequest):
        parser.end_of_input()
    with pytest.raises(IncompleteRequest):
        parser.next_event()


def test_end_of_input_may_be_called_twice_and_after_an_error() -> None:
    parser = RequestParser()
    parser.receive(CHUNKED + b"x")
    refusal = drain(parser, [])
    parser.end_of_input()
    parser.end_of_input()
    assert refusal is not None
    assert refusal.kind is InvalidChunkSize
    assert drain(parser, []) == refusal


@pytest.mark.parametrize("before", [NOTHING, *REQUESTS])
def test_receiving_after_the_end_of_good_input_is_a_runtime_error(before: bytes) -> None:
    parser = RequestParser()
    parser.receive(before)
    parser.end_of_input()
    with pytest.raises(RuntimeError):
        parser.receive(b"G")
    drain(parser, [])
    with pytest.raises(RuntimeError):
        parser.receive(b"G")


@each_row("sent_on", [PLAIN, b"x", memoryview(PLAIN)], ids=["request", "byte", "view"])
@each_row(
    ("wire", "kind"),
    [
        pytest.param(b"G", IncompleteRequest, id="request-line"),
        pytest.param(PLAIN[:-1], IncompleteRequest, id="head"),
        pytest.param(FIXED[:-1], IncompleteRequest, id="fixed-body"),
        pytest.param(CHUNKED, IncompleteRequest, id="chunked-body"),
        pytest.param(CHUNKED + b"0\r\nA", IncompleteRequest, id="trailers"),
        pytest.param(PLAIN + b"G", IncompleteRequest, id="second-request"),
        pytest.param(b"x\r\n", StartLineInvalid, id="fault"),
    ],
)
@each_row("is_drained", [True, False], ids=["drained", "undrained"])
def test_what_arrives_after_a_failure_and_the_end_is_dropped(
    wire: bytes, kind: type[ProtocolError], sent_on: bytes | memoryview, is_drained: bool
) -> None:
    """A 408 that is not taken at once: the input was ended for it, and the client sends on."""
    parser = RequestParser()
    parser.receive(wire)
    if is_drained:
        exhaust(parser)
    try:
        parser.end_of_input()
    except IncompleteRequest:
        pass
    exhaust(parser)
    for _ in range(2):
        parser.receive(sent_on)
        assert parser.held_bytes == 0
        parser.end_of_input()
        with pytest.raises(kind):
            parser.next_event()


def test_a_large_chunked_body_is_not_read_as_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends in the same bytes as a head; parsing 64 KiB as one took longer than all the rest."""
    read: list[int] = []

    def noting(block: bytes | bytearray, limits: Limits) -> RequestHead | None:
        read.append(len(block))
        return read_whole_head(block, limits)

    monkeypatch.setattr(machine, "read_whole_head", noting)
    parser = RequestParser()
    parser.receive(CHUNKED + b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n")
    assert isinstance(parser.next_event(), RequestHead)
    assert read == [len(CHUNKED) - len(b"\r\n\r\n")]


COMPLETE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\nGET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n",
]


def state_of(parser: RequestParser) -> dict[str, object]:
    """What decides how it parses on; the rest is written before it is read."""
    names = ("_step", "_failure", "_has_input_ended", "_scanner", "_has_skipped_line", "_chunked")
    buffer = parser._buffer
    return {**{name: getattr(parser, name) for name in names}, "buffer": (buffer.data, buffer.position, buffer.view)}


@pytest.mark.parametrize("step", [1, 1000], ids=["by-byte", "whole"])
@pytest.mark.parametrize("message", COMPLETE, ids=["get", "after-an-empty-line", "length", "chunked"])
def test_after_a_complete_request_a_parser_is_as_new(message: bytes, step: int) -> None:
    parser = RequestParser()
    assert parser.is_as_new
    events = []
    for start in range(0, len(message), step):
        parser.receive(message[start : start + step])
        while (event := parser.next_event()) is not NEED_MORE:
            assert not parser.is_as_new or isinstance(event, EndOfMessage)
            events.append(event)
        assert parser.is_as_new is (start + step >= len(message))
    assert isinstance(events[-1], EndOfMessage)
    assert state_of(parser) == state_of(RequestParser())


@pytest.mark.parametrize("sent", [b"\r\n", b"\r", b"GET", b"no request\r\n\r\n"], ids=["line", "cr", "part", "fault"])
def test_a_parser_that_something_is_left_of_is_not_as_new(sent: bytes) -> None:
    parser = RequestParser()
    parser.receive(sent)
    with contextlib.suppress(ProtocolError):
        parser.next_event()
    assert not parser.is_as_new


def test_after_the_end_of_input_a_parser_is_not_as_new() -> None:
    parser = RequestParser()
    parser.end_of_input()
    assert not parser.is_as_new
