"""The server as its supervisor, its workers and its status process run it, without a process: only calls are noted."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from waitress_core import Adjustments
from waitress_core.config.application import DeferredApplication
from waitress_core.lifecycle.run import ServerRun
from waitress_core.net.binding import open_listeners
from waitress_core.net.handover import received
from waitress_core.net.listener import Listener
from waitress_core.observability.stats import Counters, make_stats
from waitress_core.processes.states import Event, SupervisorState
from waitress_core.processes.supervised import Server, SupervisedServer, published
from waitress_core.processes.worker import SupervisorView, Worker
from waitress_core.reactor.reactor import TICK_SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


class Noting:
    """Notes each call of a method: its name and its arguments."""

    def __init__(self, calls: list[tuple[Any, ...]], prefix: str = "") -> None:
        self._calls = calls
        self._prefix = prefix

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self._calls.append((self._prefix + name, *arguments))


class FakeNotifier(Noting):
    """Notes what systemd is told."""

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        self._calls.append(("reloading",))
        yield
        self._calls.append(("reloaded",))


class FakeServer(Noting):
    """What `SupervisedServer` asks of a server; its listeners are real."""

    def __init__(self, *, has_tls: bool = False, has_systemd: bool = False, **settings: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        super().__init__(self.calls)
        where = {} if "unix_socket" in settings else {"listen": "127.0.0.1:0"}
        self.adj = Adjustments(**{**where, "workers": 2, **settings})
        self.listeners = open_listeners(self.adj, self.adj.listen)
        self.application: Any = "the application"
        self.status_server: FakeServer | None = None
        self.tls_contexts = Noting(self.calls, "tls.") if has_tls else None
        self.notifier = FakeNotifier(self.calls) if has_systemd else None
        self.serve: Callable[[], None] = lambda: None
        made.append(self)

    @property
    def urls(self) -> list[str]:
        return [listener.url for listener in self.listeners]

    def serve_until_end(self, on_serving: Callable[[ServerRun], None]) -> None:
        self.calls.append(("serve_until_end",))
        on_serving(cast(ServerRun, FakeRun()))
        self.serve()

    def leave_status_server(self) -> None:
        self.calls.append(("leave_status_server",))
        self.status_server = None

    def close_listeners(self) -> None:
        self.calls.append(("close_listeners",))
        for listener in self.listeners:
            listener.close()


class FakeFigures:
    """What a run has counted: nothing."""

    def stats(self) -> Any:
        return make_stats(Counters(), states={"idle": 0}, threads=4)

    def running(self) -> list[tuple[int, object, float]]:
        return [(7, "GET /tea", 1.5)]

    def snapshot(self) -> dict[str, object]:
        return {"state": "serving"}

    def request_count(self) -> int:
        return 3


class FakeRun:
    """A run that has started."""

    figures = FakeFigures()


class FakeSupervisor:
    """A supervisor in a state."""

    def __init__(self, state: SupervisorState = SupervisorState.SERVING, successor_pid: int = 0) -> None:
        self.state = state
        self.successor_pid = successor_pid


class FakeWorker:
    """A worker that notes what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.published = 0
        self.ends_with_supervisor = False

    def note_serves(self, **told: Any) -> None:
        self.told = told

    def publish(self) -> None:
        self.published += 1

    @contextlib.contextmanager
    def ending_with_supervisor(self) -> Iterator[None]:
        self.ends_with_supervisor = True
        yield
        self.ends_with_supervisor = False

    def report(self, word: str) -> None:
        assert word == "loads"

    def report_change(self, *arguments: object) -> None:
        raise AssertionError("nothing is watched")


made: list[FakeServer] = []


@pytest.fixture(autouse=True)
def _close_listeners() -> Iterator[None]:
    """Close the sockets of all servers of a test."""
    yield
    while made:
        for listener in made.pop().listeners:
            listener.close()


def supervised(server: FakeServer, make: Callable[[], FakeServer] | None = None) -> SupervisedServer:
    return SupervisedServer(cast(Server, server), cast("Callable[[], Server] | None", make))


def tell(server: FakeServer, *told: tuple[Event, SupervisorState], successor_pid: int = 0) -> list[tuple[Any, ...]]:
    """Return the calls that these events lead to."""
    watched = supervised(server)
    for event, state in told:
        watched.on_supervisor(event, cast(SupervisorView, FakeSupervisor(state, successor_pid)))
    return server.calls


# --- in the supervisor


def test_the_program_is_told_that_the_server_serves() -> None:
    assert tell(FakeServer(), (Event.READY, SupervisorState.SERVING)) == [("note_serving",)]


def test_a_reload_loads_certificates_again_and_a_tick_checks_their_expiry() -> None:
    events = [(event, SupervisorState.SERVING) for event in (Event.STATE, Event.RELOAD, Event.TICK, Event.REPLACED)]
    assert tell(FakeServer(has_tls=True), *events) == [("tls.reload",), ("tls.check_expiries",)]


def test_systemd_is_told_of_start_ticks_and_end() -> None:
    server = FakeServer(has_systemd=True)
    serving, stopping = SupervisorState.SERVING, SupervisorState.STOPPING
    assert tell(server, (Event.READY, serving), (Event.TICK, serving), (Event.STATE, stopping)) == [
        ("note_serving",),
        ("ready", f"Serving on {server.urls[0]} with 2 workers"),
        ("keep_alive",),
        ("stopping", "requests in progress are answered"),
    ]


def test_systemd_is_told_of_a_reload_until_the_supervisor_serves_again() -> None:
    reloading = SupervisorState.RELOADING
    events = [(Event.STATE, reloading), (Event.TICK, reloading), (Event.STATE, SupervisorState.SERVING)]
    assert tell(FakeServer(has_systemd=True), *events) == [("reloading",), ("keep_alive",), ("reloaded",)]


def test_systemd_is_told_of_a_successor_and_then_of_no_end() -> None:
    events = [(Event.REPLACED, SupervisorState.SERVING), (Event.STATE, SupervisorState.STOPPING)]
    assert tell(FakeServer(has_systemd=True), *events, successor_pid=4711) == [("main_pid", 4711)]


# --- a server from the settings of now


def test_a_server_with_settings_that_never_change_is_not_made_again() -> None:
    old = supervised(FakeServer())
    assert supervised(FakeServer()).remake(old) is old


def test_a_server_that_is_made_again_gets_the_sockets_of_the_old_one() -> None:
    old = FakeServer()
    address = old.listeners[0].socket.getsockname()
    assert address[1] != 0

    def make() -> FakeServer:
        handover = received()
        assert handover is not None
        taken = handover.take(old.listeners[0].socket.family, address)
        assert taken is not None
        new = FakeServer(threads=7)
        new.listeners[0].close()
        new.listeners = [Listener(taken, owns_socket=True)]
        return new

    first = supervised(old, make)
    second = first.remake(first)
    assert received() is None
    assert second.listeners[0].socket.getsockname() == address
    assert second.adj.threads == first.adj.threads == 7
    assert old.calls == [("close_listeners",)]
    assert made[-1].calls == [("leave_status_server",)]


def test_settings_that_are_invalid_change_nothing() -> None:
    old = FakeServer(threads=3)

    def make() -> FakeServer:
        raise ValueError("threads=0")

    first = supervised(old, make)
    with pytest.raises(ValueError, match="threads=0"):
        first.remake(first)
    assert (old.calls, first.adj.threads, received()) == ([], 3, None)
    assert old.listeners[0].socket.fileno() >= 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_the_path_of_a_socket_stays_if_the_new_server_listens_on_it_too(is_kept: bool, short: Path) -> None:
    old = FakeServer(unix_socket=str(short / "one"))

    def make() -> FakeServer:
        if not is_kept:
            return FakeServer(unix_socket=str(short / "other"))
        handover = received()
        assert handover is not None
        taken = handover.take(old.listeners[0].socket.family, str(short / "one"))
        assert taken is not None
        new = FakeServer()
        new.listeners[0].close()
        new.listeners = [Listener(taken, owns_socket=True)]
        return new

    first = supervised(old, make)
    first.remake(first)
    assert (short / "one").exists() is is_kept


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, as a path that is short enough for unix sockets."""
    monkeypatch.chdir(tmp_path_factory.mktemp("s"))
    return Path()


def test_an_inherited_socket_is_kept_open() -> None:
    """The new listener has the same descriptor."""
    old = FakeServer()
    inherited = old.listeners[0]
    inherited.owns_path = False
    descriptor = inherited.descriptor
    first = supervised(old, FakeServer)
    first.remake(first)
    os.close(descriptor)  # raises if it is closed


# --- in a worker


def work(server: FakeServer, worker: FakeWorker | None = None) -> FakeWorker:
    worker = worker or FakeWorker()
    supervised(server).serve_as_worker(cast(Worker, worker))
    return worker


def test_a_worker_serves_without_what_belongs_to_its_supervisor() -> None:
    server = FakeServer(has_tls=True)
    worker = work(server)
    assert [call[0] for call in server.calls] == [
        "become_worker",
        "tls.leave_warnings",
        "leave_status_server",
        "serve_until_end",
    ]
    assert worker.told["requests"]() == 3
    assert set(worker.told["snapshot"]()) == {"stats", "running"}
    assert worker.published == 1


def test_a_worker_removes_the_path_of_its_socket_only_as_an_orphan(short: Path) -> None:
    server = FakeServer(unix_socket=str(short / "one"))
    worker = work(server)
    (listener,) = server.listeners
    listener.close()
    assert (short / "one").exists()
    worker.told["on_orphaned"]()
    listener.close()
    assert not (short / "one").exists()


def test_a_worker_after_a_reload_closes_the_sockets_of_the_status_server() -> None:
    server, status_server = FakeServer(), FakeServer()
    server.status_server = status_server
    first = supervised(server, FakeServer)
    second = first.remake(first)
    second.serve_as_worker(cast(Worker, FakeWorker()))
    assert status_server.listeners[0].socket.fileno() == -1, "no other server can bind its address"
    assert second.listeners[0].socket.fileno() >= 0


def test_a_worker_publishes_its_last_figures_also_if_its_server_fails() -> None:
    server, worker = FakeServer(), FakeWorker()

    def fail() -> None:
        raise OSError("no thread")

    server.serve = fail
    with pytest.raises(OSError, match="no thread"):
        supervised(server).serve_as_worker(cast(Worker, worker))
    assert worker.published == 1


def test_a_worker_loads_the_application_itself() -> None:
    server = FakeServer()
    server.application = DeferredApplication(lambda: cast(Any, ["loaded here", worker.ends_with_supervisor]))
    worker = FakeWorker()
    seen: list[Any] = []
    server.serve = lambda: seen.append([*server.application, worker.ends_with_supervisor])
    work(server, worker)
    assert seen == [["loaded here", True, False]]


@pytest.mark.parametrize("with_status", [True, False])
def test_the_status_of_a_worker_is_published_only_for_a_status_server(with_status: bool) -> None:
    told = published(cast(Any, FakeFigures()), with_status=with_status)
    assert told["running"] == [("'GET /tea'", 1.5)]
    assert cast(Any, told["stats"])["threads"] == 4
    assert told.get("status") == ({"state": "serving"} if with_status else None)


# --- in the process of the status server


def test_the_status_server_serves_until_the_supervisor_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    server, status_server = FakeServer(), FakeServer()
    server.status_server = status_server
    parents = iter([100, 100, 1])
    waits: list[float] = []
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(time, "sleep", waits.append)
    supervised(server).serve_status(100)
    assert status_server.calls == [("start",)]
    assert waits == [TICK_SECONDS, TICK_SECONDS]
    assert server.listeners[0].socket.fileno() == -1, "its copy of a socket of the application is open"
    assert status_server.listeners[0].socket.fileno() >= 0


def test_a_status_server_after_a_reload_closes_the_sockets_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    server, status_server = FakeServer(), FakeServer()
    server.status_server = status_server
    first = supervised(server, FakeServer)
    second = first.remake(first)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    first.serve_status(100)
    assert second.listeners[0].socket.fileno() == -1, "no other server can bind its address"
    assert status_server.listeners[0].socket.fileno() >= 0
