"""What changes on the wire from waitress 3.0.2 to this server: both are asked, and docs/how-to/migrate.md shows it.

`python -m tests.project.migration` writes the tables into that page; `test_migration` asks.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import NamedTuple

from tests.http.decisions import HOST, chunked, get, post

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "migrate.md"

SETTINGS = (
    "--listen=127.0.0.1:0",
    "--max-request-body-size=1000",
    "--trusted-proxy=127.0.0.1",
    "--trusted-proxy-headers=x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port",
)
APPLICATION = """
import io
import json

def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if name in RESPONSES:
        return RESPONSES[name](environ, start_response)
    texts = {key: value for key, value in environ.items() if isinstance(value, str)}
    return answer(start_response, "200 OK", [], [b"next!" if name == "next" else json.dumps(texts).encode()])

def answer(start_response, status, headers, body):
    start_response(status, headers)
    return body

def leave(environ, start_response):
    raise SystemExit(1)

RESPONSES = {
    "pieces": lambda environ, start: answer(start, "200 OK", [], iter([b"a", b"b"])),
    "nothing": lambda environ, start: answer(start, "200 OK", [], []),
    "204": lambda environ, start: answer(start, "204 No Content", [], []),
    "304-file": lambda environ, start: answer(
        start, "304 Not Modified", [], environ["wsgi.file_wrapper"](io.BytesIO(b"a file"))
    ),
    "101": lambda environ, start: answer(start, "101 Switching Protocols", [], []),
    "trailer": lambda environ, start: answer(start, "200 OK", [("Trailer", "x")], [b"a"]),
    "blank": lambda environ, start: answer(start, "200 OK", [("A b", "x")], [b"a"]),
    "control": lambda environ, start: answer(start, "200 OK", [("A", "x\\x0by")], [b"a"]),
    "str": lambda environ, start: answer(start, "200 OK", [], ["a"]),
    "lengths": lambda environ, start: answer(start, "200 OK", [("Content-Length", "1")] * 2, [b"a"]),
    "dates": lambda environ, start: answer(start, "200 OK", [("Date", "x")] * 2, [b"a"]),
    "no-number": lambda environ, start: answer(start, "OK", [], [b"a"]),
    "999": lambda environ, start: answer(start, "999 Odd", [], [b"a"]),
    "raise": lambda environ, start: 1 / 0,
    "leave": leave,
}
"""

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
NEXT_BODY = b"next!"
ANSWER_SECONDS = 30.0
SILENCE_SECONDS = 1.0


class Change(NamedTuple):
    """A request, and what the two servers do with it; if it is served, `shows` are the environ keys to report."""

    name: str
    wire: bytes
    before: str
    now: str
    shows: tuple[str, ...] = ()


END = b"0\r\n\r\n"
BOTH = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
TWICE = b"Transfer-Encoding: chunked, chunked\r\n"
IN_1_0 = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECT = b"Expect: 100-continue\r\n"

REQUESTS = [
    Change("no Host in HTTP/1.1", get(b""), "served", "400"),
    Change("an empty Host", get(b"Host:\r\n"), "served", "400"),
    Change("an invalid Host", get(b"Host: a/b\r\n"), "served", "400"),
    Change("two Host", get(HOST + HOST), "served; `HTTP_HOST` is `a, a`", "400", ("HTTP_HOST",)),
    Change("two Content-Type", get(HOST + b"Content-Type: a\r\n" * 2), "served", "400"),
    Change("Content-Length and Transfer-Encoding", post(BOTH, END), "served", "400"),
    Change("Transfer-Encoding in HTTP/1.0", IN_1_0, "served", "400"),
    Change("`chunked` twice", post(TWICE, END), "served", "400"),
    Change("Transfer-Encoding, empty", post(b"Transfer-Encoding:\r\n"), "served", "400"),
    Change("LF within a chunk's line", chunked(b"3\n\r\nabc\r\n" + END), "served", "400"),
    Change("an empty line before a chunk", chunked(b"\r\n3\r\nabc\r\n" + END), "served", "400"),
    Change("a trailer that is not a field", chunked(b"0\r\nabc\r\n\r\n"), "served", "400"),
    Change("no version", b"GET /\r\n\r\n", "served", "400"),
    Change("HTTP/2.0", get(version=b"HTTP/2.0"), "served", "505"),
    Change(
        "HTTP/1.2",
        get(version=b"HTTP/1.2"),
        "served; `SERVER_PROTOCOL` is `HTTP/1.0`",
        "served; `SERVER_PROTOCOL` is `HTTP/1.1`",
        ("SERVER_PROTOCOL",),
    ),
    Change("a space after the version", get(version=b"HTTP/1.1 "), "served", "400"),
    Change("spaces, or two empty lines, before the request", b"\r\n\r\n" + get(), "served", "400"),
    Change(
        "HTAB in the target",
        get(target=b"/a\tb"),
        "served; `PATH_INFO` is `/ab`",
        "400",
        ("PATH_INFO",),
    ),
    Change("no slash before the path", get(target=b"a"), "served", "400"),
    Change("a bracket that is not closed", get(target=b"http://[::1/"), "no answer", "400"),
    Change("CONNECT", get(target=b"a:1", method=b"CONNECT"), "served", "501"),
    Change(
        "a whole URL as its target",
        get(target=b"http://b/c"),
        "served; `HTTP_HOST` is `a`",
        "served; `HTTP_HOST` is `b`",
        ("HTTP_HOST",),
    ),
    Change(
        "a whole URL without a path",
        get(target=b"http://b"),
        "served; `PATH_INFO` is empty",
        "served; `PATH_INFO` is `/`",
        ("PATH_INFO",),
    ),
    Change(
        "`*`, with OPTIONS",
        get(target=b"*", method=b"OPTIONS"),
        "served; `PATH_INFO` is `*`",
        "served; `PATH_INFO` is empty",
        ("PATH_INFO",),
    ),
    Change("a request line above 64 KiB", get(target=b"/" + b"a" * 65536), "served", "414"),
    Change("more than 1000 fields", get(HOST + b"X: y\r\n" * 1000), "served", "431"),
    Change("the same, continuation lines counted", get(HOST + b"X: y\r\n" + b" y\r\n" * 999), "served", "431"),
    Change(
        "two lines of Cookie",
        get(HOST + b"Cookie: a=1\r\nCookie: b=2\r\n"),
        "served; `HTTP_COOKIE` is `a=1, b=2`",
        "served; `HTTP_COOKIE` is `a=1; b=2`",
        ("HTTP_COOKIE",),
    ),
    Change("two lines of Authorization", get(HOST + b"Authorization: a b\r\n" * 2), "served", "400"),
    Change("a Host above 1024 characters", get(b"Host: " + b"a" * 1025 + b"\r\n"), "served", "400"),
    Change("a Connection above 1024 characters", get(HOST + b"Connection: x" + b"," * 1025 + b"\r\n"), "served", "431"),
    Change(
        "a continuation line",
        get(HOST + b"X: a\r\n   b\r\n"),
        "served; `HTTP_X` is `a   b`",
        "served; `HTTP_X` is `a b`",
        ("HTTP_X",),
    ),
    Change("a continuation line of Host or Content-Type", get(HOST[:-2] + b"\r\n b\r\n"), "served", "400"),
    Change("a body of exactly the limit", post(b"Content-Length: 1000\r\n", b"a" * 1000), "413", "served"),
    Change("`Expect: 100-continue`, no body", get(HOST + EXPECT), "100; served, as the next request", "served"),
    Change("the same, the body is there", post(EXPECT + b"Content-Length: 3\r\n", b"abc"), "100; served", "served"),
    Change("the same, above the limit", post(EXPECT + b"Content-Length: 1001\r\n"), "100; no answer", "413"),
    Change("another expectation", get(HOST + b"Expect: x\r\n"), "served", "417"),
    Change(
        "`Connection: close, x`",
        get(HOST + b"Connection: close, x\r\n"),
        "served; goes on",
        "served; ends",
        ("connection",),
    ),
]
PROXIED = [
    Change(
        '`X-Forwarded-For: "[2001:db8::1]:77"`',
        get(HOST + b'X-Forwarded-For: "[2001:db8::1]:77"\r\n'),
        "served; `REMOTE_ADDR` is `[2001:db8::1]:77`",
        "served; `REMOTE_ADDR` is `2001:db8::1`",
        ("REMOTE_ADDR",),
    ),
    Change(
        "`X-Forwarded-Proto: http, https`",
        get(HOST + b"X-Forwarded-Proto: http, https\r\n"),
        "400",
        "served; `wsgi.url_scheme` is `https`",
        ("wsgi.url_scheme",),
    ),
    Change(
        "`X-Forwarded-Proto: wss`",
        get(HOST + b"X-Forwarded-Proto: wss\r\n"),
        "400",
        "served; `wsgi.url_scheme` is `https`",
        ("wsgi.url_scheme",),
    ),
    Change(
        "`X-Forwarded-Port: 80, 8443`",
        get(HOST + b"X-Forwarded-Port: 80, 8443\r\n"),
        "400",
        "served; `SERVER_PORT` is `8443`",
        ("SERVER_PORT",),
    ),
    Change("an X-Forwarded-For with a space in it", get(HOST + b"X-Forwarded-For: a b\r\n"), "served", "400"),
    Change("an X-Forwarded-Port that is not a port", get(HOST + b"X-Forwarded-Port: a\r\n"), "served", "400"),
    Change("an X-Forwarded-Host that is not a host", get(HOST + b"X-Forwarded-Host: a/b\r\n"), "served", "400"),
]
RESPONSES = [
    Change("several pieces, or a generator", get(target=b"/pieces"), "200; chunked; ends", "200; chunked; goes on"),
    Change("`[]`", get(target=b"/nothing"), "200; chunked; ends", "200; Content-Length; goes on"),
    Change("a status 204", get(target=b"/204"), "204; ends", "204; goes on"),
    Change("a file for a status 304", get(target=b"/304-file"), "304; a body; ends", "304; goes on"),
    Change(
        "a body for HEAD",
        get(target=b"/pieces", method=b"HEAD"),
        "200; chunked; a body; ends",
        "200; chunked; goes on",
    ),
    Change("a `str` for a piece", get(target=b"/str"), "200; Content-Length; ends", "500; Content-Length; ends"),
    Change(
        "Content-Length twice", get(target=b"/lengths"), "200; Content-Length; goes on", "500; Content-Length; ends"
    ),
    Change("Date twice", get(target=b"/dates"), "200; Content-Length; goes on", "500; Content-Length; ends"),
    Change(
        "a status without a number",
        get(target=b"/no-number"),
        "OK; Content-Length; goes on",
        "500; Content-Length; ends",
    ),
    Change("a status 101", get(target=b"/101"), "101; ends", "500; Content-Length; ends"),
    Change("a status 600 or above", get(target=b"/999"), "999; Content-Length; goes on", "500; Content-Length; ends"),
    Change("the header Trailer", get(target=b"/trailer"), "200; Content-Length; goes on", "500; Content-Length; ends"),
    Change(
        "a space in a header's name", get(target=b"/blank"), "200; Content-Length; goes on", "500; Content-Length; ends"
    ),
    Change(
        "a control character in a value",
        get(target=b"/control"),
        "200; Content-Length; goes on",
        "500; Content-Length; ends",
    ),
    Change("`SystemExit`", get(target=b"/leave"), "no answer", "500; Content-Length; ends"),
    Change(
        "an exception, to HTTP/1.0 with keep-alive",
        b"GET /raise HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "500; two Connection; Content-Length; ends",
        "500; Content-Length; ends",
    ),
]
TABLES = {
    "requests": ("a request with", REQUESTS),
    "responses": ("the application gives", RESPONSES),
    "proxied": ("a trusted proxy sends", PROXIED),
}


# --- asking


def ask(address: tuple[str, int], change: Change, expected: str) -> str:
    """Send the request and another one after it; describe the response in the words of the table."""
    with socket.create_connection(address) as client:
        client.settimeout(SILENCE_SECONDS if "no answer" in expected else ANSWER_SECONDS)
        client.sendall(change.wire + NEXT)
        received = bytearray()
        try:
            while data := client.recv(65536):
                received += data
        except (TimeoutError, ConnectionError):
            pass
    described = _response if change in RESPONSES else _request
    return described(bytes(received), change)


def _request(received: bytes, change: Change) -> str:
    words = []
    if received.startswith(b"HTTP/1.1 100 "):
        words.append("100")
        received = received.partition(b"\r\n\r\n")[2]
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return "; ".join([*words, "no answer"])
    status = head.split()[1].decode()
    if status != "200":
        return "; ".join([*words, status])
    goes_on = body.endswith(NEXT_BODY)
    if body == NEXT_BODY:  # the first request was answered as if it were the second
        return "; ".join([*words, "served, as the next request"])
    environ, _ = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    words_of = {key: f"`{key}` is {f'`{value}`' if value else 'empty'}" for key, value in environ.items()}
    words_of["connection"] = "goes on" if goes_on else "ends"
    return "; ".join([*words, "served", *(words_of[key] for key in change.shows)])


def _response(received: bytes, change: Change) -> str:
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return "no answer"
    goes_on = body.endswith(NEXT_BODY)
    own_body = body.rpartition(b"HTTP/1.1 200 OK")[0] if goes_on else body
    has_none = change.wire.startswith(b"HEAD") or head.split()[1] in (b"204", b"304")
    words = [
        head.split()[1].decode(),
        "two Connection" if head.count(b"Connection: ") == 2 else "",
        "chunked" if b"Transfer-Encoding: chunked" in head else "",
        "Content-Length" if b"Content-Length:" in head else "",
        "a body" if has_none and own_body else "",
        "goes on" if goes_on else "ends",
    ]
    return "; ".join(word for word in words if word)


# --- the page


def as_markdown(table: str) -> str:
    first, changes = TABLES[table]
    rows = [f"| {change.name} | {change.before} | {change.now} |" for change in changes]
    return "\n".join([f"| {first} | 3.0.2 | now |", "|---|---|---|", *rows, ""])


def split(table: str, text: str) -> tuple[str, str, str]:
    """Return the text of the page before a table, the table, and the text after it."""
    before, marker, rest = text.partition(f"<!-- {table} -->\n\n")
    content, end, behind = rest.partition(f"\n<!-- end of {table} -->\n")
    assert end, f"{PAGE} has no place for the table of {table}"
    return before + marker, content, end + behind


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for table in TABLES:
        before, _, behind = split(table, text)
        text = before + as_markdown(table) + behind
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
