"""Response head and framing."""

import re
from typing import Any

import pytest

from tests.support.ids import input_ids, short_id
from tests.support.rows import each_row
from waitress_core.http import response_head as module
from waitress_core.http.response import Framing, Response
from waitress_core.http.response_fields import HeaderError

CLOSE = "Connection: close"
KEEP = "Connection: Keep-Alive"
LENGTH = "Content-Length: 5"
CHUNKED = "Transfer-Encoding: chunked"
EMPTY = "Content-Length: 0"
NULL: dict[str, list[str]] = {"204 No Content": [], "205 Reset Content": [EMPTY], "304 Not Modified": []}

# version, method, status, length, the request persists -> framing, fields of framing, the connection persists
TABLE: list[tuple[str, str, str, int | None, bool, Framing, list[str], bool]] = [
    ("1.1", "GET", "200 OK", 5, True, Framing.CONTENT_LENGTH, [LENGTH], True),
    ("1.1", "GET", "200 OK", 5, False, Framing.CONTENT_LENGTH, [CLOSE, LENGTH], False),
    ("1.1", "GET", "200 OK", None, True, Framing.CHUNKED, [CHUNKED], True),
    ("1.1", "GET", "200 OK", None, False, Framing.CHUNKED, [CLOSE, CHUNKED], False),
    ("1.0", "GET", "200 OK", 5, True, Framing.CONTENT_LENGTH, [KEEP, LENGTH], True),
    ("1.0", "GET", "200 OK", 5, False, Framing.CONTENT_LENGTH, [CLOSE, LENGTH], False),
    ("1.0", "GET", "200 OK", None, True, Framing.CLOSE, [CLOSE], False),
    ("1.0", "GET", "200 OK", None, False, Framing.CLOSE, [CLOSE], False),
    ("1.1", "HEAD", "200 OK", 5, True, Framing.NO_BODY, [LENGTH], True),
    ("1.1", "HEAD", "200 OK", 5, False, Framing.NO_BODY, [CLOSE, LENGTH], False),
    ("1.1", "HEAD", "200 OK", None, True, Framing.NO_BODY, [CHUNKED], True),
    ("1.1", "HEAD", "200 OK", None, False, Framing.NO_BODY, [CLOSE, CHUNKED], False),
    ("1.0", "HEAD", "200 OK", 5, True, Framing.NO_BODY, [KEEP, LENGTH], True),
    ("1.0", "HEAD", "200 OK", 5, False, Framing.NO_BODY, [CLOSE, LENGTH], False),
    ("1.0", "HEAD", "200 OK", None, True, Framing.NO_BODY, [KEEP], True),
    ("1.0", "HEAD", "200 OK", None, False, Framing.NO_BODY, [CLOSE], False),
    *[
        (version, method, status, length, asked, Framing.NO_BODY, [*fields, *NULL[status]], asked)
        for version, asked, fields in [
            ("1.1", True, []),
            ("1.1", False, [CLOSE]),
            ("1.0", True, [KEEP]),
            ("1.0", False, [CLOSE]),
        ]
        for method in ("GET", "HEAD")
        for status in NULL
        for length in (5, None)
    ],
]


@pytest.fixture(autouse=True)
def date(monkeypatch: pytest.MonkeyPatch) -> str:
    """The Date of every response."""
    monkeypatch.setattr(module, "current_date", lambda: "Sun, 06 Nov 1994 08:49:37 GMT")
    return "Date: Sun, 06 Nov 1994 08:49:37 GMT"


def started(
    *headers: tuple[str, str],
    status: str = "200 OK",
    version: str = "1.1",
    method: str = "GET",
    persists: bool = True,
    ident: str | None = "waitress",
) -> Response:
    response = Response(version, method, persists, ident)
    response.start(status, headers)
    return response


def lines(head: bytes) -> list[str]:
    """Return the lines of a response head, which must end with an empty one."""
    text = head.decode("latin-1")
    assert text.endswith("\r\n\r\n")
    return text[:-4].split("\r\n")


@pytest.mark.promise("S03", "S56", "S64", "S92")
@each_row(
    ("version", "method", "status", "length", "asked", "framing", "fields", "persists"), TABLE, ids=input_ids(TABLE, 5)
)
def test_framing(
    version: str,
    method: str,
    status: str,
    length: int | None,
    asked: bool,
    framing: Framing,
    fields: list[str],
    persists: bool,
) -> None:
    response = Response(version, method, asked, "waitress")
    response.start(status, [] if length is None else [("Content-Length", str(length))])
    status_line, *headers = lines(response.make_head())
    assert status_line == f"HTTP/{version} {status}"
    assert [line for line in headers if not line.startswith(("Date", "Server"))] == fields
    assert response.framing is framing
    framed = response.frame(b"12345")
    assert response.is_open_ended is (framing is Framing.CLOSE)
    end = response.end()
    assert {
        Framing.NO_BODY: b"",
        Framing.CONTENT_LENGTH: b"12345",
        Framing.CHUNKED: b"5\r\n12345\r\n0\r\n\r\n",
        Framing.CLOSE: b"12345",
    }[framing] == framed + end
    assert response.persists is persists
    assert not response.is_open_ended
    assert response.has_body is (framing is not Framing.NO_BODY)
    assert response.surplus == (5 if framing is Framing.NO_BODY else 0)
    assert response.remaining == 0


def test_the_table_has_every_combination() -> None:
    assert len({row[:5] for row in TABLE}) == len(TABLE) == 2 * 2 * 4 * 2 * 2


@pytest.mark.promise("S84")
@pytest.mark.parametrize(
    ("pieces", "sent", "surplus", "remaining", "persists"),
    [
        ([b"12345"], b"12345", 0, 0, True),
        ([b"12", b"345"], b"12345", 0, 0, True),
        ([b"1234567"], b"12345", 2, 0, True),
        ([b"1234", b"567", b"89"], b"12345", 4, 0, True),
        ([b"123"], b"123", 0, 2, False),
        ([], b"", 0, 5, False),
    ],
)
def test_a_longer_body_is_cut_and_a_shorter_one_closes_the_connection(
    pieces: list[bytes], sent: bytes, surplus: int, remaining: int, persists: bool
) -> None:
    response = started(("Content-Length", "5"))
    response.make_head()
    framed = b"".join(response.frame(piece) for piece in pieces)
    assert framed + response.end() == sent
    assert (response.surplus, response.remaining, response.persists) == (surplus, remaining, persists)


@pytest.mark.parametrize("size", [1, 10, 16, 255, 4096, 1_000_000])
def test_a_chunk_is_its_size_in_hex_and_its_bytes(size: int) -> None:
    response = started()
    response.make_head()
    assert response.frame(b"x" * size) == f"{size:X}\r\n".encode() + b"x" * size + b"\r\n"


@pytest.mark.parametrize("length", [None, 5])
def test_nothing_is_framed_after_the_end(length: int | None) -> None:
    response = started(*[] if length is None else [("Content-Length", str(length))])
    response.make_head()
    response.end()
    assert response.frame(b"late") == b""
    assert response.end() == b""


# --- the head


@pytest.mark.promise("S48", "S65")
@pytest.mark.parametrize(
    ("given", "ident", "expected"),
    [
        ([], "waitress", ["DATE", "Server: waitress", "Transfer-Encoding: chunked"]),
        ([], None, ["DATE", "Transfer-Encoding: chunked"]),
        ([("server", "own")], "waitress", ["DATE", "Server: own", "Transfer-Encoding: chunked", "Via: waitress"]),
        ([("Server", "own")], "x/1", ["DATE", "Server: own", "Transfer-Encoding: chunked", "Via: x/1"]),
        ([("Server", "own")], None, ["DATE", "Server: own", "Transfer-Encoding: chunked"]),
        ([("Server", "own")], "", ["DATE", "Server: own", "Transfer-Encoding: chunked"]),
        ([("date", "then")], None, ["Date: then", "Transfer-Encoding: chunked"]),
        (
            [("x_foo-bar", "1"), ("ETag", "2"), ("a", "3"), ("WWW-Authenticate", "4")],
            None,
            ["A: 3", "DATE", "Etag: 2", "Transfer-Encoding: chunked", "Www-Authenticate: 4", "X_foo-Bar: 1"],
        ),
        (
            [("Set-Cookie", "b"), ("A", "x"), ("set-cookie", "a"), ("SET-COOKIE", "c")],
            None,
            ["A: x", "DATE", "Set-Cookie: b", "Set-Cookie: a", "Set-Cookie: c", "Transfer-Encoding: chunked"],
        ),
        ([("X", "")], None, ["DATE", "Transfer-Encoding: chunked", "X: "]),
        ([("X", "\xe4\xff\t")], None, ["DATE", "Transfer-Encoding: chunked", "X: \xe4\xff\t"]),
        ([("content-LENGTH", "007")], None, ["Content-Length: 7", "DATE"]),
        ([("Content-Length", " 7\t")], None, ["Content-Length: 7", "DATE"]),
    ],
    ids=short_id,
)
def test_headers_are_capitalised_and_sorted(
    given: list[tuple[str, str]], ident: str | None, expected: list[str], date: str
) -> None:
    head = started(*given, ident=ident).make_head()
    assert lines(head)[1:] == [date if line == "DATE" else line for line in expected]


@pytest.mark.parametrize(
    ("status", "expected"), [("200 OK", "200 OK"), ("404", "404 "), ("200 ", "200 "), ("200 \xc4h", "200 \xc4h")]
)
def test_the_status_line_has_a_space_after_the_code(status: str, expected: str) -> None:
    assert lines(started(status=status).make_head())[0] == f"HTTP/1.1 {expected}"


def test_the_date_is_an_imf_fixdate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    (line,) = [line for line in lines(started().make_head()) if line.startswith("Date: ")]
    pattern = r"Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    assert re.fullmatch(pattern, line)


# --- starting


def test_starting_again_replaces_status_and_headers() -> None:
    response = started(("X-Old", "1"), ("Content-Length", "5"), ("Server", "old"), ("Date", "old"))
    response.start("500 Oops", [("X-New", "1")])
    status_line, *headers = lines(response.make_head())
    assert status_line == "HTTP/1.1 500 Oops"
    assert [line.partition(":")[0] for line in headers] == ["Date", "Server", "Transfer-Encoding", "X-New"]
    assert "Server: waitress" in headers


def test_a_refused_start_keeps_the_earlier_one() -> None:
    response = started(("X-Old", "1"), ("Content-Length", "5"))
    with pytest.raises(HeaderError):
        response.start("500 Oops", [("X-New", "1"), ("Content-Length", "many")])
    assert (response.status, response.content_length) == ("200 OK", 5)
    assert "X-Old: 1" in lines(response.make_head())


def test_a_response_is_started_before_its_head_is_made() -> None:
    response = Response("1.1", "GET", True, None)
    assert (response.is_started, response.has_head, response.framing) == (False, False, Framing.NO_BODY)
    response.start("200 OK", [("Content-Length", "5")])
    assert (response.is_started, response.has_head, response.remaining) == (True, False, 0)
    response.make_head()
    assert (response.is_started, response.has_head, response.remaining) == (True, True, 5)


def test_nothing_is_framed_after_giving_up() -> None:
    for headers in ([], [("Content-Length", "5")]):
        response = started(*headers)
        response.make_head()
        response.give_up()
        assert (response.frame(b"late"), response.end()) == (b"", b"")
        assert response.remaining == 0


def test_a_refused_first_start_leaves_the_response_not_started() -> None:
    response = Response("1.1", "GET", True, None)
    with pytest.raises(HeaderError):
        response.start("200 OK\r\n", [])
    assert not response.is_started


@pytest.mark.promise("S58", "S59", "S60")
@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        ("200 OK", [("Connection", "close")], AssertionError),
        ("200 OK", [("X", "a\r\nb")], HeaderError),
        ("200 OK", [("X\r\nY", "a")], HeaderError),
        ("200 OK\r\nX: y", [], HeaderError),
        ("200 OK", [("Content-Length", "5"), ("content-length", "5")], HeaderError),
        ("200 OK", [("Content-Length", "-1")], HeaderError),
        ("200 OK", [("Date", "a"), ("date", "b")], HeaderError),
        ("200 OK", [("Server", "a"), ("server", "b")], HeaderError),
        ("200 OK", [("X", "\u2603")], HeaderError),
        ("200 OK", [(["X"], "a")], AssertionError),
        ("200 OK", [("X", 5)], AssertionError),
        ("200 OK", [("X", b"a")], AssertionError),
        (200, [], AssertionError),
        ("200 OK", [("X",)], ValueError),
    ],
    ids=short_id,
)
def test_a_status_or_header_that_cannot_be_sent_is_refused(status: Any, headers: Any, error: type[Exception]) -> None:
    for _ in range(2):  # a refused name must not get into the cache
        with pytest.raises(error):
            Response("1.1", "GET", True, None).start(status, headers)


# --- 103 (Early Hints)


def test_early_hints_are_an_interim_response_with_the_given_fields() -> None:
    response = Response("1.1", "GET", True, "ident")
    links = [("link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")]
    expected = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n"
    assert response.early_hints(links) == expected
    assert response.early_hints(iter([("X-A", "\xe4")])) == b"HTTP/1.1 103 Early Hints\r\nX-A: \xe4\r\n\r\n"
    response.start("200 OK", [("Content-Length", "0")])
    assert response.early_hints(links) == expected  # before the head, also after `start`
    assert response.make_head().startswith(b"HTTP/1.1 200 OK\r\n")


def test_there_are_no_early_hints_without_a_field_or_for_http_1_0() -> None:
    assert Response("1.1", "GET", True, None).early_hints([]) == b""
    assert Response("1.0", "GET", True, None).early_hints([("Link", "</a>")]) == b""


def test_early_hints_after_the_head_are_refused() -> None:
    response = Response("1.1", "GET", True, None)
    response.start("200 OK", [])
    response.make_head()
    with pytest.raises(RuntimeError, match="early hints come before the response"):
        response.early_hints([("Link", "</a>")])


@each_row("version", ["1.0", "1.1"])
@each_row(
    ("name", "value", "error"),
    [
        ("Link", "a\r\nB: c", HeaderError),
        ("Link", "\u20ac", HeaderError),
        ("Link", b"</a>", AssertionError),
        ("Link\n", "</a>", HeaderError),
        ("", "</a>", HeaderError),
        (b"Link", "</a>", AssertionError),
        ("Connection", "close", AssertionError),
        ("transfer-encoding", "chunked", AssertionError),
        ("content-length", "5", HeaderError),
    ],
    ids=["line-break", "not-latin-1", "bytes", "name", "empty", "name-of-bytes", "connection", "coding", "length"],
)
def test_early_hints_are_checked_as_the_fields_of_a_response(
    version: str, name: Any, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Response(version, "GET", True, None).early_hints([("Link", "</a>"), (name, value)])


@each_row(
    ("headers", "said"),
    [
        (None, "not None"),
        ("Link: </a>", "not 'Link: </a>'"),
        (["ab"], "'ab' is not"),
        ([("Link", "</a>", "x")], "'x'\\) is not"),
        ({"Link": "</a>"}, "'Link' is not"),
    ],
    ids=["none", "text", "texts", "three", "dict"],
)
def test_early_hints_that_are_no_pairs_are_refused_in_words(headers: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"^early hints are a list of .name, value., .*{said}"):
        Response("1.1", "GET", True, None).early_hints(headers)
