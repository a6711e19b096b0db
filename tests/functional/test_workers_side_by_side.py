"""Several workers in one process, for free-threaded interpreters: only their speed depends on that."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.servers import running
from waitress import create_server
from waitress_core.config import adjustments
from waitress_core.lifecycle.run import ServerRun
from waitress_core.threads.pool import CannotStartThread


@pytest.fixture(autouse=True)
def no_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have settings take the interpreter for one without the GIL."""
    monkeypatch.setattr(adjustments, "_is_gil_enabled", lambda: False)


class Application:
    """Answers with the name of its thread; `/wait` waits for `gate`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.waiting = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            self.waiting.release()
            assert self.gate.wait(20)
        start_response("200 OK", [])
        return [f"{threading.current_thread().name} {environ['wsgi.multiprocess']}".encode()]


def test_workers_share_the_clients_and_their_figures_are_added() -> None:
    with running(Application(), workers=3, threads=2) as it, contextlib.ExitStack() as stack:
        # One after the other: of many that come at once a worker that the system lets wait has fewer.
        answers = [stack.enter_context(it.client()).get("/").body.decode().split() for _ in range(60)]
        shares = Counter(name.rpartition("-")[0] for name, _ in answers)
        assert set(shares) == {"waitress", "waitress-worker-2", "waitress-worker-3"}
        assert max(shares.values()) <= 2 * min(shares.values())
        assert {multiprocess for _, multiprocess in answers} == {"False"}
        assert becomes_true(lambda: it.server.stats().requests == 60)  # the last ones have just been answered
        stats = it.server.stats()
        assert (stats.connections, stats.requests, stats.threads) == (60, 60, 6)


def test_a_shutdown_answers_what_all_workers_run() -> None:
    application = Application()
    with running(application, workers=2) as it, it.clients(4) as asking:
        for client in asking:
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in asking:
            assert application.waiting.acquire(timeout=20)
        ending = threading.Thread(target=it.server.shutdown)
        ending.start()
        application.gate.set()
        names = set()
        for client in asking:
            names.add(client.response().body.split()[0].rpartition(b"-")[0])
            client.close()
        ending.join(20)
        assert not ending.is_alive()
    assert names == {b"waitress", b"waitress-worker-2"}


def test_a_program_ends_a_channel_of_any_worker() -> None:
    server = create_server(Application(), listen="127.0.0.1:0", workers=2)
    with server, contextlib.ExitStack() as stack:
        address = (server._listeners[0].host, int(server._listeners[0].port))
        asking = [stack.enter_context(Client(address)) for _ in range(6)]
        assert len({client.get("/").body.split()[0].rpartition(b"-")[0] for client in asking}) == 2
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        assert all(client.is_closed_within(10) for client in asking)


@pytest.mark.parametrize("failing", ["the second", "the third"])
def test_a_server_with_a_worker_that_cannot_start_ends_and_leaves_no_thread(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that have started are told to end: nobody else would, and the server waits for them."""
    count = {"the second": 1, "the third": 2}[failing]
    starts: list[ServerRun] = []
    start = ServerRun.start

    def start_or_fail(run: ServerRun) -> None:
        if len(starts) == count:
            raise CannotStartThread("the system has none left")
        starts.append(run)
        start(run)

    monkeypatch.setattr(ServerRun, "start", start_or_fail)
    server = create_server(Application(), listen="127.0.0.1:0", workers=3)
    with pytest.raises(CannotStartThread):
        server.start()
    assert not [thread for run in starts for thread in run.threads if thread.is_alive()]


def test_a_server_with_workers_ends_if_the_program_raises_when_it_serves() -> None:
    server = create_server(Application(), listen="127.0.0.1:0", workers=2)

    def fail() -> None:
        raise OSError("no tea")

    server.call_when_serving(fail)
    with pytest.raises(OSError, match="no tea"):
        server.run()
    assert server.stats().threads_busy == 0
