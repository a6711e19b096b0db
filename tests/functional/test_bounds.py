"""What one connection may make the server hold: clients drive past each bound, and the process's memory is read.

Each bound is a setting or a named constant; `docs/explanation/security.md` has the table.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.applications import get, post
from tests.support.client import Client
from tests.support.processes import Program, needs_proc, peak_bytes, resident_bytes, serving_program

KIB, MIB = 1 << 10, 1 << 20
CLIENTS = 20
SENT_BYTES = 8 * MIB  # by each client, if the server lets it: without a bound all of it would be held
# What else the server needs for twenty connections, and what an allocator keeps: far below 20 times what is sent.
SLACK_BYTES = 40 * MIB

APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/large":
        return [b"x" * 10_000]
    return [b"%d" % len(environ["wsgi.input"].read())]
"""

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = "Transfer-Encoding: chunked"

# What is sent first, what is sent again and again, how it is answered, and how much of it may be held.
Case = tuple[bytes, bytes, int, int]
BOUNDS: dict[str, Case] = {
    "request-line": (b"GET /", b"a" * 1000, 414, 64 * KIB),
    "field-line": (HEAD + b"X: ", b"a" * 1000, 431, 256 * KIB),
    "field-name": (HEAD, b"X" * 1000, 431, 256 * KIB),
    "fields": (HEAD, b"X: y\r\n" * 100, 431, 256 * KIB),
    "fields-of-many-names": (HEAD, b"".join(b"X%03d: y\r\n" % number for number in range(1000)), 431, 256 * KIB),
    "folds": (HEAD + b"X: y\r\n", b" y\r\n" * 100, 431, 256 * KIB),
    "chunk-line": (post(CHUNKED), b"0" * 1000, 400, 4 * KIB),
    "chunk-extension": (post(CHUNKED, body=b"1"), b";a=b" * 100, 400, 4 * KIB),
    "chunk-extensions": (post(CHUNKED), b"1;a=bbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\na\r\n" * 100, 400, 16 * KIB),
    "trailer": (post(CHUNKED, body=b"0\r\nX: "), b"a" * 1000, 431, 256 * KIB),
    "trailers": (post(CHUNKED, body=b"0\r\n"), b"X: y\r\n" * 100, 431, 256 * KIB),
    "chunked-body": (post(CHUNKED), b"400\r\n" + b"a" * 1024 + b"\r\n", 413, 512 * KIB),
    "body": (post(f"Content-Length: {4 * MIB + 1}"), b"a" * 1000, 413, 512 * KIB),
    "empty-lines": (b"", b"\r\n" * 100, 400, 8 * KIB),
}


def pieces(again: bytes) -> Iterator[bytes]:
    """Return SENT_BYTES, some 16 KiB at a time."""
    piece = again * (16 * KIB // len(again) + 1)
    return itertools.repeat(piece, SENT_BYTES // len(piece))


def send_side_by_side(clients: list[Client], again: bytes, patience: float = 20) -> int:
    """Have all send as long as the server takes it within `patience`; return how much was sent."""
    sent = 0
    sending = {client: pieces(again) for client in clients}
    for client in clients:
        client.socket.settimeout(patience)
    while sending:
        for client, left in [*sending.items()]:
            for piece in itertools.islice(left, 16):
                try:
                    client.send(piece)
                    sent += len(piece)
                except OSError:  # refused, or not taken
                    del sending[client]
                    break
            else:
                if next(left, None) is None:
                    del sending[client]
    for client in clients:
        client.socket.settimeout(20)
    return sent


@contextlib.contextmanager
def twenty_clients(served: Program, first: bytes) -> Iterator[list[Client]]:
    """Connect, and say this first; afterwards the server is to be as well as before."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(served.client()) for _ in range(CLIENTS)]
        for client in clients:
            client.send(first)
        yield clients
    with served.client() as client:
        assert client.get().status == 200


@contextlib.contextmanager
def holding_at_most(served: Program, size: int) -> Iterator[None]:
    """Check that the process's memory grows by no more than so much for each client, nor did for a moment."""
    with served.client() as client:
        client.get()
    before = resident_bytes(served.id)
    yield
    assert peak_bytes(served.id) - before < CLIENTS * size + SLACK_BYTES


@needs_proc
@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in BOUNDS.items()])
def test_a_request_beyond_a_bound_is_refused_and_not_held(case: Case, tmp_path: Path) -> None:
    first, again, status, bound = case
    with (
        serving_program(APPLICATION, tmp_path, max_request_body_size=4 * MIB) as served,
        holding_at_most(served, bound),
    ):
        with twenty_clients(served, first) as clients:
            send_side_by_side(clients, again)
            for client in clients:
                assert client.response().status == status


@needs_proc
@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param(post(f"Content-Length: {2 * SENT_BYTES}"), b"a", id="of-a-length"),
        pytest.param(post(CHUNKED), b"1000\r\n" + b"a" * 0x1000 + b"\r\n", id="chunked"),
    ],
)
def test_a_body_on_its_way_is_held_in_a_file(first: bytes, again: bytes, tmp_path: Path) -> None:
    """`inbuf_overflow` of each is in memory at most."""
    with serving_program(APPLICATION, tmp_path) as served, holding_at_most(served, 512 * KIB):
        with twenty_clients(served, first) as clients:
            assert send_side_by_side(clients, again) > 0.9 * CLIENTS * SENT_BYTES
            for client in clients[:3]:  # the bodies have been taken, and the answer comes when all of them is there
                client.end_output()
                assert client.response().status == 400


@needs_proc
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="one-after-the-other"),
        # Bodies are read in large pieces: what comes behind one may be in the same piece.
        pytest.param(post("Content-Length: 200000", body=b"a" * 199_999), id="behind-a-body"),
        pytest.param(post(CHUNKED, body=b"1"), id="behind-chunks"),
    ],
)
def test_pipelined_requests_stay_with_a_client_that_does_not_read(first: bytes, tmp_path: Path) -> None:
    """The server holds what it has read ahead, and one pending response."""
    with (
        serving_program(APPLICATION, tmp_path, outbuf_overflow=256 * KIB) as served,
        holding_at_most(served, 512 * KIB),
    ):
        with twenty_clients(served, first) as clients:
            if first:
                for client in clients:
                    client.send(b"a" if b"Length" in first else b"\r\na\r\n0\r\n\r\n")
            send_side_by_side(clients, get(f"X: {'x' * 1000}", target="/large"), patience=0.05)


BUSY = """
import sys, time

def application(environ, start_response):
    print("busy", file=sys.stderr)
    time.sleep(600)
"""


@needs_proc
def test_the_access_log_of_refused_requests_is_bounded_while_no_thread_writes_it(tmp_path: Path) -> None:
    """MAX_WAITING_BYTES of lines wait."""
    with (
        serving_program(BUSY, tmp_path, threads=1, access_log=True, shutdown_timeout=0) as served,
        served.client() as busy,
    ):
        busy.send(get())
        served.process.wait_for_line("busy")
        before = resident_bytes(served.id)
        refused = post(CHUNKED, f"Referer: {'r' * 200 * KIB}", body=b"nonsense\r\n")
        for _ in range(500):
            with served.client() as client:
                client.send(refused)
                assert client.response().status == 400
        assert peak_bytes(served.id) - before < SLACK_BYTES


@needs_proc
def test_what_a_refused_client_sends_on_is_dropped(tmp_path: Path) -> None:
    """LINGER_BYTES of it are read, for `linger_timeout`, so that the client can read why."""
    with serving_program(APPLICATION, tmp_path) as served, holding_at_most(served, 64 * KIB):
        with twenty_clients(served, b"nonsense\r\n\r\n") as clients:
            assert send_side_by_side(clients, b"a") < CLIENTS * SENT_BYTES
            for client in clients:
                assert client.response().status == 400
