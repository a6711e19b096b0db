"""Responses: their fields, their framing, and what the log says when an application's lengths do not agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import Headers, answering, errors_in, get
from tests.support.client import Client, Response
from tests.support.rows import each_row
from tests.support.servers import running

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def making(
    make_body: Callable[[], Iterable[bytes]], *headers: tuple[str, str], status: str = "200 OK"
) -> WSGIApplication:
    """Make an application that makes its body again for each request; /next is answered `next`."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/next":
            start_response("200 OK", [("Content-Length", "4")])
            return [b"next"]
        start_response(status, list(headers))
        return make_body()

    return application


def generated(*pieces: bytes) -> Callable[[], Iterator[bytes]]:
    def generate() -> Iterator[bytes]:
        yield from pieces

    return generate


def head(path: str = "/", *fields: str, version: str = "1.1") -> bytes:
    return b"HEAD" + get(*fields, target=path, version=version)[3:]


def answer_to(application: WSGIApplication, request: bytes = get(), **settings: Any) -> Response:
    """Return the answer to one request, after which the connection must carry another."""
    with running(application, **settings) as server, server.client() as client:
        client.send(request)
        response = client.response(request.partition(b" ")[0].decode())
        assert client.get("/next").body == b"next"
    return response


def chunk_sizes(framed: bytes) -> Iterator[bytes]:
    """Return the size lines of a chunked body, which must end with it."""
    while framed:
        size, _, rest = framed.partition(b"\r\n")
        yield size
        framed = rest[int(size, 16) + 2 :]


# --- fields


@pytest.mark.parametrize(
    ("headers", "name", "values"),
    [
        pytest.param([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "Set-Cookie", ["a=1", "b=2"], id="S48-two"),
        pytest.param([("Set-Cookie", "b=2"), ("Set-Cookie", "a=1")], "Set-Cookie", ["b=2", "a=1"], id="S48-not-sorted"),
        pytest.param(
            [("Set-Cookie", "c=3"), ("X-A", "1"), ("Set-Cookie", "a=1"), ("A", "1"), ("Set-Cookie", "b=2")],
            "Set-Cookie",
            ["c=3", "a=1", "b=2"],
            id="S48-others-between",
        ),
        pytest.param(
            [("Set-Cookie", "z"), ("SET-COOKIE", "y"), ("set-cookie", "x")],
            "Set-Cookie",
            ["z", "y", "x"],
            id="S48-case-of-names",
        ),
        pytest.param([("Vary", "b"), ("Vary", "a")], "Vary", ["b", "a"], id="S48-vary"),
        pytest.param(
            [("X", str(number)) for number in range(50)], "X", [str(number) for number in range(50)], id="S48-fifty"
        ),
    ],
)
def test_fields_of_one_name_keep_the_application_s_order(headers: Headers, name: str, values: list[str]) -> None:
    response = answer_to(making(lambda: [b"ok"], *headers))
    assert response.all(name) == values
    assert [field for field, _ in response.headers].count(name) == len(values)


@pytest.mark.promise("S48")
def test_names_are_capitalised_and_sorted() -> None:
    headers = [("x-lower", "1"), ("ETag", "2"), ("content-type", "text/plain"), ("X_foo-BAR", "3"), ("A", "4")]
    response = answer_to(making(lambda: [b"ok"], *headers))
    assert [name for name, _ in response.headers] == [
        "A",
        "Content-Length",
        "Content-Type",
        "Date",
        "Etag",
        "Server",
        "X-Lower",
        "X_foo-Bar",
    ]


@pytest.mark.promise("S48")
def test_a_value_is_sent_as_latin_1() -> None:
    response = answer_to(making(lambda: [b"ok"], ("X", "café \xff"), ("Y", "\t a "), ("Z", "")))
    assert b"\r\nX: caf\xe9 \xff\r\n" in response.raw
    assert response.header("X") == "café \xff"


@pytest.mark.promise("S48", "S65")
def test_date_and_server_are_sent_once() -> None:
    response = answer_to(making(lambda: [b"ok"]))
    assert response.header("Server") == "waitress"
    date = response.header("Date")
    assert date is not None
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert parsedate_to_datetime(date).strftime("%a, %d %b %Y %H:%M:%S GMT") == date


@pytest.mark.promise("S48", "S65")
@pytest.mark.parametrize(("ident", "via"), [("waitress", "waitress"), ("", None)], ids=["with-ident", "without"])
def test_date_and_server_of_the_application_are_kept(ident: str, via: str | None) -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    response = answer_to(making(lambda: [b"ok"], ("Server", "own"), ("date", date)), ident=ident)
    assert response.header("Server") == "own"
    assert response.header("Via") == via
    assert response.header("Date") == date


@pytest.mark.parametrize("path", ["/", "/fault"])
def test_without_ident_no_response_names_the_server(path: str) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"tea"] if environ["PATH_INFO"] == "/" else None  # type: ignore[return-value]  # its fault

    with running(application, ident="") as server, server.client() as client:
        response = client.get(path)
    assert response.status == (200 if path == "/" else 500)
    assert (response.header("Server"), response.header("Via")) == (None, None)
    assert b"waitress" not in response.body


# --- framing: no length

PIECES = [
    pytest.param((b"abc",), id="one"),
    pytest.param((b"abc", b"de", b"f"), id="three"),
    pytest.param((b"", b"abc", b"", b"", b"de", b""), id="empty-ones-between"),
    pytest.param((b"a" * 9, b"b" * 10, b"c" * 16, b"d" * 4096), id="sizes-in-hex"),
    pytest.param((b"0\r\n\r\n", b"\r\n"), id="like-the-framing"),
    pytest.param((bytes(100_000),) * 50, id="large"),
    pytest.param((b"x",) * 3000, id="many"),
]


@pytest.mark.promise("S56")
@each_row("pieces", PIECES)
@each_row("kind", ["generator", "iterator", "list"])
def test_without_a_length_http11_is_chunked(pieces: tuple[bytes, ...], kind: str) -> None:
    bodies: dict[str, Callable[[], Iterable[bytes]]] = {
        "generator": generated(*pieces),
        "iterator": lambda: iter(pieces),
        "list": lambda: [*pieces, b""],
    }
    response = answer_to(making(bodies[kind]))
    assert response.body == b"".join(pieces)
    assert response.header("Transfer-Encoding") == "chunked"
    assert response.header("Content-Length") is None
    assert response.header("Connection") is None
    *sizes, last = chunk_sizes(response.raw.partition(b"\r\n\r\n")[2])
    assert all(re.fullmatch(b"[1-9A-F][0-9A-F]*", size) for size in sizes)
    assert last == b"0"


@pytest.mark.promise("S56")
@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("fields", [[], ["Connection: keep-alive"]])
def test_without_a_length_http10_ends_with_the_connection(pieces: tuple[bytes, ...], fields: list[str]) -> None:
    with running(making(generated(*pieces))) as server, server.client() as client:
        response = client.get("/", *fields, version="1.0")
    assert response.version == "HTTP/1.0"
    assert response.body == b"".join(pieces)
    assert response.header("Transfer-Encoding") is None
    assert response.header("Content-Length") is None
    assert response.header("Connection") == "close"


@pytest.mark.promise("S56")
def test_a_chunked_response_on_a_connection_that_closes_has_its_end() -> None:
    with running(making(generated(b"abc"))) as server, server.client() as client:
        response = client.get("/", "Connection: close")
        assert response.body == b"abc"
        assert response.header("Connection") == "close"
        assert client.rest() == b""


@pytest.mark.promise("S56")
@pytest.mark.parametrize("version", ["1.2", "1.9"])
def test_a_higher_minor_version_is_served_as_http11(version: str) -> None:
    with running(making(generated(b"abc"))) as server, server.client() as client:
        response = client.get("/", version=version)
        assert (response.version, response.header("Transfer-Encoding")) == ("HTTP/1.1", "chunked")
        assert client.get("/next").body == b"next"


@pytest.mark.promise("S56", "S57")
@pytest.mark.parametrize("empty", [generated(), generated(b""), lambda: iter(()), list])
def test_an_empty_body_keeps_the_connection(empty: Callable[[], Iterable[bytes]]) -> None:
    response = answer_to(making(empty))
    assert response.body == b""
    assert response.header("Connection") is None


@pytest.mark.promise("S57")
def test_an_empty_list_has_content_length_0() -> None:
    assert answer_to(making(list)).header("Content-Length") == "0"
    assert answer_to(making(lambda: ())).header("Content-Length") == "0"


# --- framing: a length


class OnePiece:
    """Is no sequence, but says that it has one piece."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[bytes]:
        yield b"abc"


@pytest.mark.parametrize(
    ("body", "length"),
    [
        pytest.param(lambda: [b"abc"], 3, id="S57-list"),
        pytest.param(lambda: (b"abc",), 3, id="S57-tuple"),
        pytest.param(OnePiece, 3, id="S57-own-iterable"),
        pytest.param(lambda: {b"abc": 1}, 3, id="S57-dict"),
        pytest.param(lambda: [b""], 0, id="S57-empty-piece"),
        pytest.param(lambda: [b"\r\n\0\xff"], 4, id="S57-any-bytes"),
        pytest.param(lambda: [bytes(2_000_000)], 2_000_000, id="S57-large"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_one_piece_gives_content_length(body: Callable[[], Iterable[bytes]], length: int, version: str) -> None:
    response = answer_to(making(body), get("Connection: keep-alive", version=version))
    assert response.header("Content-Length") == str(length)
    assert response.header("Transfer-Encoding") is None
    assert response.header("Connection") == ("Keep-Alive" if version == "1.0" else None)
    assert response.body == b"".join(body())
    head_response = answer_to(making(body), head())
    assert head_response.header("Content-Length") == str(length)


@pytest.mark.promise("S57")
@pytest.mark.parametrize("name", ["Content-Length", "content-length", "CONTENT-LENGTH"])
def test_the_application_s_own_content_length_is_sent_once(name: str) -> None:
    for body in (lambda: [b"abc"], generated(b"a", b"bc"), lambda: [b"abc", b""]):
        response = answer_to(making(body, (name, "3")))
        assert (response.header("Content-Length"), response.body) == ("3", b"abc")
        assert response.header("Transfer-Encoding") is None


@pytest.mark.promise("S57")
@pytest.mark.parametrize("value", ["x", "", "3,3", "3.0", "3 bytes", "0x3"])
def test_a_content_length_of_the_application_that_is_no_number_is_500(value: str) -> None:
    with running(answering([b"abc"], ("Content-Length", value))) as server, server.client() as client:
        assert client.get("/").status == 500


# --- no body

BODIES: list[Any] = [
    pytest.param(lambda: [b"abc"], id="list"),
    pytest.param(generated(b"abc", b"def"), id="generator"),
    pytest.param(lambda: [b"abc", b"def"], id="two-pieces"),
    pytest.param(list, id="nothing"),
    pytest.param(lambda: [bytes(1_000_000)] * 20, id="large"),
]


@pytest.mark.promise("S63")
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("headers", [[], [("Content-Length", "10")]], ids=["no-length", "length-10"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_head_gets_the_fields_and_no_byte_of_a_body(
    body: Callable[[], Iterable[bytes]], headers: Headers, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    with running(making(body, *headers)) as server, server.client() as client:
        client.send(head(version=version))
        response = client.response("HEAD")
        if version == "1.0":
            assert client.rest() == b""
        else:
            assert client.get("/next").body == b"next"
    if headers:
        assert response.header("Content-Length") == "10"
        assert response.header("Transfer-Encoding") is None
    assert errors_in(caplog.records) == []


@pytest.mark.promise("S63")
def test_head_has_the_fields_of_get() -> None:
    """RFC 9110 9.3.2."""
    for body in (lambda: [b"abc"], generated(b"abc", b"def")):
        with running(making(body, ("X", "1"))) as server, server.client() as client:
            client.send(head())
            of_head = client.response("HEAD").headers
            of_get = client.get("/").headers
        assert dict(of_head, Date="") == dict(of_get, Date="")


@pytest.mark.promise("S64")
@each_row("status", ["204 No Content", "304 Not Modified"])
@each_row("body", BODIES)
@each_row("headers", [[], [("Content-Length", "10")]], ids=["no-length", "length-10"])
@each_row("method", ["GET", "HEAD"])
def test_a_status_without_content_has_no_body_and_no_framing(
    status: str, body: Callable[[], Iterable[bytes]], headers: Headers, method: str
) -> None:
    response = answer_to(making(body, *headers, status=status), method.encode() + get()[3:])
    assert f"{response.status} {response.reason}" == status
    assert response.header("Transfer-Encoding") is None
    assert response.header("Content-Length") is None
    assert response.header("Connection") is None


@pytest.mark.promise("S63", "S56")
def test_responses_without_a_body_do_not_shift_those_behind_them() -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(environ["PATH_INFO"][1:].replace("-", " "), [])
        return iter([b"some ", b"body"])

    requests = [head("/200-OK"), get(target="/204-No"), get(target="/304-No"), head("/304-No"), get(target="/404-No")]
    with running(application) as server, server.client() as client:
        client.send(b"".join(requests * 3))
        for _ in range(3):
            statuses = [client.response(request.partition(b" ")[0].decode()).status for request in requests[:-1]]
            assert statuses == [200, 204, 304, 304]
            last = client.response()
            assert (last.status, last.body) == (404, b"some body")


# --- lengths that do not agree

TOO_MANY = "application-written content exceeded the number of bytes specified by Content-Length header (3)"
TOO_FEW = "application returned too few bytes (3) for specified Content-Length (10) via app_iter"


def assert_one_warning(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """The log has this warning, perhaps with more behind it, and no other."""
    [warning] = errors_in(caplog.records)
    assert warning.startswith(text)
    assert [record.name for record in caplog.records if record.getMessage() == warning] == ["waitress"]


def written(*pieces: bytes, then: Iterable[bytes] = ()) -> Callable[[Any], Iterable[bytes]]:
    def respond(write: Any) -> Iterable[bytes]:
        for piece in pieces:
            write(piece)
        return then

    return respond


def responding(respond: Callable[[Any], Iterable[bytes]], *headers: tuple[str, str]) -> WSGIApplication:
    """Make an application that is given `write` to respond with; /next is answered `next`."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/next":
            return making(list)(environ, start_response)
        return respond(start_response("200 OK", list(headers)))

    return application


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(lambda write: [b"abcdef"], id="S84-one-piece"),
        pytest.param(lambda write: [b"ab", b"cdef"], id="S84-within-a-piece"),
        pytest.param(lambda write: [b"abc", b"def", b"ghi"], id="S84-further-pieces"),
        pytest.param(lambda write: iter([b"abc", b"d"]), id="S84-iterator"),
        pytest.param(written(b"abcdef"), id="S84-written"),
        pytest.param(written(b"ab", b"cdef", b"g"), id="S84-written-in-pieces"),
        pytest.param(written(b"abc", then=[b"d"]), id="S84-written-and-returned"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_more_than_content_length_is_cut_with_a_warning(
    respond: Callable[[Any], Iterable[bytes]], version: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = answer_to(responding(respond, ("Content-Length", "3")), get("Connection: keep-alive", version=version))
    assert response.body == b"abc"
    assert_one_warning(caplog, TOO_MANY)


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(lambda write: [b"abc"], id="S84-one-piece"),
        pytest.param(lambda write: [b"a", b"bc"], id="S84-two-pieces"),
        pytest.param(lambda write: iter([b"abc"]), id="S84-iterator"),
        pytest.param(written(b"abc"), id="S84-written"),
        pytest.param(written(b"ab", then=[b"c"]), id="S84-written-and-returned"),
    ],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_less_than_content_length_ends_the_connection_with_a_warning(
    respond: Callable[[Any], Iterable[bytes]], version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The next response must not fill what is missing."""
    with running(responding(respond, ("Content-Length", "10"))) as server, server.client() as client:
        client.send(get("Connection: keep-alive", version=version) + get(target="/next"))
        received = client.rest()
    assert received.startswith(f"HTTP/{version} 200 OK\r\n".encode())
    assert received.partition(b"\r\n\r\n")[2] == b"abc"
    assert_one_warning(caplog, TOO_FEW)


@pytest.mark.promise("S84")
@pytest.mark.parametrize("body", [list, generated(), generated(b"")])
def test_nothing_at_all_is_less_than_content_length_too(
    body: Callable[[], Iterable[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    with running(making(body, ("Content-Length", "10"))) as server, server.client() as client:
        client.send(get() + get(target="/next"))
        assert client.rest().partition(b"\r\n\r\n")[2] == b""
    assert_one_warning(caplog, TOO_FEW.replace("(3)", "(0)"))


@pytest.mark.promise("S84")
@pytest.mark.parametrize("body", [lambda: [b"abc"], generated(b"a", b"b", b"c"), lambda: [b"abc"] * 1000])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_content_where_none_may_be_is_ignored_with_one_warning(
    body: Callable[[], Iterable[bytes]], status: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer_to(making(body, status=status))
    assert_one_warning(
        caplog,
        f"application-written content was ignored due to HTTP response that may not contain a message-body: ({status})",
    )


@pytest.mark.promise("S84")
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (lambda: [b"abc"], [("Content-Length", "3")]),
        (generated(b"a", b"bc"), [("Content-Length", "3")]),
        (generated(b"abc", b"", b""), [("Content-Length", "3")]),
        (list, [("Content-Length", "0")]),
        (generated(b"abc"), []),
    ],
)
def test_lengths_that_agree_are_no_cause_for_a_warning(
    body: Callable[[], Iterable[bytes]], headers: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    answer_to(making(body, *headers))
    assert errors_in(caplog.records) == []


@pytest.mark.promise("S84")
def test_an_endless_body_ends_at_content_length() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"abc"

    assert answer_to(making(endless, ("Content-Length", "100"))).body == (b"abc" * 34)[:100]


# --- persistence


@pytest.mark.promise("S03", "S56", "S57")
@each_row(
    ("version", "fields", "connection"),
    [
        ("1.1", [], None),
        ("1.1", ["Connection: keep-alive"], None),
        ("1.1", ["Connection: close"], "close"),
        ("1.1", ["Connection: CLOSE"], "close"),
        ("1.1", ["Connection: x, close"], "close"),
        ("1.1", ["Connection: keep-alive", "Connection: close"], "close"),
        ("1.0", [], "close"),
        ("1.0", ["Connection: keep-alive"], "Keep-Alive"),
        ("1.0", ["Connection: Keep-Alive"], "Keep-Alive"),
        ("1.0", ["Connection: x, keep-alive"], "Keep-Alive"),
        ("1.0", ["Connection: close"], "close"),
        ("1.0", ["Connection: keep-alive, close"], "close"),
    ],
)
@each_row("status", ["200 OK", "404 Not Found", "302 Found"])
def test_the_connection_persists_where_both_ends_can_see_the_end(
    version: str, fields: list[str], connection: str | None, status: str
) -> None:
    with running(making(lambda: [b"abc"], status=status)) as server, server.client() as client:
        client.send(get(*fields, version=version) + get(target="/next"))
        response = client.response()
        assert (response.version, response.body) == (f"HTTP/{version}", b"abc")
        assert response.header("Connection") == connection
        if connection == "close":
            assert client.rest() == b""
        else:
            assert client.response().body == b"next"


@pytest.mark.promise("S56")
def test_a_hundred_responses_of_every_framing_share_a_connection() -> None:
    bodies: list[Callable[[], Iterable[bytes]]] = [lambda: [b"one"], generated(b"a", b"b"), list, generated()]

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return bodies[int(environ["QUERY_STRING"]) % 4]()

    def ask(client: Client) -> Iterator[bytes]:
        for number in range(100):
            yield client.get(f"/?{number}").body

    with running(application) as server, server.client() as client:
        assert list(ask(client)) == [b"one", b"ab", b"", b""] * 25
