"""What a client wants of its connection: persistence and 100 (Continue)."""

import pytest

from tests.parser.helpers import head_of, refusal_of
from tests.support.rows import each_row
from waitress_parser import ConnectionTooLong, UnknownExpectation
from waitress_parser.grammar import MAX_EXAMINED_CHARACTERS


@each_row(
    ("version", "lines", "expected"),
    [
        pytest.param(b"1.1", b"", True, id="1.1"),
        pytest.param(b"1.2", b"", True, id="1.2"),
        pytest.param(b"1.1", b"Connection: close\r\n", False, id="1.1-close"),
        pytest.param(b"1.1", b"Connection: CLOSE\r\n", False, id="1.1-close-in-capitals"),
        pytest.param(b"1.1", b"Connection: foo, close ,bar\r\n", False, id="1.1-close-in-list"),
        pytest.param(b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False, id="1.1-close-in-second-field"),
        pytest.param(b"1.1", b"Connection: close\r\nConnection: keep-alive\r\n", False, id="1.1-close-wins"),
        pytest.param(b"1.1", b"Connection: closed, xclose\r\n", True, id="1.1-not-quite-close"),
        pytest.param(b"1.1", b"Connection: \r\n", True, id="1.1-empty"),
        pytest.param(b"1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", True, id="1.1-upgrade-is-ignored"),
        pytest.param(b"1.1", b"X_Connection: close\r\nProxy-Connection: close\r\n", True, id="1.1-other-names"),
        pytest.param(b"1.0", b"", False, id="1.0"),
        pytest.param(b"1.0", b"Connection: Keep-Alive\r\n", True, id="1.0-keep-alive"),
        pytest.param(b"1.0", b"Connection: foo,keep-alive\r\n", True, id="1.0-keep-alive-in-list"),
        pytest.param(b"1.0", b"Connection: keep-alive, close\r\n", False, id="1.0-close-wins"),
        pytest.param(b"1.0", b"Connection: foo\r\n", False, id="1.0-other-option"),
    ],
)
def test_the_version_and_the_list_decide_whether_a_connection_persists(
    version: bytes, lines: bytes, expected: bool
) -> None:
    assert head_of(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + lines + b"\r\n").is_persistent is expected


@pytest.mark.parametrize(
    ("version", "lines", "expected"),
    [
        pytest.param(b"1.1", b"Content-Length: 1\r\n", False, id="no-expect"),
        pytest.param(b"1.1", b"Content-Length: 1\r\nExpect: 100-continue\r\n", True, id="length"),
        pytest.param(b"1.1", b"Content-Length: 1\r\nExpect: 100-Continue\r\n", True, id="any-case"),
        pytest.param(b"1.1", b"Content-Length: 1\r\nExpect: 100-continue, 100-continue\r\n", True, id="twice"),
        pytest.param(b"1.1", b"Content-Length: 1\r\nExpect:\r\n", False, id="empty"),
        pytest.param(b"1.1", b"Content-Length: 0\r\nExpect: 100-continue\r\n", False, id="empty-body"),
        pytest.param(b"1.1", b"Expect: 100-continue\r\n", False, id="no-body"),
        pytest.param(b"1.0", b"Content-Length: 1\r\nExpect: 100-continue\r\n", False, id="1.0"),
        pytest.param(b"1.0", b"Content-Length: 1\r\nExpect: tea\r\n", False, id="1.0-anything"),
    ],
)
def test_a_client_waits_only_with_1_1_and_a_body(version: bytes, lines: bytes, expected: bool) -> None:
    body = b"x" if b"Length: 1" in lines else b""
    wire = b"PUT / HTTP/" + version + b"\r\nHost: a\r\n" + lines + b"\r\n" + body
    assert head_of(wire).expects_continue is expected


def test_a_client_waits_with_a_chunked_body() -> None:
    lines = b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"
    assert head_of(b"PUT / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n0\r\n\r\n").expects_continue


@pytest.mark.parametrize(
    "value",
    [b"tea", b"100-continue, tea", b"100-continue;q=1", b"200-ok", b'100-continue="x,y"'],
    ids=["other", "list", "parameter", "other-status", "value"],
)
@pytest.mark.parametrize("body", [b"Content-Length: 1\r\n", b""], ids=["body", "no-body"])
def test_any_other_expectation_fails(value: bytes, body: bytes) -> None:
    refusal = refusal_of(b"PUT / HTTP/1.1\r\nHost: a\r\n" + body + b"Expect: " + value + b"\r\n\r\n")
    assert (refusal.kind, refusal.status, refusal.version) == (UnknownExpectation, 417, "1.1")


LONGEST_LISTS = [
    pytest.param(b"," * (MAX_EXAMINED_CHARACTERS - 5), id="commas"),
    pytest.param(b", " * ((MAX_EXAMINED_CHARACTERS - 5) // 2) + b",", id="commas-and-spaces"),
]


@pytest.mark.parametrize("commas", LONGEST_LISTS)
def test_a_connection_of_exactly_the_limit_is_read_and_one_byte_more_is_refused(commas: bytes) -> None:
    """RFC 9110 5.6.1.2: empty members are ignored, but not so many that they deny the service."""
    wire = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: "
    assert not head_of(wire + commas + b"close\r\n\r\n").is_persistent
    refusal = refusal_of(wire + b"," + commas + b"close\r\n\r\n")
    assert (refusal.kind, refusal.status, refusal.version) == (ConnectionTooLong, 431, "1.1")
    assert refusal.detail == f"exceeds max_connection of {MAX_EXAMINED_CHARACTERS}"
    lines = b"\r\nConnection: " + commas  # what counts is the joined value
    assert refusal_of(wire + lines + b"close\r\n\r\n").kind is ConnectionTooLong


def test_an_expect_of_exactly_the_limit_is_read_and_one_byte_more_is_refused() -> None:
    commas = b"," * (MAX_EXAMINED_CHARACTERS - len(b"100-continue"))
    wire = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: "
    assert head_of(wire + commas + b"100-continue\r\n\r\nx").expects_continue
    refusal = refusal_of(wire + commas + b",100-continue\r\n\r\n")
    assert (refusal.kind, refusal.status) == (UnknownExpectation, 417)
    assert head_of(b"GET / HTTP/1.0\r\nExpect: ," + commas + b"100-continue\r\n\r\n").method == "GET"
