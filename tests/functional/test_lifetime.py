"""The life of a server: it starts completely or not at all, ends when it is told to, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Recorder, errors_in, get, set_at_end
from tests.support.client import Client
from tests.support.faults import NO_THREAD, leave_threads
from tests.support.platforms import open_gate
from tests.support.processes import Program, becomes_true, needs_fifo, needs_proc, open_descriptors, serving_program
from tests.support.servers import Running, run_in_thread, running, spawned_script, waitress_threads
from tests.support.times import SHORT_AGAIN, SHORT_AGAIN_SECONDS, SHORT_END, shorten_close, shorten_end, shorten_ticks
from waitress_core import Adjustments, BaseWSGIServer, TcpWSGIServer, create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

needs_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows cannot send SIGTERM and SIGINT to one process"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

# `/wait` says so in the log, and waits until the other end of the FIFO `gate` has been opened and closed.
APPLICATION = """
import os

def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = [path.encode()]
    if path.startswith("/wait"):
        logging.warning("%s waits", path)
        with open("gate") as gate:
            gate.read()
        logging.warning("%s goes on", path)
    elif path == "/large":
        body = [b"x" * 20_000_000]
    elif path == "/many":
        body = (b"x" * 100_000 for _ in range(200))
    start_response("200 OK", [])
    return body
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Program]]:
    """Serve the application above in its own process, with the settings given."""

    def serve(source: str = APPLICATION, **settings: Any) -> contextlib.AbstractContextManager[Program]:
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "gate")
        return serving_program(source, tmp_path, **settings)

    return serve


Serve = Callable[..., contextlib.AbstractContextManager[Program]]


def refuses(address: tuple[str, int]) -> bool:
    """Whether nobody listens there any more."""
    try:
        with socket.create_connection(address, SECONDS):
            return False
    except ConnectionError:
        return True


def start_request(client: Client, program: Program, path: str = "/wait") -> None:
    """Send a request, and wait until the application is busy with it."""
    client.send(get(target=path))
    program.process.wait_for_line(f"{path} waits")


def seconds_to_end(program: Program) -> float:
    started_at = time.monotonic()
    program.process.wait()
    return time.monotonic() - started_at


def status_of(program: Program) -> int:
    return program.process.wait(60)


# --- the platform


@pytest.mark.promise("S02")
def test_this_platform_and_interpreter_serve_and_end_by_their_own_signal(tmp_path: Path) -> None:
    if sys.platform == "win32":
        flags, number = subprocess.CREATE_NEW_PROCESS_GROUP, signal.CTRL_BREAK_EVENT
    else:
        flags, number = 0, signal.SIGINT
    script = tmp_path / "serve.py"
    script.write_text(
        "import sys\n"
        "from waitress_core import create_server\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [sys.version.encode()]\n"
        "server = create_server(application, listen='127.0.0.1:0')\n"
        "print(server.effective_port, flush=True)\n"
        "server.run()\n"
        "print('ended', flush=True)\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, creationflags=flags
    ) as process:
        assert process.stdout is not None
        try:
            with Client(("127.0.0.1", int(process.stdout.readline()))) as client:
                assert client.get().body == sys.version.encode()
                process.send_signal(number)
                assert process.stdout.readline() == "ended\n"
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


# --- signals


@needs_signals
@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="S08-SIGINT"), pytest.param(getattr(signal, "SIGTERM", None), id="S08-SIGTERM")],
)
def test_a_signal_ends_the_server_with_status_0(number: int, program: Serve) -> None:
    with program() as served:
        with served.client() as client:
            assert client.get("/").body == b"/"
        served.process.signal(number)
        assert status_of(served) == 0
        assert becomes_true(lambda: refuses(served.address))
    assert "Traceback" not in "\n".join(served.process.log)


@needs_signals
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="S69-default"),
        pytest.param({"asyncore_loop_timeout": 20}, id="S69-long-timeout"),
        pytest.param({"threads": 1}, id="S69-one-thread"),
    ],
)
@pytest.mark.parametrize("connections", [0, 20])
def test_an_idle_server_ends_within_two_seconds(settings: dict[str, Any], connections: int, tmp_path: Path) -> None:
    """The best of a few attempts: other processes may want the processors too."""
    times: list[float] = []
    while not times or (min(times) >= 2 and len(times) < 5):
        with serving_program(APPLICATION, tmp_path, **settings) as served, contextlib.ExitStack() as stack:
            for _ in range(connections):
                assert stack.enter_context(served.client()).get("/").status == 200
            served.process.signal(signal.SIGINT)
            times.append(seconds_to_end(served))
    assert min(times) < 2


@pytest.mark.promise("S69")
def test_the_loop_timeout_is_a_second_unless_set() -> None:
    assert Adjustments().asyncore_loop_timeout == 1
    assert Adjustments(asyncore_loop_timeout="7").asyncore_loop_timeout == 7


@needs_signals
@needs_fifo
@pytest.mark.promise("S08")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_that_runs_is_answered_before_the_end(number: int, program: Serve, tmp_path: Path) -> None:
    with program() as served, served.client() as client, served.client() as idle:
        assert idle.get("/").header("Connection") is None
        start_request(client, served)
        served.process.signal(number)
        assert becomes_true(lambda: refuses(served.address))
        assert idle.rest() == b""
        assert served.process.process.poll() is None
        open_gate(tmp_path)
        response = client.response()
        assert (response.status, response.body) == (200, b"/wait")
        assert response.header("Connection") == "close"
        assert client.rest() == b""
        client.close()
        assert status_of(served) == 0


@needs_signals
@needs_fifo
def test_requests_that_are_queued_are_answered_before_the_end(program: Serve, tmp_path: Path) -> None:
    with program(threads=1, has_short_ticks=True) as served, contextlib.ExitStack() as stack:
        first = stack.enter_context(served.client())
        start_request(first, served)
        queued = [stack.enter_context(served.client()) for _ in range(5)]
        for client in queued:
            client.send(get(target="/queued"))
        served.process.wait_for_line("Task queue depth is [1-5]")
        served.process.signal()
        assert becomes_true(lambda: refuses(served.address))
        open_gate(tmp_path)
        for client, body in [(first, b"/wait"), *((client, b"/queued") for client in queued)]:
            response = client.response()
            assert (response.body, response.header("Connection")) == (body, "close")
            client.close()
        assert status_of(served) == 0


@needs_signals
@needs_fifo
def test_requests_that_are_pipelined_are_answered_before_the_end(program: Serve, tmp_path: Path) -> None:
    with program() as served, served.client() as client, served.client() as other:
        start_request(client, served)
        client.send(get(target="/") * 3)
        for _ in range(2):  # the second is read in a later turn than what is pipelined
            assert other.get("/").status == 200
        served.process.signal()
        assert becomes_true(lambda: refuses(served.address))
        open_gate(tmp_path)
        assert [client.response().header("Connection") for _ in range(4)] == [None, None, None, "close"]
        assert client.rest() == b""
        client.close()
        assert status_of(served) == 0


@pytest.mark.plain  # a client in the backlog cannot shake hands
@needs_signals
@needs_fifo
def test_connections_in_the_backlog_are_served_before_the_end(program: Serve, tmp_path: Path) -> None:
    """The limit keeps them there: connected, with a request sent, and not accepted."""
    with program(connection_limit=1) as served, served.client() as busy:
        start_request(busy, served)
        with served.client() as waiting:
            waiting.send(get(target="/from-the-backlog"))
            served.process.signal()
            assert becomes_true(lambda: refuses(served.address))
            open_gate(tmp_path)
            assert busy.response().body == b"/wait"
            busy.close()
            response = waiting.response()
            assert (response.body, response.header("Connection")) == (b"/from-the-backlog", "close")
            waiting.close()
            assert status_of(served) == 0


@needs_signals
@pytest.mark.parametrize("path", ["/large", "/many"])
def test_slow_readers_get_all_of_their_response_before_the_end(path: str, program: Serve) -> None:
    with program() as served, served.client() as client:
        client.send(get(target=path, version="1.0"))
        arrived = client.socket.recv(1000)
        served.process.signal()
        assert becomes_true(lambda: refuses(served.address))
        received = len(arrived)
        while data := client.socket.recv(200_000):
            received += len(data)
            time.sleep(0.002)  # slow, compared with the server
        assert received > 20_000_000
        assert status_of(served) == 0


@needs_signals
def test_a_request_that_has_started_to_arrive_is_taken_before_the_end(program: Serve) -> None:
    with program(has_short_ticks=True) as served, served.client() as client:
        request = b"POST /posted HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
        client.send(request[:-5])
        assert client.response().status == 100
        served.process.signal()
        assert becomes_true(lambda: refuses(served.address))
        client.send(request[-5:])
        response = client.response()
        assert (response.body, response.header("Connection")) == (b"/posted", "close")
        client.close()
        assert status_of(served) == 0


@needs_signals
@needs_fifo
@pytest.mark.parametrize("first", ["SIGTERM", "SIGINT"])
def test_a_further_sigint_ends_at_once(first: str, program: Serve) -> None:
    with program(SHORT_AGAIN + SHORT_END + APPLICATION, shutdown_timeout=1000) as served, served.client() as client:
        start_request(client, served)
        served.process.signal(getattr(signal, first))
        assert becomes_true(lambda: refuses(served.address))
        time.sleep(SHORT_AGAIN_SECONDS)
        served.process.signal(signal.SIGINT)
        assert seconds_to_end(served) < 15
        assert client.rest() == b""


@needs_signals
@needs_fifo
def test_the_drain_ends_after_shutdown_timeout(program: Serve) -> None:
    assert Adjustments().shutdown_timeout == 25
    with program(SHORT_END + APPLICATION, shutdown_timeout=1) as served, served.client() as client:
        start_request(client, served)
        served.process.signal()
        assert 0.9 < seconds_to_end(served) < 15
        assert client.rest() == b""


@needs_signals
def test_a_reader_that_takes_nothing_does_not_hold_up_the_end(program: Serve) -> None:
    with program(shutdown_timeout=0.2, has_short_ticks=True) as served, served.client() as client:
        client.send(get(target="/large"))
        client.socket.recv(1)
        served.process.signal()
        assert seconds_to_end(served) < 15


HANDLERS = """
import logging
import signal
from waitress_core import create_server

logging.basicConfig(level=logging.INFO)

def application(environ, start_response):
    during.append([signal.getsignal(number) for number in numbers])
    start_response("200 OK", [])
    return [b"ok"]

{handlers}
numbers = signal.SIGTERM, signal.SIGINT
before = [signal.getsignal(number) for number in numbers]
during = []
server = create_server(application, listen="127.0.0.1:0")
logging.info("Serving on %s", server.url)
{run}
after = [signal.getsignal(number) for number in numbers]
logging.info("restored %s kept %s", after == before, [one is other for one, other in zip(before, during[0])])
"""


@needs_signals
@pytest.mark.parametrize(
    ("handlers", "run", "number", "kept"),
    [
        pytest.param("", "server.run()", "SIGTERM", "False, False", id="nobody-else"),
        pytest.param("", "server.run()", "SIGINT", "False, False", id="nobody-else-SIGINT"),
        pytest.param(
            "signal.signal(signal.SIGTERM, lambda *_: server.close())",
            "server.run()",
            "SIGTERM",
            "True, False",
            id="SIGTERM-is-taken",
        ),
        pytest.param(
            "signal.signal(signal.SIGINT, lambda *_: server.close())",
            "server.run()",
            "SIGINT",
            "False, True",
            id="SIGINT-is-taken",
        ),
        pytest.param(
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "server.run()",
            "SIGINT",
            "True, False",
            id="SIGTERM-ignored",
        ),
        pytest.param(
            "import threading\nsignal.signal(signal.SIGTERM, lambda *_: server.close())",
            "thread = threading.Thread(target=server.run)\nthread.start()\nthread.join()",
            "SIGTERM",
            "True, True",
            id="not-in-the-main-thread",
        ),
    ],
)
def test_signal_handlers_of_others_are_kept_and_ours_are_taken_back(
    handlers: str, run: str, number: str, kept: str, tmp_path: Path
) -> None:
    with spawned_script(HANDLERS.format(handlers=handlers, run=run), tmp_path) as process:
        with Client(process.wait_for_address()) as client:
            assert client.get().status == 200
        process.signal(getattr(signal, number))
        assert process.wait_for_line("restored (.*)")[1] == f"True kept [{kept}]"
        assert process.wait() == 0


@needs_signals
@pytest.mark.parametrize("error", ["SystemExit(7)", "KeyboardInterrupt()"])
def test_an_exit_out_of_somebody_elses_handler_ends_the_server_in_order(error: str, tmp_path: Path) -> None:
    source = HANDLERS.format(
        handlers=f"def leave(*_): raise {error}\nsignal.signal(signal.SIGTERM, leave)",
        run="try:\n    server.run()\nexcept BaseException as error:\n    logging.info('%r', error)",
    )
    with spawned_script(source, tmp_path) as process:
        address = process.wait_for_address()
        with Client(address) as client:
            assert client.get().status == 200
            process.signal(signal.SIGTERM)
            assert process.wait_for_line("restored (.*)")[1] == "True kept [True, False]"
            assert client.rest() == b""
        assert process.wait() == 0
        assert becomes_true(lambda: refuses(address))


# --- close


class Blocking:
    """`/wait` waits for `released`, and has set `entered` before."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/wait":
            self.entered.set()
            self.released.wait(SECONDS)
        start_response("200 OK", [])
        return [b"ok"]


def test_close_from_another_thread_ends_run_and_returns_when_all_is_over() -> None:
    before = waitress_threads()
    with running(Recorder()) as server, server.client() as client:
        assert client.get().status == 200
        server.server.close()
        assert becomes_true(lambda: refuses(server.address))
        assert client.rest() == b""
        assert becomes_true(lambda: waitress_threads() == before)


def test_close_may_be_called_any_number_of_times_from_any_threads(caplog: pytest.LogCaptureFixture) -> None:
    caught: list[BaseException] = []
    start = threading.Barrier(8)

    def close(server: BaseWSGIServer) -> None:
        start.wait(SECONDS)
        try:
            server.close()
            server.close()
        except BaseException as error:
            caught.append(error)

    for _ in range(5):
        server = create_server(Recorder(), listen="127.0.0.1:0")
        with run_in_thread(server) as run:
            threads = [threading.Thread(target=close, args=(server,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in [*threads, run]:
                thread.join(SECONDS)
                assert not thread.is_alive()
    assert caught == []
    assert errors_in(caplog.records) == []


def test_close_from_an_application_does_not_wait_for_itself() -> None:
    servers: list[Running] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        servers[0].server.close()
        start_response("200 OK", [])
        return [b"closed"]

    with running(application) as server:
        servers.append(server)
        with server.client() as client:
            response = client.get()
            assert response.body == b"closed"
            assert client.rest() == b""
        assert becomes_true(lambda: refuses(server.address))
        assert becomes_true(lambda: not server.server.stats().connections)


@needs_signals
@pytest.mark.parametrize("number", ["SIGUSR1", "SIGTERM"])
def test_close_from_a_signal_handler_ends_run(number: str, tmp_path: Path) -> None:
    source = f"""
import signal
signal.signal(signal.{number}, lambda *_: server.close())
{APPLICATION}"""
    with serving_program(source, tmp_path) as served:
        with served.client() as client:
            assert client.get("/").status == 200
        served.process.signal(getattr(signal, number))
        assert status_of(served) == 0


def test_close_before_run_frees_the_address() -> None:
    server = create_server(Recorder(), listen="127.0.0.1:0")
    assert isinstance(server, TcpWSGIServer)
    port = int(server.effective_port)
    server.close()
    server.close()
    assert becomes_true(lambda: refuses(("127.0.0.1", port)))
    again = create_server(Recorder(), listen=f"127.0.0.1:{port}")
    again.close()
    if hasattr(socket, "AF_UNIX"):
        with tempfile.TemporaryDirectory(prefix="w") as folder:  # short: the path of a unix socket must be
            create_server(Recorder(), unix_socket=f"{folder}/socket").close()
            assert os.listdir(folder) == []


def test_close_lets_what_runs_end_and_answers_it() -> None:
    application = Blocking()
    with running(application) as server, set_at_end(application.released), server.client() as client:
        client.send(get(target="/wait"))
        assert application.entered.wait(SECONDS)
        closing = threading.Thread(target=server.server.close)
        closing.start()
        assert becomes_true(lambda: refuses(server.address))
        application.released.set()
        assert client.response().body == b"ok"
        closing.join(SECONDS)
        assert not closing.is_alive()


def test_close_waits_five_seconds_and_no_longer_for_what_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert BaseWSGIServer.close_seconds == 5
    shorten_close(monkeypatch, 0.5)
    shorten_end(monkeypatch)
    shorten_ticks(monkeypatch)
    application = Blocking()
    server = create_server(application, listen="127.0.0.1:0", threads=1)  # others might take longer to end
    assert isinstance(server, TcpWSGIServer)
    with run_in_thread(server) as run, set_at_end(application.released):
        with Client(("127.0.0.1", int(server.effective_port))) as client:
            client.send(get(target="/wait"))
            assert application.entered.wait(SECONDS)
            started = time.monotonic()
            server.close()
            assert 0.5 <= time.monotonic() - started < 10
            run.join(SECONDS)
            assert not run.is_alive()
            assert client.rest() == b""
        assert caplog.messages == ["1 thread(s) still running"]
    assert becomes_true(lambda: not waitress_threads()), "the thread runs on after its application has returned"


def test_close_cancels_what_is_queued(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    shorten_ticks(monkeypatch)
    application = Blocking()
    with running(application, threads=1) as server, set_at_end(application.released), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(4)]
        clients[0].send(get(target="/wait"))
        assert application.entered.wait(SECONDS)
        for client in clients[1:]:
            client.send(get())
        assert becomes_true(lambda: any("Task queue depth is" in line for line in caplog.messages))
        closing = threading.Thread(target=server.server.close)
        closing.start()
        for client in clients[1:]:
            assert client.rest() == b""
        application.released.set()
        assert clients[0].response().body == b"ok"
        closing.join(SECONDS)
    assert any(re.fullmatch(r"Canceling [1-3] pending task\(s\)", line) for line in caplog.messages)


def test_close_in_the_midst_of_many_clients(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever they do just then, run() returns, and nothing is logged but what the clients have coming."""
    for _ in range(10):
        stop = threading.Event()
        with running(Recorder()) as server:

            def ask(server: Running = server, stop: threading.Event = stop) -> None:
                with contextlib.suppress(OSError, AssertionError):
                    while not stop.is_set():
                        with server.client() as client:
                            client.get()
                            client.get("/", "Connection: close")

            threads = [threading.Thread(target=ask) for _ in range(6)]
            for thread in threads:
                thread.start()
            assert becomes_true(lambda server=server: bool(server.server.stats().connections))  # type: ignore[misc]
            server.server.close()
            stop.set()
            for thread in threads:
                thread.join(SECONDS)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@needs_proc
def test_a_server_leaves_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    def once() -> None:
        with running(Recorder(), listen="127.0.0.1:0 127.0.0.1:0") as server, contextlib.ExitStack() as stack:
            for client in [stack.enter_context(server.client()) for _ in range(5)]:
                assert client.get().status == 200
            stack.enter_context(server.client()).send(b"POST / HTTP/1.1\r\nContent-Length: 5")

    once()
    before = (open_descriptors(), threading.active_count())
    for _ in range(10):
        once()
    assert (open_descriptors(), threading.active_count()) <= before


def test_run_after_the_end_is_refused() -> None:
    with running(Recorder()) as server:
        with pytest.raises(RuntimeError):
            server.server.run()
        server.server.close()
        with pytest.raises(RuntimeError):
            server.server.run()


def test_the_application_may_be_replaced_before_run() -> None:
    server = create_server(lambda environ, start_response: [], listen="127.0.0.1:0")
    assert isinstance(server, TcpWSGIServer)
    recorder = Recorder()
    server.application = recorder
    with run_in_thread(server), Client(("127.0.0.1", int(server.effective_port))) as client:
        assert client.get("/replaced").body == b"ok"
    assert recorder.paths == ["/replaced"]


# --- threads


@pytest.mark.promise("S74")
@pytest.mark.parametrize("threads", [1, 3])
def test_applications_run_in_threads_that_everybody_can_see(threads: int) -> None:
    seen: set[threading.Thread] = set()
    together = threading.Barrier(threads)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.add(threading.current_thread())
        together.wait(SECONDS)
        start_response("200 OK", [])
        return [b"ok"]

    with running(application, threads=threads) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            clients = [stack.enter_context(server.client()) for _ in range(threads)]
            for client in clients:
                client.send(get())
            for client in clients:
                assert client.response().status == 200
        assert len(seen) == threads
        assert seen <= set(threading.enumerate())
        assert all(re.fullmatch(r"waitress-\d+", thread.name) for thread in seen)
        assert all(thread.daemon for thread in seen)
        assert len({thread.name for thread in seen}) == threads
        # The application threads, a standby, a watchdog, and the one of `start` that waits for the end.
        assert len(waitress_threads()) <= threads + 3
        assert threading.current_thread() not in seen


# --- fork

FORKING = """
import os
import signal

children = []

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path in ("/fork", "/fork-and-return"):
        child = os.fork()
        if child == 0:
            if path == "/fork":
                signal.alarm(300)  # whatever happens to the test
                logging.warning("the child lives on")
                with open("gate") as gate:
                    gate.read()
                os._exit(0)
        else:
            children.append(child)
    elif path == "/wait-for-child":
        os.waitpid(children.pop(), 0)
    start_response("200 OK", [("Process", str(os.getpid()))])
    return [b"from %d" % os.getpid()]
"""


@needs_fork
@needs_fifo
@needs_signals
def test_a_forked_child_serves_nobody(program: Serve, tmp_path: Path) -> None:
    with program(FORKING, threads=2) as served:
        parent = b"from %d" % served.id
        with served.client() as client:
            assert client.get("/fork").body == parent
            served.process.wait_for_line("the child lives on")
            for _ in range(50):
                assert client.get().body == parent
                with served.client() as other:
                    assert other.get("/", "Connection: close").body == parent
                    # The child's copy of the descriptor does not keep the connection open.
                    assert other.rest() == b""
            assert client.get("/", "Connection: close").body == parent
            assert client.rest() == b""
        served.process.signal()
        served.process.process.wait(SECONDS)
        # The child still lives; it must not hold the port.
        assert becomes_true(lambda: refuses(served.address))
        open_gate(tmp_path)
        assert served.process.wait() == 0
    assert "Traceback" not in "\n".join(served.process.log)


@needs_fork
@needs_signals
def test_a_child_that_returns_into_the_server_answers_nobody_and_ends(program: Serve) -> None:
    with program(FORKING, threads=1) as served:
        parent = b"from %d" % served.id
        with served.client() as client:
            for _ in range(5):
                assert client.get("/fork-and-return").body == parent
                assert client.get("/wait-for-child").body == parent
        for _ in range(20):
            with served.client() as client:
                assert client.get("/", "Connection: close").body == parent
                assert client.rest() == b""
        served.process.signal()
        assert status_of(served) == 0


FORKING_OFTEN = """
import os

def application(environ, start_response):
    length = len(environ["wsgi.input"].read())
    if environ["PATH_INFO"] == "/fork":
        child = os.fork()
        if child == 0:
            if environ["QUERY_STRING"] == "exit":
                os._exit(0)
            start_response("200 OK", [])
            return [b"from the child"]
        os.waitpid(child, 0)
    start_response("200 OK", [])
    return [b"%d" % length, b" to the parent"]
"""


@needs_fork
@needs_proc
@needs_signals
@pytest.mark.parametrize("ending", ["exit", "return"])
def test_forks_under_load_cost_nobody_an_answer(ending: str, program: Serve) -> None:
    """While others wait, upload by way of a file, and come and go."""
    body = bytes(50_000)
    upload = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n"
    wrong: list[object] = []

    def ask(served: Program, target: bytes) -> None:
        try:
            for _ in range(15):
                with served.client() as client:
                    for _ in range(2):
                        client.send(upload % target + body)
                        if client.response().body != b"50000 to the parent":
                            wrong.append("body")
        except (AssertionError, OSError) as error:
            wrong.append(error)

    with program(FORKING_OFTEN, threads=4, inbuf_overflow=10_000) as served:
        with served.client() as idle:
            assert idle.get("/").status == 200
            before = open_descriptors(served.id)
            targets = [b"/", b"/", b"/fork?" + ending.encode(), b"/fork?" + ending.encode()]
            clients = [threading.Thread(target=ask, args=(served, target)) for target in targets]
            for client in clients:
                client.start()
            for client in clients:
                client.join(SECONDS * 2)
            assert wrong == []
            assert idle.get("/").body == b"0 to the parent"
            assert becomes_true(lambda: open_descriptors(served.id) <= before)
        served.process.signal()
        assert status_of(served) == 0
    assert "Traceback" not in "\n".join(served.process.log)


@needs_fork
@needs_signals
def test_a_fork_by_subprocess_leaves_connections_to_the_parent(program: Serve) -> None:
    source = """
import subprocess
import sys

def application(environ, start_response):
    if environ["PATH_INFO"] == "/start":
        # Inherits what can be inherited.
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        children.append(child)
    elif environ["PATH_INFO"] == "/stop":
        for child in children:
            child.communicate(b"\\n")
    start_response("200 OK", [])
    return [b"ok"]

children = []
"""
    with program(source) as served:
        with served.client() as client:
            assert client.get("/start", "Connection: close").status == 200
            assert client.rest() == b""
        with served.client() as client:
            assert client.get("/stop").status == 200
        served.process.signal()
        assert status_of(served) == 0


# --- a start that fails


@needs_proc
@pytest.mark.parametrize("kind", ["port-in-use", "no-folder", "bad-setting"])
def test_a_start_that_fails_leaves_nothing_open(kind: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        kinds: dict[str, dict[str, Any]] = {
            "port-in-use": {"listen": f"127.0.0.1:0 127.0.0.1:{other.getsockname()[1]}"},
            "no-folder": {"unix_socket": str(tmp_path / "no" / "folder")},
            "bad-setting": {"listen": "127.0.0.1:0", "threads": 0},
        }
        before = (open_descriptors(), threading.active_count())
        for _ in range(3):
            with pytest.raises((OSError, ValueError)):
                create_server(Recorder(), **kinds[kind])
        assert (open_descriptors(), threading.active_count()) == before


@needs_proc
def test_a_run_that_fails_leaves_nothing_after_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has neither threads nor descriptors left."""
    before = (open_descriptors(), threading.active_count())
    server = create_server(Recorder(), listen="127.0.0.1:0")
    assert isinstance(server, TcpWSGIServer)
    address = ("127.0.0.1", int(server.effective_port))
    with monkeypatch.context() as patch:
        leave_threads(patch, 0)
        with pytest.raises(RuntimeError, match=NO_THREAD):
            server.run()
    server.close()
    assert becomes_true(lambda: refuses(address))
    assert (open_descriptors(), threading.active_count()) == before


@needs_proc
def test_a_run_that_fails_half_way_ends_the_threads_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (open_descriptors(), waitress_threads())
    server = create_server(Recorder(), listen="127.0.0.1:0")
    with monkeypatch.context() as patch:
        leave_threads(patch, 2)
        with pytest.raises(RuntimeError, match=NO_THREAD):
            server.run()
    server.close()
    assert becomes_true(lambda: (open_descriptors(), waitress_threads()) == before)


def test_many_servers_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    before = threading.active_count()
    for _ in range(30):
        with running(Recorder(), threads=2) as server, server.client() as client:
            assert client.get().status == 200
    assert threading.active_count() <= before
    assert errors_in(caplog.records) == []
