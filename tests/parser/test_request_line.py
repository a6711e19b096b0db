"""The request line: method, target, version, and lines that are none."""

import pytest

from tests.parser.helpers import head_of, refusal_of
from waitress_parser import (
    BadTarget,
    BareLineBreak,
    ForbiddenOctet,
    MethodNotUpperCase,
    ProtocolError,
    StartLineInvalid,
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


@pytest.mark.parametrize(
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
        pytest.param(b"PRI * HTTP/2.0", VersionNotSupported, id="http-2-preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", ForbiddenOctet, id="tls-client-hello"),
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
    assert refusal.status == (505 if kind is VersionNotSupported else 400)
    # The method is known where nothing is wrong but what follows it: an answer to HEAD has no content.
    method = line.partition(b" ")[0].decode() if kind in (BadTarget, VersionNotSupported) else ""
    assert (refusal.method, refusal.version) == (method, "1.0")
    assert refusal_of(line + END if line else b"\r\n\r\n" + END) == refusal


def test_details_are_those_that_users_of_waitress_know() -> None:
    assert refusal_of(b"get / HTTP/1.1\r\n").detail == 'Malformed HTTP method "get"'
    assert refusal_of(b"GET / HTTP/1.1\n").detail == "Bare CR or LF found in HTTP message"
    assert refusal_of(b"GET /\r\n").detail == "Start line is invalid"
    assert refusal_of(b"GET /\xe4 HTTP/1.1\r\n").detail == "Bad URI"


@pytest.mark.parametrize("character", ["\x00", "\r", "\x7f", "\x85"], ids=["nul", "cr", "del", "next-line"])
def test_parse_request_line_refuses_a_control_character_in_a_target(character: str) -> None:
    with pytest.raises(BadTarget):
        parse_request_line(f"GET /{character} HTTP/1.1")
