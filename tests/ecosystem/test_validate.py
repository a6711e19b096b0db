"""`wsgiref.validate` around an application finds no fault, whatever the request and however the server is set.

The validator raises AssertionError in the thread that runs the application, which the server logs; it warns by
WSGIWarning, which is an error here; and it writes to standard error about an iterator that was never closed.
"""

import contextlib
import gc
import hashlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

import pytest

from tests.ecosystem.programs.commands import (
    needs_ipv6,
    needs_unix_sockets,
    requests_session,
    served,
    short_path,
    url_of,
)
from tests.support.rows import Rows
from tests.support.servers import Running, running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.filterwarnings("error")

# --- the application: each way to read a body, each way to answer

# The validator wants read and readline called with a size.
READING: dict[str, Callable[[Any], bytes]] = {
    "read": lambda file: b"".join(iter(lambda: file.read(7000), b"")),
    "read-beyond-the-end": lambda file: b"".join([file.read(10_000_000), file.read(1), file.read(1)]),
    "readline": lambda file: b"".join(iter(lambda: file.readline(300), b"")),
    "readlines": lambda file: b"".join(file.readlines()),
    "readlines-hint": lambda file: b"".join(iter(lambda: b"".join(file.readlines(5000)), b"")),
    "iterate": lambda file: b"".join(file),
    "not-at-all": lambda file: b"",
}


def answer_list(environ: "WSGIEnvironment", start_response: "StartResponse", body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def answer_list_without_length(
    environ: "WSGIEnvironment", start_response: "StartResponse", body: bytes
) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body[:10], b"", body[10:]]


def answer_generator(environ: "WSGIEnvironment", start_response: "StartResponse", body: bytes) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    for at in range(0, len(body), 50):
        yield body[at : at + 50]


def answer_write(environ: "WSGIEnvironment", start_response: "StartResponse", body: bytes) -> Iterable[bytes]:
    write = start_response("200 OK", [("Content-Type", "application/json")])
    write(body[:10])
    write(body[10:])
    return []


def answer_exc_info(environ: "WSGIEnvironment", start_response: "StartResponse", body: bytes) -> Iterable[bytes]:
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    try:
        raise LookupError("met while the answer was made")
    except LookupError:
        start_response("200 OK", [("Content-Type", "application/json")], sys.exc_info())
    return [body]


def answer_file(environ: "WSGIEnvironment", start_response: "StartResponse", body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(body), 100)
    return wrapped


ANSWERING: dict[str, Callable[["WSGIEnvironment", "StartResponse", bytes], Iterable[bytes]]] = {
    "list": answer_list,
    "list-without-length": answer_list_without_length,
    "generator": answer_generator,
    "write": answer_write,
    "exc-info": answer_exc_info,
    "file": answer_file,
}


@validator
def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    body = READING[environ["HTTP_X_READ"]](environ["wsgi.input"])
    environ["wsgi.errors"].writelines([""])
    environ["wsgi.errors"].flush()
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    told["body"] = hashlib.sha256(body).hexdigest()
    return ANSWERING[environ["HTTP_X_ANSWER"]](environ, start_response, json.dumps(told).encode())


# --- the requests


@dataclass(frozen=True)
class Asked:
    """A request without the fields that say how to read and answer; `body` is what the application must read."""

    line: str
    fields: tuple[str, ...] = ("Host: localhost",)
    content: bytes = b""
    body: bytes = b""

    @property
    def method(self) -> str:
        return self.line.partition(" ")[0]

    def raw(self, *more: str) -> bytes:
        return "\r\n".join([self.line, *self.fields, *more, "", ""]).encode("latin-1") + self.content


def with_length(line: str, body: bytes, *fields: str) -> Asked:
    return Asked(line, ("Host: localhost", f"Content-Length: {len(body)}", *fields), body, body)


def in_chunks(line: str, body: bytes, size: int, end: bytes = b"0\r\n\r\n", *fields: str) -> Asked:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    content = b"".join(b"%x;part=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end
    return Asked(line, ("Host: localhost", "Transfer-Encoding: chunked", *fields), content, body)


LINES = b"first line\n\nthird line, and then one without an end: " + bytes(range(256))
LONG = b"".join(b"line %d of a body that goes to a temporary file\n" % number for number in range(15_000))

REQUESTS = {
    "get": Asked("GET / HTTP/1.1"),
    "get-below-the-prefix": Asked("GET /prefix/page HTTP/1.1"),
    "get-the-prefix-itself": Asked("GET /prefix HTTP/1.1"),
    "get-escaped": Asked("GET /caf%C3%A9/%E2%99%A5%2F%00%zz HTTP/1.1"),
    "get-slashes": Asked("GET ///a//b/ HTTP/1.1"),
    "get-query": Asked("GET /page?q=%20&empty=&&x=%E2%99%A5?/: HTTP/1.1"),
    "get-empty-query": Asked("GET /page? HTTP/1.1"),
    "get-absolute": Asked("GET http://example.org:8080/page?q=1 HTTP/1.1"),
    "get-absolute-without-path": Asked("GET http://example.org HTTP/1.1"),
    "get-absolute-query-without-path": Asked("GET http://example.org?q=1 HTTP/1.1"),
    "get-http10-without-host": Asked("GET /page HTTP/1.0", ("User-Agent: old",)),
    "get-with-body": with_length("GET /page HTTP/1.1", LINES),
    "get-odd-fields": Asked(
        "GET /page HTTP/1.1",
        (
            "Host: localhost",
            "X-Empty:",
            "X-Latin: caf\xe9",
            "X-Twice: 1",
            "X-Twice: 2",
            "X_Content_Length: 7",
            "Content_Length: 7",
            "Cookie: a=1",
            "Cookie: b=2",
        ),
    ),
    "get-empty-content-type": Asked("GET /page HTTP/1.1", ("Host: localhost", "Content-Type:")),
    "get-connection-fields": Asked(
        "GET /page HTTP/1.1",
        ("Host: localhost", "Connection: keep-alive, TE, Upgrade", "TE: trailers", "Upgrade: h2c", "Keep-Alive: 5"),
    ),
    "head": Asked("HEAD /page HTTP/1.1"),
    "options": Asked("OPTIONS /page HTTP/1.1"),
    "delete": Asked("DELETE /page HTTP/1.1"),
    "trace": Asked("TRACE /page HTTP/1.1"),
    "post-without-body": Asked("POST /page HTTP/1.1"),
    "post-empty": with_length("POST /page HTTP/1.1", b"", "Content-Type: text/plain"),
    "post": with_length("POST /page HTTP/1.1", LINES, "Content-Type: text/plain; charset=latin-1"),
    "post-http10": Asked("POST /page HTTP/1.0", (f"Content-Length: {len(LINES)}",), LINES, LINES),
    "post-expect": with_length("POST /page HTTP/1.1", LINES, "Expect: 100-continue"),
    "post-chunked": in_chunks("POST /page HTTP/1.1", LINES, 9),
    "post-chunked-empty": in_chunks("POST /page HTTP/1.1", b"", 9),
    "post-chunked-trailers": in_chunks("POST /page HTTP/1.1", LINES, 100, b"0\r\nX-Sum: 1\r\n\r\n", "Trailer: X-Sum"),
    "put-long": with_length("PUT /page HTTP/1.1", LONG),
    "patch-chunked-long": in_chunks("PATCH /page HTTP/1.1", LONG, 60_000),
}

# --- the servers

X_FORWARDED = {
    "X-Forwarded-For": "192.0.2.1, [2001:db8::7]:4711",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "example.org",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-By": "203.0.113.1",
}
FORWARDED = {"Forwarded": 'for="[2001:db8::7]:4711";proto=https;host="example.org:8443";by=203.0.113.1'}
TRUSTED: dict[str, Any] = {"trusted_proxy": "*", "trusted_proxy_headers": " ".join(X_FORWARDED).lower()}
TRUSTED_FORWARDED: dict[str, Any] = {"trusted_proxy": "*", "trusted_proxy_headers": "forwarded"}
ON_UNIX: dict[str, Any] = {"unix_socket": None}  # its path is not known yet


@dataclass(frozen=True)
class Served:
    """Settings of a server, and the fields that a proxy before it adds to each request."""

    settings: dict[str, Any]
    added: dict[str, str]


SERVERS = [
    pytest.param(Served({}, {}), id="plain"),
    pytest.param(Served({"listen": "[::1]:0"}, {}), id="IPv6", marks=needs_ipv6),
    pytest.param(Served(ON_UNIX, {}), id="unix", marks=needs_unix_sockets),
    pytest.param(Served({"url_prefix": "/prefix"}, {}), id="url-prefix"),
    pytest.param(Served({"url_prefix": "/"}, {}), id="url-prefix-of-a-slash"),
    pytest.param(Served({"url_scheme": "https"}, {}), id="https"),
    pytest.param(Served({**ON_UNIX, "url_scheme": "https"}, {}), id="https-unix", marks=needs_unix_sockets),
    pytest.param(Served(TRUSTED, X_FORWARDED), id="trusted-proxy"),
    pytest.param(Served(TRUSTED, {}), id="trusted-proxy-that-adds-nothing"),
    pytest.param(Served({**ON_UNIX, **TRUSTED}, X_FORWARDED), id="trusted-proxy-unix", marks=needs_unix_sockets),
    pytest.param(Served(TRUSTED_FORWARDED, FORWARDED), id="trusted-forwarded"),
    pytest.param(Served({}, {**X_FORWARDED, **FORWARDED}), id="untrusted-proxy"),
    pytest.param(Served({"ident": ""}, {}), id="without-ident"),
    pytest.param(Served({"server_name": "example.org", "threads": 1}, {}), id="server-name"),
    pytest.param(Served({"inbuf_overflow": 1, "outbuf_overflow": 1}, {}), id="bodies-in-files"),
    pytest.param(Served({"recv_bytes": 1}, {}), id="byte-by-byte"),
]


@contextlib.contextmanager
def validated(
    served: Served, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Iterator[Running]:
    """Run the validated application; at the end nothing may have been logged or written."""
    caplog.set_level(logging.WARNING, logger="waitress")
    with contextlib.ExitStack() as stack:
        settings = dict(served.settings)
        if "unix_socket" in settings:
            settings["unix_socket"] = str(stack.enter_context(short_path()))
        yield stack.enter_context(running(application, **settings))
    gc.collect()  # an iterator that was not closed says so when it goes
    assert complaints(caplog) == []
    assert capsys.readouterr() == ("", "")


def complaints(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what was logged; how many requests wait for a thread is not the validator's affair."""
    return [record for record in caplog.records if record.name != "waitress.queue"]


def ask(server: Running, served: Served, asked: Asked, read: str, answer: str) -> None:
    """Send one request; look at what the application says of it."""
    added = [f"{name}: {value}" for name, value in served.added.items()]
    with server.client() as client:
        client.send(asked.raw(f"X-Read: {read}", f"X-Answer: {answer}", *added))
        response = client.response(asked.method)
        if response.status == 100:
            response = client.response(asked.method)
    assert response.status == 200
    if asked.method == "HEAD":
        assert response.body == b""
        return
    told = json.loads(response.body)
    body = b"" if read == "not-at-all" else asked.body
    assert told["body"] == hashlib.sha256(body).hexdigest()
    if asked.body:
        assert told["CONTENT_LENGTH"] == str(len(asked.body))


# (read, answer, requests): every request; every way to read; every way to answer
WAYS = [
    ("read", "list", tuple(REQUESTS)),
    *((read, "list", ("get", "post-empty", "post", "post-chunked", "patch-chunked-long")) for read in READING),
    *(("read", answer, ("get", "head", "get-http10-without-host", "post-chunked")) for answer in ANSWERING),
]


@pytest.mark.parametrize("served", SERVERS)
def test_the_validator_is_silent_for_every_request_and_way_to_read_and_answer(
    served: Served, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with validated(served, caplog, capsys) as server, Rows() as rows:
        for read, answer, names in WAYS:
            for name in names:
                with rows.row(f"{name}, {read}, {answer}"):
                    ask(server, served, REQUESTS[name], read, answer)


def test_the_validator_is_silent_for_statuses_without_a_body(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    @validator
    def bare(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response(environ["QUERY_STRING"].replace("+", " "), [])
        return []

    caplog.set_level(logging.WARNING, logger="waitress")
    with running(bare) as server, server.client() as client:
        for status in ("204+No+Content", "304+Not+Modified"):
            assert client.get(f"/?{status}").status == int(status[:3])
    gc.collect()
    assert complaints(caplog) == []
    assert capsys.readouterr() == ("", "")


def test_the_validator_is_silent_for_pipelined_requests(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with validated(Served({}, {}), caplog, capsys) as server, server.client() as client:
        asked = [REQUESTS[name] for name in ("get", "post", "post-chunked", "head", "put-long", "get-absolute")]
        client.send(b"".join(request.raw("X-Read: iterate", "X-Answer: generator") for request in asked))
        for request in asked:
            response = client.response(request.method)
            assert response.status == 200
            if request.method != "HEAD":
                assert json.loads(response.body)["body"] == hashlib.sha256(request.body).hexdigest()


def test_the_validator_is_silent_in_a_separate_program() -> None:
    """Its warnings are errors there, which the server logs; `served` looks at the log."""
    arguments = ("--listen=127.0.0.1:0", "plain:validated")
    with served("waitress-serve", *arguments, env={"PYTHONWARNINGS": "error"}) as server:
        url = url_of(server)
        with requests_session() as session:
            for path in ("/", "/environ", "/pieces", "/nothing", "/digest", "/release", "/not-modified", "/nowhere"):
                assert session.get(f"{url}{path}").status_code < 500
                assert session.head(f"{url}{path}").status_code < 500
            for body in (LONG, iter([LINES, LINES])):
                assert session.post(f"{url}/digest", data=body).status_code == 200


# --- that a complaint would be heard


def wrong_status(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response("99 Low", [("Content-Type", "text/plain")])
    return [b""]


def wrong_read(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    environ["wsgi.input"].read()
    return answer_list(environ, start_response, b"")


def wrong_piece(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield "text"  # type: ignore[misc]  # the fault that is to be found


def wrong_iterable(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    answer_list(environ, start_response, b"")
    return "text"  # type: ignore[return-value]  # the fault that is to be found


@pytest.mark.parametrize("wrong", [wrong_status, wrong_read, wrong_piece, wrong_iterable])
def test_a_complaint_of_the_validator_reaches_the_log(
    wrong: Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    with running(validator(wrong)) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        client.rest()
    kinds = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert kinds == [AssertionError]


def test_a_warning_of_the_validator_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The validator warns of a method that it does not know."""
    with running(application) as server, server.client() as client:
        client.send(b"BREW /pot HTTP/1.1\r\nHost: localhost\r\nX-Read: read\r\nX-Answer: list\r\n\r\n")
        assert client.response().status == 500
    kinds = [record.exc_info[0].__name__ for record in caplog.records if record.exc_info and record.exc_info[0]]
    assert kinds == ["WSGIWarning"]
