"""One parser on one request, again and again: python -m tests.benchmarks.parsers PARSER INPUT SECONDS.

Prints how many requests it reads in a second. Each parser runs in the environment in which it is installed. Each gets
the whole request at once, as a server mostly does, and is asked for what a server needs: method, target, the field
lines as pairs, and the content.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

Reader = Callable[[bytes], tuple[Any, int]]  # returns the field lines and the length of the content

BROWSER = b"""\
GET /search?q=parser&page=2 HTTP/1.1
Host: www.example.com
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
Accept-Language: en-US,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Referer: http://www.example.com/start
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; language=en
DNT: 1
Connection: keep-alive
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: same-origin
Sec-Fetch-User: ?1
Priority: u=0, i
Cache-Control: no-cache

""".replace(b"\n", b"\r\n")
CONTENT = b"x" * 65536
CHUNK = b"1000\r\n%s\r\n" % (b"x" * 4096)
POST = b"POST /upload HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n\r\n"
FIELDS = [b"X-Field-%d: value %d\r\n" % (number, number) for number in range(59)]
INPUTS = {
    "small": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "browser": BROWSER,
    "60-fields": b"GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % b"".join(FIELDS),
    "fixed": POST % b"Content-Length: 65536" + CONTENT,
    "chunked": POST % b"Transfer-Encoding: chunked" + CHUNK * 16 + b"0\r\n\r\n",
}


def ours() -> Reader:
    from waitress_parser import BodyPiece, EndOfMessage, RequestHead, RequestParser

    parser = RequestParser()

    def read(data: bytes) -> tuple[Any, int]:
        parser.receive(data)
        fields: Any = None
        size = 0
        while True:
            event = parser.next_event()
            if isinstance(event, BodyPiece):
                size += len(event.data)
            elif isinstance(event, RequestHead):
                fields = event.fields
            elif isinstance(event, EndOfMessage):
                return fields, size

    return read


def h11() -> Reader:
    import h11

    def read(data: bytes) -> tuple[Any, int]:
        # One for each request: it can be used again only after a response.
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        fields: Any = None
        size = 0
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                size += len(event.data)
            elif isinstance(event, h11.Request):
                fields = event.headers
            elif isinstance(event, h11.EndOfMessage):
                return fields, size

    return read


def httptools() -> Reader:
    import httptools

    class Protocol:
        def on_message_begin(self) -> None:
            self.fields: list[tuple[bytes, bytes]] = []
            self.size = 0
            self.target = b""

        def on_url(self, url: bytes) -> None:
            self.target = url

        def on_header(self, name: bytes, value: bytes) -> None:
            self.fields.append((name, value))

        def on_body(self, body: bytes) -> None:
            self.size += len(body)

    protocol = Protocol()
    parser = httptools.HttpRequestParser(protocol)

    def read(data: bytes) -> tuple[Any, int]:
        parser.feed_data(data)
        parser.get_method()
        return protocol.fields, protocol.size

    return read


def old() -> Reader:
    make = import_module("waitress.parser").HTTPRequestParser  # that of 3.0.2: this runs in its environment
    adj = import_module("waitress.adjustments").Adjustments()

    def read(data: bytes) -> tuple[Any, int]:
        parser = make(adj)  # as its server does: one for each request
        while data and not parser.completed:
            data = data[parser.received(data) :]
        body = parser.get_body_stream()
        size = len(body.read())
        body.close()
        return parser.headers, size

    return read


PARSERS: dict[str, Callable[[], Reader]] = {"ours": ours, "h11": h11, "httptools": httptools, "old": old}


def reads_per_second(read: Reader, data: bytes, seconds: float) -> float:
    """Read for about `seconds`, in bundles of a hundredth of that; return the best rate, the least disturbed one."""
    fields, size = read(data)
    content = 0 if data.startswith(b"GET") else len(CONTENT)
    if len(fields) < 1 or size != content:
        raise RuntimeError(f"it has read {len(fields)} fields and {size} bytes of content")
    bundle = 1
    while (best := _seconds_of(read, data, bundle)) < seconds / 100:
        bundle *= 2
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        best = min(best, _seconds_of(read, data, bundle))
    return bundle / best


def _seconds_of(read: Reader, data: bytes, times: int) -> float:
    started_at = time.perf_counter()
    for _ in range(times):
        read(data)
    return time.perf_counter() - started_at


if __name__ == "__main__":
    print(reads_per_second(PARSERS[sys.argv[1]](), INPUTS[sys.argv[2]], float(sys.argv[3])))
