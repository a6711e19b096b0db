"""A request is smuggled where two parsers read different requests out of the same bytes.

h11, httptools and the parser of this project must read the same as long as none of them stops. If one of them stops,
its reason is in a list below: a disagreement for any other reason is a bug in one of the three.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parser.peers import Reading, read_here, read_with_h11, read_with_httptools

# What this parser refuses (or "close", where it ends the connection) and the peer reads. waitress_parser.errors and
# docs/reference/http.md have the reasons.
WE_ALONE_REFUSE = {
    "h11": {
        "BadTarget",
        "BareLineBreak",
        "DuplicateField",  # Content-Type; equal Content-Length fields
        "FoldedField",
        "ForbiddenOctet",
        "InvalidChunkExtension",
        "InvalidChunkSize",  # blanks behind the digits
        "InvalidHost",
        "LengthAndTransferCoding",
        "MethodNotUpperCase",
        "TransferCodingInHttp10",
        "UnknownExpectation",
        "VersionNotSupported",
    },
    "httptools": {
        "BadTarget",
        "BareLineBreak",
        "DuplicateField",
        "FoldedField",
        "InvalidChunkExtension",
        "InvalidHost",
        "InvalidTransferCoding",
        "MethodNotUpperCase",
        "MissingHost",
        "StartLineInvalid",  # HTTP/0.9
        "TransferCodingInHttp10",
        "UnknownExpectation",
        "UnknownTransferCoding",
        "close",  # both options in one request: the end is the safe one
    },
}
# What the peer refuses (the start of its message) and this parser reads.
PEER_ALONE_REFUSES = {
    "h11": {
        "close",  # it knows no keep-alive of HTTP/1.0
        "h11: no request line received",  # an empty line before a request: RFC 9112 2.2
        # In a trailer section, where they have no meaning and are dropped: RFC 9110 6.5.1
        "h11: Only Transfer-Encoding: chunked is supported",
        "h11: multiple Transfer-Encoding headers",
    },
    "httptools": {
        # Methods are a list there, a token in RFC 9110 9.1
        "httptools: Invalid method encountered",
        "httptools: Expected space after method",
        # A continuation line with nothing in it: RFC 9112 5.2
        "httptools: Unexpected whitespace after header value",
        "httptools: Invalid header value char",
        # In a trailer section, as above
        "httptools: Content-Length can't be present with Transfer-Encoding",
        "httptools: Invalid `Transfer-Encoding` header value",
        "httptools: Request has invalid `Transfer-Encoding`",
        "httptools: Unexpected char in url server",  # a fragment in an absolute-form, which is cut
    },
}
READERS: dict[str, Callable[[bytes], Reading]] = {"h11": read_with_h11, "httptools": read_with_httptools}
PEERS = [peer for peer in READERS if util.find_spec(peer)]

METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH"])
TARGETS = st.sampled_from([b"/", b"/a/b?c=d", b"/%20", b"http://h/x", b"/a;b", b"//x", b"/?", b"/#f"])
FIELDS = st.sampled_from(
    [
        b"Accept: */*",
        b"X-A: b c",
        b"Cookie: a=b; c=d",
        b"X-Empty:",
        b"X_Under: v",
        b"User-Agent: \xe4",
        b"X-Tabs:\tv\t",
        b"Connection: keep-alive",
        b"Connection: close",
        b"Via: 1",
        b"Via: 2",
        b"Expect: 100-continue",
    ]
)
BODIES = st.sampled_from(
    [
        ([], b""),
        ([b"Content-Length: 5"], b"abcde"),
        ([b"Content-Length: 0"], b""),
        ([b"Transfer-Encoding: chunked"], b"5\r\nabcde\r\n0\r\n\r\n"),
        ([b"Transfer-Encoding: chunked"], b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n"),
        ([b"transfer-encoding: Chunked"], b"0\r\n\r\n"),
    ]
)
BITS = st.sampled_from(
    [bytes([byte]) for byte in b'\r\n \t:;,\x000 1aZ\xff_-+x\x0b\x7f"/#?']
    + [b"\r\n", b"\r\n\r\n", b" fold\r\n", b"Host: b\r\n", b"Content-Length: 3\r\n"]
    + [b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n"]
)
NEXT = b"GET /next HTTP/1.1\r\nHost: n\r\n\r\n"  # read unchanged only if the first request ends where it should


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that every parser reads, except for features that h11 or httptools lack."""
    framing, body = draw(BODIES)
    lines = draw(st.permutations([b"Host: a", *framing, *draw(st.lists(FIELDS, max_size=3))]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.0"]))
    return b"%b %b HTTP/%b\r\n%b\r\n\r\n%b" % (draw(METHODS), draw(TARGETS), version, b"\r\n".join(lines), body)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A request with a few bytes inserted, removed or replaced."""
    wire = draw(requests())
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(wire)))
        taken = draw(st.integers(0, 3))
        wire = wire[:at] + draw(st.one_of(st.just(b""), BITS)) + wire[at + taken :]
    return wire


def compare(wire: bytes, peer: str) -> None:
    """Check that two parsers agree on `wire` as far as both read it, and that a reason to stop is listed."""
    ours, theirs = read_here(wire), READERS[peer](wire)
    common = min(len(ours.requests), len(theirs.requests))
    assert ours.requests[:common] == theirs.requests[:common]
    if len(theirs.requests) > common:
        assert ours.end in WE_ALONE_REFUSE[peer], wire
    if len(ours.requests) > common:
        assert any(theirs.end.startswith(reason) for reason in PEER_ALONE_REFUSES[peer]), (theirs.end, wire)


@pytest.mark.parametrize("peer", READERS)
def test_each_peer_reads_a_request(peer: str) -> None:
    compare(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT, peer)  # skipped, with the reason, where it is missing


# Each request is made once, which takes longer than all three parsers, and compared with both peers.
@settings(max_examples=300)
@given(wire=st.lists(requests(), min_size=1, max_size=3).map(b"".join))
def test_valid_requests_are_read_alike(wire: bytes) -> None:
    for peer in PEERS:
        compare(wire + NEXT, peer)


@settings(
    max_examples=1500, derandomize=True
)  # always the same ones: list a new disagreement, do not meet it by chance
@given(wire=mutants())
def test_mutated_requests_are_read_alike_except_for_listed_reasons(wire: bytes) -> None:
    for peer in PEERS:
        compare(wire + NEXT, peer)


def test_the_comparison_finds_what_it_is_for() -> None:
    with pytest.raises(AssertionError):
        compare(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + NEXT, "httptools")
