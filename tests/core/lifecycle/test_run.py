"""The steps of a server from state to state, with the reactor turned by hand and a clock that tests move."""

import contextlib
import itertools
import logging
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.interruptions import Interruption, interruptions
from tests.support.manual_clock import ManualClock
from tests.support.pairs import is_open
from waitress_core import Adjustments, Dispatcher, Task
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import State
from waitress_core.http.request import Request
from waitress_core.lifecycle.run import ServerRun
from waitress_core.lifecycle.states import CLOSE_SECONDS, TRANSITIONS, StopRequest
from waitress_core.net.binding import open_listeners
from waitress_core.net.tls_contexts import TlsContexts
from waitress_core.net.transport import SocketTransport
from waitress_core.observability.access_log import AccessLog
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_core.wsgi.proxy_headers import ProxyPolicy
from waitress_core.wsgi.task import WSGITask

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
SOON = 20.0  # seconds of the real clock for what comes at once on an idle machine


class FakeDispatcher:
    """Keeps the tasks that are ready: the test is the application thread."""

    def __init__(self) -> None:
        self.ready: deque[Task] = deque()
        self.has_leadership_ended = False
        self.waiting_count = 0
        self.ready_count = 0
        self.ticks = 0
        self.checks = 0

    def tick(self) -> None:
        self.ticks += 1

    def check(self) -> None:
        self.checks += 1

    def yield_leadership(self) -> None:
        pass

    def resume_leadership(self) -> bool:
        return False

    def end_leadership(self) -> None:
        self.has_leadership_ended = True

    def cancel_pending(self) -> int:
        count = len(self.ready)
        while self.ready:
            self.ready.popleft().cancel()
        return count

    def stop_threads(self, timeout: float) -> int:
        return 0


class Server:
    """The server, as its run and its tasks see it; the application answers with the path."""

    def __init__(self, adj: Adjustments) -> None:
        self.adj = adj
        self.proxy_policy = ProxyPolicy(adj)
        self.application: Any = self._answer
        self.opened: list[Connection] = []
        self.closed: list[Connection] = []
        self.ticks = 0
        self.told: list[tuple[int, str]] = []
        self.states = [State.READY]
        self.fails_at: State | None = None  # of the calls of `on_state`
        self.close_seconds = CLOSE_SECONDS
        self.tls_contexts: TlsContexts | None = None

    def task_factory(
        self, environ_builder: EnvironBuilder, access_log: AccessLog | None
    ) -> Callable[[Connection, Request], Task]:
        return lambda connection, request: WSGITask(self, environ_builder, connection, request)

    def on_state(self, state: State) -> None:
        self.states.append(state)
        if self.fails_at is state:
            raise SystemExit(f"no tea at {state.name}")

    def on_opened(self, connection: Connection) -> None:
        self.opened.append(connection)

    def on_closed(self, connection: Connection) -> None:
        self.closed.append(connection)

    def on_stopping(self, requests: int, ends_now: str) -> None:
        self.told.append((requests, ends_now))

    def while_waiting(self) -> None:
        self.ticks += 1

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]


class Stepping:
    """A run without threads, and its clients."""

    def __init__(self, **settings: Any) -> None:
        adj = Adjustments(**{"listen": "127.0.0.1:0", **settings})
        self.dispatcher = FakeDispatcher()
        self.adj = adj
        self.stop_requests: list[StopRequest] = []
        self.listeners = open_listeners(adj, adj.listen)
        dispatcher = cast(Dispatcher, self.dispatcher)
        self.server = Server(adj)
        self.waiter_callbacks: deque[Callable[[], None]] = deque()
        self.run = ServerRun(
            self.server,
            self.listeners,
            dispatcher,
            stop_requests=self.stop_requests,
            waiter_callbacks=self.waiter_callbacks,
        )
        self.reactor = self.run._reactor
        self.clock = ManualClock(self.reactor.now)
        self.reactor.clock = self.clock
        self.address = self.listeners[0].socket.getsockname()
        self.clients: list[socket.socket] = []

    def start(self) -> None:
        """Serve, as `run` does first."""
        self.run.manager.start()
        self.run._enter(State.SERVING)
        self.turn()

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.reactor.turn(0)

    def turn_until(self, is_reached: Callable[[], object]) -> None:
        until = time.monotonic() + SOON
        while not is_reached():
            assert time.monotonic() < until, "what the test waits for does not come"
            self.reactor.turn(0.02)

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.reactor.turn(0)

    def request_stop(self, state: State, seconds: float | None = None) -> None:
        """Request an end within some seconds, by default as many as the settings give it."""
        if seconds is None:
            seconds = self.adj.shutdown_timeout if state is State.LEAVING else CLOSE_SECONDS
        self.stop_requests.append(StopRequest(state, self.clock() + seconds))

    def stop(self, state: State, seconds: float | None = None) -> None:
        """Request an end as another thread does, and let the reactor act on it."""
        self.request_stop(state, seconds)
        self.run.wake_leader()
        self.turn_until(lambda: self.run.state > State.SERVING)

    def connect(self, data: bytes = b"") -> socket.socket:
        """Accept a client that sends something."""
        count = len(self.run.manager.connections)
        client = socket.create_connection(self.address, 20)
        self.clients.append(client)
        self.turn_until(lambda: len(self.run.manager.connections) > count)
        if data:
            tasks = len(self.dispatcher.ready)
            client.sendall(data)
            if data.endswith(b"\r\n\r\n"):
                self.turn_until(lambda: len(self.dispatcher.ready) > tasks)
            else:
                self.turn(3)
        return client

    def take_task(self) -> Task:
        """Take a task to run it."""
        return self.dispatcher.ready.popleft()

    @property
    def moves(self) -> list[tuple[State, State]]:
        """From state to state, as the server was told."""
        states = self.server.states
        return [(before, after) for before, after in itertools.pairwise(states) if before is not after]

    @property
    def has_ended(self) -> bool:
        assert self.dispatcher.has_leadership_ended == self.run._waiter._has_ended.is_set()
        return self.dispatcher.has_leadership_ended

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.run.close_all()
        assert [move for move in self.moves if move[1] not in TRANSITIONS[move[0]]] == []
        assert self.reactor.handlers == {}
        assert self.run.state is State.CLOSED
        assert [listener.socket.fileno() for listener in self.listeners] == [-1] * len(self.listeners)
        self.run._context.read_buffer.release()  # half a MiB, until the garbage is collected


Make = Callable[..., Stepping]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make runs with settings, that serve; they are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Stepping:
            stepping = stack.enter_context(contextlib.closing(Stepping(**settings)))
            stepping.start()
            return stepping

        yield make


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


# --- the table of moves


def fail_to_start(stepping: Stepping) -> None:
    stepping.run.close_all()


def serve_and_lose_the_reactor(stepping: Stepping) -> None:
    stepping.start()
    stepping.run.close_all()


def leave_and_lose_the_reactor(stepping: Stepping) -> None:
    stepping.adj.shutdown_delay = 5
    stepping.start()
    stepping.stop(State.LEAVING)
    stepping.run.close_all()


def leave_and_close(stepping: Stepping) -> None:
    stepping.adj.shutdown_delay = 5
    stepping.start()
    stepping.connect(GET % b"running")
    task = stepping.take_task()
    stepping.stop(State.LEAVING)
    stepping.stop(State.CLOSING, 0)
    stepping.turn_until(lambda: stepping.has_ended)
    task.service()
    stepping.run.close_all()


def drain_in_time(stepping: Stepping) -> None:
    stepping.start()
    stepping.stop(State.LEAVING)
    stepping.run.close_all()


def drain_too_slowly(stepping: Stepping) -> None:
    stepping.start()
    stepping.connect(GET % b"running")
    task = stepping.take_task()
    stepping.stop(State.LEAVING)
    stepping.pass_seconds(30)
    task.service()
    stepping.run.close_all()


def close(stepping: Stepping) -> None:
    stepping.start()
    stepping.stop(State.CLOSING)
    stepping.run.close_all()


def test_the_table_has_the_transitions_that_are_made_and_no_others() -> None:
    made: set[tuple[State, State]] = set()
    lives = (
        *(fail_to_start, serve_and_lose_the_reactor, leave_and_lose_the_reactor, leave_and_close),
        *(drain_in_time, drain_too_slowly, close),
    )
    for live in lives:
        with contextlib.closing(Stepping()) as stepping:
            live(stepping)
            made |= set(stepping.moves)
    assert made == {(before, after) for before, targets in TRANSITIONS.items() for after in targets}


# --- leaving


def test_for_the_delay_new_clients_are_answered_and_their_connections_end(make: Make) -> None:
    stepping = make(shutdown_delay=5)
    before = stepping.connect()
    stepping.stop(State.LEAVING)
    assert is_open(before)
    for seconds in (1, 3):  # what load balancers have open may still be used, too
        stepping.pass_seconds(seconds)
        client = stepping.connect(GET % b"new")
        stepping.take_task().service()
        head, _, body = client.recv(1000).partition(b"\r\n\r\n")
        assert body == b"/new"
        assert b"\r\nConnection: close\r\n" in head
    before.sendall(GET % b"old")
    stepping.turn_until(lambda: stepping.dispatcher.ready)
    stepping.take_task().service()
    assert b"\r\nConnection: close\r\n" in before.recv(1000)
    assert stepping.run.state is State.LEAVING
    idle = stepping.connect()
    stepping.pass_seconds(1)
    assert not is_open(idle)
    assert stepping.listeners[0].socket.fileno() == -1
    stepping.pass_seconds(1)
    assert stepping.has_ended


def test_the_delay_is_part_of_the_time_to_end_in(make: Make) -> None:
    stepping = make(shutdown_delay=5, shutdown_timeout=7)
    stepping.connect(GET % b"")
    task = stepping.take_task()
    stepping.stop(State.LEAVING)
    stepping.pass_seconds(6)
    assert not stepping.has_ended
    stepping.pass_seconds(1)
    assert stepping.has_ended
    task.service()


def test_no_delay_is_longer_than_the_time_to_end_in(make: Make) -> None:
    stepping = make(shutdown_delay=20)
    stepping.connect()
    stepping.stop(State.LEAVING, 3)
    stepping.pass_seconds(2)
    assert stepping.run.state is State.LEAVING
    stepping.pass_seconds(1)
    assert stepping.has_ended


def test_the_record_of_a_cut_off_names_some_of_many(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    stepping = make(shutdown_timeout=1)
    for _ in range(11):
        stepping.connect(b"GET /")
    stepping.stop(State.LEAVING)
    stepping.pass_seconds(1)
    (message,) = messages(caplog)
    assert message.startswith("11 connection(s) cut off, not done in time: <Connection ")
    assert message.count(" HEAD>") == 10
    assert message.endswith(", ...")


# --- draining


@pytest.mark.parametrize(("state", "seconds"), [(State.LEAVING, 25), (State.CLOSING, 5), (State.CLOSING, 0)])
def test_without_clients_any_end_is_an_end_at_once(make: Make, state: State, seconds: int) -> None:
    stepping = make()
    stepping.turn(3)
    assert not stepping.has_ended
    stepping.stop(state, seconds)
    stepping.turn_until(lambda: stepping.has_ended)


def test_draining_ends_when_the_last_response_is_sent(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stepping = make()
    idle = stepping.connect()
    stepping.pass_seconds(1)
    running = stepping.connect(GET % b"running")
    task = stepping.take_task()
    queued = stepping.connect(GET % b"queued")
    stepping.stop(State.LEAVING)
    assert not is_open(idle)
    stepping.pass_seconds(20)
    assert not stepping.has_ended
    assert stepping.listeners[0].socket.fileno() == -1
    task.service()
    stepping.turn(3)
    assert not stepping.has_ended
    stepping.take_task().service()
    for client, path in ((running, b"/running"), (queued, b"/queued")):
        head, _, body = client.recv(1000).partition(b"\r\n\r\n")
        assert body == path
        assert b"\r\nConnection: close\r\n" in head
        client.close()
    stepping.turn_until(lambda: stepping.has_ended)
    stopping = [message for message in messages(caplog) if not message.startswith("connection_limit is 1000, but")]
    assert stopping == ["Stopping: answering the requests in progress"]


def test_draining_answers_what_was_pipelined_and_ends_though_more_and_more_comes(make: Make) -> None:
    stepping = make()
    client = stepping.connect(GET % b"1" + GET % b"2" + GET % b"3")
    stepping.stop(State.LEAVING)
    answers = b""
    while b"Connection: close" not in answers:
        assert answers.count(b"HTTP/1.1 200") < 10
        stepping.turn_until(lambda: stepping.dispatcher.ready)
        with contextlib.suppress(ConnectionError):
            client.sendall(GET % b"late")
        stepping.take_task().service()
        answers += client.recv(1000)
    assert [path for path in (b"/1", b"/2", b"/3") if path not in answers] == []
    stepping.turn_until(lambda: not is_open(client))
    stepping.pass_seconds(3)
    assert stepping.has_ended
    assert not stepping.dispatcher.ready


def test_draining_takes_a_request_that_is_on_its_way(make: Make) -> None:
    stepping = make()
    client = stepping.connect(b"GET / HTT")
    stepping.stop(State.LEAVING)
    client.sendall(b"P/1.1\r\nHost: x\r\n\r\n")
    stepping.turn_until(lambda: stepping.dispatcher.ready)
    stepping.take_task().service()
    assert client.recv(1000).endswith(b"/")


def test_draining_has_a_time_after_which_the_rest_is_cut_off(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    stepping = make(shutdown_timeout=10)
    clients = [stepping.connect(GET % b"") for _ in range(2)]
    task = stepping.take_task()
    stepping.stop(State.LEAVING)
    stepping.pass_seconds(9)
    assert not stepping.has_ended
    stepping.pass_seconds(2)
    assert stepping.has_ended
    assert [re.sub(r"\d{4,}", "N", message) for message in messages(caplog)] == [
        "2 connection(s) cut off, not done in time: <Connection 127.0.0.1:N TASK>, <Connection 127.0.0.1:N TASK>",
        "Canceling 1 pending task(s)",
    ]
    assert not any(is_open(client) for client in clients)
    task.service()


# --- closing


def test_closing_gives_running_requests_five_seconds_and_cuts_off_the_rest(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    stepping = make()
    idle = stepping.connect()
    half = stepping.connect(b"GET / HTT")
    running = stepping.connect(GET % b"running")
    task = stepping.take_task()
    queued = stepping.connect(GET % b"queued")
    stepping.stop(State.CLOSING)
    stepping.turn(3)
    assert not is_open(idle)
    assert not is_open(half)
    assert not is_open(queued)
    assert is_open(running)
    assert messages(caplog) == ["Canceling 1 pending task(s)"]
    stepping.pass_seconds(int(CLOSE_SECONDS) - 1)
    assert not stepping.has_ended
    task.service()
    stepping.turn(2)
    assert running.recv(1000).endswith(b"/running")
    stepping.pass_seconds(1)
    assert stepping.has_ended


def test_closing_ends_after_five_seconds_whatever_runs(make: Make) -> None:
    stepping = make()
    running = stepping.connect(GET % b"")
    task = stepping.take_task()
    stepping.stop(State.CLOSING)
    stepping.pass_seconds(int(CLOSE_SECONDS) + 1)
    assert stepping.has_ended
    assert not is_open(running)
    task.service()


def test_closing_starts_no_further_request_of_a_connection(make: Make) -> None:
    stepping = make()
    client = stepping.connect(GET % b"1" + GET % b"2")
    task = stepping.take_task()
    stepping.stop(State.CLOSING)
    task.service()
    stepping.turn(2)
    assert not stepping.dispatcher.ready
    assert client.recv(1000).endswith(b"/1")
    stepping.pass_seconds(1)
    assert stepping.has_ended


def test_closing_does_not_wait_for_a_response_of_a_task_that_has_just_ended(make: Make) -> None:
    stepping = make()
    client = stepping.connect(GET % b"")
    stepping.take_task().service()  # its end has not been seen by the reactor
    assert client.recv(1000)
    stepping.stop(State.CLOSING)
    before = stepping.clock()
    stepping.turn_until(lambda: stepping.has_ended)
    assert stepping.clock() == before


def test_the_second_signal_ends_at_once(make: Make) -> None:
    stepping = make()
    running = stepping.connect(GET % b"")
    task = stepping.take_task()
    stepping.stop(State.LEAVING)
    assert not stepping.has_ended
    stepping.stop(State.CLOSING, 0)
    stepping.turn_until(lambda: stepping.has_ended)
    assert not is_open(running)
    task.service()


@pytest.mark.parametrize(
    ("stop_requests", "expected", "seconds"),
    [
        ([(State.CLOSING, 5), (State.LEAVING, 1)], State.CLOSING, 5),
        ([(State.LEAVING, 1), (State.CLOSING, 5)], State.CLOSING, 5),
        ([(State.CLOSING, 5), (State.CLOSING, 2), (State.CLOSING, 5)], State.CLOSING, 2),
        ([(State.LEAVING, 25)], State.DRAINING, 25),
        ([(State.LEAVING, 7), (State.LEAVING, 25)], State.DRAINING, 7),
    ],
    ids=str,
)
def test_of_several_stop_requests_the_highest_counts_in_its_shortest_time(
    make: Make, stop_requests: list[tuple[State, int]], expected: State, seconds: int
) -> None:
    stepping = make()
    stepping.connect(GET % b"")
    task = stepping.take_task()
    for state, time_left in stop_requests:
        stepping.request_stop(state, time_left)
    stepping.run.wake_leader()
    stepping.turn(3)
    assert stepping.run.state is expected
    stepping.pass_seconds(seconds - 1)
    assert not stepping.has_ended
    assert stepping.run.state is expected
    stepping.pass_seconds(1)
    assert stepping.has_ended
    task.service()


def test_what_is_ready_runs_before_the_leadership_ends(make: Make) -> None:
    ran: list[str] = []

    class Closing:
        def service(self) -> None:
            ran.append("ran")

        def cancel(self) -> None:
            ran.append("cancelled")

    stepping = make()
    stepping.dispatcher.ready.append(Closing())
    stepping.stop(State.LEAVING)
    stepping.turn(3)
    assert not stepping.has_ended
    stepping.take_task().service()
    stepping.turn_until(lambda: stepping.has_ended)
    assert ran == ["ran"]


def test_a_file_that_the_end_cuts_off_is_closed(make: Make, tmp_path: Path) -> None:
    stepping = make()
    path = tmp_path / "file"
    path.write_bytes(b"x" * 32 * 1024 * 1024)  # more than the system takes for a client that does not read
    file = path.open("rb")

    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    stepping.server.application = application
    client = stepping.connect(GET % b"")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stepping.take_task().service()
    stepping.turn(3)
    assert not file.closed
    stepping.run.close_all()
    assert file.closed
    assert not stepping.dispatcher.ready


def test_the_dispatcher_ticks_once_a_second(make: Make) -> None:
    stepping = make()
    before = stepping.dispatcher.ticks
    stepping.pass_seconds(3)
    stepping.turn(5)
    assert stepping.dispatcher.ticks - before == 3


def test_a_stop_request_that_woke_nobody_is_seen_within_a_second(make: Make) -> None:
    stepping = make()
    stepping.request_stop(State.CLOSING)
    stepping.turn(3)
    assert stepping.run.state is State.SERVING
    stepping.pass_seconds(1)
    assert stepping.has_ended


def test_a_callback_of_another_thread_is_called_by_the_leader(make: Make) -> None:
    stepping = make()
    client = stepping.connect()
    (connection,) = stepping.run.manager.connections.values()
    caller = threading.Thread(target=stepping.run.call_soon_threadsafe, args=(connection.close,))
    caller.start()
    caller.join(SOON)
    assert not connection.is_gone
    stepping.turn_until(lambda: connection.is_gone)
    assert client.recv(1) == b""
    assert stepping.run.state is State.SERVING


def test_the_server_hears_of_connections(make: Make) -> None:
    stepping = make()
    stepping.connect()
    server = stepping.server
    assert server.opened == list(stepping.run.manager.connections.values())
    stepping.run.call_soon_threadsafe(server.opened[0].close)
    stepping.turn_until(lambda: bool(server.closed))
    assert server.closed == server.opened


@pytest.mark.parametrize("fails_at", [State.SERVING, State.LEAVING, State.DRAINING, State.CLOSING, State.CLOSED])
def test_an_exception_of_on_state_costs_a_record_only(caplog: pytest.LogCaptureFixture, fails_at: State) -> None:
    with contextlib.closing(Stepping()) as stepping:
        stepping.server.fails_at = fails_at
        stepping.start()
        stepping.connect()
        stepping.pass_seconds(2)  # who has just connected is spared
        stepping.stop(State.CLOSING if fails_at is State.CLOSING else State.LEAVING)
        stepping.turn_until(lambda: stepping.has_ended)
        stepping.run.close_all()
        stepping.server.fails_at = None
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "uncaptured python exception in on_state"
    ]


def test_a_forked_child_enters_its_end_in_silence() -> None:
    with contextlib.closing(Stepping()) as stepping:
        stepping.start()
        stepping.run._enter(State.CLOSED, in_silence=True)
        assert stepping.run.state is State.CLOSED
        assert stepping.server.states == [State.READY, State.SERVING]


def test_the_thread_that_waits_does_what_it_is_woken_for(make: Make) -> None:
    stepping = make(asyncore_loop_timeout=60)
    stepping.stop(State.CLOSING)
    waiter = threading.Thread(target=stepping.run.wait)
    looked = threading.Event()
    stepping.server.while_waiting = looked.set  # type: ignore[method-assign]  # the test looks on
    stepping.run.wake_waiter()
    stepping.run._waiter._has_ended.clear()
    waiter.start()
    assert looked.wait(SOON)
    stepping.run._waiter.end()
    waiter.join(SOON)
    assert not waiter.is_alive()


# --- exceptions of other threads


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[Stepping]:
    """Serve with settings, as `make` does, and keep nothing afterwards."""
    with contextlib.closing(Stepping(**settings)) as stepping:
        stepping.start()
        yield stepping


def turn_is_over() -> None:
    """End an interruption that has not come."""


def turn_interrupted(stepping: Stepping, interruption: Interruption) -> None:
    with contextlib.suppress(SystemExit):  # before the turn
        interruption.start()
        stepping.turn()
        turn_is_over()


@pytest.mark.parametrize("state", [State.LEAVING, State.CLOSING])
def test_an_exception_at_any_step_of_a_move_leaves_nothing_of_it_undone(state: State) -> None:
    tried = 0
    for interruption in interruptions(until={"turn_is_over"}):
        tried += 1
        with serving() as stepping:
            clients = [stepping.connect(), stepping.connect()]
            stepping.clock.advance(10)  # they have not just connected
            stepping.request_stop(state, 1e6)
            stepping.run.wake_leader()
            turn_interrupted(stepping, interruption)
            stepping.pass_seconds(3)
            assert stepping.run.manager.connections == {}, interruption.place
            assert not any(map(is_open, clients)), interruption.place
            assert stepping.dispatcher.has_leadership_ended, interruption.place
            stepping.server.states.clear()  # the server may not have been told of one
    assert tried > 100


def test_an_exception_at_any_step_of_the_end_of_a_connection_leaves_none() -> None:
    tried = 0
    for interruption in interruptions(until={"turn_is_over"}):
        tried += 1
        with serving() as stepping:
            stepping.connect().close()
            turn_interrupted(stepping, interruption)
            stepping.turn(2)
            assert stepping.run.manager.connections == {}, interruption.place
            assert len(stepping.server.closed) <= 1, interruption.place
    assert tried > 30


def test_an_exception_that_comes_each_time_does_not_keep_the_server_from_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stepping = make()
    stepping.connect()
    stepping.clock.advance(10)

    def fail(transport: SocketTransport, size: int) -> bytes:
        raise RuntimeError("no tea")

    monkeypatch.setattr(SocketTransport, "receive", fail)
    stepping.stop(State.LEAVING, 5)
    stepping.pass_seconds(7)
    assert stepping.has_ended
    assert "uncaptured python exception in the reactor" in messages(caplog)


def test_an_exception_at_any_step_of_the_end_of_a_listener_leaves_the_others() -> None:
    for interruption in interruptions(until={"turn_is_over"}):
        with serving(listen="127.0.0.1:0 127.0.0.1:0") as stepping:
            stepping.run.remove_listener(0)
            turn_interrupted(stepping, interruption)
            stepping.turn(2)
            if stepping.listeners[0].socket.fileno() == -1:
                handlers = stepping.run.manager._acceptor._handlers
                assert [one.endpoint.listener for one in handlers] == stepping.listeners[1:], interruption.place
