"""Other parsers of requests, with one interface: which requests does each read out of the same bytes?"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import h11
import pytest

from waitress_parser import EndOfMessage, NeedMore, ProtocolError, RequestHead, RequestParser


class Read(NamedTuple):
    """A complete request as a parser has read it; a difference between two of these may be a smuggled request."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    content: bytes


def alike(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Remove what parsers may write differently: blanks within and after a value, and the case of a transfer coding."""
    levelled = []
    for name, value in fields:
        value = re.sub(r"[ \t]+", " ", value).rstrip(" ")
        levelled.append((name, value.lower() if name == "transfer-encoding" else value))
    return levelled


class Reading(NamedTuple):
    """What a parser reads out of a stream: the complete requests, and why it stops."""

    requests: list[Read]
    end: str
    """"more" if it waits for bytes, "close" after a last request, else the name of an error."""


def read_here(wire: bytes) -> Reading:
    """Read with the parser of this project, as a server does: not beyond a request that ends the connection."""
    parser = RequestParser()
    parser.receive(wire)
    requests: list[Read] = []
    content = bytearray()
    head: RequestHead | None = None
    while True:
        try:
            event = parser.next_event()
        except ProtocolError as error:
            return Reading(requests, type(error).__name__)
        if isinstance(event, NeedMore):
            return Reading(requests, "more")
        if isinstance(event, RequestHead):
            head = event
            content.clear()
        elif isinstance(event, EndOfMessage):
            assert head is not None
            requests.append(Read(head.method, head.target, alike(head.fields), bytes(content)))
            if not head.is_persistent:
                return Reading(requests, "close")
        else:
            content += event.data


def read_with_h11(wire: bytes) -> Reading:
    """Read with h11 as a server; its state machine gets a response to each request, so that it reads the next."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(wire)
    requests: list[Read] = []
    content = bytearray()
    head: h11.Request | None = None
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            return Reading(requests, f"h11: {error}")
        if event is h11.NEED_DATA:
            return Reading(requests, "more")
        if isinstance(event, h11.Request):
            head = event
            content.clear()
        elif isinstance(event, h11.Data):
            content += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            fields = alike([(name.decode(), value.decode("latin-1")) for name, value in head.headers])
            requests.append(Read(head.method.decode(), head.target.decode("latin-1"), fields, bytes(content)))
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return Reading(requests, "close")
            connection.start_next_cycle()


class _Collector:
    """The callbacks of httptools."""

    def __init__(self) -> None:
        self.requests: list[Read] = []
        self.parser: Any = None
        self.is_last = False
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self._target = b""
        self._fields: list[tuple[str, str]] = []
        self._trailers = False
        self._content = bytearray()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._trailers:
            self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._trailers = True

    def on_body(self, body: bytes) -> None:
        self._content += body

    def on_message_complete(self) -> None:
        if not self.is_last:
            method = self.parser.get_method().decode()
            self.requests.append(
                Read(method, self._target.decode("latin-1"), alike(self._fields), bytes(self._content))
            )
            self.is_last = not self.parser.should_keep_alive()


def read_with_httptools(wire: bytes) -> Reading:
    """Read with httptools, the C parser of Node."""
    httptools: Any = pytest.importorskip("httptools", reason="httptools cannot be installed here")
    collector = _Collector()
    collector.parser = httptools.HttpRequestParser(collector)
    try:
        collector.parser.feed_data(wire)
    except httptools.HttpParserUpgrade:
        return Reading(collector.requests, "upgrade")
    except httptools.HttpParserError as error:
        if not collector.is_last:
            return Reading(collector.requests, f"httptools: {error}")
    return Reading(collector.requests, "close" if collector.is_last else "more")
