"""Faults of the system at every call on a client's socket: they cost that client, and leave nothing.

The server has two listeners: the calls on one's connections fail, those on the other's are those of a healthy client.
"""

from __future__ import annotations

import errno
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import SECONDS, errors_in, get, post
from tests.support.client import Client
from tests.support.faulty_socket import Faults, FaultyListener
from tests.support.processes import becomes_true, open_descriptors, serving_program
from tests.support.servers import running
from waitress_core import BaseWSGIServer
from waitress_core.poller import Poller, best_poller

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LEAVING = (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT)
UPLOAD = bytes(range(256)) * 20
PIECES = [bytes([65 + number]) * 5_000 for number in range(3)]  # each more than the system takes at once
OVERFLOW = 1_000

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not Path("/proc/self/fd").is_dir(), reason="needs os.sendfile, and /proc for descriptors"
)


class Application:
    """Answers with its body, with pieces, or with a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.threads: set[threading.Thread] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.threads.add(threading.current_thread())
        start_response("200 OK", [("Date", "some day")])
        if environ["PATH_INFO"] == "/pieces":
            return iter(PIECES)
        if environ["PATH_INFO"] == "/file":
            return environ["wsgi.file_wrapper"](self._file.open("rb"))  # type: ignore[no-any-return]
        return [environ["wsgi.input"].read() or b"ok"]


SCRIPT = [
    get(),
    post(f"Content-Length: {len(UPLOAD)}", body=UPLOAD),
    get(target="/pieces"),
    post("Transfer-Encoding: chunked", body=b"%x\r\n" % len(UPLOAD) + UPLOAD + b"\r\n0\r\n\r\n"),
    get(target="/file"),
    get("Connection: close"),
]


@dataclass
class Served:
    """A server whose one listener is faulty, and what it answers to the script when nothing fails."""

    server: BaseWSGIServer
    faulty: FaultyListener
    healthy: Client
    application: Application
    expected: list[bytes] = field(default_factory=list)
    told: str = "nothing"  # what every error in the log must begin with

    def ask(self) -> int:
        """Send the script to the faulty listener; give how many answers came before the connection ended.

        What came of a further one is its beginning: no octet is another's, doubled or left out.
        """
        answered = 0
        try:
            with Client(self.faulty.getsockname()) as client:
                for request, expected in zip(SCRIPT, self.expected, strict=True):
                    received = bytearray()
                    try:
                        client.send(request)
                        while len(received) < len(expected) and (data := client.socket.recv(65536)):
                            received += data
                    finally:
                        assert expected.startswith(received)
                    if len(received) < len(expected):
                        break
                    answered += 1
        except ConnectionError:
            pass
        return answered

    def is_well(self) -> bool:
        """Whether the healthy client is answered, rightly."""
        return self.healthy.get().body == b"ok" and self.healthy.get("/pieces").body == b"".join(PIECES)

    def holds_no_other(self) -> bool:
        """Whether the server comes to hold no connection but the healthy one, by any of its accounts."""
        return becomes_true(
            lambda: (
                len(self.server.active_channels) == 1
                and len(self.server._map) == 3
                and not self.faulty.faults.descriptors
            )
        )


def faulty_poller(faults: Faults) -> Poller:
    """Make a poller whose calls fail for the connections that have these faults."""
    poller = best_poller()

    def failing(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def may_fail(descriptor: int, *interest: int) -> None:
            if descriptor in faults.descriptors:
                faults.before(name)
            call(descriptor, *interest)

        return may_fail

    for name in ("register", "modify", "unregister"):
        setattr(poller, name, failing(name, getattr(poller, name)))
    return poller


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Served]:
    """Serve, and hold afterwards that nothing is left: no thread, descriptor, connection or temporary file."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    file = tmp_path / "file"
    file.write_bytes(b"".join(PIECES))
    application = Application(file)
    with FaultyListener(buffer_bytes=4_096) as faulty, socket.socket() as plain:
        monkeypatch.setattr("waitress_core.transport._sendfile", faulty.faults.sendfile)
        monkeypatch.setattr("waitress_core.reactor.best_poller", lambda: faulty_poller(faulty.faults))
        plain.bind(("127.0.0.1", 0))
        before = open_descriptors()
        with running(
            application,
            sockets=[faulty, plain],
            threads=2,
            recv_bytes=1000,
            inbuf_overflow=OVERFLOW,
            outbuf_overflow=OVERFLOW,
        ) as server:
            with Client(plain.getsockname()) as healthy:
                it = Served(server.server, faulty, healthy, application)
                with Client(faulty.getsockname()) as client:
                    for request in SCRIPT:
                        client.send(request)
                        it.expected.append(client.response().raw)
                assert it.is_well()
                assert it.holds_no_other()
                at_work = open_descriptors()
                yield it
                faulty.faults.disarm()
                faulty.faults.most_bytes = sys.maxsize
                assert it.is_well()
                assert it.ask() == len(SCRIPT)
                assert it.holds_no_other()
                assert becomes_true(lambda: open_descriptors() <= at_work)
                assert len(application.threads) <= 2
        assert becomes_true(lambda: open_descriptors() <= before)
    assert list(temporary.iterdir()) == []
    assert [text for text in errors_in(caplog.records) if not text.startswith(it.told)] == []


CALLS = ["recv", "recv_into", "send", "sendfile", "setblocking", "setsockopt", "shutdown", "close"]


@pytest.mark.parametrize("error", LEAVING, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", CALLS)
def test_a_fault_at_any_call_costs_one_client(call: str, error: int, served: Served) -> None:
    """At the first call, then at the second, and so on, until there are none so many."""
    faults = served.faulty.faults
    faults.most_bytes = 2_000  # so the reactor too has something to send
    for at in range(1, 1000):
        faults.arm(call, errors=(error,), first=at)
        answered = served.ask()
        assert served.holds_no_other()
        if not faults.fired:
            assert answered == len(SCRIPT)
            break
        faults.disarm()
        assert served.is_well()
    assert at > 1, f"{call} is not called"


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
def test_a_system_that_moves_little_at_a_time_loses_no_octet(most_bytes: int, served: Served) -> None:
    served.faulty.faults.most_bytes = most_bytes
    assert served.ask() == len(SCRIPT)
    assert served.holds_no_other()


@pytest.mark.parametrize("most_bytes", [1, 1000])
def test_a_socket_that_is_full_after_every_call_loses_no_octet(most_bytes: int, served: Served) -> None:
    faults = served.faulty.faults
    faults.most_bytes = most_bytes
    faults.arm("send", "sendfile", "recv", "recv_into", errors=(errno.EAGAIN,), first=1, step=2)
    assert served.ask() == len(SCRIPT)
    assert served.holds_no_other()


def test_a_client_that_has_left_before_it_is_accepted_holds_up_nobody(served: Served) -> None:
    served.faulty.faults.arm("accept", errors=(errno.ECONNABORTED, errno.EPROTO), first=1, step=2)
    for _ in range(20):
        assert served.ask() == len(SCRIPT)


def test_without_descriptors_clients_wait_and_are_answered_once_there_are_some(served: Served) -> None:
    served.faulty.faults.arm("accept", errors=(errno.EMFILE, errno.ENFILE), first=1, step=2)
    served.told = "server accept() threw an exception"
    for _ in range(3):
        assert served.ask() == len(SCRIPT)
        assert served.is_well()


@pytest.mark.parametrize("call", ["register", "modify", "unregister"])
def test_a_fault_of_the_poller_costs_one_client(call: str, served: Served) -> None:
    served.told = "Socket error" if call == "register" else "uncaptured python exception, closing channel"
    faults = served.faulty.faults
    faults.most_bytes = 2_000  # so the reactor too has something to send
    for at in range(1, 1000):
        faults.arm(call, errors=(errno.ENOMEM, errno.ENOSPC), first=at)
        answered = served.ask()
        assert served.holds_no_other()
        if not faults.fired:
            assert answered == len(SCRIPT)
            break
        faults.disarm()
        assert served.is_well()
    assert at > 1, f"{call} is not called"


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
    at_end = "is_over.set(); interrupter.join()"
    with serving_program(INTERRUPTED, tmp_path, at_end, inbuf_overflow=1000, outbuf_overflow=1000) as served:
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
        served.process.signal()
        assert served.process.wait() == 0
        assert not [line for line in served.process.log if "INFO" not in line]
