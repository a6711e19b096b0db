"""The request line: method, target, version, and lines that are not one."""

import pytest

from tests.parser.helpers import head_of, is_shown_by_last_byte, parse, refusal_of
from tests.support.rows import each_row
from waitress_parser import (
    BadTarget,
    BareLineBreak,
    ForbiddenOctet,
    Http2Preface,
    IncompleteRequest,
    Limits,
    MethodNotUpperCase,
    ProtocolError,
    StartLineInvalid,
    TlsHandshake,
    VersionNotSupported,
)
from waitress_parser.request_line import parse_request_line

END = b"\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b"GET / HTTP/1.1", ("GET", "/", "1.1"), id="plain"),
        pytest.param(b"GET / HTTP/1.0", ("GET", "/", "1.0"), id="http-1.0"),
        pytest.param(b"GET / HTTP/1.2", ("GET", "/", "1.1"), id="higher-minor-is-1.1"),
        pytest.param(b"GET / HTTP/1.9", ("GET", "/", "1.1"), id="highest-minor-is-1.1"),
        pytest.param(b"BREW / HTTP/1.1", ("BREW", "/", "1.1"), id="unknown-method"),
        pytest.param(b"M-SEARCH / HTTP/1.1", ("M-SEARCH", "/", "1.1"), id="method-with-hyphen"),
        pytest.param(b"!#$%&'*+-.^_`|~09 / HTTP/1.1", ("!#$%&'*+-.^_`|~09", "/", "1.1"), id="every-odd-tchar"),
        pytest.param(b'GET /<>"{}|\\^`[] HTTP/1.1', ("GET", '/<>"{}|\\^`[]', "1.1"), id="visible-bytes-in-target"),
    ],
)
def test_a_request_line_is_split_at_its_two_spaces(line: bytes, expected: tuple[str, str, str]) -> None:
    head = head_of(line + END)
    assert (head.method, head.target, head.version) == expected


@each_row(
    ("line", "kind"),
    [
        pytest.param(b"", StartLineInvalid, id="empty"),
        pytest.param(b"GET", StartLineInvalid, id="method-only"),
        pytest.param(b"GET /", StartLineInvalid, id="http-0.9"),
        pytest.param(b"GET  HTTP/1.1", StartLineInvalid, id="no-target"),
        pytest.param(b" / HTTP/1.1", StartLineInvalid, id="no-method"),
        pytest.param(b"GET / ", StartLineInvalid, id="empty-version"),
        pytest.param(b" GET / HTTP/1.1", StartLineInvalid, id="leading-space"),
        pytest.param(b"GET / HTTP/1.1 ", StartLineInvalid, id="trailing-space"),
        pytest.param(b"GET  / HTTP/1.1", StartLineInvalid, id="two-spaces-before-target"),
        pytest.param(b"GET /  HTTP/1.1", StartLineInvalid, id="two-spaces-after-target"),
        pytest.param(b"GET\t/ HTTP/1.1", StartLineInvalid, id="tab-for-space"),
        pytest.param(b"GET\t / HTTP/1.1", StartLineInvalid, id="tab-after-method"),
        pytest.param(b"GET / x HTTP/1.1", StartLineInvalid, id="space-in-target"),
        pytest.param(b"GET/ / HTTP/1.1", StartLineInvalid, id="slash-in-method"),
        pytest.param(b"G:T / HTTP/1.1", StartLineInvalid, id="colon-in-method"),
        pytest.param(b"\xc9T / HTTP/1.1", StartLineInvalid, id="obs-text-in-method"),
        pytest.param(b"GET / http/1.1", StartLineInvalid, id="lower-case-version"),
        pytest.param(b"GET / HTTP/1.10", StartLineInvalid, id="two-digit-minor"),
        pytest.param(b"GET / HTTP/11", StartLineInvalid, id="version-without-dot"),
        pytest.param(b"GET / HTTP/1,1", StartLineInvalid, id="version-with-comma"),
        pytest.param(b"GET / HTTP/1.", StartLineInvalid, id="version-without-minor"),
        pytest.param(b"GET / HTTP/1.\xb2", StartLineInvalid, id="superscript-digit"),
        pytest.param(b"GET / HTTP/+1.1", StartLineInvalid, id="signed-version"),
        pytest.param(b"GET / XTTP/1.1", StartLineInvalid, id="other-protocol"),
        pytest.param(b"GET / HTTP/1.1\t", StartLineInvalid, id="tab-after-version"),
        pytest.param(b"get / HTTP/1.1", MethodNotUpperCase, id="lower-case-method"),
        pytest.param(b"GeT / HTTP/1.1", MethodNotUpperCase, id="mixed-case-method"),
        pytest.param(b"GET /\t HTTP/1.1", BadTarget, id="tab-in-target"),
        pytest.param(b"GET /\xe4 HTTP/1.1", BadTarget, id="latin-1-in-target"),
        pytest.param(b"GET /\xc3\xa4 HTTP/1.1", BadTarget, id="utf-8-in-target"),
        pytest.param(b"GET //\x80 HTTP/1.1", BadTarget, id="obs-text-after-two-slashes"),
        pytest.param(b"GET / HTTP/0.9", VersionNotSupported, id="version-0.9"),
        pytest.param(b"GET / HTTP/2.0", VersionNotSupported, id="version-2.0"),
        pytest.param(b"HEAD / HTTP/2.0", VersionNotSupported, id="version-2.0-of-head"),
        pytest.param(b"HEAD /\xe4 HTTP/1.1", BadTarget, id="latin-1-in-target-of-head"),
        pytest.param(b"GET / HTTP/3.1", VersionNotSupported, id="version-3.1"),
        pytest.param(b"PRI * HTTP/2.0", Http2Preface, id="http-2-preface"),
        pytest.param(b"PRI / HTTP/2.0", VersionNotSupported, id="http-2-preface-with-another-target"),
        pytest.param(b"PRI * HTTP/3.0", VersionNotSupported, id="http-2-preface-with-another-version"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", TlsHandshake, id="tls-client-hello"),
        pytest.param(b"\x16\x03\x03", TlsHandshake, id="tls-client-hello-of-another-record-version"),
        pytest.param(b"\x16\x03", TlsHandshake, id="start-of-a-tls-client-hello"),
        pytest.param(b"\x16", ForbiddenOctet, id="first-byte-of-a-tls-client-hello"),
        pytest.param(b"\x16\x02", ForbiddenOctet, id="first-byte-of-a-tls-client-hello-and-another"),
        pytest.param(b"\x15\x03", ForbiddenOctet, id="tls-alert"),
        pytest.param(b"GET /\x16\x03 HTTP/1.1", ForbiddenOctet, id="tls-client-hello-in-target"),
        pytest.param(b"GET /\x00 HTTP/1.1", ForbiddenOctet, id="nul-in-target"),
        pytest.param(b"GET /\x7f HTTP/1.1", ForbiddenOctet, id="del-in-target"),
        pytest.param(b"GET /\x0b HTTP/1.1", ForbiddenOctet, id="vertical-tab-in-target"),
        pytest.param(b"GET / \x0cHTTP/1.1", ForbiddenOctet, id="form-feed-before-version"),
        pytest.param(b"GET /\r HTTP/1.1", BareLineBreak, id="bare-cr-in-target"),
        pytest.param(b"GET /\n HTTP/1.1", BareLineBreak, id="bare-lf-in-target"),
        pytest.param(b"GET / HTTP/1.1\r", BareLineBreak, id="cr-before-crlf"),
        pytest.param(b"GET / HTTP/1.1\n", BareLineBreak, id="lf-before-crlf"),
    ],
)
def test_anything_else_is_refused_before_the_fields_arrive(line: bytes, kind: type[ProtocolError]) -> None:
    refusal = refusal_of(line + b"\r\n" if line else b"\r\n\r\n")
    assert refusal.kind is kind
    assert refusal.status == (505 if issubclass(kind, VersionNotSupported) else 400)
    # The method is known where nothing is wrong but what follows it: an answer to HEAD has no content.
    is_known = issubclass(kind, (BadTarget, VersionNotSupported))
    method = line.partition(b" ")[0].decode() if is_known else ""
    assert (refusal.method, refusal.version) == (method, "1.0")
    assert refusal_of(line + END if line else b"\r\n\r\n" + END) == refusal


def test_details_are_those_that_users_of_waitress_know() -> None:
    assert refusal_of(b"get / HTTP/1.1\r\n").detail == 'Malformed HTTP method "get"'
    assert refusal_of(b"GET / HTTP/1.1\n").detail == "Bare CR or LF found in HTTP message"
    assert refusal_of(b"GET /\r\n").detail == "Start line is invalid"
    assert refusal_of(b"GET /\xe4 HTTP/1.1\r\n").detail.startswith("Bad URI: ")


@pytest.mark.parametrize(
    ("target", "byte", "index"),
    [
        pytest.param(b"/\xe4", 0xE4, 1, id="latin-1"),
        pytest.param(b"/caf\xc3\xa9", 0xC3, 4, id="utf-8"),
        pytest.param(b"/a?b=\xff&c=\xe4", 0xFF, 5, id="first-of-two"),
        pytest.param(b"\x80", 0x80, 0, id="first"),
        pytest.param(b"http://a/\xe4", 0xE4, 9, id="absolute-form"),
        pytest.param(b"/" + b"a" * 5000 + b"\xe4", 0xE4, 5001, id="far-behind"),
        pytest.param(b"/\t", 0x09, 1, id="tab"),
        pytest.param(b"/\x00", 0x00, 1, id="nul"),
        pytest.param(b"/a\x1f\xe4", 0x1F, 2, id="control"),
        pytest.param(b"/\x7f", 0x7F, 1, id="del"),
        pytest.param(b"/a b", 0x20, 2, id="space"),
        pytest.param(b"/a b c\xe4", 0x20, 2, id="spaces-and-latin-1"),
        pytest.param(b"\x01/", 0x01, 0, id="control-first"),
    ],
)
def test_a_refused_target_says_which_byte_it_is_about_and_how_to_send_it(target: bytes, byte: int, index: int) -> None:
    outcome = parse([b"GET " + target + b" HTTP/1.1" + END], Limits())
    assert outcome.refusal is not None
    assert outcome.refusal.detail.partition(": ")[2] == (
        f"byte 0x{byte:02X} at index {index} of the request target must be percent-encoded, as %{byte:02X}"
    )
    fixed = target.replace(bytes([byte]), b"%%%02X" % byte)
    again = parse([b"GET " + fixed + b" HTTP/1.1" + END], Limits()).refusal
    assert again is None or f"0x{byte:02X} " not in again.detail


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"G T / x",
        b"a b c d",
        b"\x01 / ",
    ],
    ids=["before-target", "after-target", "leading", "trailing", "no-version", "words", "control-byte-in-method"],
)
def test_what_is_wrong_outside_the_target_is_not_put_down_to_it(line: bytes) -> None:
    assert refusal_of(line + b"\r\n").detail == "Start line is invalid"


@pytest.mark.parametrize("line", [b" \x01", b"G \x01", b"G /a\x01"], ids=["no-method", "no-target", "target"])
def test_the_byte_is_the_same_whatever_came_before_the_line_and_in_every_cut(line: bytes) -> None:
    detail = refusal_of(line).detail
    assert detail.endswith(
        f"at index {len(line) - line.index(b' ') - 2} of the request target must be percent-encoded, as %01"
    )
    assert refusal_of(b"GET / HTTP/1.1" + END + line).detail == detail


def test_a_tls_client_hello_and_an_http_2_preface_are_called_what_they_are() -> None:
    tls, http2 = refusal_of(b"\x16\x03\x01"), refusal_of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert tls.detail == "This port speaks plain HTTP, and the client started TLS"
    assert http2.detail == "This port speaks HTTP/1.1, and the client started HTTP/2"
    for before in (b"\r\n", b"GET / HTTP/1.1" + END, b"GET / HTTP/1.1" + END + b"\r\n"):
        assert refusal_of(before + b"\x16\x03\x01") == tls
        assert refusal_of(before + b"PRI * HTTP/2.0\r\n") == http2


def test_a_tls_client_hello_is_found_at_its_second_byte_and_not_before() -> None:
    assert is_shown_by_last_byte(b"\x16\x03")
    assert is_shown_by_last_byte(b"\x16A")
    assert refusal_of(b"\x16", has_end=True).kind is IncompleteRequest
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
    assert refusal_of(hello).kind is TlsHandshake


@pytest.mark.parametrize("character", ["\x00", "\r", "\x7f", "\x85"], ids=["nul", "cr", "del", "next-line"])
def test_parse_request_line_refuses_a_control_character_in_a_target(character: str) -> None:
    with pytest.raises(BadTarget):
        parse_request_line(f"GET /{character} HTTP/1.1")
