"""A server that is held up, by an application that keeps the interpreter or by a signal: no client pays for that.

What has arrived in time is read before a deadline ends its connection.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import get, post
from tests.support.certificates import client_context, server_file
from tests.support.client import TIMEOUT, Client
from tests.support.platforms import signal_number
from tests.support.processes import Program, serving_program

CLIENTS = 10  # all of them connect within the deadlines, also over TLS on a busy machine
HELD_SECONDS = 1.5  # longer than all deadlines

APPLICATION = f"""
import ctypes, sys

def keep_the_interpreter(milliseconds):
    # By PyDLL, which, unlike CDLL, does not let other threads run
    if sys.platform == "win32":
        ctypes.PyDLL("kernel32").Sleep(milliseconds)
    else:
        ctypes.PyDLL(None).usleep(1000 * milliseconds)

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/hold":
        sys.stderr.write("holds\\n")
        keep_the_interpreter({1000 * HELD_SECONDS:.0f})
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
SETTINGS: dict[str, Any] = {
    "channel_timeout": 1,
    "request_head_timeout": 1,
    "request_body_timeout": 1,
    "linger_timeout": 1,
    "response_timeout": 1,
}

# What a client sends before the server is held up, and what it sends then.
REQUESTS = {
    "idle": (b"", get()),
    "head": (get()[:10], get()[10:]),
    "large-head": (get()[:10], get(f"X: {'a' * 60_000}")[10:]),
    "body": (post("Content-Length: 100000"), bytes(100_000)),
    "chunked-body": (post("Transfer-Encoding: chunked"), b"c350\r\n" + bytes(50_000) + b"\r\n0\r\n\r\n"),
}

needs_stop = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSTOP")


def stop(served: Program) -> None:
    """Stop a process, and wait until it has stopped."""
    if sys.platform != "win32":
        served.process.signal(signal_number("SIGSTOP"))
        os.waitpid(served.id, os.WUNTRACED)


@pytest.mark.parametrize("manner", ["interpreter", pytest.param("signal", marks=needs_stop)])
@pytest.mark.parametrize("state", REQUESTS)
def test_requests_that_come_while_the_server_is_held_up_are_answered(state: str, manner: str, tmp_path: Path) -> None:
    first, rest = REQUESTS[state]
    with serving_program(APPLICATION, tmp_path, **SETTINGS) as served, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(served.client()) for _ in range(CLIENTS)]
        for client in clients:
            assert client.get().status == 200
            client.send(first)
        holder = stack.enter_context(served.client())
        if manner == "signal":
            stop(served)
        else:
            holder.send(get(target="/hold"))
            served.process.wait_for_line("holds")
        for client in clients:
            client.send(rest)
        if manner == "signal":
            time.sleep(HELD_SECONDS)
            served.process.signal(signal_number("SIGCONT"))
        assert [client.response().status for client in clients] == [200] * CLIENTS


@needs_stop
def test_tls_handshakes_that_start_while_the_server_is_held_up_are_completed(tmp_path: Path) -> None:
    settings = {**SETTINGS, "tls_handshake_timeout": 1, "tls_certificate": server_file()}
    with serving_program(APPLICATION, tmp_path, **settings) as served, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(served.address, TIMEOUT)) for _ in range(CLIENTS)]
        pool = stack.enter_context(ThreadPoolExecutor(CLIENTS))
        stop(served)
        handshakes = [pool.submit(client_context().wrap_socket, one, server_hostname="localhost") for one in sockets]
        time.sleep(HELD_SECONDS)
        served.process.signal(signal_number("SIGCONT"))
        for handshake in handshakes:
            with handshake.result() as client:
                client.sendall(get())
                assert client.recv(15) == b"HTTP/1.1 200 OK"


@needs_stop
def test_a_client_that_reads_slowly_is_not_reset_because_the_server_was_held_up(tmp_path: Path) -> None:
    source = APPLICATION.replace('[b"ok"]', "(bytes(1_000_000) for _ in range(20))").replace(
        '[("Content-Length", "2")]', "[]"
    )
    # Longer deadlines than those of the others: on a busy machine it may be the client that is held up.
    deadlines = {"channel_timeout": 4, "response_timeout": 4}
    rates = {"response_rate": 1, "blocked_response_rate": 500_000}
    settings = {**SETTINGS, **deadlines, **rates, "outbuf_high_watermark": 1_000_000}
    with serving_program(source, tmp_path, **settings) as served, served.client() as client:
        client.send(get("Connection: close"))
        assert client.socket.recv(1, socket.MSG_PEEK)
        stop(served)
        time.sleep(4 * HELD_SECONDS)
        served.process.signal(signal_number("SIGCONT"))
        assert len(body_of(client)) == 20_000_000


def body_of(client: Client) -> bytes:
    return client.response().body
