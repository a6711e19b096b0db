"""No head within the limits costs much more than the largest ordinary one, whatever its bytes are.

Each grammar rule is fed the largest input that the default limits allow. The yardstick is a head of as many bytes and
as many lines as they allow, all of them ordinary: 1.7 ms on the machine that this was written on.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest

from tests.parser.helpers import CHUNKED, GET, HOST, seconds
from tests.support.rows import each_row
from waitress_parser import Limits, fields

pytestmark = pytest.mark.skipif(
    platform.python_implementation() != "CPython", reason="elsewhere a compiler decides what costs how much"
)

LIMITS = Limits()
BYTES = LIMITS.max_head_bytes
LINES = LIMITS.max_fields
LINE = LIMITS.max_request_line_bytes
END = b"\r\n\r\n"
START = GET + HOST
READ_BYTES = 8192  # what a server reads at a time
LARGE_READ_BYTES = 65536
CHUNK_READ_BYTES = 16 * 1024  # and of a chunked body

ORDINARY_NAMES = [b"X-Ordinary-%03d" % i for i in range(LINES - 1)]
ORDINARY = START + b"".join(b"%b: %b\r\n" % (name, b"v" * 240) for name in ORDINARY_NAMES) + b"\r\n"
SHORT_ORDINARY = START + b"".join(b"%b: b\r\n" % name for name in ORDINARY_NAMES) + b"\r\n"
TIMES = 3  # what an odd head may cost, compared with the ordinary one


def filled(start: bytes, unit: bytes, end: bytes = END, *, size: int = BYTES) -> bytes:
    """Return `start`, as many `unit` as there is room for in `size` bytes, and `end`."""
    return start + unit * ((size - len(start) - len(end)) // len(unit)) + end


def in_request_line(start: bytes, unit: bytes, end: bytes = b" HTTP/1.1") -> bytes:
    return filled(start, unit, end, size=LINE) + b"\r\n" + HOST + b"\r\n"


def repeated(line: bytes) -> bytes:
    """Return a head of as many of this field line as the limit of lines allows."""
    return START + line * (LINES - 1) + b"\r\n"


# Fields that the parser reads itself, and one that it does not.
NAMES = ["Transfer-Encoding", "Expect", "Connection", "Host", "Content-Length", "Content-Type", "Cookie", "Accept"]
NAMES += ["Forwarded", "X-Forwarded-For", "TE", "Trailer", "Upgrade", "X-New"]
UNITS = [b",", b"a,", b"a ,", b" ,", b";", b"a;", b"=", b'"', b"\\", b'a="b",', b":", b" ", b"\t", b"a ", b"a", b"0"]
UNITS += [b"chunked,", b"100-continue,", b"close,", b"keep-alive ,", b"a%41", b"%", b"[", b"1.", b"\xff", b"\xff,"]

HEADS: dict[str, bytes] = {
    **{f"{name}-on-every-line": repeated(b"%b: a\r\n" % name.encode()) for name in NAMES},
    **{f"{name}-of-long-lines": repeated(b"%b: %b\r\n" % (name.encode(), b"," * 220)) for name in NAMES},
    **{f"{name}-folded": filled(GET + b"%b: a\r\n" % name.encode(), b" a\r\n", b"\r\n") for name in NAMES},
    "one-long-value": filled(START + b"A: ", b"x"),
    "one-long-name": filled(START, b"x", b": y\r\n\r\n"),
    "a-long-name-that-is-none": filled(START, b"x", b"(: y\r\n\r\n"),
    "no-colon": filled(START, b"x"),
    "blanks-before-a-colon": filled(START + b"A", b" ", b": b\r\n\r\n"),
    "blanks-around-a-value": filled(START + b"A:", b" \t", b"x" + b"\t " * 9999 + END),
    "short-fields": filled(START, b"A:\r\n", b"\r\n"),
    "shorter-fields": filled(START, b"A\r\n", b"\r\n"),
    "as-many-short-fields-as-allowed": repeated(b"A:\r\n"),
    "names-never-seen": START + b"".join(b"X-%b-%d:\r\n" % (b"y" * 200, i) for i in range(LINES - 1)) + b"\r\n",
    "folds-of-blanks": filled(START + b"A: b\r\n", b" \r\n", b"\r\n"),
    "folds": filled(START + b"A: b\r\n", b" c\r\n", b"\r\n"),
    "folds-and-fields": filled(START, b"A: b\r\n c\r\n", b"\r\n"),
    "as-many-folds-as-allowed": START + b"A: b\r\n" + b" %b\r\n" % (b"c" * 220) * (LINES - 2) + b"\r\n",
    "folds-of-nothing": filled(START, b" \r\n", b"\r\n"),
    "nul-at-the-end": filled(START + b"A: ", b"x", b"\0\r\n\r\n"),
    "lf-at-the-end": filled(START + b"A: ", b"x", b"\n\r\n\r\n"),
    "cr-at-the-end": filled(START + b"A: ", b"x", b"\rx\r\n\r\n"),
    "lf-behind-tabs": filled(START + b"A: ", b"\t", b"\n\r\n\r\n"),
    "lf-behind-many-lines": filled(START, b"A: " + b"b" * 300 + b"\r\n", b"\n\r\n\r\n"),
    "nothing-but-cr": filled(START, b"\r"),
    "nothing-but-lf": filled(START, b"\n"),
    "nothing-but-nul": filled(START, b"\0"),
    "long-path": in_request_line(b"GET /", b"x"),
    "path-of-slashes": in_request_line(b"GET /", b"/"),
    "path-of-escapes": in_request_line(b"GET /", b"%41"),
    "question-marks": in_request_line(b"GET /", b"?"),
    "fragments": in_request_line(b"GET /", b"#"),
    "absolute-form": in_request_line(b"GET http://", b"a%41"),
    "absolute-form-with-a-fault": in_request_line(b"GET http://", b"a%41", b"[/ HTTP/1.1"),
    "absolute-form-of-colons": in_request_line(b"GET http://[", b":", b"]/ HTTP/1.1"),
    "connect": in_request_line(b"CONNECT ", b"a%41", b":1 HTTP/1.1"),
    "scheme": in_request_line(b"GET ", b"a", b"://a/ HTTP/1.1"),
    "bytes-above-127-in-the-target": in_request_line(b"GET /", b"\xff"),
    "a-byte-above-127-at-the-end": in_request_line(b"GET /", b"x", b"\xff HTTP/1.1"),
    "spaces": in_request_line(b"GET /", b" "),
    "long-method": in_request_line(b"", b"A", b" / HTTP/1.1"),
    "long-method-in-small-letters": in_request_line(b"", b"a", b" / HTTP/1.1"),
    "long-version": in_request_line(b"GET / HTTP/", b"1", b""),
    "folds-in-trailers": CHUNKED + filled(b"0\r\nA: b\r\n", b" \r\n", b"\r\n"),
    "short-trailers": CHUNKED + filled(b"0\r\n", b"A:\r\n", b"\r\n"),
    "as-many-trailers-as-allowed": CHUNKED + b"0\r\n" + b"A: b\r\n" * LINES + b"\r\n",
    "long-trailers": CHUNKED + b"0\r\n" + b"A: %b\r\n" % (b"b" * 240) * LINES + b"\r\n",
    "trailer-of-underscores": CHUNKED + filled(b"0\r\n", b"_", b":\r\n\r\n"),
    "a-fault-behind-trailers": CHUNKED + filled(b"0\r\nA: ", b"x", b"\n\r\n\r\n"),
}

CHUNKS: dict[str, bytes] = {
    "smallest": b"1\r\nx\r\n",
    "sizes-of-sixteen-digits": b"0000000000000001\r\nx\r\n",
    "shortest-extensions": b"1;a\r\nx\r\n",
    "extensions-with-values": b"1;a=b;c=d;e=f\r\nx\r\n",
    "blanks-around-extensions": b"1 \t ; \t a \t = \t b\r\nx\r\n",
    "quoted-extensions": b'1;a="\\b\\c d"\r\nx\r\n',
    "long-extensions": filled(b"1", b";a", b"\r\nx\r\n", size=4000),
    "long-names": filled(b"1;", b"a", b"\r\nx\r\n", size=4000),
    "long-quoted-pairs": filled(b'1;a="', b"\\b", b'"\r\nx\r\n', size=4000),
    "long-blanks": filled(b"1", b" ", b";a\r\nx\r\n", size=4000),
    "long-blanks-and-no-extension": filled(b"1", b" ", b"\r\nx\r\n", size=4000),
    "a-fault-behind-blanks": filled(b"1;a=b;a", b" \t", b"b\r\nx\r\n", size=4000),
    "a-fault-behind-extensions": filled(b"1", b";a=b", b"(\r\nx\r\n", size=4000),
    "a-quote-that-does-not-end": filled(b'1;a="', b"\\b", b"\r\nx\r\n", size=4000),
}


@pytest.fixture(autouse=True)
def _full_name_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache has the ordinary names and no room for others; else the second run of a measurement would cost less."""
    known = {**fields._known_names, **{f"{name.decode()}:": name.decode().lower() for name in ORDINARY_NAMES}}
    assert len(known) >= fields.MAX_REMEMBERED_NAMES
    monkeypatch.setattr(fields, "_known_names", known)


def is_cheap(wire: bytes, step: int, yardstick: bytes, times: float) -> bool:
    """Compare the costs; another program on the machine may disturb one measurement, so try again."""
    for runs in (1, 3, 5, 9, 15):
        if seconds(wire, step, LIMITS, runs=runs) <= times * seconds(yardstick, READ_BYTES, LIMITS, runs=runs):
            return True
    return False


@each_row("step", [READ_BYTES, LARGE_READ_BYTES], ids=["read", "large-read"])
@each_row("wire", [pytest.param(wire, id=name) for name, wire in HEADS.items()])
def test_a_head_costs_no_more_than_three_times_an_ordinary_one(wire: bytes, step: int) -> None:
    assert is_cheap(wire, step, ORDINARY, TIMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_anything_costs_no_more_than_three_times_an_ordinary_head(name: str) -> None:
    start = (GET if name == "Host" else START) + b"%b: " % name.encode()
    costly = [unit for unit in UNITS if not is_cheap(filled(start, unit), READ_BYTES, ORDINARY, TIMES)]
    assert costly == []


@pytest.mark.parametrize("unit", [pytest.param(unit, id=name) for name, unit in CHUNKS.items()])
def test_one_read_of_chunks_costs_no_more_than_three_times_an_ordinary_head(unit: bytes) -> None:
    wire = CHUNKED + unit * (CHUNK_READ_BYTES // len(unit))
    assert is_cheap(wire, len(wire), ORDINARY, TIMES)


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(lambda i: b"X-Name-Never-Seen-%06d: y\r\n" % i, id="names-never-seen"),
        pytest.param(lambda i: b"A:\r\n", id="empty-values"),
        pytest.param(lambda i: b" a\r\n", id="folds"),
        pytest.param(lambda i: b"X_%d: y\r\n" % i, id="underscores"),
        pytest.param(lambda i: b"Connection: close\r\n", id="a-list"),
    ],
)
def test_a_line_costs_no_more_than_eight_ordinary_ones(unit: Callable[[int], bytes]) -> None:
    """As heads of few bytes and many lines: the cost of a line does not hide behind that of its bytes."""
    lines = b"".join(unit(i) for i in range(LINES - 2))
    assert is_cheap(START + b"A: b\r\n" + lines + b"\r\n", LARGE_READ_BYTES, SHORT_ORDINARY, 8)
