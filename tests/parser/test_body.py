"""Chunked bodies: sizes, extensions, ends, trailers, limits."""

import pytest

from tests.parser.helpers import CHUNKED, is_shown_by_last_byte, parse, parse_every_cut, refusal_of
from tests.support.rows import each_row
from waitress_parser import (
    BareLineBreak,
    BodyPiece,
    BodyTooLarge,
    ChunkExtensionsTooLong,
    ChunkLineTooLong,
    ChunkNotTerminated,
    FoldWithoutField,
    ForbiddenOctet,
    HeadTooLarge,
    InvalidChunkExtension,
    InvalidChunkSize,
    InvalidFieldLine,
    Limits,
    ProtocolError,
    RequestParser,
    TooManyFields,
)

END = b"0\r\n\r\n"


def content_of(body: bytes, limits: Limits | None = None) -> bytes:
    (message,) = parse_every_cut(CHUNKED + body, limits).messages
    assert message.trailers == []
    return message.content


@each_row(
    ("body", "content"),
    [
        pytest.param(END, b"", id="empty"),
        pytest.param(b"3\r\nabc\r\n" + END, b"abc", id="one-chunk"),
        pytest.param(b"3\r\nabc\r\n2\r\nde\r\n" + END, b"abcde", id="two-chunks"),
        pytest.param(b"a\r\n0123456789\r\nA\r\n0123456789\r\n" + END, b"0123456789" * 2, id="hex-digits-in-both-cases"),
        pytest.param(b"0003\r\nabc\r\n000\r\n\r\n", b"abc", id="leading-zeros"),
        pytest.param(b"0000000000000003\r\nabc\r\n" + END, b"abc", id="sixteen-digits"),
        pytest.param(b"4\r\n\r\n\r\n\r\n" + END, b"\r\n\r\n", id="line-ends-as-data"),
        pytest.param(b"5\r\n0\r\n\r\n\r\n" + END, b"0\r\n\r\n", id="end-of-body-as-data"),
        pytest.param(b"3\r\n\x00\n\r\r\n" + END, b"\x00\n\r", id="any-byte-as-data"),
        pytest.param(b"3;a\r\nabc\r\n" + END, b"abc", id="extension"),
        pytest.param(b"3;a=b\r\nabc\r\n0;c\r\n\r\n", b"abc", id="extension-on-last-chunk"),
        pytest.param(b'3;a=b;c="d e;\t\\"\\\\\xe4";f\r\nabc\r\n' + END, b"abc", id="extensions-of-all-forms"),
        pytest.param(b'3;a=""\r\nabc\r\n' + END, b"abc", id="empty-quoted-string"),
        pytest.param(b"3 ;a\r\nabc\r\n" + END, b"abc", id="space-before-semicolon"),
        pytest.param(b"3; a\r\nabc\r\n" + END, b"abc", id="space-after-semicolon"),
        pytest.param(b"3;a =b\r\nabc\r\n" + END, b"abc", id="space-before-equals"),
        pytest.param(b'3;a= "b"\r\nabc\r\n' + END, b"abc", id="space-after-equals"),
        pytest.param(b"3\t;\ta\t=\tb\r\nabc\r\n" + END, b"abc", id="tabs-everywhere"),
        pytest.param(b'3 \t; \ta \t= \t" b " \t; \tc\r\nabc\r\n' + END, b"abc", id="runs-of-blanks-everywhere"),
        pytest.param(b"3;a\r\nabc\r\n0 ; a = b\r\n\r\n", b"abc", id="blanks-on-last-chunk"),
    ],
)
def test_chunks_are_joined_to_the_content(body: bytes, content: bytes) -> None:
    assert content_of(body) == content


BAD_CHUNKS = [
    pytest.param(b"\r\n", InvalidChunkSize, id="empty-line"),
    pytest.param(b"\r\n3\r\nabc\r\n", InvalidChunkSize, id="empty-line-before-size"),
    pytest.param(b"g\r\n", InvalidChunkSize, id="no-hex-digit"),
    pytest.param(b"0x3\r\nabc\r\n", InvalidChunkSize, id="prefix"),
    pytest.param(b"+3\r\nabc\r\n", InvalidChunkSize, id="plus"),
    pytest.param(b"-3\r\nabc\r\n", InvalidChunkSize, id="minus"),
    pytest.param(b"1_0\r\n0123456789abcdef\r\n", InvalidChunkSize, id="underscore"),
    pytest.param(b" 3\r\nabc\r\n", InvalidChunkSize, id="leading-space"),
    pytest.param(b"3 \r\nabc\r\n", InvalidChunkSize, id="trailing-space"),
    pytest.param(b"3\t\r\nabc\r\n", InvalidChunkSize, id="trailing-tab"),
    pytest.param(b"3.0\r\nabc\r\n", InvalidChunkSize, id="fraction"),
    pytest.param(b"3h\r\nabc\r\n", InvalidChunkSize, id="letter-after-size"),
    pytest.param(b";a\r\nabc\r\n", InvalidChunkSize, id="extension-only"),
    pytest.param(b"\xb2\r\n", InvalidChunkSize, id="superscript"),
    pytest.param(b"\x003\r\nabc\r\n", InvalidChunkSize, id="nul-before-size"),
    pytest.param(b"3\x00\r\nabc\r\n", InvalidChunkSize, id="nul-after-size"),
    pytest.param(b"3\nabc\r\n", InvalidChunkSize, id="size-ended-by-lf"),
    pytest.param(b"3\n\r\nabc\r\n", InvalidChunkSize, id="lf-before-crlf"),
    pytest.param(b"\n3\r\nabc\r\n", InvalidChunkSize, id="lf-before-size"),
    pytest.param(b"0" * 16 + b"3\r\nabc\r\n", InvalidChunkSize, id="seventeen-digits"),
    pytest.param(b"f" * 17, InvalidChunkSize, id="too-many-digits-without-end"),
    pytest.param(b"3\rabc\r\n", BareLineBreak, id="size-ended-by-cr"),
    pytest.param(b"3\r\r\nabc\r\n", BareLineBreak, id="cr-before-crlf"),
    pytest.param(b"3;\r\nabc\r\n", InvalidChunkExtension, id="semicolon-only"),
    pytest.param(b"3;a;\r\nabc\r\n", InvalidChunkExtension, id="empty-extension-last"),
    pytest.param(b"3;;a\r\nabc\r\n", InvalidChunkExtension, id="empty-extension-first"),
    pytest.param(b"3;a \r\nabc\r\n", InvalidChunkExtension, id="space-after-name"),
    pytest.param(b"3; \r\nabc\r\n", InvalidChunkExtension, id="semicolon-and-space-only"),
    pytest.param(b"3;a=b \r\nabc\r\n", InvalidChunkExtension, id="space-after-value"),
    pytest.param(b'3;a="b" \r\nabc\r\n', InvalidChunkExtension, id="space-after-quote"),
    pytest.param(b"3;a b\r\nabc\r\n", InvalidChunkExtension, id="space-in-name"),
    pytest.param(b"3;a=b c\r\nabc\r\n", InvalidChunkExtension, id="space-in-value"),
    pytest.param(b"3;a = \r\nabc\r\n", InvalidChunkExtension, id="blank-value"),
    pytest.param(b"3;a\x0b=b\r\nabc\r\n", InvalidChunkExtension, id="vertical-tab-before-equals"),
    pytest.param(b"3;\xa0a\r\nabc\r\n", InvalidChunkExtension, id="no-break-space-after-semicolon"),
    pytest.param(b"3 x\r\nabc\r\n", InvalidChunkSize, id="text-after-space"),
    pytest.param(b"3 3\r\nabc\r\n", InvalidChunkSize, id="two-sizes"),
    pytest.param(b"0 \r\n\r\n", InvalidChunkSize, id="trailing-space-on-last-chunk"),
    pytest.param(b" ;a\r\nabc\r\n", InvalidChunkSize, id="blank-size"),
    pytest.param(b"3;a=\r\nabc\r\n", InvalidChunkExtension, id="empty-value"),
    pytest.param(b"3;=b\r\nabc\r\n", InvalidChunkExtension, id="empty-name"),
    pytest.param(b"3;a=b=c\r\nabc\r\n", InvalidChunkExtension, id="two-equals"),
    pytest.param(b'3;a="b\r\nabc\r\n', InvalidChunkExtension, id="quote-not-closed"),
    pytest.param(b'3;a="b"c\r\nabc\r\n', InvalidChunkExtension, id="text-after-quote"),
    pytest.param(b'3;"a"=b\r\nabc\r\n', InvalidChunkExtension, id="quoted-name"),
    pytest.param(b'3;a="\\"\r\nabc\r\n', InvalidChunkExtension, id="backslash-before-closing-quote"),
    pytest.param(b"3;a=\xe4\r\nabc\r\n", InvalidChunkExtension, id="obs-text-in-token"),
    pytest.param(b"3;a\x00\r\nabc\r\n", InvalidChunkExtension, id="nul-in-extension"),
    pytest.param(b'3;a="\x00"\r\nabc\r\n', InvalidChunkExtension, id="nul-in-quoted-string"),
    pytest.param(b"3;a\nabc\r\n", BareLineBreak, id="extension-ended-by-lf"),
    pytest.param(b"3;a\n\r\nabc\r\n", BareLineBreak, id="lf-in-extension"),
    pytest.param(b"3;a\rb\r\nabc\r\n", BareLineBreak, id="cr-in-extension"),
    pytest.param(b'3;a="\n"\r\nabc\r\n', BareLineBreak, id="lf-in-quoted-string"),
    pytest.param(b"3\r\nabcd\r\n", ChunkNotTerminated, id="more-data-than-announced"),
    pytest.param(b"3\r\nabc0\r\n\r\n", ChunkNotTerminated, id="no-line-end"),
    pytest.param(b"3\r\nabc\n", ChunkNotTerminated, id="data-ended-by-lf"),
    pytest.param(b"3\r\nabc\r0", ChunkNotTerminated, id="data-ended-by-cr"),
    pytest.param(b"3\r\nabc\r\r\n", ChunkNotTerminated, id="data-ended-by-cr-crlf"),
    pytest.param(b"3\r\nabc\n\r\n", ChunkNotTerminated, id="data-ended-by-lf-crlf"),
    pytest.param(b"3\r\nabc\r\n\r\n", InvalidChunkSize, id="empty-line-after-data"),
    pytest.param(b"3\r\nabc\r\nq", InvalidChunkSize, id="second-chunk-without-size"),
]


@each_row(("body", "kind"), BAD_CHUNKS)
def test_anything_else_is_refused_after_the_valid_content_before_it(body: bytes, kind: type[ProtocolError]) -> None:
    outcome = parse_every_cut(CHUNKED + body)
    assert outcome.refusal is not None
    assert (outcome.refusal.kind, outcome.refusal.status) == (kind, 400)
    assert (outcome.refusal.method, outcome.refusal.version) == ("POST", "1.1")
    (message,) = outcome.messages
    assert message.trailers is None
    assert message.content == (b"abc" if body.startswith(b"3\r\nabc") else b"")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(b"z\r\n", "Invalid chunk size", id="size"),
        pytest.param(b"1; \r\n", "Invalid chunk extension", id="extension"),
        pytest.param(b"1\r\naa", "Chunk not properly terminated", id="end"),
    ],
)
def test_details_are_those_that_users_of_waitress_know(body: bytes, detail: str) -> None:
    assert refusal_of(CHUNKED + body).detail == detail


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"x", id="letter"),
        pytest.param(b"3x", id="letter-after-size"),
        pytest.param(b"\r", id="cr"),
        pytest.param(b"\n", id="lf"),
        pytest.param(b"0" * 17, id="seventeen-digits"),
        pytest.param(b"3\rx", id="size-ended-by-cr"),
        pytest.param(b"3;a\n", id="extension-ended-by-lf"),
        pytest.param(b"3;a\x00", id="nul-in-extension"),
        pytest.param(b"3;a\rx", id="extension-ended-by-cr"),
        pytest.param(b"3;a \r\n", id="space-in-extension"),
        pytest.param(b"3\r\nabcd", id="more-data"),
        pytest.param(b"3\r\nabc\rd", id="data-ended-by-cr"),
    ],
)
def test_a_fault_is_found_at_the_byte_that_shows_it(body: bytes) -> None:
    assert is_shown_by_last_byte(CHUNKED + body)


def test_small_chunks_that_are_held_together_are_one_piece() -> None:
    parser = RequestParser()
    parser.receive(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n3\r\nde")
    parser.next_event()
    assert parser.next_event() == BodyPiece(b"abcde")
    parser.receive(b"f\r\n" + END)
    assert parser.next_event() == BodyPiece(b"f")


# Trailers


@pytest.mark.parametrize(
    ("section", "trailers"),
    [
        pytest.param(b"", [], id="none"),
        pytest.param(b"A: b\r\n", [("a", "b")], id="one"),
        pytest.param(b"A: b\r\nA:\tc \r\nD:\r\n", [("a", "b"), ("a", "c"), ("d", "")], id="wire-order"),
        pytest.param(b"A: b\r\n c\r\n", [("a", "b c")], id="fold"),
        pytest.param(b"Content-Length: 5\r\nA: b\r\nHost: x\r\n", [("a", "b")], id="some-dropped"),
        pytest.param(b"Host: x\r\nHost: x\r\n", [], id="all-dropped"),
    ],
)
def test_trailers_come_with_the_end_and_never_among_the_fields(section: bytes, trailers: list[tuple[str, str]]) -> None:
    (message,) = parse_every_cut(CHUNKED + b"0\r\n" + section + b"\r\n").messages
    assert message.trailers == trailers
    assert message.head.fields == [("host", "a"), ("transfer-encoding", "chunked")]


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        pytest.param(b"A\r\n\r\n", InvalidFieldLine, id="no-colon"),
        pytest.param(b"A : b\r\n\r\n", InvalidFieldLine, id="space-before-colon"),
        pytest.param(b" A: b\r\n\r\n", FoldWithoutField, id="fold-first"),
        pytest.param(b"A: \x00", ForbiddenOctet, id="nul"),
        pytest.param(b"A: b\nC: d\r\n\r\n", BareLineBreak, id="lf"),
        pytest.param(b"A: b\rC", BareLineBreak, id="cr"),
        pytest.param(b"\n", BareLineBreak, id="ended-by-lf"),
        pytest.param(b"\rA", BareLineBreak, id="ended-by-cr"),
    ],
)
def test_trailers_follow_the_rules_of_fields(section: bytes, kind: type[ProtocolError]) -> None:
    outcome = parse_every_cut(CHUNKED + b"1\r\na\r\n0\r\n" + section)
    assert outcome.refusal is not None
    assert (outcome.refusal.kind, outcome.refusal.status, outcome.refusal.version) == (kind, 400, "1.1")
    assert outcome.messages[0].content == b"a"


def test_a_trailer_section_has_the_limits_of_a_head() -> None:
    size = len(CHUNKED)
    line = b"A: " + b"x" * (size - 7) + b"\r\n"
    limits = Limits(max_head_bytes=size, max_fields=2)
    assert parse_every_cut(CHUNKED + b"0\r\n" + line + b"\r\n", limits).messages[0].trailers
    longer = CHUNKED + b"0\r\n" + b"B" + line + b"\r\n"
    assert refusal_of(longer, limits).kind is HeadTooLarge
    assert is_shown_by_last_byte(longer, limits)
    assert refusal_of(longer, limits).detail == f"exceeds max_header of {size}"
    assert refusal_of(CHUNKED + b"0\r\nA:\r\nA:\r\nA", limits).kind is TooManyFields
    assert is_shown_by_last_byte(CHUNKED + b"0\r\nA:\r\nA:\r\nA", limits)


# Limits


def test_content_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    limits = Limits(max_body_bytes=5)
    assert content_of(b"3\r\nabc\r\n2\r\nde\r\n" + END, limits) == b"abcde"
    refusal = refusal_of(CHUNKED + b"3\r\nabc\r\n3\r\n", limits)
    assert (refusal.kind, refusal.status, refusal.detail) == (BodyTooLarge, 413, "exceeds max_body of 5")
    assert is_shown_by_last_byte(CHUNKED + b"3\r\nabc\r\n3\r\n", limits)
    assert refusal_of(CHUNKED + b"f" * 16 + b"\r\n").status == 413


def test_a_chunk_line_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    limits = Limits(max_chunk_line_bytes=20)
    assert content_of(b"1;" + b"a" * 18 + b"\r\nx\r\n0;" + b"b" * 18 + b"\r\n\r\n", limits) == b"x"
    wire = CHUNKED + b"1;" + b"a" * 19
    refusal = refusal_of(wire, limits)
    assert (refusal.kind, refusal.status) == (ChunkLineTooLong, 400)
    assert is_shown_by_last_byte(wire, limits)
    assert refusal_of(wire + b"\r\nx\r\n" + END, limits).kind is ChunkLineTooLong


def test_extensions_of_a_message_are_limited_together() -> None:
    limits = Limits(max_chunk_extension_bytes=6)
    assert content_of(b"1;aa\r\nx\r\n000;b=\r\n"[:-4] + b"b\r\n\r\n", limits) == b"x"
    wire = CHUNKED + b"1;aa\r\nx\r\n0;bbb"
    refusal = refusal_of(wire, limits)
    assert (refusal.kind, refusal.status) == (ChunkExtensionsTooLong, 400)
    assert is_shown_by_last_byte(wire, limits)
    message = CHUNKED + b"1;aa\r\nx\r\n0;bb\r\n\r\n"
    assert parse([message * 2], limits).refusal is None
    assert refusal_of(CHUNKED + b"1;", Limits(max_chunk_extension_bytes=0)).kind is ChunkExtensionsTooLong


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        pytest.param(b"a\x00", InvalidChunkExtension, id="byte-within"),
        pytest.param(b"aa\x00", InvalidChunkExtension, id="byte-at-the-limit"),
        pytest.param(b"aaa\x00", ChunkLineTooLong, id="byte-after"),
        pytest.param(b"aa\n", BareLineBreak, id="lf-at-the-limit"),
        pytest.param(b"aa\rx", BareLineBreak, id="cr-at-the-limit"),
        pytest.param(b"a \r\n", InvalidChunkExtension, id="grammar-when-the-line-is-complete"),
        pytest.param(b"a a", ChunkLineTooLong, id="limit-before-grammar"),
    ],
)
def test_structure_goes_before_the_limit_where_they_meet(tail: bytes, kind: type[ProtocolError]) -> None:
    limits = Limits(max_chunk_line_bytes=16)
    assert refusal_of(CHUNKED + b"0000000000001;" + tail, limits).kind is kind
