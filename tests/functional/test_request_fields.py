"""Request heads that are read though odd, and those that are refused: by a 400, never by a traceback."""

from __future__ import annotations

import pytest

from tests.functional.applications import Recorder, environ_of, errors_in, get, refusal_of
from tests.support.client import Response
from tests.support.servers import running


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        pytest.param(b"X: a\r\n b", "a b", id="S49-blank"),
        pytest.param(b"X: a\r\n\tb", "a b", id="S49-tab"),
        pytest.param(b"X: a\r\n \t  b", "a b", id="S49-several-blanks"),
        pytest.param(b"X: a \t\r\n b", "a b", id="S49-blanks-before-the-fold"),
        pytest.param(b"X: a\r\n  b\r\n\tc", "a b c", id="S49-two-folds"),
        pytest.param(b"X:\r\n a", "a", id="S49-value-on-the-next-line"),
        pytest.param(b"X: a\r\n ", "a", id="S49-nothing-on-the-next-line"),
        pytest.param(b"X: a\r\n b: c", "a b: c", id="S49-like-another-field"),
        pytest.param(b"X: a\r\n GET / HTTP/1.1", "a GET / HTTP/1.1", id="S49-like-a-request"),
        pytest.param(b"X: a\r\n b\r\nX: c\r\n d", "a b, c d", id="S49-two-folded-fields"),
        pytest.param(b"X: a  b\r\n c", "a  b c", id="S49-inner-blanks-stay"),
        pytest.param(b"X: a" + b"\r\n b" * 100, "a" + " b" * 100, id="S49-hundred-folds"),
    ],
)
@pytest.mark.parametrize("after", [b"", b"Y: z\r\n"], ids=["last", "not-last"])
def test_each_fold_of_a_field_becomes_one_blank(lines: bytes, value: str, after: bytes) -> None:
    environ = environ_of(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n" + after + b"\r\n")
    assert environ["HTTP_X"] == value
    assert environ.get("HTTP_Y") == ("z" if after else None)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Host:\r\n localhost", id="S49-host"),
        pytest.param(b"Host: localhost\r\nContent-Length: 1\r\n 0", id="S49-content-length"),
        pytest.param(b"Host: localhost\r\nContent-Type: text/plain;\r\n charset=utf-8", id="S49-content-type"),
        pytest.param(b"Host: localhost\r\nTransfer-Encoding:\r\n chunked", id="S49-transfer-encoding"),
        pytest.param(b"Host: localhost\r\nConnection: a,\r\n close", id="S49-connection"),
        pytest.param(b"Host: localhost\r\nExpect:\r\n 100-continue", id="S49-expect"),
        pytest.param(b"Host: localhost\r\nAuthorization: Basic\r\n YTpi", id="S49-authorization"),
        pytest.param(b"Host: localhost\r\nForwarded: for=192.0.2.7,\r\n for=192.0.2.8", id="S49-forwarded"),
        pytest.param(b"Host: localhost\r\nX-Forwarded-For: 192.0.2.7,\r\n 192.0.2.8", id="S49-x-forwarded-for"),
        pytest.param(b"Host: localhost\r\nX-Forwarded-Proto:\r\n https", id="S49-x-forwarded-proto"),
        pytest.param(b"Host: localhost\r\nX-Forwarded-Host:\r\n evil", id="S49-x-forwarded-host"),
        pytest.param(b"Host: localhost\r\nX-Forwarded-Port:\r\n 81", id="S49-x-forwarded-port"),
        pytest.param(b"Host: localhost\r\nX-Forwarded-By:\r\n a", id="S49-x-forwarded-by"),
        pytest.param(b"Host: localhost\r\nhOST: \r\n localhost", id="S49-in-any-case"),
        pytest.param(b"Host: localhost\r\n :8080", id="S49-host-goes-on"),
    ],
)
def test_a_fold_in_a_field_that_frames_or_routes_is_refused(line: bytes) -> None:
    assert refusal_of(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n").status == 400


BAD_LINES = [
    pytest.param(b" X: a", id="S50-blank-first"),
    pytest.param(b"\tX: a", id="S50-tab-first"),
    pytest.param(b" ", id="S50-only-a-blank"),
    pytest.param(b"X", id="S50-no-colon"),
    pytest.param(b"X a", id="S50-no-colon-but-a-value"),
    pytest.param(b"GET / HTTP/1.1", id="S50-second-request-line"),
    pytest.param(b": a", id="S50-empty-name"),
    pytest.param(b":", id="S50-only-a-colon"),
    pytest.param(b"X : a", id="S50-blank-before-colon"),
    pytest.param(b"X\t: a", id="S50-tab-before-colon"),
    pytest.param(b"X Y: a", id="S50-blank-in-name"),
    pytest.param(b"X(: a", id="S50-bracket-in-name"),
    pytest.param(b'"X": a', id="S50-quotes-in-name"),
    pytest.param(b"X\x00Y: a", id="S50-nul-in-name"),
    pytest.param(b"N\xe4me: a", id="S50-umlaut-in-name"),
    pytest.param(b"X: a\x00b", id="S50-nul-in-value"),
    pytest.param(b"X: a\x0bb", id="S50-vertical-tab-in-value"),
    pytest.param(b"X: a\x1bb", id="S50-escape-in-value"),
    pytest.param(b"X: a\x7fb", id="S50-del-in-value"),
    pytest.param(b"X: a\rb", id="S50-bare-cr-in-value"),
    pytest.param(b"X: a\nY: b", id="S50-bare-lf"),
    pytest.param(b"X: a\n b", id="S50-fold-with-bare-lf"),
    pytest.param(b"X: a\r\r\nY: b", id="S50-cr-before-crlf"),
    pytest.param(b"\rX: a", id="S50-cr-first"),
]


@pytest.mark.parametrize("line", BAD_LINES)
@pytest.mark.parametrize("before", [b"", b"Host: localhost\r\n"], ids=["first", "second"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_bad_field_line_is_answered_400(
    line: bytes, before: bytes, version: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    if before and line[:1] in (b" ", b"\t"):
        before = b""  # after another line it would be a fold
    host = b"" if before else b"\r\nHost: localhost"
    response = refusal_of(b"GET / HTTP/" + version + b"\r\n" + before + line + host + b"\r\n\r\n")
    assert (response.status, response.reason) == (400, "Bad Request")
    assert_is_an_error_page(response)
    assert errors_in(caplog.records) == []


@pytest.mark.promise("S50")
@pytest.mark.parametrize("line", [parameter.values[0] for parameter in BAD_LINES])
def test_a_bad_field_line_that_comes_octet_by_octet_is_answered_400_too(line: bytes) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        for octet in b"GET / HTTP/1.1\r\n" + line + b"\r\nHost: localhost\r\n\r\n":
            try:
                client.send(bytes([octet]))
            except ConnectionError:  # refused before the end of the head
                break
        assert client.response().status == 400
        assert client.rest() == b""
    assert recorder.paths == []


@pytest.mark.parametrize(
    "request_line",
    [
        pytest.param(b"GET /", id="S50-no-version"),
        pytest.param(b"GET / HTTP/1.1 ", id="S50-trailing-blank"),
        pytest.param(b"GET  / HTTP/1.1", id="S50-two-blanks"),
        pytest.param(b"GET\t/ HTTP/1.1", id="S50-tab"),
        pytest.param(b" GET / HTTP/1.1", id="S50-leading-blank"),
        pytest.param(b"GET / http/1.1", id="S50-version-in-small-letters"),
        pytest.param(b"GET / HTTP/1.10", id="S50-version-with-three-digits"),
        pytest.param(b"GET / HTTP/1", id="S50-version-without-minor"),
        pytest.param(b"GET / HTTP/1.1 HTTP/1.1", id="S50-four-parts"),
        pytest.param(b"get / HTTP/1.1", id="S50-method-in-small-letters"),
        pytest.param(b"G(T / HTTP/1.1", id="S50-method-no-token"),
        pytest.param(b"GET env HTTP/1.1", id="S50-target-without-slash"),
        pytest.param(b"GET * HTTP/1.1", id="S50-asterisk-without-options"),
        pytest.param(b"GET http://[::1/x HTTP/1.1", id="S50-unbalanced-bracket"),
        pytest.param(b"GET /\xe4 HTTP/1.1", id="S50-octet-beyond-ascii"),
        pytest.param(b"GET /\x00 HTTP/1.1", id="S50-nul"),
        pytest.param(b"GET /\x7f HTTP/1.1", id="S50-del"),
        pytest.param(b"GET /a\tb HTTP/1.1", id="S50-tab-in-target"),
        pytest.param(b"GET /a\rb HTTP/1.1", id="S50-bare-cr"),
        pytest.param(b"GET /\nX: HTTP/1.1", id="S50-bare-lf"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="S50-tls"),
    ],
)
def test_a_bad_request_line_is_answered_400(request_line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    response = refusal_of(request_line + b"\r\nHost: localhost\r\n\r\n")
    assert response.status == 400
    assert_is_an_error_page(response)
    assert errors_in(caplog.records) == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", {505}, id="S50-http-2.0"),
        pytest.param(b"GET / HTTP/0.9\r\nHost: localhost\r\n\r\n", {505}, id="S50-http-0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}, id="S50-http-2-preface"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", {501}, id="S50-connect"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", {400}, id="S50-no-host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", {400}, id="S50-blank-in-host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", {400}, id="S50-userinfo-in-host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", {400}, id="S50-path-in-host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", {400}, id="S50-two-hosts-in-one"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", {400}, id="S50-letters-for-port"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", {400}, id="S50-half-of-the-brackets"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n", {400}, id="S50-host-beyond-ascii"),
    ],
)
def test_a_request_that_is_not_for_this_server_is_refused(request_: bytes, status: set[int]) -> None:
    response = refusal_of(request_)
    assert response.status in status
    assert_is_an_error_page(response)


@pytest.mark.parametrize(
    "before", [pytest.param(b"", id="S50-nothing"), pytest.param(b"\r\n", id="S50-one-empty-line")]
)
def test_at_most_one_empty_line_may_stand_before_a_request(before: bytes) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(before + get(target="/1") + before + get(target="/2"))
        assert [client.response().status for _ in range(2)] == [200, 200]
    assert recorder.paths == ["/1", "/2"]


@pytest.mark.promise("S50")
def test_a_bad_request_does_not_take_the_answers_of_those_before_it() -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(get(target="/1") + get(target="/2") + get("bad line", target="/3") + get(target="/4"))
        assert [client.response().status for _ in range(3)] == [200, 200, 400]
        assert client.rest() == b""
    assert recorder.paths == ["/1", "/2"]


@pytest.mark.promise("S50")
def test_the_error_page_has_no_octet_of_the_request_that_a_browser_would_run() -> None:
    response = refusal_of(b"GET / HTTP/1.1\r\nHost: localhost\r\n<script>alert(1)</script>\r\n\r\n")
    assert response.header("Content-Type") == "text/plain; charset=utf-8"
    assert b"\r\n<script>" not in response.raw


@pytest.mark.promise("S50")
def test_the_error_page_names_the_server_by_its_ident() -> None:
    named = refusal_of(b"bad\r\n\r\n", ident="own")
    assert named.header("Server") == "own"
    assert named.body.endswith(b"\r\n\r\n(generated by own)")
    nameless = refusal_of(b"bad\r\n\r\n", ident="")
    assert nameless.header("Server") is None
    assert nameless.body.endswith(b"\r\n\r\n(generated by server)")


def assert_is_an_error_page(response: Response) -> None:
    assert [name for name, _ in response.headers] == ["Connection", "Content-Length", "Content-Type", "Date", "Server"]
    assert response.header("Connection") == "close"
    assert response.header("Content-Type") == "text/plain; charset=utf-8"
    reason, detail, end = response.body.decode().split("\r\n\r\n")
    assert reason == response.reason
    assert detail
    assert end == "(generated by waitress)"
