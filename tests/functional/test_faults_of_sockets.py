"""Faults of the system at every call on a client's socket: they cost that client, and leave nothing."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.applications import SECONDS, post
from tests.functional.faulty import SCRIPT, Served, needs_faults, serving
from tests.support.processes import becomes_true, open_descriptors, serving_program

LEAVING = (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT)
CALLS = ["recv", "recv_into", "send", "sendfile", "setblocking", "setsockopt", "shutdown", "close"]

pytestmark = needs_faults


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Served]:
    with serving(tmp_path, monkeypatch, caplog) as it:
        yield it


@pytest.mark.parametrize("error", LEAVING, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_at_any_call_costs_one_client(call: str, error: int, served: Served) -> None:
    served.faulty.most_bytes = 2_000  # so the reactor too has something to send
    served.ask_while_each_fails(served.faulty.faults, call, error)


@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("calls", [*([call] for call in CALLS), CALLS], ids=[*CALLS, "all"])
def test_faults_under_load_cost_no_other_client(calls: list[str], step: int, served: Served) -> None:
    """Of several clients at once, with a fault at every so many calls."""
    faults = served.faulty.faults
    faults.arm(*calls, errors=LEAVING, first=step, step=step)
    clients = [threading.Thread(target=lambda: [served.ask() for _ in range(5)]) for _ in range(6)]
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        assert served.is_well()
    for client in clients:
        client.join(SECONDS)
    assert faults.fired


@pytest.mark.parametrize("most_bytes", [1, 1000])
def test_a_system_that_moves_little_at_a_time_loses_no_byte(most_bytes: int, served: Served) -> None:
    served.faulty.most_bytes = most_bytes
    assert served.ask() == len(SCRIPT)
    assert served.holds_no_other()


@pytest.mark.parametrize("most_bytes", [1, 1000])
def test_a_socket_that_is_full_after_every_call_loses_no_byte(most_bytes: int, served: Served) -> None:
    faults = served.faulty.faults
    served.faulty.most_bytes = most_bytes
    faults.arm("send", "sendfile", "recv", "recv_into", errors=(errno.EAGAIN,), first=1, step=2)
    assert served.ask() == len(SCRIPT)
    assert served.holds_no_other()


def test_a_client_that_has_left_before_it_is_accepted_holds_up_nobody(served: Served) -> None:
    served.faulty.faults.arm("accept", errors=(errno.ECONNABORTED, errno.EPROTO), first=1, step=2)
    for _ in range(20):
        assert served.ask() == len(SCRIPT)


# accept(2) of Linux: treat them like EAGAIN by retrying. And what others report of a client that has been reset.
PASSED_ON = ["ENETDOWN", "EPROTO", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH"]
PASSED_ON += ["ECONNRESET", "ECONNABORTED", "ENOTCONN", "ETIMEDOUT", "EPERM"]


@pytest.mark.parametrize("name", PASSED_ON)
def test_many_clients_that_cannot_be_accepted_hold_up_nobody(name: str, served: Served) -> None:
    served.faulty.faults.arm("accept", errors=(getattr(errno, name, errno.EPROTO),), first=1, step=2)
    started_at = time.monotonic()
    for _ in range(20):
        with socket.create_connection(served.faulty.getsockname(), 20) as client:
            client.sendall(b"nonsense\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.0 400 ")
    assert time.monotonic() - started_at < 10, "accepting pauses, for a second each time"


def test_without_descriptors_clients_wait_and_are_answered_once_there_are_some(served: Served) -> None:
    served.faulty.faults.arm("accept", errors=(errno.EMFILE, errno.ENFILE), first=1, step=2)
    served.told = ("server accept() threw an exception",)
    for _ in range(3):
        assert served.ask() == len(SCRIPT)
        assert served.is_well()


@pytest.mark.parametrize("call", ["register", "modify", "unregister"])
def test_a_fault_of_the_poller_costs_one_client(call: str, served: Served) -> None:
    served.told = ("Socket error", "uncaptured python exception, closing channel")
    served.faulty.most_bytes = 2_000
    served.ask_while_each_fails(served.faulty.faults, call, errno.ENOMEM, errno.ENOSPC)


INTERRUPTED = """
import signal
import threading

signal.signal(signal.SIGUSR1, lambda number, frame: None)
is_over = threading.Event()

def interrupt():
    while not is_over.wait(0.0005):
        for thread in threading.enumerate():
            if thread is not interrupter:
                signal.pthread_kill(thread.ident, signal.SIGUSR1)

interrupter = threading.Thread(target=interrupt)

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/interrupt":
        interrupter.start()
    elif path == "/rest":  # no signal may go to a thread that has ended
        is_over.set()
        interrupter.join()
    start_response("200 OK", [])
    if path == "/pieces":
        return (b"x" * 1000 for _ in range(1000))
    if path == "/file":
        return environ["wsgi.file_wrapper"](open("data", "rb"))
    return [environ["wsgi.input"].read()]
"""


def test_calls_that_signals_interrupt_are_made_again(tmp_path: Path) -> None:
    """EINTR: each thread of the server gets a signal again and again."""
    body = bytes(1_000_000)
    (tmp_path / "data").write_bytes(body)
    upload = post(f"Content-Length: {len(body)}", body=body)
    at_end = "is_over.set()"
    with serving_program(
        INTERRUPTED, tmp_path, at_end, inbuf_overflow=1000, outbuf_overflow=1000, queue_warning_seconds=60
    ) as served:
        with served.client() as client:
            for path in ("/file", "/interrupt"):
                assert client.get(path).status == 200
            before = open_descriptors(served.id)
            for _ in range(30):
                assert client.get("/pieces").body == b"x" * 1_000_000
                assert client.get("/file").body == body
                client.send(upload)
                assert client.response().body == body
            assert becomes_true(lambda: open_descriptors(served.id) <= before)
            assert client.get("/rest").status == 200
        served.process.signal()
        assert served.process.wait() == 0
        assert not [line for line in served.process.log if "INFO" not in line]
