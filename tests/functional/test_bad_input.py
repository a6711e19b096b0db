"""Bad input: settings that do not fit, addresses in use, applications that misbehave."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import Recorder, errors_in, get
from tests.support.platforms import unix_socket
from tests.support.processes import becomes_true
from tests.support.rows import each_row
from tests.support.servers import running, waitress_threads
from waitress_core import Adjustments, create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NEVER = b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n"


# --- settings

NO_NUMBERS: list[Any] = ["many", "", "1.5", 1.5, None, [], float("nan"), float("inf"), "1 2", b"\xff"]

BAD_SETTINGS: list[tuple[dict[str, Any], list[str]]] = [
    ({"port": 65536}, ["port", "65536", "65535"]),
    ({"port": -1}, ["port", "-1", "65535"]),
    ({"port": "-1"}, ["port", "-1", "65535"]),
    ({"port": "99999"}, ["port", "99999", "65535"]),
    ({"port": ""}, ["port", "''"]),
    ({"port": 80.5}, ["port", "80.5"]),
    ({"port": None}, ["port", "None"]),
    ({"listen": "127.0.0.1:99999"}, ["127.0.0.1:99999", "65535"]),
    ({"listen": "127.0.0.1:-1"}, ["127.0.0.1:-1", "65535"]),
    ({"listen": ":"}, [":", "HOST:PORT"]),
    ({"listen": "127.0.0.1:"}, ["127.0.0.1:", "HOST:PORT"]),
    ({"listen": "127.0.0.1:no-such-service"}, ["127.0.0.1:no-such-service"]),
    ({"listen": ""}, ["listen", "''"]),
    ({"listen": 8080}, ["listen", "8080", "list"]),
    ({"listen": "127.0.0.1:0 300.0.0.1:99999"}, ["300.0.0.1:99999"]),
    ({"host": ""}, ["host"]),
    *(
        ({name: value}, [name, repr(value), "at least"])
        for name in (
            "threads",
            "trusted_proxy_count",
            "connection_limit",
            "backlog",
            "recv_bytes",
            "inbuf_overflow",
            "outbuf_overflow",
            "outbuf_high_watermark",
            "request_body_rate",
            "response_rate",
            "blocked_response_rate",
        )
        for value in (0, -1, "-1")
    ),
    *(
        ({name: -1}, [name, "-1", "at least"])
        for name in (
            "max_request_header_size",
            "max_request_body_size",
            "channel_request_lookahead",
            "shutdown_delay",
            "shutdown_timeout",
            "log_slow_requests",
            "send_bytes",
            "cleanup_interval",
            "asyncore_loop_timeout",
        )
    ),
    *(
        ({name: value}, [name, repr(value), "whole number"])
        for name in ("threads", "connection_limit", "max_request_body_size")
        for value in NO_NUMBERS
    ),
    *(
        ({name: value}, [name, repr(value), "a number of seconds above 0"])
        for name in (
            "channel_timeout",
            "request_head_timeout",
            "request_body_timeout",
            "response_timeout",
            "linger_timeout",
        )
        for value in (0, "0", -0.5, "-1", *(given for given in NO_NUMBERS if given not in ("1.5", 1.5)))
    ),
    ({"shutdown_delay": 26}, ["shutdown_delay", "26", "shutdown_timeout", "25"]),
    ({"access_log_format": "{path}"}, ["access_log_format", "{path}", "{remote_addr}", "{target}", "{user_agent}"]),
    ({"unix_socket_perms": 600}, ["unix_socket_perms", "600", "octal"]),
    ({"unix_socket_perms": "888"}, ["unix_socket_perms", "888", "octal"]),
    ({"unix_socket_perms": "rw"}, ["unix_socket_perms", "rw", "octal"]),
    ({"unix_socket_perms": "-600"}, ["unix_socket_perms", "-600", "octal"]),
    ({"unix_socket_perms": "77777"}, ["unix_socket_perms", "77777", "7777"]),
    ({"ident": "a\r\nX-Evil: b"}, ["ident", "X-Evil"]),
    ({"ident": "snowman \u2603"}, ["ident", "ASCII"]),
    ({"url_scheme": ""}, ["url_scheme", "''", "http"]),
    ({"url_scheme": "http://"}, ["url_scheme", "http://"]),
    ({"server_name": "a\nb"}, ["server_name"]),
    ({"trusted_proxy": "nonsense"}, ["trusted_proxy", "nonsense", "CIDR"]),
    ({"trusted_proxy": "10.0.0.0/33"}, ["trusted_proxy", "10.0.0.0/33", "CIDR"]),
    ({"trusted_proxy": "127.0.0.1 nonsense"}, ["trusted_proxy", "nonsense", "CIDR"]),
    (
        {"trusted_proxy": "*", "trusted_proxy_headers": "x-bogus"},
        ["trusted_proxy_headers", "x-bogus", "x-forwarded-for"],
    ),
    ({"trusted_proxy": "*", "trusted_proxy_headers": "x-forwarded-for;x-forwarded-host"}, ["trusted_proxy_headers"]),
    ({"listen": "https://127.0.0.1:0"}, ["https://127.0.0.1:0", "TLS", "http://127.0.0.1:0"]),
    ({"trusted_proxy": "*", "trusted_proxy_headers": "forwarded x-forwarded-for"}, ["mutually exclusive"]),
    ({"trusted_proxy_count": 2}, ["trusted_proxy_count has no meaning without setting trusted_proxy"]),
    ({"trusted_proxy_headers": "forwarded"}, ["trusted_proxy_headers has no meaning without setting trusted_proxy"]),
    ({"sockets": "nonsense"}, ["sockets", "nonsense"]),
    ({"sockets": 5}, ["sockets", "5"]),
    ({"sockets": [5]}, ["sockets", "5"]),
    ({"no_such_setting": 1}, ["Unknown adjustment 'no_such_setting'"]),
    ({"listen": "127.0.0.1:0", "host": "127.0.0.1"}, ["host or port may not be set if listen is set."]),
    ({"listen": "127.0.0.1:0", "port": 0}, ["host or port may not be set if listen is set."]),
    ({"listen": "127.0.0.1:0", "sockets": []}, ["socket may not be set if listen is set."]),
    ({"sockets": [], "host": "127.0.0.1"}, ["host or port may not be set if sockets is set."]),
    ({"sockets": [], "port": 0}, ["host or port may not be set if sockets is set."]),
    ({"sockets": [], "unix_socket": "/x"}, ["unix_socket may not be set if sockets is set"]),
    ({"unix_socket": "/x", "host": "127.0.0.1"}, ["unix_socket may not be set if host or port is set"]),
    ({"unix_socket": "/x", "port": 0}, ["unix_socket may not be set if host or port is set"]),
    ({"unix_socket": "/x", "listen": "127.0.0.1:0"}, ["unix_socket may not be set if listen is set"]),
]


def id_of(settings: dict[str, Any]) -> str:
    words = "-".join(f"{name}-{value}" for name, value in settings.items())
    return re.sub(r"[^\w.:/*=-]+", "", words)[:50]


@each_row(("settings", "said"), [pytest.param(settings, said, id=id_of(settings)) for settings, said in BAD_SETTINGS])
def test_a_bad_setting_is_a_value_error_that_says_what_is_wrong(settings: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        create_server(Recorder(), **settings)
    assert [words for words in said if words not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_host_that_does_not_resolve_is_named_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ValueError, match=r"Invalid host/port specified.*no-such-host.*Name or service not known"):
        Adjustments(host="no-such-host")


def test_sockets_that_are_no_listening_streams_are_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(ValueError, match="stream"):
        Adjustments(sockets=[datagrams])


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_sockets_of_both_kinds_are_refused() -> None:
    with (
        socket.socket(socket.AF_INET) as inet,
        unix_socket() as unix,
        pytest.raises(ValueError, match=r"Internet and UNIX sockets may not be mixed."),
    ):
        Adjustments(sockets=[inet, unix])


# --- addresses that cannot be had


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize("by", ["listen", "host-and-port"])
def test_a_port_in_use_names_the_address_and_the_cause(by: str, taken: int) -> None:
    given: dict[str, Any] = {"listen": f"127.0.0.1:{taken}"} if by == "listen" else {"host": "127.0.0.1", "port": taken}
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), **given)
    assert caught.value.errno == errno.EADDRINUSE
    assert f"127.0.0.1:{taken}" in str(caught.value)
    assert "Address already in use; something listens there: end it, or choose another port" in str(caught.value)


def test_an_address_of_another_machine_is_named_with_the_cause() -> None:
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), listen="192.0.2.77:0")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert "192.0.2.77:0" in str(caught.value)
    cause = "Cannot assign requested address" if sys.platform == "win32" else os.strerror(errno.EADDRNOTAVAIL)
    assert f"192.0.2.77:0: {cause}; no interface of this machine has the address" in str(caught.value)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: that of a unix socket may have a hundred characters or so."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Path(folder)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
@pytest.mark.parametrize(
    ("name", "cause"),
    [("no-such-folder/socket", errno.ENOENT), ("file", errno.EADDRINUSE), ("folder", errno.EADDRINUSE)],
)
def test_a_unix_socket_that_can_not_be_is_named_with_the_cause(name: str, cause: int, folder: Path) -> None:
    (folder / "file").write_text("precious")
    (folder / "folder").mkdir()
    path = str(folder / name)
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), unix_socket=path)
    assert caught.value.errno == cause
    assert path in str(caught.value)
    assert os.strerror(cause) in str(caught.value)
    assert (folder / "file").read_text() == "precious"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_a_unix_socket_path_that_is_too_long_is_named(folder: Path) -> None:
    path = str(folder / ("long" * 100))
    with pytest.raises(OSError) as caught:
        create_server(Recorder(), unix_socket=path)
    assert path in str(caught.value)


# --- applications


class Gone(BaseException):
    """Derives from no Exception."""


class Unprintable(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def raising(error: BaseException) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    return application


def raising_after_start(error: BaseException) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        raise error

    return application


def raising_in_iteration(error: BaseException, *pieces: bytes) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield from pieces
        raise error

    return application


def returning(body: Any, *headers: tuple[str, str], starts: bool = True, status: Any = "200 OK") -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        if starts:
            start_response(status, list(headers))
        return body

    return application


def starting_twice(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"body"]


def writing_before_start(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response.__self__.write  # type: ignore[attr-defined]  # what an application could do
    write(b"body")
    return []


def recursing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return recursing(environ, start_response)


def calling_start_response_badly(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response()  # type: ignore[call-arg]  # the fault
    return []


class BadIterator:
    """An iterable that fails when it is asked for its iterator."""

    def __iter__(self) -> Iterator[bytes]:
        raise RuntimeError("no iterator")


class BadClose:
    """An iterable with a `close` that fails."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"body"])

    def close(self) -> None:
        raise RuntimeError("no close")


FAILING: dict[str, WSGIApplication] = {
    "raises": raising(ValueError("fault")),
    "raises-unprintable": raising(Unprintable()),
    "raises-no-exception": raising(Gone()),
    "raises-memory-error": raising(MemoryError()),
    "raises-connection-error": raising(ConnectionResetError("not the client's connection")),
    "raises-broken-pipe": raising(BrokenPipeError("not the client's connection")),
    "raises-timeout": raising(TimeoutError()),
    "raises-would-block": raising(BlockingIOError()),
    "raises-generator-exit": raising(GeneratorExit()),
    "recurses": recursing,
    "exits": raising(SystemExit(3)),
    "is-interrupted": raising(KeyboardInterrupt()),
    "raises-after-start": raising_after_start(ValueError("fault")),
    "exits-after-start": raising_after_start(SystemExit(3)),
    "raises-before-a-piece": raising_in_iteration(ValueError("fault")),
    "raises-before-a-piece-that-is-not-empty": raising_in_iteration(ValueError("fault"), b"", b""),
    "exits-before-a-piece": raising_in_iteration(SystemExit()),
    "is-interrupted-before-a-piece": raising_in_iteration(KeyboardInterrupt()),
    "returns-none": returning(None),
    "returns-none-without-start": returning(None, starts=False),
    "returns-str": returning("text"),
    "returns-number": returning(5),
    "returns-no-iterator": returning(BadIterator()),
    "never-starts": returning([b"body"], starts=False),
    "never-starts-and-is-empty": returning([], starts=False),
    "yields-str": returning(["text"]),
    "yields-number": returning([5]),
    "yields-none": returning([None]),
    "yields-lists": returning([[b"text"]]),
    "starts-twice": starting_twice,
    "starts-badly": calling_start_response_badly,
    "writes-before-start": writing_before_start,
    "status-bytes": returning([b""], status=b"200 OK"),
    "status-number": returning([b""], status=200),
    "status-none": returning([b""], status=None),
    "status-crlf": returning([b""], status="200 OK\r\nX: y"),
    "status-1xx": returning([b""], status="101 Switching Protocols"),
    "header-crlf": returning([b""], ("X", "a\r\nY: b")),
    "header-number": returning([b""], ("X", 5)),  # type: ignore[arg-type]  # the fault
    "header-none": returning([b""], None),  # type: ignore[arg-type]  # the fault
    "header-hop-by-hop": returning([b""], ("Transfer-Encoding", "chunked")),
    "length-no-number": returning([b"body"], ("Content-Length", "four")),
    "length-negative": returning([b"body"], ("Content-Length", "-4")),
}


class Site:
    """Serves `/bad` by one application, and all else well; keeps the threads it was called in."""

    def __init__(self, bad: WSGIApplication) -> None:
        self.bad = bad
        self.threads: set[threading.Thread] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.threads.add(threading.current_thread())
        if environ["PATH_INFO"] == "/bad":
            return self.bad(environ, start_response)
        start_response("200 OK", [])
        return [b"well"]


@pytest.mark.parametrize("application", [pytest.param(app, id=name) for name, app in FAILING.items()])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_failing_application_gets_its_client_a_500_and_the_log_the_path(
    application: WSGIApplication, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(application)
    with running(site, threads=1) as server:
        with server.client() as client:
            client.get("/good")
        threads = waitress_threads()
        for _ in range(3):
            with server.client() as client:
                response = client.get("/bad", version=version)
                assert response.status == 500
                assert response.version == f"HTTP/{version}"
                assert response.header("Connection") == "close"
                assert response.body.startswith(b"Internal Server Error\r\n\r\n")
                assert b"fault" not in response.body
                assert client.rest() == b""
        with server.client() as client:
            assert client.get("/good").body == b"well"
        assert waitress_threads() == threads, "a thread was lost or replaced"
    assert len(site.threads) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "Exception while serving /bad"
    ] * 3
    assert all(record.exc_info for record in caplog.records if record.levelname == "ERROR")


# After output it is too late for a 500: the client must see that the message is not complete.
LATE: dict[str, WSGIApplication] = {
    "raises": raising_in_iteration(ValueError("fault"), b"begun"),
    "exits": raising_in_iteration(SystemExit(), b"begun"),
    "is-interrupted": raising_in_iteration(KeyboardInterrupt(), b"begun"),
    "yields-str": returning([b"begun", "text"]),
    "yields-none": returning([b"begun", None]),
    "raises-with-length": returning([b"begun", None], ("Content-Length", "50")),
}


@pytest.mark.parametrize("application", [pytest.param(app, id=name) for name, app in LATE.items()])
def test_a_failure_after_output_cuts_the_connection_and_logs_the_path(
    application: WSGIApplication, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(application)
    with running(site, threads=1) as server:
        with server.client() as client:
            client.send(get(target="/bad") + NEVER)
            answer = client.rest()
            assert answer.count(b"HTTP/1.1 ") == 1
            assert answer.partition(b"\r\n\r\n")[2] in (b"5\r\nbegun\r\n", b"begun"), "the message looks complete"
        with server.client() as client:
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    assert "Exception while serving /bad" in errors_in(caplog.records)


@pytest.mark.parametrize("pieces", [pytest.param([b"ab"], id="one-piece"), pytest.param([b"a", b"b"], id="two-pieces")])
def test_a_body_shorter_than_its_length_ends_the_connection_and_is_logged(
    pieces: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(returning(pieces, ("Content-Length", "5")))
    with running(site, threads=1) as server:
        with server.client() as client:
            client.send(get(target="/bad") + NEVER)
            answer = client.rest()
            assert answer.endswith(b"\r\n\r\nab"), "the gap is filled"
        with server.client() as client:
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    [said] = errors_in(caplog.records)
    assert "application returned too few bytes (2) for specified Content-Length (5) via app_iter" in said
    assert "/bad" in said


@pytest.mark.parametrize(
    "pieces", [pytest.param([b"abcdefg"], id="one-piece"), pytest.param([b"abc", b"defg"], id="two-pieces")]
)
def test_a_body_longer_than_its_length_is_cut_and_logged(pieces: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    site = Site(returning(pieces, ("Content-Length", "5")))
    with running(site, threads=1) as server:
        with server.client() as client:
            assert client.get("/bad").body == b"abcde"
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    [said] = errors_in(caplog.records)
    assert "application-written content exceeded the number of bytes specified by Content-Length header (5)" in said
    assert "/bad" in said


def test_a_close_that_raises_costs_nothing_but_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(returning(BadClose()))
    with running(site, threads=1) as server:
        with server.client() as client:
            assert client.get("/bad").status == 200
        with server.client() as client:
            assert client.get("/good").body == b"well"
    assert len(site.threads) == 1
    assert "Exception while serving /bad" in errors_in(caplog.records)


def test_an_application_that_is_invalid_is_refused() -> None:
    with pytest.raises(ValueError, match="You forgot to return a WSGI app"):
        create_server(None)  # type: ignore[arg-type]  # the fault


def test_an_endless_lie_about_the_length_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """The application of a client that has all it was promised is not iterated for ever."""
    closed = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        try:
            while True:
                yield b"ab"
        finally:
            closed.set()

    with running(Site(application), threads=1) as server, server.client() as client:
        assert client.get("/bad").body == b"ababa"
        assert closed.wait(20)
        assert client.get("/good").body == b"well"
    assert becomes_true(lambda: "exceeded" in caplog.text)
