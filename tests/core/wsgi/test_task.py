"""One call of an application: PEP 3333 seen from the connection, which is a fake."""

import contextlib
import gzip
import io
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.core.heads import head
from tests.support.rows import each_row
from waitress_buffers import BufferStorageError, ReadOnlyFileBuffer
from waitress_core import Adjustments
from waitress_core.connection.connection import Connection
from waitress_core.connection.sender import ClientDisconnected
from waitress_core.connection.states import Ending
from waitress_core.http.request import Request
from waitress_core.http.response import Response
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_core.wsgi.proxy_headers import ProxyPolicy
from waitress_core.wsgi.task import JOIN_BYTES, WSGITask

StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[dict[str, Any], StartResponse], Any]


class FakeSender:
    """Takes everything, until `fail_after` bytes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.fail_after: int | None = None
        self.error: type[Exception] | Exception = ClientDisconnected
        self.files: list[ReadOnlyFileBuffer] = []
        self.takes_files_whole = True
        self.has_client_left = True

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)

    def send(self, data: bytes) -> None:
        assert data, "nothing is sent"
        if self.fail_after is not None and len(self.sent) + len(data) > self.fail_after:
            raise self.error
        self.pieces.append(bytes(data))

    def send_file(self, file: ReadOnlyFileBuffer) -> bool:
        self.files.append(file)
        if self.fail_after is not None:
            raise self.error
        if self.takes_files_whole:
            self.pieces.append(bytes(file.peek()))
            file.skip(len(file))
        return self.takes_files_whole


class FakeConnection:
    """What a task asks of its connection."""

    remote_addr = "192.0.2.1"
    remote_port = "5000"
    arrived_at = 100.0
    reactor = SimpleNamespace(clock=lambda: 100.25)

    def __init__(self, adj: Adjustments) -> None:
        self.environ_builder = EnvironBuilder(adj, "8080", "http")
        self.sender = FakeSender()
        self.is_server_leaving = False
        self.interest = 1
        self.called_at = 0.0
        self.is_lost = False
        self.lost_asked = 0
        self.endings: list[Ending] = []
        self.refusals: list[str] = []
        self.on_finish: Callable[[], None] = lambda: None

    def is_client_gone(self) -> bool:
        return False

    def count_refusal(self, rule: str, reason: str = "") -> None:
        self.refusals.append(rule)

    def has_lost_client(self) -> bool:
        self.lost_asked += 1
        return self.is_lost

    def wants_close(self) -> bool:
        return self.is_server_leaving

    def finish(self, ending: Ending, response: Response) -> None:
        self.on_finish()
        self.endings.append(ending)
        self.final_status = response.status


class FakeServer:
    """What a task asks of its server."""

    def __init__(self, application: Application, adj: Adjustments) -> None:
        self.application = cast(Any, application)
        self.adj = adj
        self.proxy_policy = ProxyPolicy(adj)


class Served:
    """One request, and what an application made of it."""

    def __init__(
        self,
        application: Application,
        *fields: str,
        method: str = "GET",
        version: str = "1.1",
        target: str = "/path",
        body: bytes = b"",
        before: Callable[[FakeConnection], None] = lambda connection: None,
        **settings: Any,
    ) -> None:
        adj = Adjustments(listen="127.0.0.1:0", **settings)
        self.connection = FakeConnection(adj)
        before(self.connection)
        self.request = Request(head(target, *fields, method=method, version=version))
        if body:
            self.request.append(body, 1 << 20)
        builder = EnvironBuilder(adj, "80", "http")
        connection = cast(Connection, self.connection)
        self.task = WSGITask(FakeServer(application, adj), builder, connection, self.request)
        self.task.service()
        assert len(self.connection.endings) == 1, "a task ends once"

    @property
    def ending(self) -> Ending:
        return self.connection.endings[0]

    @property
    def sent(self) -> bytes:
        return self.connection.sender.sent

    @property
    def status(self) -> str:
        return self.sent.partition(b"\r\n")[0].partition(b" ")[2].decode("latin-1")

    @property
    def headers(self) -> dict[str, str]:
        lines = self.sent.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines)
        assert len(headers) == len(lines)
        del headers["Date"], headers["Server"]
        return headers

    @property
    def body(self) -> bytes:
        return self.sent.partition(b"\r\n\r\n")[2]


class Body:
    """An application iterable that counts the calls of `close`, and may raise."""

    def __init__(self, *pieces: Any, close_error: Exception | None = None) -> None:
        self.pieces = pieces
        self.given = 0
        self.closed = 0
        self.close_error = close_error

    def __iter__(self) -> Iterator[Any]:
        for piece in self.pieces:
            self.given += 1
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed += 1
        if self.close_error is not None:
            raise self.close_error


def gives(body: Any, *headers: tuple[str, str], status: str = "200 OK") -> Application:
    """Make an application that gives a body."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Any:
        start_response(status, list(headers))
        return body

    return application


def generated(*pieces: bytes | bytearray) -> Iterable[bytes | bytearray]:
    yield from pieces


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


# --- bodies

LENGTH_3 = {"Content-Length": "3"}
LENGTH_0 = {"Content-Length": "0"}
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.promise("S56", "S57")
@each_row(
    ("body", "headers", "expected"),
    [
        pytest.param([b"abc"], LENGTH_3, b"abc", id="a list of one"),
        pytest.param((b"abc",), LENGTH_3, b"abc", id="a tuple of one"),
        pytest.param([b""], LENGTH_0, b"", id="a list of one empty piece"),
        pytest.param([], LENGTH_0, b"", id="an empty list"),
        pytest.param(b"", LENGTH_0, b"", id="empty bytes"),
        pytest.param([b"", b""], LENGTH_0, b"", id="empty pieces"),
        pytest.param([b"a", b"bc"], CHUNKED, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", id="a list of two"),
        pytest.param(generated(b"abc"), CHUNKED, b"3\r\nabc\r\n0\r\n\r\n", id="a generator"),
        pytest.param(generated(), LENGTH_0, b"", id="an empty generator"),
        pytest.param([b"", b"abc", b""], CHUNKED, b"3\r\nabc\r\n0\r\n\r\n", id="empty pieces between"),
        pytest.param([bytearray(b"abc")], LENGTH_3, b"abc", id="a bytearray"),
        pytest.param([memoryview(b"abc")], LENGTH_3, b"abc", id="a memoryview"),
        pytest.param([memoryview(b"a-b-c")[::2]], LENGTH_3, b"abc", id="a memoryview with gaps"),
        pytest.param([memoryview(b"abcd").cast("H")], {"Content-Length": "4"}, b"abcd", id="a memoryview of numbers"),
        pytest.param([bytearray()], LENGTH_0, b"", id="an empty bytearray"),
        pytest.param(generated(bytearray(b"abc")), CHUNKED, b"3\r\nabc\r\n0\r\n\r\n", id="a bytearray of a generator"),
    ],
)
def test_a_body_is_framed_by_what_is_known_of_it(body: Any, headers: dict[str, str], expected: bytes) -> None:
    served = Served(gives(body))
    assert (served.status, served.headers, served.body) == ("200 OK", headers, expected)
    assert served.ending is Ending.PERSIST


def test_the_head_goes_with_the_first_piece_and_not_before() -> None:
    served = Served(gives([b"", b"one", b"two"]))
    assert [piece[-10:] for piece in served.connection.sender.pieces] == [
        b"\r\n\r\n3\r\none\r\n"[-10:],
        b"3\r\ntwo\r\n",
        b"0\r\n\r\n",
    ]


def test_a_large_first_piece_is_not_copied_behind_the_head() -> None:
    large = b"x" * JOIN_BYTES
    served = Served(gives([large]))
    first, second = served.connection.sender.pieces
    assert first.endswith(b"\r\n\r\n")
    assert second == large


@pytest.mark.parametrize(
    ("version", "fields", "ending", "connection"),
    [
        ("1.1", [], Ending.PERSIST, None),
        ("1.1", ["Connection: close"], Ending.CLOSE, "close"),
        ("1.0", [], Ending.CLOSE, "close"),
        ("1.0", ["Connection: keep-alive"], Ending.PERSIST, "Keep-Alive"),
    ],
)
def test_the_connection_ends_or_persists_as_the_client_asks(
    version: str, fields: list[str], ending: Ending, connection: str | None
) -> None:
    served = Served(gives([b"abc"]), *fields, version=version)
    assert served.ending is ending
    assert served.headers.get("Connection") == connection


def test_a_body_of_unknown_length_ends_an_http_1_0_connection() -> None:
    served = Served(gives(generated(b"abc")), "Connection: keep-alive", version="1.0")
    assert served.body == b"abc"
    assert served.headers == {"Connection": "close"}
    assert served.ending is Ending.LINGER


def test_the_connection_ends_when_the_server_wants_it_to_at_the_time_of_the_head() -> None:
    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        served_connection[0].is_server_leaving = True
        start_response("200 OK", [])
        return [b"abc"]

    served_connection: list[FakeConnection] = []
    served = Served(application, before=served_connection.append)
    assert served.headers["Connection"] == "close"
    assert served.ending is Ending.LINGER


# --- lengths that are not true


@pytest.mark.promise("S84")
def test_a_body_shorter_than_its_length_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    served = Served(gives([b"ab", b"c"], ("Content-Length", "5")))
    assert served.headers == {"Content-Length": "5"}
    assert served.body == b"abc"
    assert served.ending is Ending.LINGER
    (message,) = messages(caplog)
    assert message.startswith("application returned too few bytes (3) for specified Content-Length (5) via app_iter")


@pytest.mark.promise("S84")
def test_a_body_longer_than_its_length_is_cut_and_asked_no_further(caplog: pytest.LogCaptureFixture) -> None:
    body = Body(b"abc", b"def", b"ghi", b"jkl")
    served = Served(gives(body, ("Content-Length", "5")))
    assert served.body == b"abcde"
    assert served.ending is Ending.PERSIST
    assert body.given == 2
    assert body.closed == 1
    (message,) = messages(caplog)
    assert message.startswith(
        "application-written content exceeded the number of bytes specified by Content-Length header (5)"
    )


@pytest.mark.promise("S63")
@pytest.mark.parametrize("body", [[], [b"abc"], [b"a", b"b"]], ids=repr)
def test_head_has_the_fields_and_no_byte_of_a_body(caplog: pytest.LogCaptureFixture, body: list[bytes]) -> None:
    served = Served(gives(body, ("Content-Length", "10")), method="HEAD")
    assert served.headers == {"Content-Length": "10"}
    assert served.body == b""
    assert served.ending is Ending.PERSIST
    assert messages(caplog) == []


def test_an_endless_body_ends_with_head() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x"

    served = Served(gives(endless()), method="HEAD")
    assert served.body == b""
    assert served.headers == CHUNKED


@pytest.mark.promise("S64")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_a_body_has_none(caplog: pytest.LogCaptureFixture, status: str) -> None:
    served = Served(gives([b"abc"], ("Content-Length", "3"), status=status))
    assert (served.status, served.headers, served.body) == (status, {}, b"")
    assert served.ending is Ending.PERSIST
    (message,) = messages(caplog)
    assert message.startswith(
        f"application-written content was ignored due to HTTP response that may not contain a message-body: ({status})"
    )


# --- start_response and write


@pytest.mark.promise("S83")
def test_what_is_written_comes_before_what_is_returned() -> None:
    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "9")])
        write(b"one")
        write(b"")
        write(b"two")
        return [b"end"]

    served = Served(application)
    assert served.body == b"onetwoend"
    assert served.ending is Ending.PERSIST


def test_a_single_piece_after_a_write_does_not_set_the_length() -> None:
    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])(b"one")
        return [b"two"]

    served = Served(application)
    assert served.headers == CHUNKED
    assert served.body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_start_response_may_be_called_by_the_iterable() -> None:
    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("201 Created", [])
        yield b"abc"

    assert Served(application).status == "201 Created"


def test_a_write_after_the_end_of_the_request_goes_nowhere() -> None:
    kept: list[Callable[[bytes], object]] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        kept.append(start_response("200 OK", []))
        return [b"abc", b"def"]

    served = Served(application)
    before = served.sent
    kept[0](b"late")
    assert served.sent == before


def fails_before(*calls: Callable[[StartResponse], object]) -> Application:
    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        for call in calls:
            call(start_response)
        return [b"never"]

    return application


START = lambda start_response: start_response("200 OK", [])  # noqa: E731
WRONG: list[tuple[str, Application, str]] = [
    ("never called", fails_before(), "RuntimeError: start_response was not called before body written"),
    (
        "never called, no body",
        lambda environ, start_response: [],
        "RuntimeError: start_response was not called before the response ended",
    ),
    (
        "called twice",
        fails_before(START, START),
        "AssertionError: start_response called a second time without providing exc_info.",
    ),
    ("no status", fails_before(lambda start_response: start_response(None, [])), "AssertionError: "),
    ("a bad status", fails_before(lambda start_response: start_response("1xx", [])), "HeaderError: "),
    ("a bad header", fails_before(lambda start_response: start_response("200 OK", [("a", "\n")])), "HeaderError: "),
    (
        "hop-by-hop",
        fails_before(lambda start_response: start_response("200 OK", [("Connection", "close")])),
        'AssertionError: Connection is a "hop-by-hop" header',
    ),
    ("text", gives(["text"]), "TypeError: a piece of a response body must be bytes, not str"),
    ("a string", gives("text"), "TypeError: a piece of a response body must be bytes, not str"),
    ("bytes", gives(b"abc"), "TypeError: a piece of a response body must be bytes, not int"),
    ("None", gives(None), "TypeError: the application returned NoneType, and not an iterable of bytes"),
    ("a number", gives(5), "TypeError: the application returned int, and not an iterable of bytes"),
    (
        "headers in a dict",
        fails_before(lambda start_response: start_response("200 OK", {"Content-Type": "text/plain"})),
        "HeaderError: headers must be a list of tuples (name, value)",
    ),
    (
        "a header of three",
        fails_before(lambda start_response: start_response("200 OK", [("a", "b", "c")])),
        "HeaderError: headers must be a list of tuples (name, value)",
    ),
    ("an error", fails_before(START, lambda start_response: 1 / 0), "ZeroDivisionError: "),
    ("an error in the iterable", gives(Body(ValueError("x"))), "ValueError: x"),
    ("an exit", fails_before(lambda start_response: sys.exit(3)), "SystemExit: 3"),
    ("an interrupt", gives(Body(KeyboardInterrupt())), "KeyboardInterrupt"),
]


@pytest.mark.promise("S12", "S61", "S66")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("exposes", [False, True])
@pytest.mark.parametrize(("application", "error"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_goes_wrong_before_the_head_is_answered_500(
    caplog: pytest.LogCaptureFixture, application: Application, error: str, exposes: bool, version: str
) -> None:
    served = Served(application, version=version, expose_tracebacks=exposes)
    assert served.sent.startswith(f"HTTP/{version} 500 Internal Server Error\r\n".encode())
    assert served.headers["Connection"] == "close"
    assert served.headers["Content-Length"] == str(len(served.body))
    assert served.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert served.ending is Ending.LINGER
    if exposes:
        assert b"Traceback (most recent call last)" in served.body
        assert error.encode() in served.body
    else:
        assert served.body == (
            b"Internal Server Error\r\n\r\nThe server encountered an unexpected internal server error\r\n\r\n"
            b"(generated by waitress)"
        )
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "Exception while serving /path"
    assert error in caplog.text
    assert "KeyError" not in caplog.text, "the server's own way to the fault"


@pytest.mark.parametrize(
    ("version", "body", "ending", "sent"),
    [
        ("1.1", [b"abc", ValueError()], Ending.LINGER, b"3\r\nabc\r\n"),
        ("1.0", [b"abc", ValueError()], Ending.RESET, b"abc"),
        ("1.1", [b"abc", "text"], Ending.LINGER, b"3\r\nabc\r\n"),
    ],
)
def test_what_goes_wrong_after_the_head_leaves_the_message_visibly_incomplete(
    caplog: pytest.LogCaptureFixture, version: str, body: list[Any], ending: Ending, sent: bytes
) -> None:
    iterable = Body(*body)
    served = Served(gives(iterable), version=version)
    assert served.body == sent
    assert served.ending is ending
    assert iterable.closed == 1
    assert messages(caplog) == ["Exception while serving /path"]


def test_what_goes_wrong_within_a_known_length_leaves_it_short(caplog: pytest.LogCaptureFixture) -> None:
    served = Served(gives(Body(b"abc", ValueError()), ("Content-Length", "5")), version="1.0")
    assert served.body == b"abc"
    assert served.ending is Ending.LINGER


def exc_info() -> Any:
    try:
        raise ValueError("from the application")
    except ValueError:
        return sys.exc_info()


@pytest.mark.promise("S62")
@pytest.mark.parametrize("by_name", [False, True])
def test_exc_info_replaces_the_head_while_nothing_is_sent(caplog: pytest.LogCaptureFixture, by_name: bool) -> None:
    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("X-Old", "1"), ("Content-Length", "99")])
        if by_name:
            start_response("503 Oops", [("X-New", "1")], exc_info=exc_info())
        else:
            start_response("503 Oops", [("X-New", "1")], exc_info())
        return [b"abc"]

    served = Served(application)
    assert (served.status, served.headers) == ("503 Oops", {"X-New": "1", **LENGTH_3})
    assert messages(caplog) == []


@pytest.mark.promise("S62")
def test_exc_info_is_raised_again_once_something_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    after: list[str] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])(b"abc")
        start_response("503 Oops", [], exc_info())
        after.append("reached")
        return [b"never"]

    served = Served(application)
    assert served.status == "200 OK"
    assert served.body == b"3\r\nabc\r\n"
    assert served.ending is Ending.LINGER
    assert after == []
    assert "ValueError: from the application" in caplog.text


# --- close


@pytest.mark.promise("S82")
@pytest.mark.parametrize(
    ("pieces", "close_error"),
    [
        pytest.param([b"abc"], None, id="whole"),
        pytest.param([], None, id="empty"),
        pytest.param([b"abc", ValueError()], None, id="fails"),
        pytest.param([ValueError()], None, id="fails at once"),
        pytest.param([SystemExit()], None, id="exits"),
        pytest.param(["text"], None, id="gives text"),
        pytest.param([b"abc"], ValueError(), id="fails to close"),
    ],
)
def test_close_is_called_once_whatever_happens(pieces: list[Any], close_error: Exception | None) -> None:
    body = Body(*pieces, close_error=close_error)
    Served(gives(body))
    assert body.closed == 1


def test_an_error_of_close_is_logged_and_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    served = Served(gives(Body(b"abc", close_error=ValueError("from close"))))
    assert served.body == b"3\r\nabc\r\n0\r\n\r\n"
    assert served.ending is Ending.LINGER
    assert "ValueError: from close" in caplog.text


def test_close_is_called_before_the_connection_goes_on() -> None:
    body = Body(b"abc")
    closed: list[int] = []

    def before(connection: FakeConnection) -> None:
        connection.on_finish = lambda: closed.append(body.closed)

    Served(gives(body), before=before)
    assert closed == [1]


# --- the client leaves


def gone_after(count: int) -> Callable[[FakeConnection], None]:
    def before(connection: FakeConnection) -> None:
        connection.sender.fail_after = count

    return before


def test_a_client_that_leaves_ends_the_iteration(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    body = Body(b"abc", b"def", b"ghi")
    served = Served(gives(body), before=gone_after(len(Served(gives([b"", b"abc"])).sent)))
    assert body.given == 2
    assert body.closed == 1
    assert served.ending is Ending.CLOSE
    assert messages(caplog) == ["Client disconnected while serving /path"]
    assert caplog.records[0].levelno == logging.INFO


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b"")], ids=["bytes", "bytearray", "memoryview"])
@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_an_empty_piece_notices_that_the_client_has_left(empty: Any, pieces: int) -> None:
    connections: list[FakeConnection] = []

    def give() -> Iterator[Any]:
        yield from [b"abc"] * pieces
        yield from [empty] * 3
        connections[0].is_lost = True
        while True:  # for news that never come
            yield empty

    class News(Body):
        def __iter__(self) -> Iterator[Any]:
            return give()

    news = News()
    served = Served(gives(news), before=connections.append)
    assert news.closed == 1
    assert served.ending is Ending.CLOSE
    assert served.connection.lost_asked == 4


def test_a_write_of_nothing_notices_that_the_client_has_left() -> None:
    errors: list[BaseException] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"")
        connections[0].is_lost = True
        try:
            write(b"")
        except ClientDisconnected as error:
            errors.append(error)
            raise
        return []

    connections: list[FakeConnection] = []
    assert Served(application, before=connections.append).ending is Ending.CLOSE
    assert len(errors) == 1


@pytest.mark.parametrize(
    ("interest", "is_lost", "is_called"),
    [(1, False, True), (1, True, True), (0, False, True), (0, True, False)],
    ids=["watched", "watched-so-not-asked", "not-watched", "lost"],
)
def test_the_application_is_not_called_for_a_client_that_left_in_the_queue(
    interest: int, is_lost: bool, is_called: bool
) -> None:
    called: list[bool] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        called.append(True)
        start_response("200 OK", [])
        return [b"ok"]

    def before(connection: FakeConnection) -> None:
        connection.interest, connection.is_lost = interest, is_lost

    served = Served(application, before=before)
    assert bool(called) is is_called
    assert served.ending is (Ending.PERSIST if is_called else Ending.CLOSE)
    assert served.connection.lost_asked == (interest == 0)


def test_a_client_that_leaves_before_an_error_page_is_only_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    served = Served(fails_before(), before=gone_after(0))
    assert messages(caplog) == ["Exception while serving /path", "Client disconnected while serving /path"]
    assert served.sent == b""


@pytest.mark.parametrize("length", [None, "9"], ids=["chunked", "length"])
def test_a_failed_write_that_the_application_swallows_ends_the_connection(length: str | None) -> None:
    senders: list[FakeSender] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        (sender,) = senders
        write = start_response("200 OK", [] if length is None else [("Content-Length", length)])
        write(b"one")
        sender.fail_after = 0
        with contextlib.suppress(OSError):
            write(b"two")
        sender.fail_after = None
        write(b"end")
        return []

    def before(connection: FakeConnection) -> None:
        connection.sender.error = BufferStorageError(28, "no room", "/tmp")
        senders.append(connection.sender)

    served = Served(application, before=before)
    assert served.ending is not Ending.PERSIST
    assert b"end" not in served.body


@pytest.mark.parametrize(
    ("version", "ending"), [pytest.param("1.0", Ending.RESET, id="until-the-end"), ("1.1", Ending.CLOSE)]
)
def test_output_that_there_is_no_room_for_leaves_the_message_visibly_incomplete(
    caplog: pytest.LogCaptureFixture, version: str, ending: Ending
) -> None:
    def before(connection: FakeConnection) -> None:
        connection.sender.fail_after = 1000
        connection.sender.error = BufferStorageError(28, "no room", "/tmp")

    served = Served(gives([b"abc", bytes(1000), b"def"]), version=version, before=before)
    assert served.body in (b"abc", b"3\r\nabc\r\n")
    assert served.ending is ending
    assert messages(caplog) == ["Exception while serving /path"]


# --- files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(b"0123456789")
    return made


class File:
    """Any file that is read, and remembers the sizes asked for and its closing."""

    def __init__(self, content: bytes = b"0123456789") -> None:
        self._content = io.BytesIO(content)
        self.sizes: list[int] = []
        self.closed = 0

    def read(self, size: int, /) -> bytes:
        self.sizes.append(size)
        return self._content.read(size)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.promise("S31", "S32", "S34", "S35")
@pytest.mark.parametrize(
    ("start", "headers", "length", "body"),
    [
        (0, [], "10", b"0123456789"),
        (4, [], "6", b"456789"),
        (0, [("Content-Length", "3")], "3", b"012"),
        (0, [("Content-Length", "3000")], "10", b"0123456789"),
        (8, [("Content-Length", "3")], "2", b"89"),
    ],
)
@pytest.mark.parametrize("kind", ["regular", "seekable"])
def test_a_file_is_sent_from_its_position(
    caplog: pytest.LogCaptureFixture,
    path: Path,
    kind: str,
    start: int,
    headers: list[tuple[str, str]],
    length: str,
    body: bytes,
) -> None:
    with path.open("rb") if kind == "regular" else io.BytesIO(path.read_bytes()) as opened:
        opened.seek(start)
        served = Served(gives(ReadOnlyFileBuffer(opened, 4), *headers))
        assert served.headers == {"Content-Length": length}
        assert served.body == body
        assert served.ending is Ending.PERSIST
        assert len(served.connection.sender.files) == (kind == "regular")
        assert opened.closed
    assert messages(caplog) == []


def test_a_file_that_the_connection_takes_over_is_not_closed_by_the_task(path: Path) -> None:
    def before(connection: FakeConnection) -> None:
        connection.sender.takes_files_whole = False

    with path.open("rb") as opened:
        served = Served(gives(ReadOnlyFileBuffer(opened)), before=before)
        assert not opened.closed
        assert served.ending is Ending.PERSIST
        assert len(served.connection.sender.files[0]) == 10


def test_a_client_that_leaves_while_a_file_is_sent_has_the_task_close_it(path: Path) -> None:
    with path.open("rb") as opened:
        served = Served(gives(ReadOnlyFileBuffer(opened)), before=gone_after(1000))
        assert opened.closed
        assert served.ending is Ending.CLOSE


@pytest.mark.promise("S33", "S35")
@pytest.mark.parametrize("block_size", [4, 32768])
def test_a_file_that_can_not_seek_is_read_in_blocks(block_size: int) -> None:
    file = File()
    served = Served(gives(ReadOnlyFileBuffer(file, block_size)))
    assert served.headers == CHUNKED
    assert set(file.sizes) == {block_size}
    assert served.body.endswith(b"0\r\n\r\n")
    assert file.closed == 1


def test_an_empty_file_is_an_empty_body(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as opened:
        served = Served(gives(ReadOnlyFileBuffer(opened)))
        assert (served.headers, served.body) == (LENGTH_0, b"")
        assert opened.closed


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("HEAD", "200 OK", {"Content-Length": "10"}),
        ("GET", "304 Not Modified", {}),
        ("GET", "204 No Content", {}),
    ],
)
@pytest.mark.parametrize("kind", ["regular", "seekable", "stream"])
def test_a_file_is_not_sent_where_there_is_no_body(
    path: Path, kind: str, method: str, status: str, expected: dict[str, str]
) -> None:
    with path.open("rb") as opened:
        file: Any = {"regular": opened, "seekable": io.BytesIO(path.read_bytes()), "stream": File()}[kind]
        served = Served(gives(ReadOnlyFileBuffer(file), status=status), method=method)
        assert served.body == b""
        assert served.headers == (CHUNKED if kind == "stream" and method == "HEAD" else expected)
        assert served.ending is Ending.PERSIST
        assert served.connection.sender.files == []
        assert file.closed


def test_a_compressed_file_is_sent_as_it_reads(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "file.gz", "wb") as packed:
        packed.write(b"0123456789")
    with gzip.open(tmp_path / "file.gz", "rb") as opened:
        served = Served(gives(ReadOnlyFileBuffer(cast(Any, opened))))
        assert (served.headers, served.body) == ({"Content-Length": "10"}, b"0123456789")


def test_a_file_after_a_write_is_sent_behind_it(path: Path) -> None:
    with path.open("rb") as opened:

        def application(environ: dict[str, Any], start_response: StartResponse) -> ReadOnlyFileBuffer:
            start_response("200 OK", [("Content-Length", "13")])(b"one")
            return ReadOnlyFileBuffer(opened)

        served = Served(application)
        assert served.body == b"one0123456789"
        assert served.ending is Ending.PERSIST


def test_a_file_without_start_response_is_answered_500(path: Path) -> None:
    with path.open("rb") as opened:
        served = Served(lambda environ, start_response: ReadOnlyFileBuffer(opened))
        assert served.status.startswith("500")
        assert opened.closed


def test_a_file_that_becomes_shorter_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    file = io.BytesIO(b"0123456789")

    class Shrinking(ReadOnlyFileBuffer):
        __slots__ = ()

        def prepare(self, size: int | None = None) -> int:
            prepared = super().prepare(size)
            file.truncate(4)
            return prepared

    served = Served(gives(Shrinking(file, 4)))
    assert served.headers == {"Content-Length": "10"}
    assert served.body == b"0123"
    assert served.ending is Ending.LINGER


# --- what the application gets, and what it does not


def test_the_application_gets_the_environ_of_its_request() -> None:
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    served = Served(application, "Content-Length: 4", "X-A: b", method="POST", target="/p?q", body=b"body")
    assert served.body == b"body"
    (environ,) = seen
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_X_A"]) == ("/p", "q", "b")
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.1", "5000")
    assert environ["waitress.client_disconnected"]() is False


def test_the_body_is_given_back_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Request] = []
    monkeypatch.setattr(Request, "close", lambda request: closed.append(request))
    Served(gives([b"abc"]), "Content-Length: 4", method="POST", body=b"body")
    assert len(closed) == 1
    Served(fails_before(), "Content-Length: 4", method="POST", body=b"body")
    assert len(closed) == 2


def test_proxy_headers_are_applied_before_the_application_is_called() -> None:
    seen: list[str] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        start_response("200 OK", [])
        return []

    trusted = "x-forwarded-for"
    Served(application, "X-Forwarded-For: 1.2.3.4", trusted_proxy="192.0.2.1", trusted_proxy_headers=trusted)
    assert seen == ["1.2.3.4"]


def test_a_malformed_proxy_header_is_answered_400_without_the_application() -> None:
    called: list[str] = []

    def application(environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
        called.append("called")
        return []

    trusted = "x-forwarded-proto"
    served = Served(application, "X-Forwarded-Proto: gopher", trusted_proxy="192.0.2.1", trusted_proxy_headers=trusted)
    assert called == []
    assert served.status == "400 Bad Request"
    assert served.body.startswith(b'Bad Request\r\n\r\nHeader "X-Forwarded-Proto" malformed.\r\n\r\n(generated by ')
    assert served.headers["Connection"] == "close"
    assert served.ending is Ending.LINGER


def test_a_cancelled_task_ends_its_connection_without_calling_the_application() -> None:
    adj = Adjustments(listen="127.0.0.1:0")
    connection = FakeConnection(adj)
    called: list[str] = []
    server = FakeServer(lambda environ, start_response: called.append("called"), adj)
    task = WSGITask(server, EnvironBuilder(adj, "80", "http"), cast(Connection, connection), Request(head("/path")))
    assert repr(task) == "<WSGITask GET /path>"
    task.cancel()
    assert connection.endings == [Ending.CLOSE]
    assert connection.sender.sent == b""
    assert called == []
