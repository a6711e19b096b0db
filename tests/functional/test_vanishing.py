"""Clients that vanish: in each state that a connection can be in, and ten thousand one after the other.

What the server makes of the requests of such clients is in test_hostile.
"""

from __future__ import annotations

import platform
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.functional.applications import SECONDS, errors_in, get, post, set_at_end
from tests.support.client import Client
from tests.support.processes import (
    becomes_true,
    needs_proc,
    open_descriptors,
    resident_bytes,
    serving_program,
    thread_count,
)
from tests.support.servers import running
from waitress_core.connection.states import STATE_NAMES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGE = 20_000_000  # more than the system takes without a reader

# What a client has sent when it vanishes, and the phase of its connection then.
STATES: dict[str, tuple[str, bytes]] = {
    "connected": ("idle", b""),
    "answered": ("idle", get()),
    "within-the-head": ("head", b"GET / HTTP/1.1\r\nHost: loc"),
    "within-the-body": ("body", post("Content-Length: 100") + b"half"),
    "within-a-body-in-a-file": ("body", post("Content-Length: 100000", body=bytes(50_000))),
    "within-a-chunk": ("body", post("Transfer-Encoding: chunked") + b"ffff\r\n" + bytes(50_000)),
    "while-the-application-runs": ("task", get(target="/wait")),
    "while-the-application-runs-and-more-is-read-ahead": ("task", get(target="/wait") + get() * 3),
    "while-the-application-waits-for-it": ("task", get(target="/endless")),
    "before-the-rest-of-a-response": ("flush", get(target="/large")),
    "before-the-rest-of-a-response-and-more-is-read-ahead": ("flush", get(target="/large") + get() * 3),
    "before-the-rest-of-a-file": ("flush", get(target="/file")),
    "refused": ("linger", b"nonsense\r\n\r\n"),
}


class Application:
    """Answers at once, or after `may_end`, or with more than the client reads; keeps the files it has opened."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.may_end = threading.Event()
        self.files: list[IO[bytes]] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        start_response("200 OK", [])
        if path == "/wait":
            self.may_end.wait(SECONDS)
        elif path == "/large":
            return [bytes(LARGE)]
        elif path == "/endless":
            return iter(lambda: bytes(100_000), b"")
        elif path == "/file":
            self.files.append(self._file.open("rb"))
            return environ["wsgi.file_wrapper"](self.files[-1])  # type: ignore[no-any-return]
        return [b"ok"]


def test_there_is_a_client_that_vanishes_for_every_state() -> None:
    assert {state for state, _ in STATES.values()} == set(STATE_NAMES) - {"handshake"}  # see test_tls


@needs_proc
@pytest.mark.parametrize("vanish", [Client.reset, Client.close], ids=["reset", "close"])
@pytest.mark.parametrize(("state", "words"), STATES.values(), ids=STATES)
def test_a_client_that_vanishes_in_any_state_leaves_nothing(
    state: str,
    words: bytes,
    vanish: Callable[[Client], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "file").write_bytes(bytes(LARGE))
    application = Application(tmp_path / "file")
    settings = {"inbuf_overflow": 1000, "outbuf_overflow": 1000, "outbuf_high_watermark": LARGE + 1000}
    if words == get(target="/endless"):
        settings["outbuf_high_watermark"] = 1_000_000
    with running(application, threads=3, **settings) as server, set_at_end(application.may_end):

        def states() -> dict[str, int]:
            counts = server.server.stats().connections_by_state
            return {state: count for state, count in counts.items() if count}

        with server.client() as healthy:
            assert healthy.get().body == b"ok"
            before = open_descriptors()
            clients = [server.client() for _ in range(3)]
            for client in clients:
                client.send(words)
            if words == get():
                for client in clients:
                    client.response()
            assert becomes_true(lambda: states() == Counter(["idle", state, state, state]))
            for client in clients:
                vanish(client)
            if state != "task" or words == get(target="/endless"):
                assert becomes_true(lambda: states() == {"idle": 1})
            application.may_end.set()
            assert becomes_true(lambda: states() == {"idle": 1})
            assert healthy.get().body == b"ok"
            assert becomes_true(lambda: open_descriptors() <= before)
            assert all(file.closed for file in application.files)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert errors_in(caplog.records) == []


PROGRAM = """
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/large":
        return (b"x" * 100_000 for _ in range(100))
    return [b"ok"]
"""


@pytest.mark.plain  # as many handshakes take minutes
@needs_proc
def test_ten_thousand_connections_opened_and_reset_leave_nothing(tmp_path: Path) -> None:
    said = [b"", b"", get(), get()[:10], post("Content-Length: 10000", body=bytes(5000)), get(target="/large")]
    with serving_program(PROGRAM, tmp_path, inbuf_overflow=1000, connection_limit=1000) as served:

        def open_and_reset(count: int) -> None:
            for number in range(count):
                client = served.client()
                client.send(said[number % len(said)])
                client.reset()

        with served.client() as healthy:
            open_and_reset(500)  # half the limit: a slow machine may be behind with their ends
            assert healthy.get().body == b"ok"
            before = open_descriptors(served.id)
            threads = thread_count(served.id)
            memory = resident_bytes(served.id)
            for _ in range(19):
                open_and_reset(500)
                assert healthy.get().body == b"ok"
            assert becomes_true(lambda: open_descriptors(served.id) <= before)
            assert thread_count(served.id) == threads
            if platform.python_implementation() == "CPython":  # PyPy gives memory back when it likes
                assert resident_bytes(served.id) - memory < 10_000_000
        served.process.signal()
        assert served.process.wait() == 0
        assert [line for line in served.process.log if not line.startswith(("INFO:", "WARNING:waitress.queue:"))] == []
