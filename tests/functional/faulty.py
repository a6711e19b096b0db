"""A server with calls that fail when a test wants it, a script of requests to it, and what holds whatever has failed.

It has two listeners: the calls on one's connections fail, those on the other's are those of a healthy client.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import errors_in, get, post
from tests.support.client import Client
from tests.support.faults import Faults
from tests.support.faulty_socket import FaultyListener
from tests.support.processes import becomes_true, open_descriptors
from tests.support.servers import running
from waitress_core import BaseWSGIServer
from waitress_core.net.transport import SocketTransport
from waitress_core.reactor.poller import Poller, best_poller

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

needs_faults = pytest.mark.skipif(
    sys.platform == "win32" or not Path("/proc/self/fd").is_dir(), reason="needs os.sendfile, and /proc for descriptors"
)

UPLOAD = bytes(range(256)) * 20
PIECES = [bytes([65 + number]) * 5_000 for number in range(3)]  # each more than the system takes at once
OVERFLOW = 1_000


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
        body = environ["wsgi.input"]  # read in both ways: all of it, and some into a buffer
        whole = body.read()
        body.seek(0)
        start = body.read(10)
        return [start + whole[len(start) :] or b"ok"]


SCRIPT = [
    get(),
    post(f"Content-Length: {len(UPLOAD)}", body=UPLOAD),
    get(target="/pieces"),
    post("Transfer-Encoding: chunked", body=b"%x\r\n" % len(UPLOAD) + UPLOAD + b"\r\n0\r\n\r\n"),
    get(target="/file"),
    get("Connection: close"),
]


def receive(client: Client, size: int) -> bytes:
    """Read so many bytes, or fewer if the connection ends before."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while len(received) < size and (data := client.socket.recv(65536)):
            received += data
    return bytes(received)


@dataclass
class Served:
    """A server with one listener, which is faulty, and what it answers to the script when nothing fails."""

    server: BaseWSGIServer
    faulty: FaultyListener
    healthy: Client
    application: Application
    expected: list[bytes] = field(default_factory=list)
    told: tuple[str, ...] = ()  # beginnings of what the log may have of errors

    def ask(self, *refusals: int) -> int:
        """Send the script to the faulty listener; return how many answers came before the connection ended.

        What came of a further one is its start: no byte is another's, doubled or left out. Or it is a refusal
        with one of these statuses, and the end.
        """
        answered = 0
        try:
            with Client(self.faulty.getsockname()) as client:
                for request, expected in zip(SCRIPT, self.expected, strict=True):
                    client.send(request)
                    received = receive(client, len(expected))
                    if received != expected:
                        if not expected.startswith(received):
                            received += client.rest()
                            assert int(received[9:12]) in refusals, received
                            assert b"\r\nConnection: close\r\n" in received
                        break
                    answered += 1
        except ConnectionError:
            pass
        return answered

    def ask_while_each_fails(self, faults: Faults, call: str, *errors: int, refusals: tuple[int, ...] = ()) -> None:
        """Ask with a fault at the first of these calls, then at the second, and so on, until there are none so many."""
        for at in range(1, 1000):
            faults.arm(call, errors=errors, first=at)
            answered = self.ask(*refusals)
            assert self.holds_no_other()  # the calls of the end fail too
            faults.disarm()
            if not faults.fired:
                assert answered == len(SCRIPT)
                break
            assert self.is_well()
        assert at > 1, f"{call} is not called"

    def is_well(self) -> bool:
        """Whether the healthy client is answered, rightly."""
        return self.healthy.get().body == b"ok" and self.healthy.get("/pieces").body == b"".join(PIECES)

    def holds_no_other(self) -> bool:
        """Whether the server comes to hold no connection but the healthy one, by any of its accounts."""
        return becomes_true(lambda: self.server.stats().connections == 1 and not self.faulty.descriptors)


def faulty_poller(listener: FaultyListener) -> Poller:
    """Make a poller with calls that fail for the connections of a listener."""
    poller = best_poller()

    def failing(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def may_fail(descriptor: int, *interest: int) -> None:
            if descriptor in listener.descriptors:
                listener.faults.before(name)
            call(descriptor, *interest)

        return may_fail

    for name in ("register", "modify", "unregister"):
        setattr(poller, name, failing(name, getattr(poller, name)))
    return poller


@contextlib.contextmanager
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Served]:
    """Serve, and hold afterwards that nothing is left: no thread, descriptor, connection or temporary file."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    file = tmp_path / "file"
    file.write_bytes(b"".join(PIECES))
    application = Application(file)
    with FaultyListener(buffer_bytes=4_096) as faulty, socket.socket() as plain:
        monkeypatch.setattr("waitress_core.net.transport._sendfile", faulty.os_sendfile)
        monkeypatch.setattr("waitress_core.reactor.reactor.best_poller", lambda: faulty_poller(faulty))
        # However quick the client is: what is not taken at once is left to the outbox and the reactor.
        monkeypatch.setattr(SocketTransport, "wait_for_room", lambda transport, seconds: False)
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
                faulty.most_bytes = sys.maxsize
                assert it.is_well()
                assert it.ask() == len(SCRIPT)
                assert it.holds_no_other()
                assert becomes_true(lambda: open_descriptors() <= at_work)
                assert len(application.threads) <= 2
        assert becomes_true(lambda: open_descriptors() <= before)
    assert list(temporary.iterdir()) == []
    # A fixture ends in its own phase, with its own records.
    records = [record for phase in ("call", "teardown") for record in caplog.get_records(phase)]
    assert [text for text in errors_in(records) if not text.startswith(it.told)] == []
