"""What this server decides about a request, case by case, as docs/reference/http.md shows it.

A request that is refused is a row of the table of malformed requests; `test_decisions` tests the others.
`python -m tests.http.decisions` writes the table into that page.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from tests.support.malformed_requests import MALFORMED

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "http.md"
BEGIN, END = "<!-- decisions -->\n", "<!-- end of decisions -->\n"

HOST = b"Host: a\r\n"


class Decision(NamedTuple):
    """A request and its answer: the status that refuses it, or what an application finds in the environ."""

    topic: str
    name: str
    source: str
    wire: bytes
    answer: int | dict[str, str]


def get(lines: bytes = HOST, target: bytes = b"/", version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    return b"%b %b %b\r\n%b\r\n" % (method, target, version, lines)


def post(lines: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n%b%b\r\n%b" % (HOST, lines, body)


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


def body(content: str) -> dict[str, str]:
    """Return the answer for this body: the tested application puts it into the environ as `body`."""
    return {"body": content}


_ROWS = {row.id: row for row in MALFORMED}


def refused(topic: str, name: str, row_id: str) -> Decision:
    """Return the decision about a row of the table of malformed requests."""
    row = _ROWS[row_id]
    return Decision(topic, name, row.rule, row.wire, row.error.status)


LINES, LINE, HOSTS, FIELDS, LENGTH, CODING, CHUNKS, CONNECTION = (
    "Lines",
    "Request line and target",
    "Host",
    "Fields",
    "Content-Length",
    "Transfer-Encoding",
    "Chunks",
    "Expect and Connection",
)
OK: dict[str, str] = {}

DECISIONS = [
    Decision(LINES, "an empty line before the request", "RFC 9112 2.2", b"\r\n" + get(), OK),
    refused(LINES, "two empty lines before it", "before-two-empty-lines"),
    Decision(
        LINES, "an empty line after a body", "RFC 9112 2.2", post(b"Content-Length: 3\r\n", b"abc\r\n"), body("abc")
    ),
    refused(LINES, "LF alone ends the request line", "lf-ends-request-line"),
    refused(LINES, "LF alone ends a field line", "lf-ends-host"),
    refused(LINES, "LF alone as the empty line", "lf-for-empty-line"),
    refused(LINES, "CR alone in a value", "value-cr-last-http11"),
    refused(LINES, "two CRs before LF", "cr-doubled-in-host"),
    refused(LINES, "NUL in a value", "value-byte-00"),
    refused(LINES, "another control byte in a value", "value-byte-0b"),
    refused(LINES, "DEL in a value", "value-byte-7f"),
    Decision(LINES, "HTAB in a value", "RFC 9110 5.5", get(HOST + b"X: a\tb\r\n"), {"HTTP_X": "a\tb"}),
    Decision(LINES, "bytes above 127 in a value", "RFC 9110 5.5", get(HOST + b"X: \xe4\r\n"), {"HTTP_X": "\xe4"}),
    refused(LINE, "two spaces", "request-line-two-spaces-before-target"),
    refused(LINE, "HTAB instead of a space", "request-line-tab-before-target"),
    refused(LINE, "no version (HTTP/0.9)", "request-line-http-0.9"),
    refused(LINE, "a space after the version", "request-line-space-at-end"),
    refused(LINE, "lower-case `http`", "version-lower-case"),
    Decision(
        LINE, "HTTP/1.0 without Host", "RFC 9112 3.2", get(b"", version=b"HTTP/1.0"), {"SERVER_PROTOCOL": "HTTP/1.0"}
    ),
    Decision(LINE, "HTTP/1.2", "RFC 9110 2.5", get(version=b"HTTP/1.2"), {"SERVER_PROTOCOL": "HTTP/1.1"}),
    refused(LINE, "HTTP/2.0", "version-2.0"),
    refused(LINE, "the preface of HTTP/2", "not-http-http-2"),
    refused(LINE, "the start of TLS", "not-http-tls-start"),
    refused(LINE, "a version of two digits", "version-two-digits-minor"),
    Decision(LINE, "an unknown method", "RFC 9110 9.1", get(method=b"M-SEARCH"), {"REQUEST_METHOD": "M-SEARCH"}),
    refused(LINE, "a method with lower-case letters", "method-mixed-case"),
    Decision(LINE, "TRACE", "RFC 9110 9.3.8", get(method=b"TRACE"), {"REQUEST_METHOD": "TRACE"}),
    refused(LINE, "a method that is not a token", "method-at-sign"),
    refused(LINE, "a byte above 127 in the target", "target-latin-1"),
    refused(LINE, "a control byte in the target", "target-control"),
    Decision(LINE, "visible bytes that a URI may not have", "RFC 3986 2", get(target=b"/<|>"), {"PATH_INFO": "/<|>"}),
    Decision(
        LINE,
        "percent-encoded bytes",
        "PEP 3333",
        get(target=b"/%C3%A4?%41"),
        {"PATH_INFO": "/\xc3\xa4", "QUERY_STRING": "%41"},
    ),
    Decision(
        LINE,
        "dots and repeated slashes within a path",
        "RFC 9110 7.6",
        get(target=b"/a//b/../+;c"),
        {"PATH_INFO": "/a//b/../+;c"},
    ),
    Decision(LINE, "slashes at the start", "as waitress", get(target=b"//a//b"), {"PATH_INFO": "/a//b"}),
    Decision(LINE, "a fragment", "RFC 9112 3.2", get(target=b"/a#b?c"), {"PATH_INFO": "/a", "QUERY_STRING": ""}),
    Decision(
        LINE,
        "absolute-form",
        "RFC 9112 3.2.2",
        get(target=b"http://b:81/c?d"),
        {"HTTP_HOST": "b:81", "PATH_INFO": "/c"},
    ),
    Decision(
        LINE,
        "absolute-form, any case, no path",
        "RFC 9112 3.2.2",
        get(target=b"HTTP://b"),
        {"HTTP_HOST": "b", "PATH_INFO": "/"},
    ),
    refused(LINE, "absolute-form without Host", "host-missing-with-absolute-form"),
    refused(LINE, "absolute-form, and an invalid Host", "host-bad-with-absolute-form"),
    refused(LINE, "absolute-form without a host", "target-absolute-with-path-only"),
    refused(LINE, "absolute-form of another scheme", "target-absolute-with-other-scheme"),
    refused(LINE, "absolute-form with userinfo", "target-absolute-with-password"),
    Decision(
        LINE,
        "asterisk-form with OPTIONS",
        "RFC 9112 3.2.4",
        get(target=b"*", method=b"OPTIONS"),
        {"PATH_INFO": "", "REQUEST_URI": "*"},
    ),
    refused(LINE, "asterisk-form with another method", "target-asterisk-with-get"),
    refused(LINE, "CONNECT", "connect"),
    refused(LINE, "CONNECT without a port", "target-connect-without-port"),
    refused(LINE, "no slash at the start", "target-relative-path"),
    refused(HOSTS, "none in HTTP/1.1", "host-missing"),
    refused(HOSTS, "two, though equal", "host-twice-equal"),
    refused(HOSTS, "empty", "host-empty"),
    refused(HOSTS, "a list", "host-list"),
    refused(HOSTS, "with a path", "host-path"),
    refused(HOSTS, "with userinfo", "host-user"),
    refused(HOSTS, "an invalid one, in HTTP/1.0", "host-path-in-http10"),
    refused(HOSTS, "a port above 65535", "host-port-out-of-range"),
    refused(HOSTS, "above 1024 characters", "limit-host"),
    Decision(HOSTS, "an empty port", "RFC 3986 3.2.3", get(b"Host: a:\r\n"), {"HTTP_HOST": "a:"}),
    Decision(HOSTS, "IPv6", "RFC 3986 3.2.2", get(b"Host: [::1]:80\r\n"), {"HTTP_HOST": "[::1]:80"}),
    refused(HOSTS, "IPv6 with a zone", "host-zone"),
    refused(HOSTS, "a future version of IP", "host-future-ip"),
    refused(FIELDS, "whitespace before the colon", "name-space-before-colon-last-http11"),
    refused(FIELDS, "no colon", "line-without-colon-last-http11"),
    refused(FIELDS, "no name", "line-with-empty-name-last-http11"),
    refused(FIELDS, "a name that is not a token", "name-parenthesis-last-http11"),
    refused(FIELDS, "whitespace before the first field", "fold-of-nothing-space-field"),
    Decision(FIELDS, "whitespace around a value", "RFC 9110 5.5", get(HOST + b"X: \t y \t\r\n"), {"HTTP_X": "y"}),
    Decision(FIELDS, "repeated", "RFC 9110 5.3", get(HOST + b"X: a\r\nX: b\r\n"), {"HTTP_X": "a, b"}),
    Decision(FIELDS, "a continuation line", "RFC 9112 5.2", get(HOST + b"X: a\r\n b\r\n"), {"HTTP_X": "a b"}),
    refused(FIELDS, "a continuation line of Host", "fold-of-host"),
    refused(FIELDS, "a continuation line of X-Forwarded-For", "fold-of-x-forwarded-for"),
    Decision(
        FIELDS,
        "an underscore in a name",
        "as waitress",
        get(HOST + b"X_Y: z\r\nX-Z: z\r\n"),
        {"HTTP_X_Y": "", "HTTP_X_Z": "z"},
    ),
    refused(FIELDS, "a head above the limit", "limit-head-of-one-value"),
    refused(FIELDS, "more than 1000", "limit-fields"),
    refused(FIELDS, "more than 1000, continuation lines counted", "limit-fields-and-folds"),
    Decision(
        FIELDS,
        "X-Forwarded-For from a peer that is not trusted",
        "RFC 7239 8.1",
        get(HOST + b"X-Forwarded-For: 192.0.2.1\r\n"),
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": ""},
    ),
    refused(FIELDS, "Content-Type twice", "type-twice-equal"),
    Decision(
        FIELDS,
        "two Cookies",
        "RFC 9113 8.2.3",
        get(HOST + b"Cookie: a=1\r\nCookie: b=2; c=3\r\n"),
        {"HTTP_COOKIE": "a=1; b=2; c=3"},
    ),
    Decision(
        FIELDS,
        "User-Agent twice, which is not a list",
        "RFC 9110 5.3",
        get(HOST + b"User-Agent: a\r\nUser-Agent: b\r\n"),
        {"HTTP_USER_AGENT": "a, b"},
    ),
    refused(FIELDS, "Authorization twice, though equal", "authorization-twice-equal"),
    Decision(LENGTH, "a number", "RFC 9112 6.3", post(b"Content-Length: 3\r\n", b"abc"), body("abc")),
    Decision(LENGTH, "with zeros before it", "RFC 9110 8.6", post(b"Content-Length: 003\r\n", b"abc"), body("abc")),
    refused(LENGTH, "with a sign", "length-plus-http11"),
    refused(LENGTH, "negative", "length-minus-http11"),
    refused(LENGTH, "hexadecimal", "length-hexadecimal-http11"),
    refused(LENGTH, "with an underscore", "length-underscore-http11"),
    refused(LENGTH, "digits of another script", "length-superscript-http11"),
    refused(LENGTH, "empty", "length-empty-http11"),
    refused(LENGTH, "twice, though equal", "length-twice-equal"),
    refused(LENGTH, "a list of equal numbers", "length-list-with-space-http11"),
    refused(LENGTH, "with a byte that others read as whitespace", "length-no-break-space-http11"),
    refused(LENGTH, "above the limit", "length-above-limit"),
    refused(LENGTH, "of 3000 digits", "length-3000-digits"),
    Decision(LENGTH, "with a GET", "RFC 9110 9.3.1", get(HOST + b"Content-Length: 3\r\n") + b"abc", body("abc")),
    Decision(
        CODING, "`chunked`, in any case", "RFC 9112 7", post(b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n"), body("")
    ),
    refused(CODING, "and Content-Length", "both-coding-first-right-chunked"),
    refused(CODING, "and an invalid Content-Length", "both-coding-first-word-chunked"),
    refused(CODING, "in HTTP/1.0", "coding-in-http10"),
    refused(CODING, "an unknown coding", "coding-gzip-then-chunked"),
    refused(CODING, "`chunked` twice", "coding-twice"),
    refused(CODING, "`chunked`, and an empty one", "coding-two-fields-second-empty"),
    refused(CODING, "`chunked` with a parameter", "coding-parameter"),
    refused(CODING, "`identity`", "coding-identity"),
    refused(CODING, "`chunked` not last", "coding-then-gzip"),
    refused(CODING, "with a control byte", "coding-vertical-tab-first"),
    refused(CODING, "empty", "coding-empty"),
    refused(CODING, "above 1024 characters", "limit-coding"),
    Decision(
        CHUNKS, "joined", "RFC 9112 7.1", chunked(b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), body("abc0123456789")
    ),
    Decision(CHUNKS, "an extension", "RFC 9112 7.1.1", chunked(b'3;a="b;\\"c";d\r\nabc\r\n0;e=f\r\n\r\n'), body("abc")),
    refused(CHUNKS, "an invalid extension", "extension-empty-name"),
    refused(CHUNKS, "a quoted string that does not end", "extension-open-quote"),
    refused(CHUNKS, "an extension above 4 KiB", "extension-line-too-long"),
    refused(CHUNKS, "whitespace after the size", "size-space-after"),
    refused(CHUNKS, "`0x` before the size", "size-prefix"),
    refused(CHUNKS, "a sign before the size", "size-plus"),
    refused(CHUNKS, "no size", "size-empty-line-only"),
    refused(CHUNKS, "a size of 17 digits", "size-17-digits"),
    refused(CHUNKS, "LF alone after the size", "lf-ends-chunk-size"),
    refused(CHUNKS, "LF alone after the data", "lf-ends-chunk-data"),
    refused(CHUNKS, "data longer than the size", "data-too-long"),
    refused(CHUNKS, "a body above the limit", "size-above-limit"),
    Decision(
        CHUNKS,
        "whitespace around `;` and `=`",
        "RFC 9110 5.6.3",
        chunked(b"3 ; a\t= b;\tc\r\nabc\r\n0 ;d\r\n\r\n"),
        body("abc"),
    ),
    refused(CHUNKS, "whitespace elsewhere in an extension", "extension-space-in-name"),
    refused(CHUNKS, "whitespace after an extension", "extension-space-after-name"),
    Decision(CHUNKS, "trailers: read and dropped", "RFC 9110 6.5", chunked(b"0\r\nX-T: v\r\n\r\n"), {"HTTP_X_T": ""}),
    Decision(
        CHUNKS,
        "trailers that would frame: dropped",
        "RFC 9110 6.5.1",
        chunked(b"0\r\nContent-Length: 3\r\n\r\n"),
        {"CONTENT_LENGTH": "0"},
    ),
    refused(CHUNKS, "trailers above the limit of a head", "limit-trailer-without-end"),
    refused(CHUNKS, "a trailer that is not a field", "trailer-space-in-name"),
    Decision(CONNECTION, "100-continue without a body", "RFC 9110 10.1.1", get(HOST + b"Expect: 100-continue\r\n"), OK),
    Decision(
        CONNECTION,
        "100-continue, and the body at once",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"),
        body("abc"),
    ),
    refused(CONNECTION, "100-continue and a body above the limit", "length-above-limit-and-expect"),
    refused(CONNECTION, "another expectation", "expect-unknown"),
    refused(CONNECTION, "Expect above 1024 characters", "limit-expect"),
    refused(CONNECTION, "Connection above 1024 characters", "limit-connection"),
    Decision(
        CONNECTION,
        "another expectation in HTTP/1.0",
        "RFC 9110 10.1.1",
        get(HOST + b"Expect: rain\r\n", version=b"HTTP/1.0"),
        OK,
    ),
    Decision(
        CONNECTION,
        "`close` in a list, in any case",
        "RFC 9112 9.6",
        get(HOST + b"Connection: x, Close\r\n"),
        {"ends": "yes"},
    ),
    Decision(
        CONNECTION,
        "`keep-alive`, and `close` in another line",
        "RFC 9112 9.3",
        get(HOST + b"Connection: keep-alive\r\nConnection: close\r\n"),
        {"ends": "yes"},
    ),
    Decision(
        CONNECTION,
        "`keep-alive` in HTTP/1.0",
        "RFC 9112 9.3",
        get(HOST + b"Connection: Keep-Alive\r\n", version=b"HTTP/1.0"),
        {"ends": "no"},
    ),
    Decision(CONNECTION, "neither, in HTTP/1.0", "RFC 9112 9.3", get(version=b"HTTP/1.0"), {"ends": "yes"}),
    Decision(
        CONNECTION,
        "Upgrade: passed to the application",
        "RFC 9110 7.8",
        get(HOST + b"Upgrade: x\r\nConnection: upgrade\r\n"),
        {"HTTP_UPGRADE": "x", "ends": "no"},
    ),
]


def as_markdown() -> str:
    """Write the decisions as a table for each topic."""
    parts = []
    for topic, decisions in groupby(DECISIONS, key=lambda decision: decision.topic):
        rows = [f"| {d.name} | {_answer(d.answer)} | {d.source} |\n" for d in decisions]
        parts.append(f"\n## {topic}\n\n| a request with | answer | source |\n|---|---|---|\n{''.join(rows)}")
    return "".join(parts) + "\n"


def _answer(answer: int | dict[str, str]) -> str:
    if isinstance(answer, int):
        return str(answer)
    return "; ".join(["served", *(_finding(key, value) for key, value in answer.items())])


def _finding(key: str, value: str) -> str:
    if key == "ends":
        return "the connection ends" if value == "yes" else "the connection goes on"
    shown = value.encode("unicode_escape").decode()
    if not value:
        return "an empty body" if key == "body" else f"no `{key}`"
    return f"the body is `{shown}`" if key == "body" else f"`{key}` is `{shown}`"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(head + BEGIN + as_markdown() + END + tail, encoding="utf-8")
