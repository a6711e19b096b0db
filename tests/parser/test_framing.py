"""Message framing: Content-Length, Transfer-Encoding, both, neither."""

import pytest

from tests.parser.helpers import CHUNKED, head_of, parse_every_cut, refusal_of
from tests.support.rows import each_row
from waitress_parser import (
    BodyTooLarge,
    DuplicateField,
    ForbiddenOctet,
    InvalidContentLength,
    InvalidTransferCoding,
    LengthAndTransferCoding,
    Limits,
    ProtocolError,
    TransferCodingInHttp10,
    UnknownTransferCoding,
)
from waitress_parser.framing import body_length
from waitress_parser.grammar import MAX_EXAMINED_CHARACTERS

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"BREW"])
def test_a_request_without_length_or_coding_has_no_body(method: bytes) -> None:
    assert head_of(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n").content_length == 0


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"OPTIONS", b"BREW"])
def test_a_body_belongs_to_its_request_whatever_the_method(method: bytes) -> None:
    wire = method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    (message,) = parse_every_cut(wire).messages
    assert (message.head.content_length, message.content, message.trailers) == (3, b"abc", [])


@pytest.mark.parametrize(
    ("value", "length"),
    [(b"0", 0), (b"2", 2), (b"\t 2 \t", 2), (b"0002", 2), (b"00", 0), (b"0" * 5000 + b"2", 2)],
    ids=["zero", "two", "outer-whitespace", "leading-zeros", "zeros", "thousands-of-zeros"],
)
def test_content_length_is_decimal_digits(value: bytes, length: int) -> None:
    wire = POST + b"Content-Length: " + value + b"\r\n\r\n" + b"x" * length
    assert parse_every_cut(wire).head.content_length == length


@each_row(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"+3", id="plus"),
        pytest.param(b"-1", id="minus"),
        pytest.param(b"1_0", id="underscore"),
        pytest.param(b"3,3", id="list"),
        pytest.param(b"3, 3", id="list-with-space"),
        pytest.param(b"3 3", id="two-numbers"),
        pytest.param(b"0x3", id="prefix"),
        pytest.param(b"3.0", id="fraction"),
        pytest.param(b"3e1", id="exponent"),
        pytest.param(b"a", id="letter"),
        pytest.param(b"\xb2", id="superscript"),
        pytest.param(b"\xb23", id="superscript-and-digit"),
        pytest.param(b"3;", id="semicolon"),
        pytest.param(b'"3"', id="quotes"),
        pytest.param(b"\xa03", id="no-break-space"),
    ],
)
def test_any_other_content_length_is_refused(value: bytes) -> None:
    refusal = refusal_of(POST + b"Content-Length: " + value + b"\r\n\r\n")
    assert (refusal.kind, refusal.status) == (InvalidContentLength, 400)
    assert (refusal.method, refusal.version, refusal.detail) == ("POST", "1.1", "Content-Length is invalid")


def test_a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    limits = Limits(max_body_bytes=5)
    assert head_of(POST + b"Content-Length: 5\r\n\r\nabcde", limits).content_length == 5
    refusal = refusal_of(POST + b"Content-Length: 6\r\n\r\n", limits)
    assert (refusal.kind, refusal.status) == (BodyTooLarge, 413)
    assert refusal.detail == "exceeds max_body of 5"


@pytest.mark.parametrize(
    "digits",
    [b"9" * 19, b"9" * 20, b"1" + b"0" * 400, b"9" * 5000],
    ids=["19-digits", "20-digits", "401-digits", "5000-digits"],
)
def test_an_absurd_content_length_is_too_large(digits: bytes) -> None:
    assert refusal_of(POST + b"Content-Length: " + digits + b"\r\n\r\n").kind is BodyTooLarge


def test_no_body_at_all_may_be_the_limit() -> None:
    limits = Limits(max_body_bytes=0)
    assert head_of(POST + b"Content-Length: 0\r\n\r\n", limits).content_length == 0
    assert refusal_of(POST + b"Content-Length: 1\r\n\r\n", limits).status == 413


@pytest.mark.parametrize(
    "value", [b"chunked", b"CHUNKED", b"ChUnKeD", b" \tchunked\t "], ids=["lower", "upper", "mixed", "blanks"]
)
def test_one_chunked_is_chunked(value: bytes) -> None:
    head = head_of(POST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n")
    assert head.content_length is None


@each_row(
    ("value", "kind"),
    [
        pytest.param(b"", InvalidTransferCoding, id="empty"),
        pytest.param(b",", InvalidTransferCoding, id="comma"),
        pytest.param(b"chunked,", InvalidTransferCoding, id="empty-member-last"),
        pytest.param(b",chunked", InvalidTransferCoding, id="empty-member-first"),
        pytest.param(b"chunked, chunked", InvalidTransferCoding, id="twice"),
        pytest.param(b"chunked, gzip", InvalidTransferCoding, id="not-last"),
        pytest.param(b"chunked, identity", InvalidTransferCoding, id="not-last-identity"),
        pytest.param(b"gzip, chunked, chunked", InvalidTransferCoding, id="known-and-twice"),
        pytest.param(b"chunked;a=b", InvalidTransferCoding, id="parameter"),
        pytest.param(b"chunked ; a", InvalidTransferCoding, id="parameter-with-space"),
        pytest.param(b"chunked a", InvalidTransferCoding, id="two-words"),
        pytest.param(b'"chunked"', InvalidTransferCoding, id="quoted"),
        pytest.param(b"chunked\xa0", InvalidTransferCoding, id="no-break-space"),
        pytest.param(b"\x85chunked", InvalidTransferCoding, id="next-line-byte"),
        pytest.param(b"\x0bchunked", ForbiddenOctet, id="vertical-tab"),
        pytest.param(b"gzip", UnknownTransferCoding, id="gzip"),
        pytest.param(b"gzip, chunked", UnknownTransferCoding, id="gzip-and-chunked"),
        pytest.param(b"identity", UnknownTransferCoding, id="identity"),
        pytest.param(b"identity, chunked", UnknownTransferCoding, id="identity-and-chunked"),
        pytest.param(b"xchunked", UnknownTransferCoding, id="chunked-as-suffix"),
        pytest.param(b"chunkedx", UnknownTransferCoding, id="chunked-as-prefix"),
        pytest.param(b"chunke", UnknownTransferCoding, id="chunked-cut-short"),
        pytest.param(b"gzip;q=1", UnknownTransferCoding, id="unknown-with-parameter"),
    ],
)
def test_any_other_transfer_encoding_is_refused(value: bytes, kind: type[ProtocolError]) -> None:
    refusal = refusal_of(POST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n")
    assert refusal.kind is kind
    assert refusal.status == (501 if kind is UnknownTransferCoding else 400)


@pytest.mark.parametrize(
    "unit", [b"a,", b"a", b"chunked,", b"a;b,"], ids=["codings", "coding", "chunked", "parameters"]
)
def test_a_transfer_encoding_beyond_the_limit_is_invalid_whatever_it_says(unit: bytes) -> None:
    value = unit * (MAX_EXAMINED_CHARACTERS // len(unit) + 1)
    refusal = refusal_of(POST + b"Transfer-Encoding: " + value + b"a\r\n\r\n")
    assert (refusal.kind, refusal.status) == (InvalidTransferCoding, 400)
    exactly = b"a," * (MAX_EXAMINED_CHARACTERS // 2 - 1) + b"aa"
    assert refusal_of(POST + b"Transfer-Encoding: " + exactly + b"\r\n\r\n").kind is UnknownTransferCoding


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(b"chunked", b"chunked", 400), (b"gzip", b"chunked", 501), (b"chunked", b"gzip", 400), (b"chunked", b"", 400)],
    ids=["chunked-twice", "gzip-chunked", "chunked-gzip", "chunked-empty"],
)
def test_repeated_transfer_encodings_are_one_list(first: bytes, second: bytes, status: int) -> None:
    lines = b"Transfer-Encoding: " + first + b"\r\ntransfer-encoding: " + second + b"\r\n"
    assert refusal_of(POST + lines + b"\r\n").status == status


@each_row(
    "length", [b"0", b"3", b"x", b"", b"999999999999999999999"], ids=["zero", "three", "letter", "empty", "absurd"]
)
@each_row("coding", [b"chunked", b"gzip", b"", b"x y"], ids=["chunked", "gzip", "empty", "two-words"])
def test_length_and_coding_together_are_refused_whatever_they_say(length: bytes, coding: bytes) -> None:
    a, b = b"Content-Length: " + length + b"\r\n", b"Transfer-Encoding: " + coding + b"\r\n"
    for lines in (a + b, b + a):
        refusal = refusal_of(POST + lines + b"\r\n")
        assert (refusal.kind, refusal.status) == (LengthAndTransferCoding, 400)


@pytest.mark.parametrize(
    "connection", [b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n"], ids=["none", "close", "keep-alive"]
)
def test_transfer_encoding_in_http_1_0_is_refused(connection: bytes) -> None:
    refusal = refusal_of(CHUNKED.replace(b"1.1", b"1.0")[:-2] + connection + b"\r\n0\r\n\r\n")
    assert (refusal.kind, refusal.status, refusal.version) == (TransferCodingInHttp10, 400, "1.0")


def test_body_length_is_zero_without_a_length_and_a_coding() -> None:
    assert body_length("1.1", None, None, 5) == body_length("1.0", None, None, 5) == 0


def test_a_name_with_an_underscore_frames_nothing() -> None:
    assert head_of(POST + b"Content_Length: 3\r\nTransfer_Encoding: chunked\r\n\r\n").content_length == 0
    wire = POST + b"Content-Length: 3\r\nContent_Length: 4\r\n\r\nabc"
    assert head_of(wire).content_length == 3


def test_equal_lengths_are_refused_too() -> None:
    assert refusal_of(POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc").kind is DuplicateField
