"""The request parser by its old names."""

import pytest

from waitress.adjustments import Adjustments
from waitress.parser import (
    HTTPRequestParser,
    ParsingError,
    TransferEncodingNotImplemented,
    crack_first_line,
    get_header_lines,
    split_uri,
    unquote_bytes_to_wsgi,
)
from waitress.utilities import Error, RequestEntityTooLarge, RequestHeaderFieldsTooLarge, ServerNotImplemented

HEAD = b"GET /a%20b?x=y#z HTTP/1.1\r\nHost: a\r\nX-Y: 1\r\nx-y: 2\r\nX_Y: 3\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_request_is_parsed_however_it_comes(size: int) -> None:
    parser = HTTPRequestParser(Adjustments())
    data = HEAD + b"GET"
    taken = 0
    while not parser.completed:
        taken += parser.received(data[taken : taken + size])
    assert taken == len(HEAD)
    assert parser.received(b"GET") == 0
    assert parser.error is None
    assert (parser.command, parser.path, parser.query, parser.fragment) == ("GET", "/a b", "x=y", "z")
    assert (parser.version, parser.request_uri) == ("1.1", "/a%20b?x=y#z")
    assert parser.headers == {"HOST": "a", "X_Y": "1, 2", "CONNECTION": "close"}
    assert (parser.headers_finished, parser.connection_close, parser.empty) == (True, True, False)
    assert parser.get_body_stream().read() == b""
    parser.close()


@pytest.mark.parametrize(
    ("framing", "body", "is_chunked", "length"),
    [
        (b"Content-Length: 3", b"abc", False, 3),
        (b"Transfer-Encoding: chunked", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", True, 0),
    ],
)
def test_a_body_is_kept_until_close(framing: bytes, body: bytes, is_chunked: bool, length: int) -> None:
    parser = HTTPRequestParser(Adjustments(inbuf_overflow=2))
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + framing + b"\r\n\r\n"
    assert parser.received(head) == len(head)
    assert (parser.completed, parser.expect_continue, parser.chunked, parser.content_length) == (
        False,
        True,
        is_chunked,
        length,
    )
    assert parser.received(body + b"GET") == len(body)
    assert parser.completed
    assert "TRANSFER_ENCODING" not in parser.headers
    assert parser.headers["CONTENT_LENGTH"] == "3"
    assert (parser.body_bytes_received, parser.get_body_stream().read()) == (3, b"abc")
    parser.close()


def test_an_absolute_target_shows_its_parts() -> None:
    parser = HTTPRequestParser(Adjustments(url_scheme="https"))
    parser.received(b"GET http://h:1/p HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (parser.proxy_scheme, parser.proxy_netloc, parser.path, parser.url_scheme) == ("http", "h:1", "/p", "https")
    assert (parser.version, parser.connection_close) == ("1.0", False)
    assert parser.first_line == b"GET http://h:1/p HTTP/1.0"


@pytest.mark.parametrize(
    ("data", "kind", "code", "detail"),
    [
        (b"get / HTTP/1.1\r\n", Error, 400, 'Malformed HTTP method "get"'),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * 200, RequestHeaderFieldsTooLarge, 431, "exceeds max_header of 100"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
            RequestEntityTooLarge,
            413,
            "exceeds max_body of 8",
        ),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Error, 505, 'HTTP version "HTTP/2.0" is not supported'),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            ServerNotImplemented,
            501,
            "Transfer-Encoding requested is not supported.",
        ),
    ],
)
def test_a_fault_is_an_error_and_the_end(data: bytes, kind: type[Error], code: int, detail: str) -> None:
    parser = HTTPRequestParser(Adjustments(max_request_header_size=100, max_request_body_size=8))
    assert parser.received(data) == len(data)
    assert parser.completed
    assert isinstance(parser.error, kind)
    assert (parser.error.code, parser.error.body) == (code, detail)
    assert parser.received(b"more") == 0


def test_a_head_alone_is_parsed() -> None:
    parser = HTTPRequestParser(Adjustments())
    parser.parse_header(b"GET /tea HTTP/1.0\r\nA: b")
    assert (parser.path, parser.headers, parser.completed) == ("/tea", {"A": "b"}, False)


@pytest.mark.parametrize(
    ("head", "kind", "said"),
    [
        (b"", ParsingError, "HTTP message header invalid"),
        (b"GET / HTTP/1.0", ParsingError, "HTTP message header invalid"),
        (b"GET /\r\nA: b", ParsingError, "Start line is invalid"),
        (b"GET / HTTP/1.0\r\nA : b", ParsingError, "Invalid header"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip",
            TransferEncodingNotImplemented,
            "Transfer-Encoding requested is not supported.",
        ),
    ],
)
def test_a_head_that_can_not_be_read_is_refused(head: bytes, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        HTTPRequestParser(Adjustments()).parse_header(head)


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        (b"http://h:8080/a%20b?q=1#f", ("http", "h:8080", "/a b", "q=1", "f")),
        (b"//a/b?x#y", ("", "", "//a/b", "x", "y")),
        (b"/a%C3%A9", ("", "", "/a\xc3\xa9", "", "")),
        (b"*", ("", "", "*", "", "")),
        (b"http://h", ("http", "h", "", "", "")),
    ],
)
def test_a_target_is_split(uri: bytes, parts: tuple[str, ...]) -> None:
    assert split_uri(uri) == parts


@pytest.mark.parametrize("uri", ["/é".encode(), b"http://[::1/"])
def test_what_is_no_target_is_refused(uri: bytes) -> None:
    with pytest.raises(ParsingError, match="Bad URI"):
        split_uri(uri)


def test_lines_are_joined_with_what_continues_them() -> None:
    assert get_header_lines(b"a: b\r\n  c\r\nd: e\r\n") == [b"a: b  c", b"d: e"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b" a: b", 'Malformed header line " a: b"'),
        (b"a\nb", 'Bare CR or LF found in header line "a\nb"'),
        (b"a\rb", "Bare CR or LF found"),
    ],
)
def test_lines_that_are_invalid_are_refused(header: bytes, said: str) -> None:
    with pytest.raises(ParsingError, match=said):
        get_header_lines(header)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"GET / HTTP/1.0", (b"GET", b"/", b"1.0")),
        (b"GET /", (b"GET", b"/", b"")),
        (b"GET", (b"", b"", b"")),
        (b"GET / HTTP/1.1 x", (b"", b"", b"")),
    ],
)
def test_a_request_line_is_split(line: bytes, parts: tuple[bytes, ...]) -> None:
    assert crack_first_line(line) == parts


def test_a_method_in_lower_case_is_refused() -> None:
    with pytest.raises(ParsingError, match='Malformed HTTP method "get"'):
        crack_first_line(b"get / HTTP/1.0")


def test_bytes_become_characters() -> None:
    assert unquote_bytes_to_wsgi(b"%41%C3%A9") == "A\xc3\xa9"
