"""What was once wrong in servers of this kind, by the id of its advisory: each trigger, and its answer."""

import time

import pytest

from tests.parser.helpers import CHUNKED, GET, HOST, parse, parse_every_cut, refusal_of
from tests.support.rows import each_row
from waitress_parser import Limits

POST = b"POST / HTTP/1.1\r\n" + HOST
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


@each_row(
    ("wire", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n" + SMUGGLED, 400, id="CVE-2019-16785-lf-only"),
        pytest.param(GET + b"Host: a\nX: y\r\n\r\n" + SMUGGLED, 400, id="CVE-2019-16785-lf-in-fields"),
        pytest.param(GET + b"Host: a\r\n\n" + SMUGGLED, 400, id="CVE-2019-16785-lf-ends-head"),
        pytest.param(GET + b"Host: a\r\rX: y\r\n\r\n" + SMUGGLED, 400, id="CVE-2019-16785-cr-in-fields"),
        pytest.param(CHUNKED + b"1\nx\n0\n\n" + SMUGGLED, 400, id="CVE-2019-16785-lf-in-chunks"),
        pytest.param(
            POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 501, id="CVE-2019-16786-coding-list"
        ),
        pytest.param(
            POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, id="CVE-2019-16786-folded-coding"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc" + SMUGGLED,
            400,
            id="CVE-2019-16786-unknown-coding-and-length",
        ),
        pytest.param(
            POST + b"Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc" + SMUGGLED, 400, id="CVE-2019-16792-two-lengths"
        ),
        pytest.param(POST + b"Content-Length: x\r\n\r\nabc" + SMUGGLED, 400, id="CVE-2019-16792-no-number"),
        pytest.param(POST + b"Content-Length: 3, 3\r\n\r\nabc" + SMUGGLED, 400, id="CVE-2019-16792-list-of-lengths"),
        pytest.param(
            POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, id="CVE-2019-16789-vertical-tab"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: \x85chunked\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, id="CVE-2019-16789-next-line"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n" + SMUGGLED, 400, id="CVE-2019-16789-nul"
        ),
        pytest.param(POST + b"Content-Length\x0b: 3\r\n\r\nabc" + SMUGGLED, 400, id="CVE-2019-16789-name"),
        pytest.param(GET + HOST + b"foo: " + b"x" * 35 + b"\x10\r\n\r\n", 400, id="CVE-2020-5236-value"),
        pytest.param(CHUNKED + b"0x01\r\na\r\n0\r\n\r\n" + SMUGGLED, 400, id="CVE-2022-24761-chunk-prefix"),
        pytest.param(CHUNKED + b"+01\r\na\r\n0\r\n\r\n" + SMUGGLED, 400, id="CVE-2022-24761-chunk-sign"),
        pytest.param(POST + b"Content-Length: +10\r\n\r\n" + SMUGGLED, 400, id="CVE-2022-24761-length-sign"),
        pytest.param(CHUNKED + b"1;\x0b=\r\na\r\n0\r\n\r\n" + SMUGGLED, 400, id="CVE-2022-24761-extension"),
        pytest.param(b"x\r\n\r\n" + SMUGGLED, 400, id="CVE-2024-49768-request-after-an-error"),
    ],
)
def test_the_trigger_is_refused_and_nothing_after_it_is_read(wire: bytes, status: int) -> None:
    outcome = parse_every_cut(wire)
    assert outcome.refusal is not None
    assert outcome.refusal.status == status
    assert all(message.head.path != "/smuggled" for message in outcome.messages)
    assert all(message.trailers is None for message in outcome.messages)


@pytest.mark.parametrize("size", [35, 100_000], ids=["CVE-2020-5236-35", "CVE-2020-5236-100k"])
@pytest.mark.parametrize("tail", [b"\x10", b"\x00", b"\r\n\x10"], ids=["control", "nul", "control-on-next-line"])
def test_a_long_value_with_a_control_character_is_refused_at_once(size: int, tail: bytes) -> None:
    started = time.perf_counter()
    outcome = parse([GET + b"foo: " + b"x" * size + tail + b"\r\n\r\n"], Limits())
    assert outcome.refusal is not None
    assert outcome.refusal.status == 400
    assert time.perf_counter() - started < 1


def test_an_underscore_never_poses_as_a_hyphen() -> None:
    wire = (
        GET + HOST + b"X-Forwarded-For: 1\r\nX_Forwarded_For: 2\r\nContent_Length: 9\r\nTransfer_Encoding: gzip\r\n\r\n"
    )
    head = parse_every_cut(wire).head
    assert head.values["x-forwarded-for"] == "1"
    assert head.values["x_forwarded_for"] == "2"
    assert head.content_length == 0


def test_only_crlf_ends_the_last_chunk_line() -> None:
    assert refusal_of(CHUNKED + b"0\n\r\n" + SMUGGLED).status == 400
    assert refusal_of(CHUNKED + b"0;a\n\r\n\r\n" + SMUGGLED).status == 400
