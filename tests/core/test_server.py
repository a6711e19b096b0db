"""Whole servers: made, run, ended, forked; from every thread that may do so."""

import errno
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.faults import NO_THREAD, leave_threads
from tests.support.servers import running
from tests.support.times import shorten_checks
from waitress_buffers import ReadOnlyFileBuffer
from waitress_core import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, UnixWSGIServer, create_server
from waitress_core.config.addresses import AF_UNIX
from waitress_core.lifecycle import run as run_module
from waitress_core.lifecycle.run import ServerRun
from waitress_core.threads.event import Event
from waitress_core.threads.tasks import Task

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]


def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


class Held:
    """An application that waits in /held until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.gate = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/held":
            self.entered.set()
            assert self.gate.wait(SOON)
        return application(environ, start_response)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="ws"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(SOON)
    assert set(threading.enumerate()) <= before


def make(app: Any = application, **settings: Any) -> Any:
    if not {"listen", "host", "port", "unix_socket", "sockets"} & settings.keys():
        settings["listen"] = "127.0.0.1:0"
    return create_server(app, **settings)


def address_of(server: Any) -> tuple[str, int]:
    return server.effective_host, int(server.effective_port)


def start(server: BaseWSGIServer) -> threading.Thread:
    """Run a server in a thread; return once it serves."""
    thread = threading.Thread(target=server.run)
    thread.start()
    with Client(address_of(server)) as client:
        client.get("/started")
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(SOON)
    return not thread.is_alive()


# --- making


@pytest.mark.promise("S72")
def test_an_application_that_is_invalid_is_refused_before_anything_is_opened() -> None:
    message = (
        'The "app" passed to ``create_server`` was ``None``.  You forgot to return a WSGI app within your application.'
    )
    for make_one in (create_server, TcpWSGIServer, MultiSocketServer):
        with pytest.raises(ValueError) as caught:
            make_one(None, listen="nowhere.invalid:x")  # type: ignore[arg-type]
        assert str(caught.value) == message


@pytest.mark.promise("S73", "S76")
def test_one_address_makes_a_tcp_server() -> None:
    server = make()
    assert type(server) is TcpWSGIServer
    assert server.effective_host == "127.0.0.1"
    assert server.effective_port == str(server.socket.getsockname()[1])
    assert server.effective_port != "0"
    assert server.fileno() == server.socket.fileno()
    assert server.server_name == "waitress.invalid"
    assert server.adj.threads == 4
    server.close()


@pytest.mark.promise("S07")
def test_several_addresses_make_a_server_with_several_sockets() -> None:
    server = make(listen="127.0.0.1:0 127.0.0.1:0")
    assert type(server) is MultiSocketServer
    assert [host for host, _ in server.effective_listen] == ["127.0.0.1", "127.0.0.1"]
    assert len({port for _, port in server.effective_listen}) == 2
    server.close()


@pytest.mark.skipif(AF_UNIX is None, reason="this system has no unix sockets")
@pytest.mark.promise("S09")
def test_a_path_makes_a_unix_server_which_removes_it(folder: Path) -> None:
    path = str(folder / "s")
    server = make(unix_socket=path)
    assert type(server) is UnixWSGIServer
    assert (server.effective_host, server.effective_port) == ("unix", path)
    server.close()
    assert list(folder.iterdir()) == []
    with running(application, unix_socket=path) as run, run.client() as client:
        assert client.get("/x").body == b"/x"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("count", [1, 2])
def test_given_sockets_are_served_and_not_closed(count: int) -> None:
    given = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    with running(application, sockets=given) as run:
        assert type(run.server) is (TcpWSGIServer if count == 1 else MultiSocketServer)
        for sock in given:
            with Client(sock.getsockname()) as client:
                assert client.get("/x").body == b"/x"
    for sock in given:
        assert sock.fileno() != -1
        sock.close()


def test_the_application_may_be_replaced_before_the_run() -> None:
    server = make(lambda environ, start_response: 1 / 0)
    server.application = application
    thread = start(server)
    server.close()
    assert ended(thread)


def test_another_dispatcher_gets_every_request() -> None:
    class Sink:
        def __init__(self) -> None:
            self.count = 0

        def add_task(self, task: Task) -> None:
            self.count += 1
            threading.Thread(target=task.service).start()

    sink = Sink()
    with running(application, dispatcher=sink) as run, run.client() as client:
        for _ in range(10):
            client.get("/")
        assert run.server.task_dispatcher is sink
    assert sink.count == 10


# --- running and ending


def test_after_a_run_nothing_is_left() -> None:
    server = make()
    thread = start(server)
    with Client(address_of(server)) as client:
        client.get("/")
        server.close()
        assert client.rest() == b""
    assert ended(thread)
    assert server.stats().connections == 0
    assert server.socket.fileno() == -1
    with pytest.raises(OSError):
        socket.create_connection(address_of(server), 1)


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_server_runs_once(when: str) -> None:
    server = make()
    thread = start(server)
    if when == "after":
        server.close()
        assert ended(thread)
    with pytest.raises(RuntimeError, match="create_server makes another one"):
        server.run()
    if when == "during":
        with Client(address_of(server)) as client:
            assert client.get("/still").body == b"/still"
    server.close()
    assert ended(thread)


def test_a_server_that_is_closed_before_its_run_serves_nobody() -> None:
    server = make()
    address = address_of(server)
    server.close()
    server.close()
    with pytest.raises(OSError):
        socket.create_connection(address, 1)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ended(thread)
    assert server.socket.fileno() == -1


def test_close_from_several_threads_at_once_returns_in_each_when_all_has_ended() -> None:
    server = make()
    thread = start(server)
    barrier = threading.Barrier(6)
    left: list[int] = []

    def close() -> None:
        barrier.wait(SOON)
        server.close()
        left.append(server.stats().connections)
        left.append(server.socket.fileno())

    closers = [threading.Thread(target=close) for _ in range(6)]
    for closer in closers:
        closer.start()
    assert all(ended(closer) for closer in closers)
    assert sorted(left) == [-1] * 6 + [0] * 6
    assert ended(thread)


def test_close_from_an_application_answers_and_ends() -> None:
    returned: list[str] = []

    def closing(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/close":
            server.close()
            returned.append("returned")
        return application(environ, start_response)

    server = make(closing)
    thread = start(server)
    with Client(address_of(server)) as client:
        assert client.get("/close").body == b"/close"
        assert client.rest() == b""
    assert ended(thread)
    assert returned == ["returned"]


def test_close_waits_for_a_running_application() -> None:
    held = Held()
    server = make(held)
    thread = start(server)
    with Client(address_of(server)) as client:
        client.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.entered.wait(SOON)
        closer = threading.Thread(target=server.close)
        closer.start()
        closer.join(0.05)
        assert closer.is_alive()
        held.gate.set()
        assert client.response().body == b"/held"
    assert ended(closer)
    assert ended(thread)


def test_an_application_that_outlasts_close_is_told_of_and_its_thread_ends_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(BaseWSGIServer, "close_seconds", 0.0)
    monkeypatch.setattr(ServerRun, "threads_seconds", 0.1)
    held = Held()
    server = make(held, threads=2)
    thread = start(server)
    with Client(address_of(server)) as client:
        client.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.entered.wait(SOON)
        server.close()
        assert client.rest() == b""
    assert ended(thread)
    assert [record.getMessage() for record in caplog.records] == ["1 thread(s) still running"]
    alive = [one for one in server._dispatcher.threads if one.is_alive()]
    assert len(alive) == 1
    held.gate.set()
    assert ended(alive[0])


class FailingFile(ReadOnlyFileBuffer):
    """A file with a `close` that fails once it is closed."""

    __slots__ = ()

    def close(self) -> None:
        super().close()
        raise OSError(errno.EIO, "the file is broken")


def test_a_file_that_cannot_be_closed_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(BaseWSGIServer, "close_seconds", 0.0)
    (tmp_path / "file").write_bytes(bytes(32 << 20))

    def app(environ: Environ, start_response: StartResponse) -> Any:
        if environ["PATH_INFO"] != "/file":
            return application(environ, start_response)
        start_response("200 OK", [])
        return FailingFile(opened)

    with (tmp_path / "file").open("rb") as opened:
        server = make(app)
        thread = start(server)
        with Client(address_of(server)) as client:
            client.send(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.socket.recv(1)
            server.close()
        assert ended(thread)
        assert opened.closed
    assert "the file is broken" in caplog.text


@pytest.mark.parametrize("after", [0, 3, 5])
def test_a_start_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    server = make()
    address = address_of(server)
    with monkeypatch.context() as patched:
        started = leave_threads(patched, after)
        with pytest.raises(RuntimeError, match=NO_THREAD):
            server.run()
    assert all(ended(thread) for thread in started)
    assert server.socket.fileno() == -1
    with pytest.raises(OSError):
        socket.create_connection(address, 1)
    server.close()


def test_a_poller_that_can_not_be_had_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = make()

    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("waitress_core.reactor.reactor.best_poller", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        server.run()
    assert server.socket.fileno() == -1
    server.close()


# --- a server in the main thread


def serve_in_main_thread(app: Any, path: str, **settings: Any) -> list[Any]:
    """Run a server here, ask it for a path from another thread, and give the responses."""
    server = make(app, **settings)
    responses: list[Any] = []

    def ask() -> None:
        with Client(address_of(server)) as client:
            responses.append(client.get(path))
            responses.append(client.rest())

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        server.run()
    finally:
        assert ended(asker)
    return responses


@pytest.fixture
def default_handlers() -> Iterator[None]:
    """Have the handlers of a program that has installed none."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def signalling(number: int) -> Any:
    """Make an application that sends its own process a signal."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        os.kill(os.getpid(), number)
        return application(environ, start_response)

    return app


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send such a signal to one process")
@pytest.mark.usefixtures("default_handlers")
@pytest.mark.promise("S08")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: signal.Signals(number).name)
def test_a_signal_drains_a_server_in_the_main_thread(number: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    response, rest = serve_in_main_thread(signalling(number), "/x")
    ends = "SIGINT or SIGQUIT" if number == signal.SIGTERM else "(?:a further SIGINT|Ctrl-C again)"
    stopped = rf"Stopping: answering the requests in progress \(\d\); {ends} ends the server at once"
    assert [message for message in caplog.messages if re.fullmatch(stopped, message)]
    assert response.body == b"/x"
    assert rest == b""
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send such a signal to one process")
@pytest.mark.usefixtures("default_handlers")
def test_a_handler_that_closes_the_server_does_not_wait() -> None:
    if sys.platform != "win32":
        server = make(signalling(signal.SIGUSR1))
        before = signal.signal(signal.SIGUSR1, lambda number, frame: server.close())
        bodies: list[bytes] = []

        def ask() -> None:
            with Client(address_of(server)) as client:
                bodies.append(client.get("/x").body)

        asker = threading.Thread(target=ask)
        asker.start()
        server.run()
        assert ended(asker)
        assert bodies == [b"/x"]
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send such a signal to one process")
@pytest.mark.usefixtures("default_handlers")
def test_an_interrupt_raised_by_a_handler_of_somebody_else_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[str] = []
    waiting = threading.Event()  # the thread in run() has started all others, and is where the interrupt is to come

    class Waiting(Event):
        def wait(self, seconds: float) -> bool:
            waiting.set()
            return super().wait(seconds)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert waiting.wait(SOON)
        os.kill(os.getpid(), signal.SIGINT)
        return application(environ, start_response)

    def wait(run: ServerRun) -> None:
        run._waiter._woken = Waiting()
        wait_for_end(run)

    wait_for_end = ServerRun.wait
    monkeypatch.setattr(ServerRun, "wait", wait)

    def interrupt(number: int, frame: object) -> None:
        raised.append("raised")
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    response, rest = serve_in_main_thread(app, "/x")
    assert (response.body, rest) == (b"/x", b"")
    assert raised == ["raised"]


def test_a_host_that_raises_while_it_waits_ends_the_server_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_checks(monkeypatch)
    server = make()
    tidied: list[bool] = []
    close_all = ServerRun.close_all

    def look_and_tidy_up(run: ServerRun) -> None:
        tidied.append(run._waiter._has_ended.is_set())
        close_all(run)

    def fail() -> None:
        raise OSError("no tea")

    monkeypatch.setattr(ServerRun, "close_all", look_and_tidy_up)
    monkeypatch.setattr(server, "while_waiting", fail)
    with pytest.raises(OSError, match="no tea"):
        server.run()
    assert tidied == [True]  # the leader has ended by itself, and what it had started too
    assert server.socket.fileno() == -1


def test_close_within_the_making_of_the_run_is_neither_lost_nor_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    # As a signal handler may come at any instruction of the thread in run().
    make_run = run_module.ServerRun
    server = make()

    def interrupted(*arguments: Any, **named: Any) -> Any:
        server.close()
        made = make_run(*arguments, **named)
        server.close()
        return made

    monkeypatch.setattr("waitress_core.server.ServerRun", interrupted)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ended(thread)
    assert server.socket.fileno() == -1


# --- fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("slow", [False, True], ids=["by-the-leader", "from-the-queue"])
def test_a_child_that_an_application_forks_serves_nobody(slow: bool) -> None:
    statuses: list[int] = []

    def forking(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] != "/fork" or sys.platform == "win32":
            return application(environ, start_response)
        child = os.fork()
        start_response("200 OK", [])
        if not child:
            return [b"from the child"]
        statuses.append(os.waitpid(child, 0)[1])
        return [b"from the parent"]

    server = make(forking, threads=2)
    if slow:
        server._dispatcher._policy.hand_off_always()
    thread = start(server)
    with Client(address_of(server)) as client, Client(address_of(server)) as other:
        other.get("/")
        assert client.get("/fork").body == b"from the parent"
        assert statuses == [0]
        assert client.get("/again").body == b"/again"
        assert other.get("/again").body == b"/again"
        server.close()
        assert client.rest() == b""
    assert ended(thread)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_can_close_its_copy_of_the_server_and_holds_no_socket_of_it() -> None:
    statuses: list[int] = []

    def forking(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] != "/fork" or sys.platform == "win32":
            return application(environ, start_response)
        descriptors = [server.fileno(), *server._run.manager.connections]
        child = os.fork()
        if not child:
            failures = 0
            try:
                server.close()
                for descriptor in descriptors:
                    try:
                        os.fstat(descriptor)
                        failures += 1
                    except OSError:
                        pass
                failures += signal.getsignal(signal.SIGTERM) is not handler
            except BaseException:
                failures = 100
            os._exit(failures)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return application(environ, start_response)

    handler = signal.getsignal(signal.SIGTERM)
    server = make(forking)
    thread = start(server)
    with Client(address_of(server)) as client:
        assert client.get("/fork").body == b"/fork"
        assert client.get("/again").body == b"/again"
    server.close()
    assert ended(thread)
    assert statuses == [0]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
@pytest.mark.parametrize(
    ("kind", "settings", "other"),
    [
        (TcpWSGIServer, {"unix_socket": "it.sock"}, "UnixWSGIServer"),
        (UnixWSGIServer, {"listen": "127.0.0.1:0"}, "TcpWSGIServer"),
    ],
)
def test_a_server_refuses_what_another_kind_listens_on(kind: Any, settings: dict[str, Any], other: str) -> None:
    with pytest.raises(ValueError, match=f"take a {other}"):
        kind(application, **settings)


def test_a_server_of_one_kind_refuses_given_sockets_of_another() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="take a TcpWSGIServer"):
            UnixWSGIServer(application, sockets=[sock])
