"""A server is never dead and never a zombie: whatever the log raises, and whatever is raised in its threads, it serves
on within a second, and ends when it is asked to.
"""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import logging
import math
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.client import Client
from tests.support.faults import RaisingHandler
from tests.support.interruptions import Interruption, interruptions, kill, needs_kill
from tests.support.processes import becomes_true
from tests.support.servers import Running, running, spawned_script
from tests.support.times import SHORT_CHECKS, SHORT_END, SkippingClock, shorten_checks, shorten_ticks
from waitress_core import BaseWSGIServer, Dispatcher
from waitress_core.connection.connection import Connection
from waitress_core.connection.manager import SPARED_SECONDS, ConnectionManager
from waitress_core.lifecycle import waiter as waiter_module
from waitress_core.lifecycle.run import ServerRun
from waitress_core.observability.slow_requests import SlowRequests
from waitress_core.threads import pool as pool_module
from waitress_core.threads.leadership import LeadershipPolicy

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGTERM to one process")
LOGGERS = ("waitress", "waitress.queue", "waitress.access")
# A connection limit that fits in any poller. One that does not is logged in the main thread, where the SystemExit of a
# handler goes on, as it may be that of a signal.
FITTING = {"connection_limit": 100}
TRIES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds for an answer; the later ones are for a machine under load


class Unspeakable(Exception):
    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise OSError("no tea")
    if path == "/unspeakable":
        raise Unspeakable
    if path == "/exit":
        raise SystemExit
    start_response("200 OK", [("Content-Length", "9")] if path == "/short" else [])
    return [b"ok"]


# --- a log that raises


class RaisingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        raise SystemExit


def raising_filter(record: logging.LogRecord) -> bool:
    raise LookupError("no request id")


def with_formatter() -> logging.Handler:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(RaisingFormatter())
    return handler


def with_closed_stream() -> logging.Handler:
    stream = io.StringIO()
    stream.close()
    return logging.StreamHandler(stream)


def with_filter() -> logging.Handler:
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(raising_filter)
    return handler


HANDLERS: dict[str, Callable[[], logging.Handler]] = {
    "handler-Exception": lambda: RaisingHandler(ValueError("I/O operation on closed file")),
    "handler-SystemExit": lambda: RaisingHandler(SystemExit(1)),
    "formatter": with_formatter,
    "filter": with_filter,
    "closed": with_closed_stream,
}


@pytest.fixture(params=list(HANDLERS))
def broken_log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A log that raises for each record of the server, as `logging` itself does where it cannot report its errors."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    levels = {}
    for name in LOGGERS:
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "handlers", [HANDLERS[request.param]()])
        levels[logger] = logger.level
        logger.setLevel(logging.DEBUG)
    yield
    for logger, level in levels.items():
        logger.setLevel(level)


def ask(server: Running, path: str, *fields: str) -> int:
    """Return the status of the answer, on its own connection."""
    with server.client() as client:
        return client.get(path, *fields).status


@pytest.mark.usefixtures("broken_log")
@pytest.mark.parametrize("access_log", [False, True], ids=["", "access-log"])
def test_a_log_that_raises_costs_no_thread_and_no_answer(access_log: bool) -> None:
    settings = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "forwarded", "log_untrusted_proxy_headers": True}
    with running(application, threads=2, access_log=access_log, **FITTING, **settings) as server:
        for _ in range(5):  # more than there are threads
            assert ask(server, "/raise") == 500
            assert ask(server, "/exit") == 500
            assert ask(server, "/unspeakable") == 500
            assert ask(server, "/", "Forwarded: for=unspeakable;;for") == 400
            assert ask(server, "/", "X-Forwarded-For: 10.0.0.1") == 200
            with server.client() as client:
                client.send(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.rest().endswith(b"\r\n\r\nok")
        assert ask(server, "/") == 200
        server.server.shutdown()


@pytest.mark.usefixtures("broken_log")
def test_a_log_that_raises_costs_no_queued_request() -> None:
    gate = threading.Event()
    entered = threading.Semaphore(0)

    def slow(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        entered.release()
        assert gate.wait(20)
        return application(environ, start_response)

    with running(slow, threads=1, queue_warning_seconds=0, log_slow_requests=0.01, **FITTING) as server:
        run_of(server)._reactor.tick_seconds = 0.05
        ticking = [tick.__self__ for tick in cast(Any, run_of(server)._ticks)]  # over TLS also the certificates
        (slow_requests,) = [one for one in ticking if isinstance(one, SlowRequests)]
        clients = [server.client() for _ in range(4)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.acquire(timeout=20)
        assert becomes_true(lambda: server.server.stats().queue_depth == 3)
        assert becomes_true(lambda: bool(slow_requests._reported))
        gate.set()
        assert [client.response().status for client in clients] == [200] * 4
        for client in clients:
            client.close()


@pytest.mark.usefixtures("broken_log")
def test_a_log_that_raises_at_the_connection_limit_costs_nobody_the_server(skipping_clock: SkippingClock) -> None:
    with running(application, connection_limit=1) as server, server.client() as first:
        assert first.get().status == 200
        assert becomes_true(lambda: server.server.stats().idle_connections == 1)
        skipping_clock.skip(SPARED_SECONDS)
        assert ask(server, "/") == 200
        assert ask(server, "/") == 200


@pytest.mark.usefixtures("broken_log")
@pytest.mark.parametrize("end", ["shutdown", "close"])
def test_a_log_that_raises_does_not_hold_up_the_end(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)
    with running(application, shutdown_timeout=0.1, **FITTING) as server, server.client() as client:
        client.send(b"GET / HTTP/1.1\r\n")  # is cut off, which is logged
        assert becomes_true(lambda: server.server.stats().connections_by_state["head"] == 1)
        started_at = time.monotonic()
        getattr(server.server, end)()
        assert time.monotonic() - started_at < 10
        assert client.rest() == b""


CLOSED_STDERR = """
import logging, socket, sys
from waitress import serve

def application(environ, start_response):
    if environ["PATH_INFO"] == "/raise":
        raise OSError("no tea")
    start_response("200 OK", [])
    return [b"ok"]

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
{set_up}
serve(application, sockets=[listener], threads=4, connection_limit=2)
"""


@needs_signals
@pytest.mark.parametrize(
    "set_up",
    ["sys.stderr.close()", "logging.basicConfig(level=logging.DEBUG)\nsys.stderr.close()", "sys.stderr = None"],
    ids=["closed", "closed-with-handler", "none"],
)
def test_without_a_standard_error_all_is_answered_and_a_signal_ends_the_server(set_up: str, tmp_path: Path) -> None:
    with spawned_script(CLOSED_STDERR.format(set_up=set_up), tmp_path) as process:
        assert becomes_true(lambda: bool(process.output))
        address = "127.0.0.1", int(process.output[0])
        for _ in range(12):
            with Client(address) as client:
                assert client.get("/raise").status == 500
        with Client(address) as first, Client(address) as second, Client(address) as third:
            for client in (first, second, third):
                assert client.get().status == 200
                client.close()  # or it would keep its place from the third for a second
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


EXITING_HANDLER = """
class Exiting(logging.Handler):
    def handle(self, record):
        print(record.getMessage(), file=sys.stderr, flush=True)
        raise SystemExit

logging.getLogger().addHandler(Exiting())
logging.getLogger("waitress").setLevel(logging.INFO)
"""


@needs_signals
def test_a_log_that_raises_at_a_signal_does_not_end_the_server(tmp_path: Path) -> None:
    with spawned_script(CLOSED_STDERR.format(set_up=EXITING_HANDLER), tmp_path) as process:
        assert becomes_true(lambda: bool(process.output))
        address = "127.0.0.1", int(process.output[0])
        for name in ("SIGUSR2", "SIGUSR1"):
            with Client(address) as client:
                assert client.get().status == 200
            process.signal(getattr(signal, name))  # the main thread logs it
            process.wait_for_line(f"^{name}")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


# --- threads in which something is raised

errors = pytest.mark.parametrize("error", [ValueError, SystemExit], ids=lambda error: error.__name__)


def answers(server: Running) -> bool:
    """Whether a request is answered; one that is lost with the failing call is tried again."""
    for seconds in TRIES:
        with contextlib.suppress(OSError, AssertionError), Client(server.address, seconds) as client:
            return client.get().status == 200
    return False


def run_of(server: Running) -> ServerRun:
    """Return the run of a server that serves, or is about to."""
    assert becomes_true(lambda: server.server._run is not None)
    run = server.server._run
    assert run is not None
    return run


def raise_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: type[BaseException]) -> threading.Event:
    """Have a method raise at its next call; return an event: it has."""
    raised = threading.Event()
    original = getattr(owner, name)

    def call(*arguments: Any, **more: Any) -> Any:
        if not raised.is_set():
            raised.set()
            raise error("no tea")
        return original(*arguments, **more)

    monkeypatch.setattr(owner, name, call)
    return raised


PLACES: dict[str, Callable[[Running], tuple[Any, str]]] = {
    "tick": lambda server: (run_of(server)._reactor, "_on_tick"),
    "manager-tick": lambda server: (ConnectionManager, "tick"),
    "dispatcher-tick": lambda server: (Dispatcher, "tick"),
    "wake": lambda server: (run_of(server)._reactor, "_on_wake"),
    "on_ready": lambda server: (Connection, "on_ready"),
    "on_notify": lambda server: (Connection, "on_notify"),
    "on_closed": lambda server: (server.server, "on_closed"),
    "make-task": lambda server: (run_of(server).manager._acceptor._handlers[0].endpoint, "make_task"),
    "hand-off": lambda server: (Dispatcher, "_hand_off_ready"),
    "queue-task": lambda server: (server.server._dispatcher, "_hand_off"),
    "start-term": lambda server: (Dispatcher, "_start_term"),
    "accept-term": lambda server: (Dispatcher, "_accept"),
    "give": lambda server: (Dispatcher, "_give_leadership"),
    "turn": lambda server: (server.server._dispatcher, "_turn"),
}


@errors
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_whatever_raises_the_server_serves_on(
    place: Callable[[Running], tuple[Any, str]], error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Connection] = []
    monkeypatch.setattr(BaseWSGIServer, "on_opened", lambda server, connection: opened.append(connection))
    with running(application, threads=2) as server:
        run_of(server)._reactor.tick_seconds = 0.05
        assert answers(server)
        raised = raise_once(monkeypatch, *place(server), error)

        def is_reached() -> bool:
            # The standby leads for one request, and then an application thread again.
            policy = server.server._dispatcher._policy
            policy._hold_until = math.inf
            run_of(server).wake_leader()
            assert answers(server)
            policy._hold_until = 0.0
            assert answers(server)
            return raised.is_set()

        assert becomes_true(is_reached)
        for _ in range(10):
            assert answers(server)
        server.server.shutdown()
    assert opened
    assert all(connection.state_name is None for connection in opened)


@errors
@pytest.mark.parametrize("times", [1, 3])
def test_a_poller_that_raises_costs_a_pause(
    error: type[BaseException], times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(application) as server:
        poller: Any = run_of(server)._reactor.poller
        poll, left = poller.poll, [None] * times

        def failing(timeout: float) -> Any:
            if left:
                left.pop()
                raise error("no tea")
            return poll(timeout)

        poller.poll = failing
        assert answers(server)
        assert answers(server)


@pytest.fixture
def lost_sockets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A thread that is killed between accept and the assignment of the socket loses it; it is collected here, where
    nothing else is blamed for it. The records of the test have kept it: they show where the thread was.
    """
    yield
    caplog.get_records("call").clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@needs_kill
@pytest.mark.usefixtures("lost_sockets")
@pytest.mark.parametrize("leader", ["standby", "application-thread"])
@pytest.mark.parametrize("names", ["", "standby", "watchdog", "0", "1"], ids=["all", "standby", "watchdog", "0", "1"])
def test_a_thread_that_is_killed_goes_on(names: str, leader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda raised: None)  # one that is killed in its last lines
    with running(application, threads=2) as server:
        dispatcher = server.server._dispatcher
        for _ in range(3):
            if leader == "application-thread":
                assert answers(server)
                assert answers(server)
            else:
                dispatcher._policy._hold_until = time.perf_counter() + 0.1
                assert answers(server)
            for thread in dispatcher.threads:
                if thread.name.endswith(names):
                    kill(thread)
            for _ in range(5):
                assert answers(server)
        server.server.shutdown()


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "from the queue"])
def test_a_thread_killed_at_any_step_after_the_application_keeps_no_connection(
    leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Connection] = []
    monkeypatch.setattr(BaseWSGIServer, "on_opened", lambda server, connection: opened.append(connection))
    monkeypatch.setattr(LeadershipPolicy, "hands_off", lambda policy, now: not leads)
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    tried: list[Interruption] = []

    def interrupted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        tried[-1].start()
        return [b"ok"]

    with running(interrupted, threads=2) as server:
        for interruption in interruptions(until={"turn", "release"}):  # what the thread does next
            tried.append(interruption)
            with server.client() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert interruption.is_over.wait(20)
                assert becomes_true(lambda: not any(one.is_busy for one in opened), 20), interruption.place
        server.server.shutdown()
    assert all(connection.state_name is None for connection in opened)
    assert len(opened) == len(tried)


@pytest.mark.plain  # in a callback of OpenSSL no exception goes further than a failed handshake
@pytest.mark.parametrize("leads", [True, False], ids=["leader", "standby"])
def test_a_thread_killed_at_any_step_before_the_application_keeps_no_connection(
    leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Connection] = []
    monkeypatch.setattr(BaseWSGIServer, "on_opened", lambda server, connection: opened.append(connection))
    monkeypatch.setattr(LeadershipPolicy, "hands_off", lambda policy, now: not leads)
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    on_ready = Connection.on_ready
    not_started: list[Interruption] = []

    def interrupted(connection: Connection, readiness: int) -> None:
        if not_started:
            not_started.pop().start()
        on_ready(connection, readiness)

    monkeypatch.setattr(Connection, "on_ready", interrupted)
    with running(application, threads=2) as server:
        for interruption in interruptions(until={"service"} if leads else {"turn"}):
            not_started.append(interruption)
            with server.client() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert interruption.is_over.wait(20)
                with contextlib.suppress(OSError, AssertionError):  # the connection has ended
                    client.response()
            assert becomes_true(lambda: all(one.state_name is None for one in opened), 20), interruption.place
        server.server.shutdown()
    assert len(opened) > 20


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "standby"])
def test_a_leader_killed_at_any_step_of_its_end_does_not_keep_the_server(
    leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_checks(monkeypatch)
    monkeypatch.setattr(LeadershipPolicy, "hands_off", lambda policy, now: not leads)
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    end_leadership = Dispatcher.end_leadership
    not_started: list[Interruption] = []

    def interrupted(dispatcher: Dispatcher) -> None:
        if not_started:
            not_started.pop().start()
        end_leadership(dispatcher)

    monkeypatch.setattr(Dispatcher, "end_leadership", interrupted)
    tried = 0
    for interruption in interruptions(until={"_expire", "release", "_delete"}):  # what its turn or thread does next
        tried += 1
        with running(application, threads=1) as server:
            if leads:
                assert answers(server)
            not_started.append(interruption)
            server.server.shutdown()
            assert becomes_true(lambda: server.server._ended.is_set(), 20), interruption.place
    assert tried > 5


def test_a_leader_killed_at_any_step_of_a_close_frees_the_task_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)

    def endless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return itertools.repeat(bytes(100_000))

    def turn_is_over() -> None:
        pass

    def close_interrupted(connection: Connection, interruption: Interruption) -> None:
        interruption.start()
        connection.close()
        turn_is_over()

    with running(endless, threads=2, outbuf_high_watermark=100_000) as server:
        run = server.server._run
        assert run is not None
        for interruption in interruptions(until={"turn_is_over"}):
            with server.client() as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert becomes_true(lambda: any(map(waits_for_room, list(run.manager.connections.values()))), 20)
                (connection,) = run.manager.connections.values()
                run.call_soon_threadsafe(partial(close_interrupted, connection, interruption))
                assert interruption.is_over.wait(20)
                if not connection.is_gone:  # the exception has come before the first step
                    run.call_soon_threadsafe(connection.close)
                assert becomes_true(lambda: not run.manager.connections, 20), interruption.place
        assert becomes_true(lambda: server.server.stats().threads_busy <= 1, 20)


def waits_for_room(connection: Connection) -> bool:
    outbox = connection.sender.outbox
    return outbox is not None and outbox.is_waited_for


@pytest.mark.parametrize("name", ["standby", "0", "watchdog"])
def test_a_thread_that_fails_twice_is_replaced(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The second time where the first is handled: such a thread ends.
    shorten_checks(monkeypatch)
    monkeypatch.setattr(threading, "excepthook", lambda raised: None)
    monkeypatch.setattr(LeadershipPolicy, "hands_off", lambda policy, now: False)  # the application thread leads
    with running(application, threads=1) as server:
        dispatcher = server.server._dispatcher
        (failing,) = (thread for thread in dispatcher.threads if thread.name == f"waitress-{name}")

        def fail_in_thread(owner: Any, name: str) -> None:
            original = getattr(owner, name)

            def call(*arguments: Any) -> Any:
                if threading.current_thread() is failing:
                    raise SystemExit
                return original(*arguments)

            monkeypatch.setattr(owner, name, call)

        fail_in_thread(dispatcher, "_replace_leader")
        fail_in_thread(dispatcher, "_turn")
        fail_in_thread(dispatcher._watchdog, "_is_in_slot")
        assert becomes_true(lambda: answers(server) and not failing.is_alive())
        assert becomes_true(lambda: failing not in dispatcher.threads)
        assert all(thread.is_alive() for thread in dispatcher.threads)
        assert answers(server)


# The first request ends all: no thread can lead any more, and none can be started.
NO_THREADS = f"""
{SHORT_CHECKS}
{SHORT_END}
import logging, threading
from waitress_core import create_server
from waitress_core.threads import dispatcher, pool

def application(environ, start_response):
    end_all()
    start_response("200 OK", [])
    return [b"ok"]

def end_all():
    def die(*arguments):
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit
    def refuse(*arguments):
        raise pool.CannotStartThread("Cannot start the thread: the system has none left")
    pool.start_thread = refuse
    dispatcher.Dispatcher._replace_leader = die
    server._dispatcher._turn = die

logging.basicConfig(level=logging.INFO)
server = create_server(application, listen="127.0.0.1:0")
server.close_seconds = 0.1
threading.excepthook = lambda raised: None
logging.info("Serving on %s", server.url)
server.run()
"""


def test_a_leader_that_cannot_be_replaced_ends_the_process_with_status_1(tmp_path: Path) -> None:
    with spawned_script(NO_THREADS, tmp_path) as process:
        with Client(process.wait_for_address()) as client:
            assert client.get().status == 200
        process.wait_for_line("CannotStartThread: Cannot start the thread")
        assert process.wait() == 1


def test_the_pause_after_an_exception_is_shorter_than_a_second() -> None:
    assert pool_module.FAULT_SECONDS < 0.5


def test_a_thread_that_has_ended_is_noticed_within_a_second() -> None:
    assert waiter_module.CHECK_SECONDS <= 1.0
