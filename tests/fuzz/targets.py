"""The fuzz targets: each takes any bytes, and raises if something does not hold for them.

`make fuzz` looks for such bytes; `test_corpus` gives each target what was found or is worth keeping.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import h11

from tests.core.status.snapshots import snapshot_of
from tests.parser.helpers import CHUNKED, exhaust, parse
from tests.parser.models import STRUCTURE, are_extensions, first_fault, up_to_its_end
from tests.parser.proxy_headers import SIGNATURE, outcome_in_every_cut
from tests.support.strict import read_response
from waitress_core import Adjustments, Task
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import Endpoint, ServerContext
from waitress_core.http.request import Request
from waitress_core.net.listener import Listener
from waitress_core.net.transport import SocketTransport
from waitress_core.reactor.reactor import Reactor
from waitress_core.status.app import StatusApplication
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_core.wsgi.proxy_errors import MalformedProxyHeader
from waitress_core.wsgi.proxy_headers import ProxyPolicy
from waitress_core.wsgi.task import TaskContext, WSGITask
from waitress_parser import Limits, RequestHead, RequestParser
from waitress_parser.proxy_protocol import ProxyHeader

MOST = 20_000  # bytes of one input; more shows nothing more
TURNS = 500  # after which a connection that its client has ended must be closed
LIMITS = Limits(
    max_head_bytes=600,
    max_request_line_bytes=200,
    max_fields=12,
    max_body_bytes=2000,
    max_chunk_line_bytes=40,
    max_chunk_extension_bytes=60,
)


def pieces_of(data: bytes) -> list[bytes]:
    """Cut the rest of an input into pieces; its first byte says how long they are."""
    size = data[0] + 1 if data else 1
    return [data[start : start + size] for start in range(1, len(data), size)]


def fuzz_parser(data: bytes) -> None:
    """Events, "need more" or ProtocolError; the same in pieces as whole; never more held than the limits allow."""
    pieces = pieces_of(data[:MOST])
    whole = parse([b"".join(pieces)], LIMITS, has_end=True)
    assert parse(pieces, LIMITS, has_end=True) == whole
    parser = RequestParser(LIMITS)
    for piece in pieces:
        parser.receive(piece)
        exhaust(parser)
        assert parser.held_bytes <= LIMITS.max_head_bytes + 4


def fuzz_chunked(data: bytes) -> None:
    """The same for what follows the head of a chunked request."""
    fuzz_parser(data[:1] + CHUNKED + data[1:])


def fuzz_sections(data: bytes) -> None:
    """The fault of a field section is the one that a reading byte by byte meets first."""
    line = b"GET / HTTP/1.1"
    section = up_to_its_end(b"".join(pieces_of(data[:MOST])))
    expected = first_fault(b"\r\n" + section, LIMITS.max_head_bytes - len(line), LIMITS.max_fields)
    refusal = parse([line + b"\r\n" + section], LIMITS).refusal
    kind = refusal.kind if refusal is not None and issubclass(refusal.kind, STRUCTURE) else None
    assert kind is expected, (kind, expected)
    fuzz_parser(data[:1] + line + b"\r\n" + data[1:])


def fuzz_extensions(data: bytes) -> None:
    """What follows the size of a chunk is read by the grammar of extensions."""
    text = data[1:].replace(b"\r", b"").replace(b"\n", b"")[: LIMITS.max_chunk_line_bytes - 1]
    outcome = parse([CHUNKED + b"1" + text + b"\r\nx\r\n0\r\n\r\n"], LIMITS)
    is_size = bool(text) and text[0] in b"0123456789abcdefABCDEF"  # more of the size
    if not is_size:
        assert (outcome.refusal is None) == are_extensions(text), text
    fuzz_chunked(data[:1] + b"1" + text + b"\r\nx\r\n0\r\n\r\n")


def fuzz_proxy_protocol(data: bytes) -> None:
    """A header, an error or "need more", the same in every cut; its text is what it says it is."""
    start = (SIGNATURE + b"\x21", b"PROXY ", b"")[data[0] % 3 if data else 0]
    header = outcome_in_every_cut(start + data[1:600], 500)
    if isinstance(header, ProxyHeader):
        assert 0 < header.size <= 500
        assert header.family in ("TCP4", "TCP6", "UNIX", "UNKNOWN")
        assert bool(header.source) is (header.family in ("TCP4", "TCP6")) or header.family == "UNIX"
        if header.family != "UNIX":
            assert set(header.source + header.destination) <= set("0123456789abcdef.:")
    elif header is not None:
        assert header[1].isascii()
        assert header[1].isprintable()


def fuzz_proxy_headers(data: bytes) -> None:
    """MalformedProxyHeader, or an environ of which each value can be used: no other error, no empty host or port.

    Nothing that comes before the elements of the trusted proxies changes what they add.
    """
    choice = data[0] if data else 0
    # What the parser lets through: no control character but HTAB, no blanks at the ends.
    texts = data[1:].decode("latin-1").split("\n")
    values = ["".join(c for c in text if c == "\t" or c >= " ").strip(" \t") for text in texts]
    names = ["forwarded"] if choice % 2 == 0 else ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]
    if choice % 2:
        names.append("x-forwarded-port")
        fields = list(zip(names, values, strict=False))
    else:
        fields = [("forwarded", value) for value in values]
    count = 1 + choice // 2 % 3
    proxied_environ(fields, names, count)
    honest = [(name, ", ".join(HONEST[name][:count])) for name in names]
    alone = proxied_environ(honest, names, count)
    assert alone is not None
    for joined in (False, True):
        seen = proxied_environ(_with_last(fields, honest) if joined else fields + honest, names, count)
        assert seen == alone or (seen is None and names == ["forwarded"]), seen


HONEST = {
    "forwarded": ['for="[2001:db8::7]:80";host="shop.example:81";proto=https', "for=192.0.2.9;by=_a", 'x=";y=\\"z,"'],
    "x-forwarded-for": ["[2001:db8::7]:80", '"192.0.2.9"', "unknown"],
    "x-forwarded-host": ['"shop.example:81"', "shop.example", "a"],
    "x-forwarded-proto": ["https", "http", "https"],
    "x-forwarded-port": ["81", "443", "80"],
}


def _with_last(fields: list[tuple[str, str]], honest: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Append the honest elements to the last field line of their name, as some proxies do."""
    result = list(fields)
    for name, value in honest:
        places = [place for place, (other, _) in enumerate(result) if other == name]
        if places:
            result[places[-1]] = (name, f"{result[places[-1]][1]},{value}")
        else:
            result.append((name, value))
    return result


def proxied_environ(fields: list[tuple[str, str]], names: list[str], count: int) -> dict[str, Any] | None:
    """Return the environ of a request with these fields from a trusted proxy; None if it is refused."""
    adj = Adjustments(
        listen="127.0.0.1:0", trusted_proxy="*", trusted_proxy_count=count, trusted_proxy_headers=" ".join(names)
    )
    values = {name: ", ".join(value for other, value in fields if other == name) for name, _ in fields}
    head = RequestHead("GET", "/", "1.1", fields, values, "a", "/", "", 0, True, False)
    request = Request(head)
    environ = EnvironBuilder(adj, "80", "http").build(request, "192.0.2.1", "5000", lambda: False)
    try:
        ProxyPolicy(adj).apply(environ, request)
    except MalformedProxyHeader:
        return None
    assert environ["wsgi.url_scheme"] in ("http", "https")
    assert environ["SERVER_PORT"].isascii()
    assert environ["SERVER_PORT"].isdigit()
    assert 0 < int(environ["SERVER_PORT"]) <= 65535
    assert environ["REMOTE_ADDR"]
    for key in ("SERVER_NAME", "HTTP_HOST", "REMOTE_ADDR"):
        assert environ[key].isascii()
        # The name that a proxy has made up for a client is a token, which may have a "#".
        forbidden = ' \t"<>\\/?@\x7f' + ("" if key == "REMOTE_ADDR" else "#")
        assert set(environ[key]).isdisjoint(forbidden), environ[key]
    return {key: value for key, value in environ.items() if isinstance(value, str)}


def fuzz_connection(data: bytes) -> None:
    """A connection over a pair of sockets: whole responses and then the end, and no exception in the log."""
    _answers_to(data, _application)


def fuzz_status(data: bytes) -> None:
    """The same of the status server, with a token and without; and whoever has not got the token gets no figure."""
    _answers_to(data, StatusApplication(lambda: ([snapshot_of()], None), version="1"))
    answer = _answers_to(data, _status_application())
    if _TOKEN not in data:
        assert b'"started_at": ' not in answer
        assert b"waitress_queue_depth" not in answer
        assert b"threads busy" not in answer


def _answers_to(data: bytes, application: Callable[..., Any]) -> bytes:
    faults = _Faults()
    logger = logging.getLogger("waitress")
    logger.addHandler(faults)
    propagates, logger.propagate = logger.propagate, False
    try:
        methods, answer = _converse(pieces_of(data[:MOST]), application)
    except ConnectionResetError:
        # It has sent on behind a request that was to end the connection: that may cost it the response (RFC 9112 9.6).
        methods, answer = [], b""
    finally:
        logger.removeHandler(faults)
        logger.propagate = propagates
    assert not faults.records, faults.records
    rest = _read_responses(methods, answer)
    # The server's own answer to a request that it refused; whether that was a HEAD is not known here.
    if rest:
        rest = _read_responses(["GET" if rest.partition(b"\r\n\r\n")[2] else "HEAD"], rest)
    assert not rest, rest
    return answer


_TOKEN = b"0123456789abcdef"


def _status_application() -> StatusApplication:
    return StatusApplication(lambda: ([snapshot_of()], None), version="1", token=_TOKEN.decode())


class _Faults(logging.Handler):
    """Keeps the records of exceptions."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.records.append(logging.Formatter().format(record))


def _application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    body = environ["wsgi.input"].read()
    pieces = [environ["REQUEST_METHOD"].encode(), body] if len(body) % 2 else [body]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return pieces


def _converse(pieces: list[bytes], application: Callable[..., Any]) -> tuple[list[str], bytes]:
    """Send pieces as a client and end; return the methods of the requests that were run, and what came back."""
    adj = Adjustments(
        listen="127.0.0.1:0",
        max_request_header_size=LIMITS.max_head_bytes,
        max_request_body_size=LIMITS.max_body_bytes,
        inbuf_overflow=500,
        recv_bytes=300,
    )
    reactor = Reactor()
    ready: deque[Task] = deque()
    server = cast(TaskContext, SimpleNamespace(application=application, adj=adj, proxy_policy=ProxyPolicy(adj)))
    builder = EnvironBuilder(adj, "80", "http")
    methods: list[str] = []

    def make_task(connection: Connection, request: Request) -> Task:
        methods.append(request.head.method)
        return WSGITask(server, builder, connection, request)

    context = ServerContext(
        adj, reactor, submit=ready.append, yield_leadership=lambda: None, resume_leadership=lambda: False
    )
    accepted, client = socket.socketpair()
    with client, contextlib.closing(reactor):
        endpoint = Endpoint(cast(Listener, None), open_transport=SocketTransport, make_task=make_task)
        connection = Connection(
            SocketTransport(accepted), "127.0.0.1", "5000", endpoint=endpoint, context=context, on_closed=lambda _: None
        )
        reactor.handlers[connection.descriptor] = connection
        connection.start()
        received = bytearray()
        client.setblocking(False)

        def turn() -> None:
            reactor.turn(0)
            while ready:
                ready.popleft().service()
            with contextlib.suppress(BlockingIOError):
                received.extend(client.recv(1 << 20))

        for piece in pieces:
            try:
                client.sendall(piece)
            except OSError:  # it has been refused
                break
            turn()
        try:
            client.shutdown(socket.SHUT_WR)
        except OSError:  # likewise
            pass
        for _ in range(TURNS):
            if connection.state_name is None:
                break
            turn()
        assert connection.state_name is None, connection
        assert not ready
        while data := client.recv(1 << 20):
            received += data
        return methods, bytes(received)


def _read_responses(methods: list[str], data: bytes) -> bytes:
    """Read the responses to requests of these methods; return what follows them."""
    for method in methods:
        head: h11.Response | h11.InformationalResponse | None = None
        while not isinstance(head, h11.Response):
            head, _, data = read_response(data, method, has_end=True)
    return data


TARGETS: dict[str, Callable[[bytes], None]] = {
    "parser": fuzz_parser,
    "chunked": fuzz_chunked,
    "sections": fuzz_sections,
    "extensions": fuzz_extensions,
    "proxy_protocol": fuzz_proxy_protocol,
    "proxy_headers": fuzz_proxy_headers,
    "connection": fuzz_connection,
    "status": fuzz_status,
}
