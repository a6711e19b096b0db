"""A server in the background of a program: started, found by its URL, shut down in order."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from tests.functional.applications import Held
from tests.support.client import Client
from tests.support.faults import NO_THREAD, leave_threads
from tests.support.processes import becomes_true
from tests.support.servers import running, spawned_script, waitress_threads
from tests.support.times import shorten_end
from waitress_core import BaseWSGIServer, create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECONDS = 20.0  # of a wait for what comes at once


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


def read(url: str) -> bytes:
    with urlopen(url, timeout=SECONDS) as response:
        body = response.read()
    assert isinstance(body, bytes)
    return body


def address_of(server: BaseWSGIServer) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def in_thread(call: Any, *arguments: Any) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_a_server_serves_within_its_context_and_leaves_nothing() -> None:
    assert waitress_threads() == set()
    with create_server(hello, listen="127.0.0.1:0") as server:
        assert read(server.url + "/here") == b"/here"
        assert "waitress-run" in {thread.name for thread in waitress_threads()}
        address = address_of(server)
    assert becomes_true(lambda: not waitress_threads())
    with pytest.raises(OSError):
        socket.create_connection(address, 1)


def test_a_context_that_is_left_by_an_error_ends_the_server_and_lets_the_error_pass() -> None:
    with pytest.raises(KeyError), create_server(hello, listen="127.0.0.1:0") as server:
        raise KeyError
    with pytest.raises(RuntimeError, match="has ended"):
        server.start()


def test_started_it_serves_until_it_is_shut_down() -> None:
    server = create_server(hello, listen="127.0.0.1:0")
    server.start()
    assert read(server.url + "/") == b"/"
    server.shutdown()
    assert becomes_true(lambda: not waitress_threads())
    assert server.stats().connections == 0


@pytest.mark.parametrize("method", ["run", "start", "__enter__"])
def test_starting_again_is_a_clear_error(method: str) -> None:
    server = create_server(hello, listen="127.0.0.1:0")
    server.start()
    with pytest.raises(RuntimeError, match="this server is serving already: create_server makes another one"):
        getattr(server, method)()
    assert read(server.url + "/still") == b"/still"
    server.close()
    with pytest.raises(RuntimeError, match="this server has ended: create_server makes another one"):
        getattr(server, method)()


def test_a_server_that_was_closed_before_it_was_started_serves_nobody() -> None:
    server = create_server(hello, listen="127.0.0.1:0")
    server.close()
    server.start()
    server.close()
    assert becomes_true(lambda: not waitress_threads())


@pytest.mark.parametrize("end", ["close", "shutdown"])
def test_ending_what_never_ran_frees_the_address(end: str) -> None:
    server = create_server(hello, listen="127.0.0.1:0")
    host, port = address_of(server)
    getattr(server, end)()
    getattr(server, end)()
    create_server(hello, listen=f"{host}:{port}").close()


@pytest.mark.parametrize("threads_before_it", range(4))
def test_a_start_without_a_thread_left_leaves_nothing(threads_before_it: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server = create_server(hello, listen="127.0.0.1:0", threads=1)
    address = address_of(server)
    started = leave_threads(monkeypatch, threads_before_it)
    with pytest.raises(RuntimeError, match=NO_THREAD):
        server.start()
    monkeypatch.undo()
    assert len(started) == threads_before_it  # one that works, the standby, the watchdog: the fourth waits
    assert becomes_true(lambda: not waitress_threads())
    with pytest.raises(OSError):
        socket.create_connection(address, 1)


# --- the URL


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:0", r"http://127\.0\.0\.1:\d+"),
        ("0.0.0.0:0", r"http://127\.0\.0\.1:\d+"),
        ("[::1]:0", r"http://\[::1\]:\d+"),
        ("[::]:0", r"http://\[::1\]:\d+"),
    ],
)
def test_the_url_is_one_to_connect_to(listen: str, expected: str) -> None:
    if "[" in listen:
        with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
            expected += "$"
        if not expected.endswith("$"):
            pytest.skip("this system has no IPv6")
    with create_server(hello, listen=listen) as server:
        assert re.fullmatch(expected, server.url)
        assert server.urls == [f"http://{listen[:-1]}{address_of(server)[1]}"]
        assert read(server.url + "/x") == b"/x"


def test_each_listener_has_a_url() -> None:
    with create_server(hello, listen="127.0.0.1:0 127.0.0.1:0") as server:
        first, second = server.urls
        assert server.url == first
        assert [read(url + "/x") for url in (first, second)] == [b"/x", b"/x"]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
def test_the_url_of_a_unix_socket_names_its_path() -> None:
    with tempfile.TemporaryDirectory(prefix="w") as folder:  # short: the path of a unix socket must be
        path = f"{folder}/socket"
        with create_server(hello, unix_socket=path) as server:
            assert server.url == f"http://unix:{path}"
        assert os.listdir(folder) == []


# --- shutdown


def test_shutdown_answers_what_runs_and_returns_when_all_has_ended() -> None:
    held = Held()
    server = create_server(held, listen="127.0.0.1:0")
    server.start()
    with Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.entered.wait(SECONDS)
        with in_thread(server.shutdown) as first, in_thread(server.shutdown, 100) as second:
            first.join(0.1)
            assert first.is_alive()
            assert second.is_alive()
            held.released.set()
            response = client.response()
            assert response.body == b"ok"
            assert response.header("Connection") == "close"
            assert client.rest() == b""
            client.close()
    server.shutdown()
    assert becomes_true(lambda: not waitress_threads())


def test_the_shortest_time_of_several_shutdowns_holds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shorten_end(monkeypatch)
    held = Held()
    server = create_server(held, listen="127.0.0.1:0")
    server.start()
    with Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.entered.wait(SECONDS)
        with in_thread(server.shutdown, 1000):
            server.shutdown(0)
            held.released.set()
        assert client.rest() == b""
    assert re.match(r"1 connection\(s\) cut off, not done in time: <Connection .* TASK>", caplog.messages[0])


def test_close_ends_a_shutdown() -> None:
    held = Held()
    server = create_server(held, listen="127.0.0.1:0")
    server.start()
    with Client(address_of(server)) as idle, Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.entered.wait(SECONDS)
        with in_thread(server.shutdown, 1000), in_thread(server.close):
            assert idle.rest() == b""
            held.released.set()
            assert client.response().body == b"ok"


def test_shutdown_from_an_application_does_not_wait_for_itself() -> None:
    ending: list[Any] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ending[0].shutdown()
        return hello(environ, start_response)

    with running(application) as server:
        ending.append(server.server)
        with server.client() as client:
            assert client.get("/last").body == b"/last"
            assert client.rest() == b""


def test_with_a_delay_new_clients_are_still_answered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    server = create_server(hello, listen="127.0.0.1:0", shutdown_delay=1)
    server.start()
    with in_thread(server.shutdown):
        while not caplog.messages:  # the line that reports the start
            with Client(address_of(server)) as client:
                client.get()
        with Client(address_of(server)) as client:
            response = client.get("/late")
            assert response.body == b"/late"
            assert response.header("Connection") == "close"
    with pytest.raises(OSError):
        socket.create_connection(address_of(server), 1)


PROGRAM = """
import signal, sys, threading
from waitress_core import create_server

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]

server = create_server(application, listen="127.0.0.1:0")
server.start()
print("Serving on", server.url, file=sys.stderr, flush=True)
"""


def test_the_end_of_the_program_is_the_end_of_its_server(tmp_path: Path) -> None:
    """The background does not keep the process alive, nor is anything written about its end."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM, encoding="utf-8")
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"Serving on http://127.0.0.1:\d+\n", ended.stderr)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_signals_are_the_programs_in_the_background_and_after_a_run(tmp_path: Path) -> None:
    # What they are before depends on who runs the tests: nohup has SIGHUP ignored.
    looked_at = """
import signal
def handlers():
    names = "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"
    return [signal.getsignal(getattr(signal, name)) for name in names]
before = handlers()
"""
    kept = """
print(handlers() == before, flush=True)
other = create_server(application, listen="127.0.0.1:0")
threading.Timer(0.1, other.shutdown).start()
other.run()
print(handlers() == before, flush=True)
"""
    with spawned_script(looked_at + PROGRAM + kept, tmp_path) as process:
        assert process.wait() == 0
        assert process.output == ["True", "True"]
