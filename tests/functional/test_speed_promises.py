"""Promises of speed, measured loosely: no busy loop, no wait for a timer, large files as quick as by a plain loop.

What the server really achieves compared with its peers, `make bench` measures. And a promise of the suite itself: that
it may run several times at once.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import get
from tests.project.repository import ROOT
from tests.support.client import Client
from tests.support.platforms import make_fifo
from tests.support.processes import Program, comes_to_rest, needs_fifo, needs_proc, serving_program
from tests.support.servers import spawned_script

# --- no busy loop

APPLICATION = """
def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = [b"ok"]
    if path == "/wait":
        logging.warning("waiting")
        with open("gate") as gate:
            gate.read()
    elif path == "/endless":
        body = endless()
    elif path == "/large":
        body = [b"x" * 10_000_000]
    start_response("200 OK", [])
    return body

def endless():
    logging.warning("endless")
    while True:
        yield b"x" * 10_000
"""
Situation = Callable[[Program, contextlib.ExitStack], None]


def connect(program: Program, stack: contextlib.ExitStack, words: bytes = b"") -> Client:
    client = stack.enter_context(program.client())
    client.send(words)
    return client


def wait_in_application(program: Program, stack: contextlib.ExitStack) -> Client:
    client = connect(program, stack, get(target="/wait"))
    program.process.wait_for_line("waiting")
    return client


@needs_proc
@pytest.mark.parametrize("loop", ["while True: pass", "while True: time.sleep(0.001)"], ids=["spins", "polls"])
def test_a_busy_loop_would_be_noticed(loop: str) -> None:
    with subprocess.Popen([sys.executable, "-S", "-I", "-c", f"import time\n{loop}"]) as process:
        try:
            assert not comes_to_rest(process.pid, 0)
        finally:
            process.kill()


def nothing(program: Program, stack: contextlib.ExitStack) -> None:
    pass


def after_requests(program: Program, stack: contextlib.ExitStack) -> None:
    for _ in range(50):
        assert connect(program, stack).get().body == b"ok"


def connections_that_never_spoke(program: Program, stack: contextlib.ExitStack) -> None:
    for _ in range(50):
        connect(program, stack)


def half_a_request(program: Program, stack: contextlib.ExitStack) -> None:
    for _ in range(20):
        connect(program, stack, b"GET / HTTP/1.1\r\nHost: loc")
        connect(program, stack, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")


def application_that_waits(program: Program, stack: contextlib.ExitStack) -> None:
    wait_in_application(program, stack)
    wait_in_application(program, stack)


def client_that_sends_on_while_the_application_waits(program: Program, stack: contextlib.ExitStack) -> None:
    client = wait_in_application(program, stack)
    client.socket.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        for _ in range(10_000):
            client.send(get() * 100)


def client_that_has_half_closed_while_the_application_waits(program: Program, stack: contextlib.ExitStack) -> None:
    wait_in_application(program, stack).end_output()


def client_that_has_left_while_the_application_waits(program: Program, stack: contextlib.ExitStack) -> None:
    wait_in_application(program, stack).reset()
    wait_in_application(program, stack).close()


def queue_that_is_full(program: Program, stack: contextlib.ExitStack) -> None:
    application_that_waits(program, stack)
    for _ in range(20):
        connect(program, stack, get())


def limit_that_is_reached(program: Program, stack: contextlib.ExitStack) -> None:
    application_that_waits(program, stack)
    for _ in range(58):  # the limit is 60
        connect(program, stack, get())
    for _ in range(12):  # the server does not accept them, so over TLS nobody would shake hands
        waiting = stack.enter_context(socket.create_connection(program.address))
        waiting.sendall(get())


def reader_that_holds_up_its_application(program: Program, stack: contextlib.ExitStack) -> None:
    connect(program, stack, get(target="/endless"))
    program.process.wait_for_line("endless")


def readers_that_do_not_read(program: Program, stack: contextlib.ExitStack) -> None:
    for _ in range(5):
        assert connect(program, stack, get(target="/large")).socket.recv(1)


def refused_client_that_stays(program: Program, stack: contextlib.ExitStack) -> None:
    for _ in range(20):
        assert connect(program, stack, b"nonsense\r\n\r\n").response().status == 400


@needs_proc
@needs_fifo
@pytest.mark.parametrize(
    "situation",
    [
        pytest.param(situation, id=f"S91-{situation.__name__.replace('_', '-')}")
        for situation in (
            nothing,
            after_requests,
            connections_that_never_spoke,
            half_a_request,
            application_that_waits,
            client_that_sends_on_while_the_application_waits,
            client_that_has_half_closed_while_the_application_waits,
            client_that_has_left_while_the_application_waits,
            queue_that_is_full,
            limit_that_is_reached,
            reader_that_holds_up_its_application,
            readers_that_do_not_read,
            refused_client_that_stays,
        )
    ],
)
def test_a_server_that_has_nothing_to_do_does_nothing(situation: Situation, tmp_path: Path) -> None:
    make_fifo(tmp_path / "gate")
    settings: dict[str, Any] = {"threads": 2, "connection_limit": 60, "outbuf_high_watermark": 12_000_000}
    with serving_program(APPLICATION, tmp_path, **settings) as program, contextlib.ExitStack() as stack:
        situation(program, stack)
        assert comes_to_rest(program.id)


@needs_proc
@pytest.mark.parametrize("setting", ["asyncore_loop_timeout", "cleanup_interval"])
def test_a_time_of_zero_makes_no_busy_loop(setting: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {setting: 0}
    with serving_program(APPLICATION, tmp_path, **settings) as program:
        assert comes_to_rest(program.id)


@needs_proc
@needs_fifo
@pytest.mark.promise("S91")
def test_a_server_that_drains_waits_without_doing_anything(tmp_path: Path) -> None:
    make_fifo(tmp_path / "gate")
    with serving_program(APPLICATION, tmp_path) as program, contextlib.ExitStack() as stack:
        wait_in_application(program, stack)
        program.process.signal(signal.SIGTERM)
        program.process.wait_for_line("Stopping")
        assert comes_to_rest(program.id)


# --- no wait for a timer

QUICK = """
import time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.003)
    write = start_response("200 OK", [])
    if path == "/written":
        write(b"a")
        write(b"b")
    if path == "/pieces":
        return iter([b"a", b"b", b"c"])
    return [b"a"]
"""
REQUESTS = 50
QUICKLY_ACKNOWLEDGED = 20  # at the start of a connection Linux acknowledges as many segments at once, and some more
ROW = 10
TIMER_SECONDS = 0.040  # of the shortest timer: TCP delays the acknowledgement of a small segment so long


def is_quick(ask: Callable[[], None]) -> bool:
    """Whether in one row of requests most are answered before the timer could end.

    A busy machine makes many rows slow, but not all; a timer makes each row slow, once all segments may be delayed.
    """
    for _ in range(5):
        taken = []
        for _ in range(REQUESTS):
            started_at = time.monotonic()
            ask()
            taken.append(time.monotonic() - started_at)
        rows = [sum(taken[end - ROW : end]) for end in range(QUICKLY_ACKNOWLEDGED + ROW, REQUESTS + 1)]
        if min(rows) < ROW * TIMER_SECONDS * 0.6:
            return True
    return False


@pytest.mark.promise("S91")
@pytest.mark.parametrize("path", ["/", "/pieces", "/written", "/slow"])
@pytest.mark.parametrize("uses", ["one-connection", "a-connection-each"])
def test_no_request_waits_for_a_timer(path: str, uses: str, tmp_path: Path) -> None:
    """Neither of TCP nor of a thread that looks now and then."""
    with serving_program(QUICK, tmp_path, threads=2) as program, program.client() as client:

        def ask() -> None:
            if uses == "one-connection":
                assert client.get(path).status == 200
            else:
                with program.client() as other:
                    assert other.get(path).status == 200

        assert is_quick(ask)


@pytest.mark.promise("S91")
def test_a_body_that_comes_in_pieces_is_taken_at_once(tmp_path: Path) -> None:
    with serving_program(QUICK, tmp_path) as program, program.client() as client:

        def ask() -> None:
            client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert client.response().status == 100
            client.send(b"ab")
            assert client.response().status == 200

        assert is_quick(ask)


# --- large files

FILE_BYTES = 100_000_000

FILES = """
def application(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open("data", "rb"))
"""
PLAIN = f"""
import logging
import socket
logging.basicConfig(level=logging.INFO)
with socket.create_server(("127.0.0.1", 0)) as listener:
    logging.info("Serving on http://%s:%d", *listener.getsockname())
    while True:
        connection, _ = listener.accept()
        with connection, open("data", "rb") as file:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: {FILE_BYTES}\\r\\n\\r\\n")
            while block := file.read(32768):
                connection.sendall(block)
"""


def download_seconds(address: tuple[str, int]) -> float:
    """Return how long it takes to read the file, and no longer than necessary."""
    room = memoryview(bytearray(1_000_000))
    with Client(address) as client:
        started_at = time.monotonic()
        client.send(get("Connection: close"))
        received = 0
        while size := client.socket.recv_into(room):
            received += size
        assert received > FILE_BYTES
        return time.monotonic() - started_at


@pytest.mark.plain  # the plain loop does not encrypt
@pytest.mark.promise("S91")
def test_a_large_file_is_sent_as_quickly_as_by_a_plain_loop(tmp_path: Path) -> None:
    """Both in turn, and the best of each, for others use the machine too.

    Within a factor: on loopback, unlike on a network, the system's own copy of a file is not the quickest way.
    """
    with open(tmp_path / "data", "wb") as file:
        file.truncate(FILE_BYTES)
    with serving_program(FILES, tmp_path) as program:
        (tmp_path / "plain").mkdir()
        os.link(tmp_path / "data", tmp_path / "plain" / "data")
        with spawned_script(PLAIN, tmp_path / "plain") as plain:
            address = plain.wait_for_address()
            ours, theirs = [], []
            for attempt in range(10):
                theirs.append(download_seconds(address))
                ours.append(download_seconds(program.address))
                if attempt >= 2 and min(ours) < min(theirs) * 2:
                    break
            assert min(ours) < min(theirs) * 3, (ours, theirs)


# --- the suite next to itself

# What opens a listening socket in a test. (`serve` would not return; tests that call it give it their own server.)
OPENERS = {"bind", "create_server", "running", "serving_program", "TcpWSGIServer", "WSGIServer"}
NAMES_A_PORT = re.compile(r":0*[1-9][0-9]*(\s|$)")


def fixed_ports(source: str) -> list[int]:
    """Return the lines with a call that would open a port which the text names."""
    lines = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        given: dict[str, Any] = {
            keyword.arg: keyword.value.value
            for keyword in call.keywords
            if keyword.arg and isinstance(keyword.value, ast.Constant)
        }
        address = call.args[0] if name == "bind" and call.args else None
        bound = address.elts[1] if isinstance(address, ast.Tuple) and len(address.elts) > 1 else None
        if (isinstance(bound, ast.Constant) and bound.value) or (
            name in OPENERS and (int(given.get("port") or 0) or NAMES_A_PORT.search(str(given.get("listen", ""))))
        ):
            lines.append(call.lineno)
    return lines


@pytest.mark.promise("S90")
def test_no_test_opens_a_port_of_a_fixed_number() -> None:
    # Built in two parts, or this file would be one of those it looks for.
    assert fixed_ports("sock.bind(('127.0.0.1', " + "8080))\nrunning(app, listen='[::1]:" + "80')") == [1, 2]
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if (lines := fixed_ports(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.promise("S90")
def test_tests_that_listen_run_twice_at_once(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses=0"]
    runs = [
        subprocess.Popen(
            # In its own folder: pytest tidies up the one that all runs of a user share.
            [*command, f"--basetemp={tmp_path / name}", "tests/functional/test_listening.py"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "other")
    ]
    try:
        for run in runs:
            said, _ = run.communicate(timeout=500)  # PyPy takes minutes on a busy machine
            assert run.returncode == 0, said
            assert " passed" in said
    finally:
        for run in runs:
            if run.poll() is None:
                run.kill()
                run.communicate()
