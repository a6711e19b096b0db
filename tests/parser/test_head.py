"""The head as a whole: its limits, and which of several faults is answered."""

import pytest

from tests.parser.helpers import GET, HOST, head_of, is_shown_by_last_byte, parse, parse_every_cut, refusal_of
from tests.support.rows import each_row
from waitress_parser import (
    BadTarget,
    BareLineBreak,
    ForbiddenOctet,
    HeadTooLarge,
    InvalidContentLength,
    InvalidFieldLine,
    InvalidHost,
    LimitExceeded,
    Limits,
    MissingHost,
    ProtocolError,
    RequestHead,
    RequestLineTooLong,
    StartLineInvalid,
    TooManyFields,
    UnknownExpectation,
    VersionNotSupported,
)


def test_a_head_has_every_attribute_of_the_request() -> None:
    wire = b"PUT http://B/p?q HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 1\r\nx: z\r\n\r\n."
    assert head_of(wire) == RequestHead(
        method="PUT",
        target="http://B/p?q",
        version="1.1",
        fields=[("host", "a"), ("x", "y"), ("content-length", "1"), ("x", "z")],
        values={"host": "a", "x": "y, z", "content-length": "1"},
        authority="B",
        path="/p",
        query="q",
        content_length=1,
        is_persistent=True,
        expects_continue=False,
    )


@each_row(
    ("wire", "kind"),
    [
        pytest.param(b"\x00", ForbiddenOctet, id="nul-first"),
        pytest.param(b"\n", BareLineBreak, id="lf-first"),
        pytest.param(b"\rG", BareLineBreak, id="cr-first"),
        pytest.param(b"\r\n\r\n", StartLineInvalid, id="second-empty-line"),
        pytest.param(b"\r\n\n", BareLineBreak, id="lf-after-empty-line"),
        pytest.param(b"GET / HTTP/1.1\n", BareLineBreak, id="request-line-ended-by-lf"),
        pytest.param(b"GET / HTTP/1.1\r\r", BareLineBreak, id="cr-cr-in-request-line"),
        pytest.param(b"GET / HTTP/1.1 \r\n", StartLineInvalid, id="request-line-complete"),
        pytest.param(GET + b"\n", BareLineBreak, id="lf-after-request-line"),
        pytest.param(GET + b"Host: x\n", BareLineBreak, id="field-line-ended-by-lf"),
        pytest.param(GET + b"Host: x\rA", BareLineBreak, id="cr-in-field"),
        pytest.param(GET + b"Host: x\r\r", BareLineBreak, id="cr-cr-in-field"),
        pytest.param(GET + b"Host: x\r\n\n", BareLineBreak, id="lf-for-empty-line"),
        pytest.param(GET + b"Host: x\r\n\rA", BareLineBreak, id="cr-for-empty-line"),
        pytest.param(GET + b"A: \x01", ForbiddenOctet, id="control-character-in-field"),
        pytest.param(GET + b"\x08", ForbiddenOctet, id="control-character-starts-field"),
        pytest.param(GET + b"A B\r\n\r\n", InvalidFieldLine, id="fields-when-the-head-is-complete"),
    ],
)
def test_a_fault_is_found_at_the_byte_that_shows_it(wire: bytes, kind: type[ProtocolError]) -> None:
    assert refusal_of(wire).kind is kind
    assert is_shown_by_last_byte(wire)
    assert refusal_of(wire + b"\r\n\r\nmore\r\n\r\n").kind is kind


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        pytest.param(b"GET /\n HTTP/9.1\x00\r\n", BareLineBreak, id="first-structure-fault-of-two"),
        pytest.param(b"GET /\x00 \n", ForbiddenOctet, id="first-structure-fault-of-two-again"),
        pytest.param(b"get / HTTP/1.1\r\nA: \x00", ProtocolError, id="request-line-before-field-structure"),
        pytest.param(b"GET / HTTP/2.0\r\nA\nB", VersionNotSupported, id="version-before-field-structure"),
        pytest.param(b"GET x HTTP/1.1\r\nA B\r\n\r\n", InvalidFieldLine, id="fields-before-target"),
        pytest.param(b"GET x HTTP/1.1\r\n\r\n", BadTarget, id="target-before-host"),
        pytest.param(GET + b"Content-Length: x\r\n\r\n", MissingHost, id="host-before-framing"),
        pytest.param(GET + b"Host: /\r\nContent-Length: x\r\n\r\n", InvalidHost, id="invalid-host-before-framing"),
        pytest.param(
            GET + HOST + b"Content-Length: x\r\nExpect: x\r\n\r\n",
            InvalidContentLength,
            id="framing-before-expectation",
        ),
        pytest.param(GET + b"A B\r\nC: \x00\r\n\r\n", ForbiddenOctet, id="structure-before-fields"),
        pytest.param(GET + HOST + b"Expect: x\r\n\r\n\x00\n", UnknownExpectation, id="head-before-what-follows"),
    ],
)
def test_of_several_faults_the_one_that_shows_first_is_answered(wire: bytes, kind: type[ProtocolError]) -> None:
    assert issubclass(refusal_of(wire).kind, kind)


def line_of(size: int) -> bytes:
    return b"GET /" + b"x" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"


def test_a_request_line_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    limits = Limits(max_request_line_bytes=40)
    assert head_of(line_of(40) + b"\r\n" + HOST + b"\r\n", limits).method == "GET"
    refusal = refusal_of(line_of(41) + b"\r\n" + HOST + b"\r\n", limits)
    assert (refusal.kind, refusal.status, refusal.kind.reason) == (RequestLineTooLong, 414, "URI Too Long")
    assert is_shown_by_last_byte(line_of(41), limits)


def test_a_head_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    head = GET + HOST + b"A: bcdef\r\n\r\n"
    assert head_of(head, Limits(max_head_bytes=len(head))).values["a"] == "bcdef"
    refusal = refusal_of(head, Limits(max_head_bytes=len(head) - 1))
    assert (refusal.kind, refusal.status) == (HeadTooLarge, 431)
    assert (refusal.method, refusal.version) == ("GET", "1.0")
    assert refusal.detail == f"exceeds max_header of {len(head) - 1}"


@pytest.mark.parametrize("missing", range(1, 12))
def test_an_endless_head_is_refused_at_the_first_byte_too_many(missing: int) -> None:
    """Also if the limit falls between the two bytes of a line end."""
    head = GET + HOST + b"A: bcdef\r\n\r\n"
    limits = Limits(max_head_bytes=len(head) - missing)
    endless = head[: limits.max_head_bytes + 1]
    assert refusal_of(endless, limits).kind is HeadTooLarge
    assert is_shown_by_last_byte(endless, limits)
    assert refusal_of(head, limits).kind is HeadTooLarge


@each_row("size", range(1, len(GET) + 2))
def test_a_limit_within_the_request_line_is_still_one_of_the_head(size: int) -> None:
    refusal = refusal_of(GET + HOST + b"\r\n", Limits(max_head_bytes=size))
    assert (refusal.kind, refusal.status) == (HeadTooLarge, 431)


def test_the_smaller_of_two_limits_decides_and_the_request_line_when_they_are_equal() -> None:
    wire = line_of(60) + b"\r\n" + HOST + b"\r\n"
    assert refusal_of(wire, Limits(max_request_line_bytes=50, max_head_bytes=40)).kind is HeadTooLarge
    assert refusal_of(wire, Limits(max_request_line_bytes=40, max_head_bytes=50)).kind is RequestLineTooLong
    assert refusal_of(wire, Limits(max_request_line_bytes=40, max_head_bytes=40)).kind is RequestLineTooLong


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        pytest.param(b"xx\x00", ForbiddenOctet, id="byte-within"),
        pytest.param(b"xxx\x00", ForbiddenOctet, id="byte-at-the-limit"),
        pytest.param(b"xxxx\x00", RequestLineTooLong, id="byte-after"),
        pytest.param(b"xxx\n", BareLineBreak, id="lf-at-the-limit"),
        pytest.param(b"xx\rx", BareLineBreak, id="cr-shown-at-the-limit"),
        pytest.param(b"xxx\rx", BareLineBreak, id="cr-at-the-limit"),
        pytest.param(b"xxx\r\r\n", BareLineBreak, id="two-cr-at-the-limit"),
        pytest.param(b"xxxx\rx", RequestLineTooLong, id="cr-after"),
        pytest.param(b"xxx\r\n", StartLineInvalid, id="line-end-at-the-limit"),
    ],
)
def test_structure_goes_before_the_limit_of_the_request_line_where_they_meet(
    tail: bytes, kind: type[ProtocolError]
) -> None:
    assert refusal_of(b"GET /" + tail, Limits(max_request_line_bytes=8)).kind is kind


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        pytest.param(b"xxx\x00", ForbiddenOctet, id="byte-within"),
        pytest.param(b"xxxx\x00", ForbiddenOctet, id="byte-at-the-limit"),
        pytest.param(b"xxxxx\x00", HeadTooLarge, id="byte-after"),
        pytest.param(b"xxxx\n", BareLineBreak, id="lf-at-the-limit"),
        pytest.param(b"xxx\rx", BareLineBreak, id="cr-shown-at-the-limit"),
        pytest.param(b"xxxx\rx", HeadTooLarge, id="cr-at-the-limit"),
        pytest.param(b"x\r\n\r\n", HeadTooLarge, id="complete-with-one-byte-too-many"),
        pytest.param(b"\r\n\r\n", MissingHost, id="complete-at-the-limit"),
    ],
)
def test_structure_goes_before_the_limit_of_the_head_where_they_meet(tail: bytes, kind: type[ProtocolError]) -> None:
    wire = GET + b"A:" + tail
    assert refusal_of(wire, Limits(max_head_bytes=len(GET) + len(b"A:") + 4)).kind is kind


@pytest.mark.parametrize("line", [b"G: h\r\n", b" h\r\n", b"\th\r\n"], ids=["field", "fold", "fold-by-tab"])
@pytest.mark.parametrize(
    "lines", [b"A: b\r\nC: d\r\n", b"A: b\r\n c\r\n", b"A:\r\n \r\n"], ids=["fields", "fold", "fold-of-blanks"]
)
def test_as_many_lines_of_fields_as_the_limit_are_accepted_and_one_more_is_not(lines: bytes, line: bytes) -> None:
    limits = Limits(max_fields=3)
    three = GET + HOST + lines
    assert head_of(three + b"\r\n", limits).method == "GET"
    refusal = refusal_of(three + line + b"\r\n", limits)
    assert (refusal.kind, refusal.status) == (TooManyFields, 431)
    assert refusal.detail == "exceeds max_fields of 3"
    assert is_shown_by_last_byte(three + line[:1], limits)


def test_no_fields_at_all_may_be_the_limit() -> None:
    assert head_of(b"GET / HTTP/1.0\r\n\r\n", Limits(max_fields=0)).fields == []
    assert refusal_of(b"GET / HTTP/1.0\r\nA: b\r\n\r\n", Limits(max_fields=0)).kind is TooManyFields


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        pytest.param(b"\x00", ForbiddenOctet, id="byte-starts-the-field"),
        pytest.param(b"\n", BareLineBreak, id="lf-starts-the-field"),
        pytest.param(b"\rx", BareLineBreak, id="cr-starts-the-field"),
        pytest.param(b"x\x00", TooManyFields, id="byte-after"),
        pytest.param(b" \x00", TooManyFields, id="byte-in-a-fold"),
        pytest.param(b"\rx\r\n\r\n", BareLineBreak, id="cr-starts-a-line-and-lines-follow"),
        pytest.param(b"\rx\r\ny\r\n\r\n", BareLineBreak, id="cr-starts-a-line-and-more-lines-follow"),
        pytest.param(b"\r\nx\r\n", MissingHost, id="empty-line"),
    ],
)
def test_structure_goes_before_the_number_of_fields_where_they_meet(tail: bytes, kind: type[ProtocolError]) -> None:
    assert refusal_of(GET + b"A: b\r\n" + tail, Limits(max_fields=1)).kind is kind


def test_at_the_same_byte_the_number_of_fields_goes_before_the_size_of_the_head() -> None:
    wire = GET + b"A: b\r\nC"
    limits = Limits(max_fields=1, max_head_bytes=len(wire) - 1)
    assert refusal_of(wire, limits).kind is TooManyFields
    assert refusal_of(wire, Limits(max_fields=1, max_head_bytes=len(wire) - 2)).kind is HeadTooLarge


def test_limits_of_the_head_do_not_count_what_follows() -> None:
    wire = GET + HOST + b"Content-Length: 500\r\n\r\n"
    limits = Limits(max_head_bytes=len(wire), max_request_line_bytes=len(GET) - 2, max_fields=2)
    outcome = parse([wire + b"\r\n" * 250 + wire], limits)
    assert [message.content for message in outcome.messages] == [b"\r\n" * 250, b""]


def test_an_empty_line_before_the_request_line_does_not_count() -> None:
    wire = GET + HOST + b"\r\n"
    limits = Limits(max_head_bytes=len(wire), max_request_line_bytes=len(GET) - 2)
    assert head_of(b"\r\n" + wire, limits).method == "GET"


def test_every_limit_is_an_attribute_of_its_error() -> None:
    limits = Limits(max_head_bytes=30)
    outcome = parse_every_cut(b"x" * 31, limits)
    assert outcome.refusal is not None
    assert issubclass(outcome.refusal.kind, LimitExceeded)
    assert HeadTooLarge(30).limit == 30
