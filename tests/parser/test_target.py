"""The request target: its four forms, its parts, and its authority compared with Host."""

import pytest

from tests.parser.helpers import HOST, head_of, parse, refusal_of
from tests.support.rows import each_row
from waitress_parser import BadTarget, ConnectNotSupported, InvalidHost, Limits, MissingHost, ProtocolError


@each_row(
    ("target", "path", "query", "authority"),
    [
        pytest.param(b"/", "/", "", "a.example", id="root"),
        pytest.param(b"/a/b;c=1?d=e&f", "/a/b;c=1", "d=e&f", "a.example", id="path-and-query"),
        pytest.param(b"/a?", "/a", "", "a.example", id="empty-query"),
        pytest.param(b"/a?b?c", "/a", "b?c", "a.example", id="question-mark-in-query"),
        pytest.param(b"//b/c", "//b/c", "", "a.example", id="two-slashes-are-no-authority"),
        pytest.param(b"/a//b/../c/./+", "/a//b/../c/./+", "", "a.example", id="nothing-is-normalised"),
        pytest.param(b"/%41%2F%zz%", "/%41%2F%zz%", "", "a.example", id="nothing-is-decoded"),
        pytest.param(b"/a#b?c", "/a", "", "a.example", id="fragment-cut-from-path"),
        pytest.param(b"/a?b#c?d#e", "/a", "b", "a.example", id="fragment-cut-from-query"),
        pytest.param(b"/[", "/[", "", "a.example", id="bracket-in-path"),
        pytest.param(b"/http://x/", "/http://x/", "", "a.example", id="uri-in-path"),
        pytest.param(b"http://b.example/c?d", "/c", "d", "b.example", id="absolute-form"),
        pytest.param(b"http://b.example", "/", "", "b.example", id="absolute-form-without-path"),
        pytest.param(b"http://b.example?c", "/", "c", "b.example", id="absolute-form-with-query-only"),
        pytest.param(b"http://b.example#c", "/", "", "b.example", id="absolute-form-with-fragment-only"),
        pytest.param(b"http://b.example?c/d", "/", "c/d", "b.example", id="slash-in-query-of-absolute-form"),
        pytest.param(b"HTTP://B.example:80/", "/", "", "B.example:80", id="scheme-in-capitals"),
        pytest.param(b"https://[::1]:443//x", "//x", "", "[::1]:443", id="https-and-ipv6"),
    ],
)
def test_a_target_is_split_and_not_changed(target: bytes, path: str, query: str, authority: str) -> None:
    head = head_of(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (head.path, head.query, head.authority) == (path, query, authority)
    assert head.target == target.decode()
    assert head.values["host"] == "a.example"


def test_an_asterisk_is_a_target_of_options() -> None:
    head = head_of(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (head.path, head.query, head.authority) == ("*", "", "a.example")


@each_row(
    ("method", "target", "kind"),
    [
        pytest.param(b"GET", b"*", BadTarget, id="asterisk-without-options"),
        pytest.param(b"OPTIONS", b"*?a", BadTarget, id="asterisk-with-query"),
        pytest.param(b"OPTIONS", b"**", BadTarget, id="two-asterisks"),
        pytest.param(b"GET", b"a", BadTarget, id="relative-path"),
        pytest.param(b"GET", b"?a", BadTarget, id="query-only"),
        pytest.param(b"GET", b"#a", BadTarget, id="fragment-only"),
        pytest.param(b"GET", b"\\a", BadTarget, id="backslash"),
        pytest.param(b"GET", b"a.example:80", BadTarget, id="authority-form-without-connect"),
        pytest.param(b"GET", b"http:/a", BadTarget, id="one-slash"),
        pytest.param(b"GET", b"http:a", BadTarget, id="no-slash"),
        pytest.param(b"GET", b"http://", BadTarget, id="empty-authority"),
        pytest.param(b"GET", b"http:///a", BadTarget, id="empty-authority-and-path"),
        pytest.param(b"GET", b"http://:80/", BadTarget, id="port-without-host"),
        pytest.param(b"GET", b"://a/", BadTarget, id="empty-scheme"),
        pytest.param(b"GET", b"ftp://a/", BadTarget, id="foreign-scheme"),
        pytest.param(b"GET", b"mailto:a@b", BadTarget, id="uri-without-authority"),
        pytest.param(b"GET", b"http://u@a/", BadTarget, id="userinfo"),
        pytest.param(b"GET", b"http://u:p@a/", BadTarget, id="user-and-password"),
        pytest.param(b"GET", b"http://a:b/", BadTarget, id="port-of-letters"),
        pytest.param(b"GET", b"http://a:65536/", BadTarget, id="port-out-of-range"),
        pytest.param(b"GET", b"http://[::1/x", BadTarget, id="bracket-not-closed"),
        pytest.param(b"GET", b"http://::1]/x", BadTarget, id="bracket-not-opened"),
        pytest.param(b"GET", b"http://[::1]x/", BadTarget, id="text-after-bracket"),
        pytest.param(b"GET", b"http://a,b/", BadTarget, id="two-authorities"),
        pytest.param(b"GET", b"http?://a/", BadTarget, id="query-in-scheme"),
        pytest.param(b"CONNECT", b"a.example:443", ConnectNotSupported, id="connect"),
        pytest.param(b"CONNECT", b"[::1]:443", ConnectNotSupported, id="connect-ipv6"),
        pytest.param(b"CONNECT", b"/", BadTarget, id="connect-origin-form"),
        pytest.param(b"CONNECT", b"http://a/", BadTarget, id="connect-absolute-form"),
        pytest.param(b"CONNECT", b"*", BadTarget, id="connect-asterisk"),
        pytest.param(b"CONNECT", b"a.example", BadTarget, id="connect-without-port"),
        pytest.param(b"CONNECT", b"a.example:", BadTarget, id="connect-with-empty-port"),
        pytest.param(b"CONNECT", b"[::1]", BadTarget, id="connect-ipv6-without-port"),
    ],
)
def test_any_other_target_is_refused(method: bytes, target: bytes, kind: type[ProtocolError]) -> None:
    refusal = refusal_of(method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert refusal.kind is kind
    assert refusal.status == (501 if kind is ConnectNotSupported else 400)
    assert (refusal.method, refusal.version) == (method.decode(), "1.1")


@pytest.mark.parametrize(
    ("method", "target", "why"),
    [
        ("GET", "a/b", '"a/b" does not start with "/" and is no http or https URL with a host'),
        ("GET", "ftp://a/", '"ftp://a/" does not start with "/" and is no http or https URL with a host'),
        ("GET", "http://u@a/", '"http://u@a/" does not start with "/" and is no http or https URL with a host'),
        ("OPTIONS", "*?a", '"*?a" does not start with "/" and is no http or https URL with a host'),
        ("GET", "*", '"*" is a target of OPTIONS only'),
        ("CONNECT", "a", '"a" is not the host:port that CONNECT needs'),
        ("GET", "x" * 999, f'"{"x" * 80}..." does not start with "/" and is no http or https URL with a host'),
    ],
    ids=["path", "scheme", "userinfo", "asterisk-with-query", "asterisk", "connect", "long"],
)
def test_a_refused_target_says_what_it_should_have_been(method: str, target: str, why: str) -> None:
    outcome = parse([f"{method} {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n"], Limits())
    assert outcome.refusal is not None
    assert outcome.refusal.detail == f"Bad URI: {why}"


@pytest.mark.parametrize("target", [b"/", b"http://b.example/"], ids=["origin-form", "absolute-form"])
def test_http_1_1_needs_a_host(target: bytes) -> None:
    refusal = refusal_of(b"GET " + target + b" HTTP/1.1\r\nA: b\r\n\r\n")
    assert (refusal.kind, refusal.status, refusal.version) == (MissingHost, 400, "1.1")


@pytest.mark.parametrize(
    ("target", "authority"),
    [(b"/", None), (b"http://b.example/", "b.example")],
    ids=["origin-form", "absolute-form"],
)
def test_http_1_0_needs_no_host(target: bytes, authority: str | None) -> None:
    assert head_of(b"GET " + target + b" HTTP/1.0\r\n\r\n").authority == authority


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("target", [b"/", b"http://b.example/"], ids=["origin-form", "absolute-form"])
def test_a_host_must_be_valid_in_either_version(target: bytes, version: bytes) -> None:
    refusal = refusal_of(b"GET " + target + b" HTTP/" + version + b"\r\nHost: a/b\r\n\r\n")
    assert (refusal.kind, refusal.status, refusal.version) == (InvalidHost, 400, version.decode())
    assert refusal.detail == 'Host "a/b" is invalid'
