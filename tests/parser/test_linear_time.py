"""Eight times the bytes take about eight times the time, for any bytes in any cut."""

import platform
from collections.abc import Callable
from functools import partial

import pytest

from tests.parser.helpers import CHUNKED, GET, HOST, processor_seconds, seconds
from waitress_parser import Limits, RequestParser

GENEROUS = Limits(
    max_head_bytes=1 << 30,
    max_request_line_bytes=1 << 30,
    max_fields=1 << 30,
    max_chunk_line_bytes=1 << 30,
    max_chunk_extension_bytes=1 << 30,
)


SHAPES: list[tuple[str, Callable[[int], bytes]]] = [
    ("request-line", lambda n: b"GET /" + b"x" * n),
    ("one-field", lambda n: GET + b"A: " + b"x" * n),
    ("one-name", lambda n: GET + b"x" * n + b": y\r\n\r\n"),
    ("many-fields", lambda n: GET + b"Ab: cd\r\n" * (n // 8) + HOST + b"\r\n"),
    ("many-names", lambda n: GET + b"".join(b"X%06d:\r\n" % i for i in range(n // 10)) + HOST + b"\r\n"),
    ("many-folds", lambda n: GET + HOST + b"A: b\r\n" + b" c\r\n" * (n // 4) + b"\r\n"),
    ("carriage-returns-in-ends", lambda n: GET + HOST + b"A:\r\n" * (n // 4) + b"\r\n"),
    ("blanks", lambda n: GET + HOST + b"A: b" + b" " * n + b"c\r\n\r\n"),
    ("host", lambda n: GET + b"Host: " + b"a%41" * (n // 4) + b"/\r\n\r\n"),
    ("target", lambda n: b"GET http://" + b"a%41" * (n // 4) + b"[ HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("content-length", lambda n: GET + HOST + b"Content-Length: " + b"9" * n + b"\r\n\r\n"),
    ("transfer-encoding", lambda n: GET + HOST + b"Transfer-Encoding: " + b"a," * (n // 2) + b"b\r\n\r\n"),
    ("connection", lambda n: GET + HOST + b"Connection: " + b"a, " * (n // 3) + b"b\r\n\r\n"),
    ("chunk-extension", lambda n: CHUNKED + b"1;" + b"a" * n),
    ("chunk-extensions-and-a-fault", lambda n: CHUNKED + b"1" + b';a=b;c="d"' * (n // 10) + b';"\r\n'),
    ("blanks-around-extensions-and-a-fault", lambda n: CHUNKED + b"1" + b" ; a =\tb" * (n // 9) + b' ;"\r\n'),
    ("blanks-in-an-extension-and-a-fault", lambda n: CHUNKED + b"1;a" + b" \t" * (n // 2) + b"b\r\n"),
    ("blanks-behind-a-size", lambda n: CHUNKED + b"1" + b" " * n + b"\r\n"),
    ("quoted-pairs-and-a-fault", lambda n: CHUNKED + b'1;a="' + b"\\\\x" * (n // 3) + b"\r\n"),
    ("small-chunks", lambda n: CHUNKED + b"1\r\nx\r\n" * (n // 6)),
    ("small-chunks-with-extensions", lambda n: CHUNKED + b"1;a\r\nx\r\n" * (n // 8)),
    ("trailers", lambda n: CHUNKED + b"0\r\n" + b"A: b\r\n" * (n // 6) + b"\r\n"),
    ("trailer", lambda n: CHUNKED + b"0\r\nA: " + b"x" * n),
    ("requests", lambda n: (GET + HOST + b"\r\n") * (n // 35)),
    ("fixed-body", lambda n: b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % n + b"x" * n),
]


@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in SHAPES])
@pytest.mark.parametrize(("step", "size"), [(1, 3_000), (1 << 30, 15_000)], ids=["byte-by-byte", "whole"])
def test_time_is_linear_in_the_bytes(shape: Callable[[int], bytes], step: int, size: int) -> None:
    """Quadratic would be 64 times for eight times the bytes; a little of the time is the same for any size.

    Keep the sizes: beyond 150,000 bytes the memory that a regex takes for repetitions is mapped again each time.
    """
    small, large = shape(size), shape(8 * size)
    for _ in range(5):
        ratio = (seconds(large, step, GENEROUS) + 1e-4) / (seconds(small, step, GENEROUS) + 1e-4)
        if ratio < 24:
            return
    pytest.fail(f"eight times the bytes took {ratio:.0f} times the time")


@pytest.mark.skipif(
    platform.python_implementation() != "CPython",
    reason="elsewhere `del data[:n]` moves the rest of a bytearray; a server holds no more than it has read",
)
def test_undrained_pieces_are_kept_in_linear_time() -> None:
    """The caller receives byte by byte while many requests are held."""

    def run(count: int) -> None:
        parser = RequestParser(GENEROUS)
        request = GET + HOST + b"\r\n"
        parser.receive(request * count)
        for _ in range(count):
            parser.receive(b"G")
            parser.next_event()
            parser.next_event()

    large, small = (processor_seconds(partial(run, count)) for count in (32_000, 4_000))
    assert large < 24 * (small + 1e-3)
