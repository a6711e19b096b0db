"""Parsers and error tasks of a program, for requests to a real server."""

import copy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.times import SkippingClock
from tests.waitress.serving import PATIENCE, address_of, running
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import WSGIServer, create_server
from waitress.task import ErrorTask
from waitress.utilities import BadRequest
from waitress_core.connection.context import State

POST = b"POST /tea HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def echo(environ: Any, start_response: Any) -> list[bytes]:
    """Answer with the path, a header and the body."""
    start_response("200 OK", [])
    facts = (environ["PATH_INFO"], environ.get("HTTP_X_OWN", ""), environ["wsgi.input"].read().decode())
    return ["|".join(facts).encode()]


class Parser(HTTPRequestParser):
    """Notes what it was given, and changes what it shows."""

    heads: list[bytes]

    def parse_header(self, header_plus: bytes) -> None:
        self.heads.append(header_plus)
        super().parse_header(header_plus)
        self.headers["X_OWN"] = "own"
        match self.path:
            case "/close":
                self.connection_close = True
            case "/refused":
                raise ParsingError("no such tea")
            case "/error":
                self.error = BadRequest("it is cold")
            case "/larger":
                self.adj = copy.copy(self.adj)
                self.adj.max_request_body_size = 2000
            case "/smaller":
                self.adj = copy.copy(self.adj)
                self.adj.max_request_body_size = 10


@contextmanager
def serving(
    parser_class: type[HTTPRequestParser] = Parser,
    error_task_class: type[ErrorTask] | None = None,
    application: Any = echo,
    **settings: Any,
) -> Iterator[Any]:
    """Run a server with channels of these classes."""
    Parser.heads = []
    names: dict[str, Any] = {"parser_class": parser_class}
    if error_task_class is not None:
        names["error_task_class"] = error_task_class
    channel_class = type("Channel", (HTTPChannel,), names)
    server_class = type("Own", (WSGIServer,), {"channel_class": channel_class})
    server = server_class(application, host="127.0.0.1", port=0, **settings)
    with running(server):
        yield server


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("access_log", [False, True], ids=["plain", "logged"])
def test_requests_are_parsed_by_the_class_of_a_program_however_they_come(size: int, access_log: bool) -> None:
    requests = [
        b"GET /a%20b HTTP/1.1\r\nHost: a\r\n\r\n",
        POST + b"Content-Length: 5\r\n\r\nwater",
        CHUNKED + b"3\r\nwat\r\n2\r\ner\r\n0\r\n\r\n",
        POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000,
    ]
    data = b"".join(requests)
    with serving(access_log=access_log, inbuf_overflow=100) as server, Client(address_of(server)) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            client.send(data[start : start + size])
        bodies = [client.response().body for _ in requests]
    assert bodies == [b"/a b|own|", b"/tea|own|water", b"/tea|own|water", b"/tea|own|" + b"x" * 1000]
    assert Parser.heads == [request.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for request in requests]


def test_the_parser_of_a_request_is_the_one_that_its_task_and_its_channel_show() -> None:
    seen: list[Any] = []

    class Noting(Parser):
        note = "own"

    with serving(Noting) as server:

        def service(self: Any) -> None:
            seen.extend(self.requests)
            HTTPChannel.service(self)

        server.channel_class.service = service
        with Client(address_of(server)) as client:
            assert client.get("/tea").body == b"/tea|own|"
    assert [(type(parser), parser.note, parser.completed, parser.path) for parser in seen] == [
        (Noting, "own", True, "/tea")
    ]


def test_a_parser_may_end_the_connection() -> None:
    with serving() as server, Client(address_of(server)) as client:
        assert client.get("/tea").header("Connection") is None
        response = client.get("/close")
        assert (response.body, response.header("Connection")) == (b"/close|own|", "close")
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [("/tea", 100, 200), ("/tea", 101, 413), ("/larger", 2000, 200), ("/larger", 2001, 413), ("/smaller", 11, 413)],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_the_limit_of_a_body_is_that_of_the_settings_of_the_parser(
    path: str, length: int, status: int, is_chunked: bool
) -> None:
    body = b"x" * length
    framing = b"Content-Length: %d\r\n\r\n%s" % (length, body)
    if is_chunked:
        framing = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (length, body)
    with serving(max_request_body_size=100) as server, Client(address_of(server)) as client:
        client.send(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: a\r\n" + framing)
        response = client.response()
        assert response.status == status
        if status == 413:
            assert client.rest() == b""
        else:
            assert response.body == path.encode() + b"|own|" + body


@pytest.mark.parametrize(
    ("request_bytes", "status", "detail"),
    [
        (b"GET /refused HTTP/1.1\r\nHost: a\r\n\r\n", 400, b"no such tea"),
        (b"GET /error HTTP/1.1\r\nHost: a\r\n\r\n", 400, b"it is cold"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, b"Invalid header"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, b"not supported"),
        (CHUNKED + b"3\r\nwater\r\n", 400, b"Chunk"),
    ],
    ids=["raised", "set", "head", "coding", "chunk"],
)
def test_what_is_refused_is_answered_and_nothing_after_it_is_parsed(
    request_bytes: bytes, status: int, detail: bytes
) -> None:
    with serving() as server, Client(address_of(server)) as client:
        client.send(request_bytes + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        response = client.response()
        assert (response.status, response.header("Connection")) == (status, "close")
        assert detail in response.body
        assert client.rest() == b""
    assert not [head for head in Parser.heads if b"smuggled" in head]


def test_a_client_that_ends_within_a_request_is_answered_400() -> None:
    with serving() as server:
        for part in (b"GET /tea HTTP", CHUNKED + b"3\r\nwa"):
            with Client(address_of(server)) as client:
                client.send(part)
                client.socket.shutdown(socket.SHUT_WR)
                assert client.response().status == 400
        with Client(address_of(server)) as client:
            client.send(b"GET /tea HTTP/1.1\r\nHost: a\r\n\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.response().body == b"/tea|own|"
            assert client.rest() == b""


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    with serving() as server, Client(address_of(server)) as client:
        client.send(POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.response().status == 100
        client.send(b"water")
        assert client.response().body == b"/tea|own|water"


def test_a_body_that_trickles_in_time_is_not_too_slow(skipping_clock: SkippingClock) -> None:
    """The core sees each piece as it comes, not the whole at the end."""
    head = POST + b"Content-Length: 12\r\n\r\n"
    with serving(request_body_timeout=1, request_body_rate=1) as server, Client(address_of(server)) as client:
        client.send(head)
        with skipping_clock.stopped():
            for sent in range(len(head), len(head) + 12, 2):
                assert becomes_true(partial(has_received, server, sent))
                skipping_clock.skip_to_tick(server, 0.4)
                client.send(b"xx")
        assert client.response().body == b"/tea|own|" + b"x" * 12


def has_received(server: Any, count: int) -> bool:
    return bool(server.stats().bytes_in == count)


def test_a_request_that_does_not_come_in_time_is_answered_408(skipping_clock: SkippingClock) -> None:
    with serving(request_head_timeout=1) as server, Client(address_of(server)) as client:
        client.send(b"GET /tea HTTP")
        assert becomes_true(partial(has_received, server, 13))
        skipping_clock.skip(1)
        assert client.response().status == 408
        assert client.rest() == b""


def test_a_further_request_that_has_arrived_before_a_drain_is_answered() -> None:
    def ending(environ: Any, start_response: Any) -> list[bytes]:
        server.shutdown()
        assert becomes_true(lambda: server._run._context.state >= State.LEAVING, PATIENCE)
        return echo(environ, start_response)

    with serving(application=ending) as server, Client(address_of(server)) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in (1, 2)))
        responses = [client.response() for _ in range(2)]
        assert client.rest() == b""
    assert [response.body for response in responses] == [b"/1|own|", b"/2|own|"]
    assert [response.header("Connection") for response in responses] == [None, "close"]


def test_what_is_received_goes_through_the_channel_first() -> None:
    with serving() as server:

        def received(self: Any, data: bytes) -> bool:
            return HTTPChannel.received(self, data.replace(b"/milk", b"/tea"))

        server.channel_class.received = received
        with Client(address_of(server)) as client:
            assert client.get("/milk").body == b"/tea|own|"


def test_a_patch_of_the_parser_takes_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = HTTPRequestParser.parse_header

    def parse_header(self: HTTPRequestParser, header_plus: bytes) -> None:
        stock(self, header_plus)
        self.headers["X_OWN"] = "patched"

    monkeypatch.setattr(HTTPRequestParser, "parse_header", parse_header)
    server = create_server(echo, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        assert client.get("/tea").body == b"/tea|patched|"


class OwnErrorTask(ErrorTask):
    """Answers in its own words, and does not ask for the end of the connection."""

    def execute(self) -> None:
        body = f"own {self.request.error.code}".encode()
        self.status = f"{self.request.error.code} Own"
        self.response_headers = [("X-Own", "yes")]
        self.content_length = len(body)
        self.write(body)


@pytest.mark.parametrize("parser_class", [HTTPRequestParser, Parser])
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (CHUNKED + b"3\r\nwater\r\n", 400),
        (POST + b"Content-Length: 11\r\n\r\n", 413),
        (b"GET /" + b"x" * 70_000, 414),
    ],
    ids=["head", "coding", "chunk", "body", "line"],
)
def test_an_error_task_of_a_program_answers_what_is_refused(
    parser_class: type[HTTPRequestParser], request_bytes: bytes, status: int
) -> None:
    with serving(parser_class, OwnErrorTask, max_request_body_size=10) as server, Client(address_of(server)) as client:
        client.send(request_bytes)
        response = client.response()
        assert (response.status, response.reason, response.header("X-Own")) == (status, "Own", "yes")
        assert response.body == f"own {status}".encode()
        assert response.header("Connection") == "close"
        assert client.rest() == b""


def test_what_the_parser_of_a_program_refuses_is_answered_with_an_id() -> None:
    with serving(request_id_header=True) as server, Client(address_of(server)) as client:
        client.send(b"GET /refused HTTP/1.1\r\nHost: a\r\nX-Request-ID: of-the-client\r\n\r\n")
        response = client.response()
    assert response.status == 400
    assert len(response.header("X-Request-ID") or "") == len("00000000-0000-7000-8000-000000000000")


def test_an_error_task_of_a_program_answers_what_the_application_raises(caplog: pytest.LogCaptureFixture) -> None:
    def failing(environ: Any, start_response: Any) -> list[bytes]:
        raise ValueError("it boils over")

    with serving(error_task_class=OwnErrorTask) as server:
        server.application = failing
        with Client(address_of(server)) as client:
            response = client.get()
            assert (response.status, response.body) == (500, b"own 500")
            assert client.rest() == b""
    assert "it boils over" in caplog.text


def test_an_error_task_that_fails_is_answered_as_without_it(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(ErrorTask):
        def execute(self) -> None:
            raise ValueError("no answer")

    def failing(environ: Any, start_response: Any) -> list[bytes]:
        raise ValueError("it boils over")

    with serving(error_task_class=Failing) as server:
        server.application = failing
        with Client(address_of(server)) as client:
            assert client.get().status == 500
            assert client.rest() == b""
        with Client(address_of(server)) as client:
            client.send(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
            assert client.response().status == 500
    assert caplog.text.count("ValueError: no answer") == 2


def test_a_client_that_leaves_within_a_request_leaves_nothing_behind() -> None:
    with serving() as server:
        with Client(address_of(server)) as client:
            client.send(POST + b"Content-Length: 5\r\n\r\nwa")
            assert becomes_true(lambda: any(channel.request for channel in server.active_channels.values()))
        assert becomes_true(lambda: not server.active_channels, PATIENCE)
