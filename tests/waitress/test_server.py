"""The servers by their old names and constructors."""

import errno
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import waitress
import waitress_core
from tests.support.certificates import server_file
from tests.support.client import Client
from tests.support.faults import leave_threads
from tests.support.processes import becomes_true
from tests.support.times import shorten_checks
from waitress.adjustments import Adjustments
from waitress.server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, WSGIServer, create_server
from waitress_core.connection.states import READY
from waitress_core.net.handover import offered
from waitress_core.net.listener import ListeningSocket

TWO = "127.0.0.1:0 127.0.0.1:0"
unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")


def application(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["SERVER_PORT"].encode()]


@contextmanager
def running(server: Any) -> Iterator[None]:
    """Run a server that was made already."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.close()
        thread.join(20)
    assert not thread.is_alive()


def answer(address: tuple[str, int] | str) -> bytes:
    with Client(address) as client:
        return client.get().body


def bound_socket() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.mark.promise("S72")
@pytest.mark.parametrize("make", [waitress.create_server, create_server, TcpWSGIServer])
def test_an_application_that_is_invalid_is_refused_at_once(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match='The "app" passed to ``create_server`` was ``None``'):
        make(None, listen="127.0.0.1:0")


@pytest.mark.promise("S73")
def test_wsgi_server_is_tcp_wsgi_server() -> None:
    assert WSGIServer is TcpWSGIServer
    assert issubclass(WSGIServer, BaseWSGIServer)


@pytest.mark.promise("S73")
@pytest.mark.parametrize("kind", [WSGIServer, BaseWSGIServer])
def test_the_old_constructor_takes_host_and_port(kind: type[BaseWSGIServer]) -> None:
    server = kind(application, host="127.0.0.1", port=0)
    listener = server._listeners[0]
    with running(server):
        assert answer(("127.0.0.1", int(listener.port))) == listener.port.encode()


def test_the_socket_of_a_tcp_server_makes_no_enum_member_for_each_client() -> None:
    with closing(TcpWSGIServer(application, listen="127.0.0.1:0")) as server:
        assert isinstance(server.socket, ListeningSocket)


def test_create_server_is_the_same_by_both_names() -> None:
    assert waitress.create_server is create_server


@pytest.mark.parametrize(("listen", "kind"), [("127.0.0.1:0", TcpWSGIServer), (TWO, MultiSocketServer)])
def test_create_server_gives_the_kind_for_the_number_of_sockets(listen: str, kind: type) -> None:
    with closing(create_server(application, listen=listen)) as server:
        assert isinstance(server, kind)
        assert isinstance(server, waitress_core.BaseWSGIServer)
        assert isinstance(server.adj, Adjustments)


def test_a_server_on_several_sockets_answers_on_each() -> None:
    server = create_server(application, listen=TWO)
    assert isinstance(server, MultiSocketServer)
    with running(server):
        for host, port in server.effective_listen:
            assert answer((host, int(port))) == port.encode()


@unix
def test_create_server_gives_a_unix_server_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a short path: the system has a limit
    server = create_server(application, unix_socket="it.sock")
    assert type(server).__name__ == "UnixWSGIServer"
    assert isinstance(server, BaseWSGIServer)
    with running(server):
        assert answer("it.sock") == b"80"


@pytest.mark.parametrize("make", [TcpWSGIServer, create_server])
def test_it_listens_on_a_bound_socket_that_is_given_and_leaves_it_open(make: Callable[..., Any]) -> None:
    with bound_socket() as sock:
        server = make(application, _sock=sock, listen="127.0.0.1:0")
        with running(server):
            assert server.effective_port == str(sock.getsockname()[1])
            assert answer(sock.getsockname()) == server.effective_port.encode()
        assert sock.fileno() >= 0


def test_a_given_socket_without_an_address_is_bound() -> None:
    with socket.socket() as sock:
        server = TcpWSGIServer(application, _sock=sock, listen="127.0.0.1:0")
        with running(server):
            assert answer(sock.getsockname()) == str(sock.getsockname()[1]).encode()


def test_the_address_may_be_one_entry_of_the_settings() -> None:
    adj = Adjustments(listen=TWO)
    with closing(TcpWSGIServer(application, adj=adj, sockinfo=tuple(adj.listen[1]))) as server:
        assert server.adj is adj
        assert server.effective_host == "127.0.0.1"


class Sink:
    """A dispatcher that notes and runs what it is given, in the thread that gives it."""

    def __init__(self) -> None:
        self.count = 0

    def add_task(self, task: waitress_core.Task) -> None:
        self.count += 1
        task.service()


@pytest.mark.parametrize("keyword", ["_dispatcher", "dispatcher"])
def test_a_dispatcher_of_the_caller_gets_the_requests(keyword: str) -> None:
    sink = Sink()
    make: Callable[..., Any] = create_server if keyword == "_dispatcher" else TcpWSGIServer
    server = make(application, listen="127.0.0.1:0", **{keyword: sink})
    assert server.task_dispatcher is sink
    with running(server):
        assert answer(("127.0.0.1", int(server.effective_port))) == server.effective_port.encode()
    assert sink.count == 1


def test_a_subclass_that_overrides_run_is_run() -> None:
    class Stoppable(WSGIServer):
        has_run = False

        def run(self) -> None:
            self.has_run = True
            super().run()

    server = Stoppable(application, host="127.0.0.1", port="0")
    with running(server):
        assert answer(("127.0.0.1", int(server.effective_port)))
    assert server.has_run


@pytest.mark.skipif(sys.platform == "win32", reason="Windows binds no address twice in this way")
def test_an_address_that_is_taken_leaves_nothing_open() -> None:
    with bound_socket() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        own: dict[int, Any] = {}
        with pytest.raises(OSError, match=f"Cannot listen on 127.0.0.1:{port}"):
            create_server(application, own, listen=f"127.0.0.1:0 127.0.0.1:{port}")
        assert own == {}


class Hooked(TcpWSGIServer):
    """Comes to its socket in its own steps, and notes them."""

    def create_socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> None:
        self.steps = ["create_socket"]
        super().create_socket(family, type)

    def set_reuse_addr(self) -> None:
        self.steps.append("set_reuse_addr")
        super().set_reuse_addr()

    def bind(self, addr: Any) -> None:
        self.steps.append("bind")
        super().bind((addr[0], 0))

    def set_socket_options(self, conn: Any) -> None:
        self.steps.append("set_socket_options")


def test_a_subclass_may_override_how_it_comes_to_its_socket() -> None:
    server = Hooked(application, host="127.0.0.1", port=1)
    server.handle_connect()
    with running(server):
        assert answer(server.socket.getsockname()) == server.effective_port.encode()
    assert server.steps == ["create_socket", "set_reuse_addr", "bind", "set_socket_options"]
    assert server.getsockname() == (server.effective_host, server.effective_port)
    assert (server.family, server.socktype) == (socket.AF_INET, socket.SOCK_STREAM)


def test_an_error_in_these_steps_leaves_no_socket() -> None:
    made: list[Any] = []

    class Failing(TcpWSGIServer):
        def bind(self, addr: Any) -> None:
            made.append(self.socket)
            raise OSError(1, "no tea")

    with pytest.raises(OSError, match=r"Cannot listen on 127\.0\.0\.1:0: no tea"):
        Failing(application, host="127.0.0.1", port=0)
    assert made[0].fileno() == -1


@pytest.mark.parametrize("how", ["accept_connections", "run"])
def test_without_start_it_is_bound_and_does_not_listen(how: str) -> None:
    server = create_server(application, _start=False, listen="127.0.0.1:0")
    assert isinstance(server, TcpWSGIServer)
    address = server.socket.getsockname()
    assert not server.accepting
    with pytest.raises(OSError):
        socket.create_connection(address, 5)
    if how == "accept_connections":
        server.accept_connections()
        socket.create_connection(address, 5).close()
    with running(server):
        assert becomes_true(lambda: server.accepting)
        assert answer(address) == server.effective_port.encode()


def test_without_start_the_application_may_be_one_that_only_a_program_can_call() -> None:
    async def answer_later(environ: Any, start_response: Any) -> list[bytes]:
        return [b"tea"]

    made: Any = answer_later
    create_server(made, _start=False, listen="127.0.0.1:0").close()
    with pytest.raises(ValueError, match="a coroutine function"):
        create_server(made, listen="127.0.0.1:0")
    made = None
    with pytest.raises(ValueError, match="was ``None``"):
        create_server(made, _start=False, listen="127.0.0.1:0")


@unix
def test_a_server_refuses_what_another_kind_listens_on() -> None:
    with pytest.raises(ValueError, match="for a unix socket take a UnixWSGIServer"):
        TcpWSGIServer(application, unix_socket="it.sock")
    with pytest.raises(ValueError, match="for a TCP address take a TcpWSGIServer"):
        waitress.server.UnixWSGIServer(application, listen="127.0.0.1:0")


def test_create_server_makes_what_the_module_names(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    make = TcpWSGIServer.__init__

    def wrapped(self: Any, application: Any, *arguments: Any, **settings: Any) -> None:
        made.append(application)
        make(self, application, *arguments, **settings)

    monkeypatch.setattr(WSGIServer, "__init__", wrapped)  # as the agent of New Relic does
    create_server(application, listen="127.0.0.1:0").close()
    create_server(application, listen="127.0.0.1:0 127.0.0.1:0").close()
    assert made == [application, application]

    class Own(TcpWSGIServer):
        pass

    monkeypatch.setattr(waitress.server, "TcpWSGIServer", Own)
    with closing(create_server(application, listen="127.0.0.1:0")) as server:
        assert type(server) is Own


def test_the_file_wrapper_is_the_old_one() -> None:
    seen: list[Any] = []

    def note(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["wsgi.file_wrapper"])
        return application(environ, start_response)

    server = create_server(note, listen="127.0.0.1:0")
    with running(server):
        answer(("127.0.0.1", int(server._listeners[0].port)))
    assert seen == [waitress.buffers.ReadOnlyFileBasedBuffer]


@pytest.mark.parametrize("listen", ["127.0.0.1:0", TWO], ids=["one", "two"])
def test_print_listen_logs_a_line_for_each_listener(listen: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with closing(create_server(application, listen=listen)) as server:
        server.print_listen("Serving on http://{}:{}")
        assert caplog.messages == [f"Serving on {url}" for url in server.urls]


@unix
def test_print_listen_names_the_path_of_a_unix_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)  # a short path: the system has a limit
    with closing(create_server(application, unix_socket="it.sock")) as server:
        server.print_listen("Serving on http://{}:{}")
    assert caplog.messages == ["Serving on http://unix:it.sock"]


# --- the map


def address_of(server: Any) -> tuple[str, int]:
    return "127.0.0.1", int(server._listeners[0].port)


def test_the_map_of_the_caller_gets_the_listener() -> None:
    own: dict[int, Any] = {}
    with closing(create_server(application, own, listen="127.0.0.1:0")) as server:
        assert isinstance(server, TcpWSGIServer)
        assert own == {server.trigger.fileno(): server.trigger, server.fileno(): server}
    assert own == {}


@pytest.mark.promise("S71")
def test_without_a_map_of_the_caller_each_server_has_its_own() -> None:
    own: dict[int, Any] = {}
    with (
        closing(create_server(application, own, listen="127.0.0.1:0")) as first,
        closing(create_server(application, listen="127.0.0.1:0")) as second,
    ):
        assert first._map is own
        assert second._map is not own
        with running(first), running(second), Client(address_of(first)) as client:
            assert client.get().status == 200
            assert len(first._map) == 3  # with its trigger
            assert not first._map.keys() & second._map.keys()


@pytest.mark.promise("S71")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_map_of_asyncore_is_not_used() -> None:
    asyncore = pytest.importorskip("asyncore", reason="needs the module asyncore, which Python 3.12 has no more")
    server = create_server(application, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        assert client.get().status == 200
        assert asyncore.socket_map == {}


@pytest.mark.promise("S71")
@pytest.mark.parametrize("listen", ["127.0.0.1:0", TWO], ids=["one", "two"])
def test_a_map_holds_each_listener_and_each_connection(listen: str) -> None:
    own: dict[int, Any] = {}
    server = create_server(application, own, listen=listen)
    listeners = set(own)
    assert listeners == {server.trigger.fileno(), *(listener.descriptor for listener in server._listeners)}
    with running(server):
        with Client(address_of(server)) as client:
            assert client.get().status == 200
            channels = server.active_channels
            assert [channel.addr for channel in channels.values()] == [client.socket.getsockname()]
            assert own.keys() == listeners | channels.keys()
        assert becomes_true(lambda: not server.active_channels)
        assert own.keys() == listeners
    assert own == server.active_channels == {}


def test_the_map_of_a_server_on_several_sockets_is_public() -> None:
    with closing(create_server(application, listen=TWO)) as server:
        assert isinstance(server, MultiSocketServer)
        assert server.map is server._map
        descriptors = [server.trigger.fileno(), *(listener.descriptor for listener in server._listeners)]
        assert sorted(server.map) == sorted(descriptors)


def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_threads(monkeypatch, 0)


def without_a_poller(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("waitress_core.reactor.reactor.best_poller", refuse)


def with_a_failing_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(server: BaseWSGIServer) -> None:
        raise OSError("no tea")

    monkeypatch.setattr(BaseWSGIServer, "while_waiting", fail)


@pytest.mark.parametrize("hinder", [without_threads, without_a_poller, with_a_failing_host])
def test_a_run_that_fails_leaves_an_empty_map(
    hinder: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_checks(monkeypatch)
    server = create_server(application, listen="127.0.0.1:0")
    with monkeypatch.context() as patched:
        hinder(patched)
        with pytest.raises((OSError, RuntimeError)):
            server.run()
    assert server._map == {}
    server.close()


def test_the_map_is_empty_when_close_returns_in_each_of_several_threads() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    barrier = threading.Barrier(6)
    left: list[int] = []

    def close() -> None:
        barrier.wait(20)
        server.close()
        left.append(len(server._map))

    with running(server), Client(address_of(server)) as client:
        client.get()
        closers = [threading.Thread(target=close) for _ in range(6)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(20)
    assert left == [0] * 6


class FakeConnection:
    """A connection, as far as a server looks at it."""

    descriptor = -7
    remote_addr = remote_port = ""
    socket = None
    sender = SimpleNamespace(state=READY)


def test_a_descriptor_that_another_has_meanwhile_stays_in_the_map() -> None:
    class Racing(dict[int, Any]):
        """Lets another connection come between the look and the pop, of which the latter is under the lock."""

        gets = 0

        def get(self, key: int, default: Any = None) -> Any:
            found = super().get(key, default)
            if found is entry:
                self.gets += 1
                if self.gets == 1:
                    comer.start()
                    comer.join(0.05)  # as far as it comes
            return found

    old, new = FakeConnection(), FakeConnection()
    entry = SimpleNamespace(connection=old)
    own = Racing({-7: entry})
    server = create_server(application, own, listen="127.0.0.1:0")
    comer = threading.Thread(target=server.on_opened, args=(new,))
    server._server_map.channels[old] = entry  # type: ignore[index]  # nothing else is looked at
    server.on_closed(old)  # type: ignore[arg-type]
    comer.join(20)
    assert not comer.is_alive()
    assert own.gets == 1
    assert own[-7].connection is new
    server.close()


def test_a_forked_child_does_not_wait_for_a_map_that_another_thread_was_changing() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    for lock in (server._server_map._lock, server._server_map._first_look):
        holder = threading.Thread(target=lock.acquire)
        holder.start()
        holder.join(20)
    server.abandon_after_fork()  # as in the child, which has not got these threads
    closer = threading.Thread(target=server.close, daemon=True)
    closer.start()
    closer.join(20)
    assert not closer.is_alive()
    looker = threading.Thread(target=lambda: server._map, daemon=True)
    looker.start()
    looker.join(20)
    assert not looker.is_alive()
    assert server._map == {}


@pytest.mark.parametrize("create", [waitress_core.create_server, create_server], ids=["core", "waitress"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("prelude", ["", "proxy+"], ids=["plain", "proxy"])
def test_a_listener_that_is_passed_on_is_what_its_word_says(
    prelude: str, scheme: str, create: Callable[..., Any]
) -> None:
    settings = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "forwarded"}
    if scheme == "https":
        settings["tls_certificate"] = server_file()
    with closing(create(application, listen=f"{prelude}127.0.0.1:0", **settings)) as before:
        with offered(before.listeners), closing(create(application, listen=f"{prelude}127.0.0.1:0", **settings)) as now:
            assert now.listeners[0].port == before.listeners[0].port
            for server in (before, now):
                assert server.listeners[0].scheme == scheme
                assert server.listeners[0].has_proxy_prelude == bool(prelude)
