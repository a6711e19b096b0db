"""What this server makes of a request, case by case: tested by `test_decisions`, shown in docs/reference/http.md.

`python -m tests.http.decisions` writes the table into that page.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "http.md"
BEGIN, END = "<!-- decisions -->\n", "<!-- end of decisions -->\n"

MAX_HEAD = 4096  # of the server that is tested
MAX_BODY = 100
HOST = b"Host: a\r\n"


class Decision(NamedTuple):
    """A request and its answer: a status that refuses it, or what an application finds in the environ."""

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
    """Of the tested application: the body stands in the environ as `body`."""
    return {"body": content}


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
    Decision(LINES, "two empty lines before it", "RFC 9112 2.2", b"\r\n\r\n" + get(), 400),
    Decision(
        LINES, "an empty line behind a body", "RFC 9112 2.2", post(b"Content-Length: 3\r\n", b"abc\r\n"), body("abc")
    ),
    Decision(LINES, "LF alone ends the request line", "RFC 9112 2.2", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    Decision(LINES, "LF alone ends a field line", "RFC 9112 2.2", b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    Decision(LINES, "LF alone as the empty line", "RFC 9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    Decision(LINES, "CR alone in a value", "RFC 9112 2.2", get(HOST + b"X: a\rb\r\n"), 400),
    Decision(LINES, "two CRs before LF", "RFC 9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    Decision(LINES, "NUL in a value", "RFC 9110 5.5", get(HOST + b"X: a\0b\r\n"), 400),
    Decision(LINES, "another control octet in a value", "RFC 9110 5.5", get(HOST + b"X: a\x0bb\r\n"), 400),
    Decision(LINES, "DEL in a value", "RFC 9110 5.5", get(HOST + b"X: a\x7fb\r\n"), 400),
    Decision(LINES, "HTAB in a value", "RFC 9110 5.5", get(HOST + b"X: a\tb\r\n"), {"HTTP_X": "a\tb"}),
    Decision(LINES, "octets above 127 in a value", "RFC 9110 5.5", get(HOST + b"X: \xe4\r\n"), {"HTTP_X": "\xe4"}),
    Decision(LINE, "two spaces", "RFC 9112 3", get(target=b" /"), 400),
    Decision(LINE, "HTAB instead of a space", "RFC 9112 3", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    Decision(LINE, "no version (HTTP/0.9)", "RFC 9112 3", b"GET /\r\n\r\n", 400),
    Decision(LINE, "a space behind the version", "RFC 9112 3", get(version=b"HTTP/1.1 "), 400),
    Decision(LINE, "lower-case `http`", "RFC 9112 2.3", get(version=b"http/1.1"), 400),
    Decision(
        LINE, "HTTP/1.0 without Host", "RFC 9112 3.2", get(b"", version=b"HTTP/1.0"), {"SERVER_PROTOCOL": "HTTP/1.0"}
    ),
    Decision(LINE, "HTTP/1.2", "RFC 9110 2.5", get(version=b"HTTP/1.2"), {"SERVER_PROTOCOL": "HTTP/1.1"}),
    Decision(LINE, "HTTP/2.0", "RFC 9110 15.6.6", get(version=b"HTTP/2.0"), 505),
    Decision(LINE, "the preface of HTTP/2", "RFC 9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    Decision(LINE, "the beginning of TLS", "RFC 9112 3", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 400),
    Decision(LINE, "a version of two digits", "RFC 9112 2.3", get(version=b"HTTP/1.10"), 400),
    Decision(LINE, "a method nobody knows", "RFC 9110 9.1", get(method=b"M-SEARCH"), {"REQUEST_METHOD": "M-SEARCH"}),
    Decision(LINE, "a method with lower-case letters", "as waitress", get(method=b"Get"), 400),
    Decision(LINE, "TRACE", "RFC 9110 9.3.8", get(method=b"TRACE"), {"REQUEST_METHOD": "TRACE"}),
    Decision(LINE, "a method that is no token", "RFC 9110 9.1", get(method=b"G@T"), 400),
    Decision(LINE, "an octet above 127 in the target", "RFC 9112 3.2", get(target=b"/\xe4"), 400),
    Decision(LINE, "a control octet in the target", "RFC 9112 3.2", get(target=b"/\x01"), 400),
    Decision(LINE, "visible octets that no URI has", "RFC 3986 2", get(target=b"/<|>"), {"PATH_INFO": "/<|>"}),
    Decision(
        LINE,
        "percent-encoded octets",
        "PEP 3333",
        get(target=b"/%C3%A4?%41"),
        {"PATH_INFO": "/\xc3\xa4", "QUERY_STRING": "%41"},
    ),
    Decision(
        LINE,
        "what looks redundant in a path",
        "RFC 9110 7.6",
        get(target=b"/a//b/../+;c"),
        {"PATH_INFO": "/a//b/../+;c"},
    ),
    Decision(LINE, "slashes at the beginning", "as waitress", get(target=b"//a//b"), {"PATH_INFO": "/a//b"}),
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
    Decision(LINE, "absolute-form without Host", "RFC 9112 3.2", get(b"", target=b"http://b/"), 400),
    Decision(LINE, "absolute-form, and a Host that is none", "RFC 9112 3.2", get(b"Host: /\r\n", b"http://b/"), 400),
    Decision(LINE, "absolute-form without a host", "RFC 9110 4.2.1", get(target=b"http:///c"), 400),
    Decision(LINE, "absolute-form of another scheme", "RFC 9112 3.2.2", get(target=b"ftp://b/c"), 400),
    Decision(LINE, "absolute-form with userinfo", "RFC 9110 4.2.4", get(target=b"http://u:p@b/"), 400),
    Decision(
        LINE, "asterisk-form with OPTIONS", "RFC 9112 3.2.4", get(target=b"*", method=b"OPTIONS"), {"PATH_INFO": "*"}
    ),
    Decision(LINE, "asterisk-form with another method", "RFC 9112 3.2.4", get(target=b"*"), 400),
    Decision(LINE, "CONNECT", "RFC 9110 9.3.6", get(target=b"a:443", method=b"CONNECT"), 501),
    Decision(LINE, "CONNECT without a port", "RFC 9112 3.2.3", get(target=b"a", method=b"CONNECT"), 400),
    Decision(LINE, "no slash at the beginning", "RFC 9112 3.2.1", get(target=b"a/b"), 400),
    Decision(HOSTS, "none in HTTP/1.1", "RFC 9112 3.2", get(b""), 400),
    Decision(HOSTS, "two, though equal", "RFC 9112 3.2", get(HOST + HOST), 400),
    Decision(HOSTS, "empty", "RFC 9110 4.2.1", get(b"Host:\r\n"), 400),
    Decision(HOSTS, "a list", "RFC 9110 7.2", get(b"Host: a, b\r\n"), 400),
    Decision(HOSTS, "with a path", "RFC 9110 7.2", get(b"Host: a/b\r\n"), 400),
    Decision(HOSTS, "with userinfo", "RFC 9110 4.2.4", get(b"Host: u@a\r\n"), 400),
    Decision(HOSTS, "one that is none, in HTTP/1.0", "RFC 9112 3.2", get(b"Host: a/b\r\n", version=b"HTTP/1.0"), 400),
    Decision(HOSTS, "a port above 65535", "RFC 3986 3.2.3", get(b"Host: a:65536\r\n"), 400),
    Decision(HOSTS, "an empty port", "RFC 3986 3.2.3", get(b"Host: a:\r\n"), {"HTTP_HOST": "a:"}),
    Decision(HOSTS, "IPv6", "RFC 3986 3.2.2", get(b"Host: [::1]:80\r\n"), {"HTTP_HOST": "[::1]:80"}),
    Decision(HOSTS, "IPv6 with a zone", "RFC 3986 3.2.2", get(b"Host: [fe80::1%25eth0]\r\n"), 400),
    Decision(HOSTS, "a version of IP that is to come", "RFC 3986 3.2.2", get(b"Host: [v1.a]\r\n"), 400),
    Decision(FIELDS, "a blank before the colon", "RFC 9112 5.1", get(HOST + b"X : y\r\n"), 400),
    Decision(FIELDS, "no colon", "RFC 9112 5", get(HOST + b"X\r\n"), 400),
    Decision(FIELDS, "no name", "RFC 9112 5", get(HOST + b": y\r\n"), 400),
    Decision(FIELDS, "a name that is no token", "RFC 9110 5.1", get(HOST + b"X(: y\r\n"), 400),
    Decision(FIELDS, "a blank before the first field", "RFC 9112 2.2", get(b" X: y\r\n" + HOST), 400),
    Decision(FIELDS, "blanks around a value", "RFC 9110 5.5", get(HOST + b"X: \t y \t\r\n"), {"HTTP_X": "y"}),
    Decision(FIELDS, "repeated", "RFC 9110 5.3", get(HOST + b"X: a\r\nX: b\r\n"), {"HTTP_X": "a, b"}),
    Decision(FIELDS, "a continuation line", "RFC 9112 5.2", get(HOST + b"X: a\r\n b\r\n"), {"HTTP_X": "a b"}),
    Decision(FIELDS, "a continuation line of Host", "RFC 9112 5.2", get(b"Host: a\r\n b\r\n"), 400),
    Decision(
        FIELDS,
        "a continuation line of X-Forwarded-For",
        "RFC 9112 5.2",
        get(HOST + b"X-Forwarded-For: a\r\n b\r\n"),
        400,
    ),
    Decision(
        FIELDS,
        "an underscore in a name",
        "as waitress",
        get(HOST + b"X_Y: z\r\nX-Z: z\r\n"),
        {"HTTP_X_Y": "", "HTTP_X_Z": "z"},
    ),
    Decision(FIELDS, "a head above the limit", "RFC 6585 5", get(HOST + b"X: " + b"y" * MAX_HEAD + b"\r\n"), 431),
    Decision(
        FIELDS, "more than 1000", "RFC 6585 5", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X:\r\n" * 1000 + b"\r\n", 431
    ),
    Decision(
        FIELDS,
        "X-Forwarded-For, from nobody who is trusted",
        "RFC 7239 8.1",
        get(HOST + b"X-Forwarded-For: 192.0.2.1\r\n"),
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": ""},
    ),
    Decision(
        FIELDS, "Content-Type twice", "RFC 9110 5.3", get(HOST + b"Content-Type: a/b\r\nContent-Type: a/b\r\n"), 400
    ),
    Decision(LENGTH, "a number", "RFC 9112 6.3", post(b"Content-Length: 3\r\n", b"abc"), body("abc")),
    Decision(LENGTH, "with zeros before it", "RFC 9110 8.6", post(b"Content-Length: 003\r\n", b"abc"), body("abc")),
    Decision(LENGTH, "with a sign", "RFC 9110 8.6", post(b"Content-Length: +3\r\n", b"abc"), 400),
    Decision(LENGTH, "negative", "RFC 9110 8.6", post(b"Content-Length: -3\r\n", b"abc"), 400),
    Decision(LENGTH, "hexadecimal", "RFC 9110 8.6", post(b"Content-Length: 0x3\r\n", b"abc"), 400),
    Decision(LENGTH, "with an underscore", "RFC 9110 8.6", post(b"Content-Length: 1_0\r\n", b"a" * 10), 400),
    Decision(LENGTH, "digits of another script", "RFC 9110 8.6", post(b"Content-Length: \xb2\r\n", b"ab"), 400),
    Decision(LENGTH, "empty", "RFC 9110 8.6", post(b"Content-Length:\r\n"), 400),
    Decision(
        LENGTH, "twice, though equal", "RFC 9112 6.3", post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), 400
    ),
    Decision(LENGTH, "a list of equal numbers", "RFC 9112 6.3", post(b"Content-Length: 3, 3\r\n", b"abc"), 400),
    Decision(
        LENGTH, "with an octet that others take for a blank", "RFC 9110 5.5", post(b"Content-Length: \xa03\r\n"), 400
    ),
    Decision(LENGTH, "above the limit", "RFC 9110 15.5.14", post(b"Content-Length: %d\r\n" % (MAX_BODY + 1)), 413),
    Decision(LENGTH, "of 3000 digits", "RFC 9110 15.5.14", post(b"Content-Length: " + b"9" * 3000 + b"\r\n"), 413),
    Decision(LENGTH, "with a GET", "RFC 9110 9.3.1", get(HOST + b"Content-Length: 3\r\n") + b"abc", body("abc")),
    Decision(
        CODING, "`chunked`, in any case", "RFC 9112 7", post(b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n"), body("")
    ),
    Decision(
        CODING,
        "and Content-Length",
        "RFC 9112 6.3",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n"),
        400,
    ),
    Decision(
        CODING,
        "and a Content-Length that is none",
        "RFC 9112 6.3",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n"),
        400,
    ),
    Decision(
        CODING,
        "in HTTP/1.0",
        "RFC 9112 6.1",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    Decision(
        CODING,
        "a coding that is not known",
        "RFC 9112 6.1",
        post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
        501,
    ),
    Decision(
        CODING, "`chunked` twice", "RFC 9112 6.1", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400
    ),
    Decision(
        CODING,
        "`chunked`, and an empty one",
        "RFC 9112 6.1",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", b"0\r\n\r\n"),
        400,
    ),
    Decision(CODING, "`chunked` with a parameter", "RFC 9112 7.1", post(b"Transfer-Encoding: chunked;a=b\r\n"), 400),
    Decision(CODING, "`identity`", "RFC 9112 7", post(b"Transfer-Encoding: identity\r\n"), 501),
    Decision(
        CODING, "`chunked` not last", "RFC 9112 6.3", post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400
    ),
    Decision(
        CODING, "with a control octet", "RFC 9110 5.5", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400
    ),
    Decision(CODING, "empty", "RFC 9112 6.1", post(b"Transfer-Encoding:\r\n"), 400),
    Decision(
        CHUNKS, "joined", "RFC 9112 7.1", chunked(b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), body("abc0123456789")
    ),
    Decision(CHUNKS, "an extension", "RFC 9112 7.1.1", chunked(b'3;a="b;\\"c";d\r\nabc\r\n0;e=f\r\n\r\n'), body("abc")),
    Decision(CHUNKS, "an extension that is none", "RFC 9112 7.1.1", chunked(b"3;=b\r\nabc\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "a blank in an extension", "RFC 9112 7.1.1", chunked(b"3;a =b\r\nabc\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "a quoted string that does not end", "RFC 9112 7.1.1", chunked(b'3;a="\r\nabc\r\n0\r\n\r\n'), 400),
    Decision(CHUNKS, "an extension above 4 KiB", "RFC 9112 7.1.1", chunked(b"3;" + b"a" * 4096 + b"\r\n"), 400),
    Decision(CHUNKS, "a blank behind the size", "RFC 9112 7.1", chunked(b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "`0x` before the size", "RFC 9112 7.1", chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "a sign before the size", "RFC 9112 7.1", chunked(b"+3\r\nabc\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "no size", "RFC 9112 7.1", chunked(b"\r\n\r\n"), 400),
    Decision(CHUNKS, "a size of 17 digits", "RFC 9112 7.1", chunked(b"0" * 16 + b"3\r\nabc\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "LF alone behind the size", "RFC 9112 7.1", chunked(b"3\nabc\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "LF alone behind the data", "RFC 9112 7.1", chunked(b"3\r\nabc\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "data longer than the size", "RFC 9112 7.1", chunked(b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    Decision(CHUNKS, "a body above the limit", "RFC 9110 15.5.14", chunked(b"%X\r\n" % (MAX_BODY + 1)), 413),
    Decision(CHUNKS, "trailers: read and dropped", "RFC 9110 6.5", chunked(b"0\r\nX-T: v\r\n\r\n"), {"HTTP_X_T": ""}),
    Decision(
        CHUNKS,
        "trailers that would frame: dropped",
        "RFC 9110 6.5.1",
        chunked(b"0\r\nContent-Length: 3\r\n\r\n"),
        {"CONTENT_LENGTH": "0"},
    ),
    Decision(CHUNKS, "trailers above the limit of a head", "RFC 6585 5", chunked(b"0\r\nX: " + b"y" * MAX_HEAD), 431),
    Decision(CHUNKS, "a trailer that is no field", "RFC 9112 7.1.2", chunked(b"0\r\nX T: v\r\n\r\n"), 400),
    Decision(CONNECTION, "100-continue without a body", "RFC 9110 10.1.1", get(HOST + b"Expect: 100-continue\r\n"), OK),
    Decision(
        CONNECTION,
        "100-continue, and the body at once",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"),
        body("abc"),
    ),
    Decision(
        CONNECTION,
        "100-continue and a body above the limit",
        "RFC 9110 10.1.1",
        post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % (MAX_BODY + 1)),
        413,
    ),
    Decision(CONNECTION, "another expectation", "RFC 9110 10.1.1", get(HOST + b"Expect: rain\r\n"), 417),
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
