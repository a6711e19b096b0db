"""gevent and eventlet: programs with threads that are greenlets, because they patch the standard library.

Each greenlet that waits by anything but the patched modules stops all of them.
"""

import contextlib
import http.client
import importlib.util
import signal
import ssl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ecosystem.programs.commands import PROGRAMS, httpx_client
from tests.support import certificates
from tests.support.client import TIMEOUT
from tests.support.processes import cpu_seconds, needs_proc
from tests.support.servers import Spawned, spawned

LARGE_BYTES = 3 * 1024 * 1024
SLEEPERS = 9
SLEEP_SECONDS = 0.3
IDLE_SECONDS = 2.0

pytestmark = pytest.mark.ecosystem

CASES = [
    pytest.param("gevent", "{}", "", id="gevent"),
    pytest.param("gevent", "{}", "late", id="gevent-after-the-import"),
    pytest.param("gevent", "{'thread': False}", "", id="gevent-with-real-threads"),
    pytest.param("gevent", "{'queue': False}", "", id="gevent-but-queue"),
    pytest.param("gevent", "{'socket': False}", "", id="gevent-but-socket"),
    pytest.param("eventlet", "{}", "", id="eventlet"),
    pytest.param("eventlet", "{}", "late", id="eventlet-after-the-import"),
]


@contextlib.contextmanager
def serving(kind: str, settings: str, when: str, **served: object) -> Iterator[tuple[Spawned, str]]:
    """Run the program, with more settings of the server; give it and its URL; it must end in order when asked to."""
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f"this environment lacks {kind}: `make test-ecosystem` has it")
    command = [sys.executable, "-W", "ignore", "greenlets.py", kind, settings, *([when] if when else [])]
    with spawned(command, PROGRAMS, {"SERVED": repr(served)}) as server:
        host, port = server.wait_for_address()
        yield server, f"http://{host}:{port}"
        server.signal()
        assert server.wait() == 0 or sys.platform == "win32", server.log
    assert server.output == ["ended"] or sys.platform == "win32"
    assert not [line for line in server.log if "Traceback" in line or "Error" in line], server.log


@pytest.mark.parametrize(("kind", "settings", "when"), CASES)
def test_requests_run_side_by_side_and_the_end_is_clean(kind: str, settings: str, when: str) -> None:
    with serving(kind, settings, when) as (_, url), httpx_client(url, connections=SLEEPERS) as client:
        assert client.get("/").text == "0"
        started_at = time.monotonic()
        with ThreadPoolExecutor(SLEEPERS) as pool:
            answers = list(pool.map(lambda _: client.get("/sleep").text, range(SLEEPERS)))
        assert answers == ["0"] * SLEEPERS
        assert time.monotonic() - started_at < SLEEPERS * SLEEP_SECONDS  # one after the other would take longer
        assert client.get("/large").content == bytes(LARGE_BYTES)
        assert client.put("/", content=bytes(LARGE_BYTES)).text == str(LARGE_BYTES)


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_a_server_on_greenlets_speaks_tls(kind: str) -> None:
    context = ssl.create_default_context(cafile=certificates.authority_file())
    with serving(kind, "{}", "", tls_certificate=certificates.server_file()) as (server, _):
        host, port = server.addresses[0]
        connection = http.client.HTTPSConnection(host, port, context=context, timeout=TIMEOUT)
        connection.request("GET", "/large")
        assert connection.getresponse().read() == bytes(LARGE_BYTES)
        connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_workers_on_greenlets_serve_side_by_side_are_replaced_and_end(kind: str) -> None:
    with serving(kind, "{}", "", workers=2) as (server, url), httpx_client(url, connections=SLEEPERS) as client:
        with ThreadPoolExecutor(SLEEPERS) as pool:
            assert [*pool.map(lambda _: client.get("/sleep").text, range(SLEEPERS))] == ["0"] * SLEEPERS
        server.signal(signal.Signals["SIGHUP"])
        server.wait_for_line("Reloaded: 2 worker")
        assert client.get("/large").content == bytes(LARGE_BYTES)


@needs_proc
@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_a_server_on_greenlets_that_is_idle_costs_next_to_nothing(kind: str) -> None:
    with serving(kind, "{}", "") as (server, url), httpx_client(url) as client:
        assert client.get("/").text == "0"  # its connection stays open
        time.sleep(0.5)
        before = cpu_seconds(server.process.pid)
        time.sleep(IDLE_SECONDS)
        assert cpu_seconds(server.process.pid) - before < IDLE_SECONDS / 10


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_an_end_by_a_signal_lets_requests_in_progress_be_answered(kind: str) -> None:
    with contextlib.ExitStack() as stack:
        with serving(kind, "{}", "") as (server, url):
            client = stack.enter_context(httpx_client(url))
            pool = stack.enter_context(ThreadPoolExecutor(1))
            answer = pool.submit(client.get, "/sleep")
            server.wait_for_line("sleeping")
        assert answer.result().text == "0"
