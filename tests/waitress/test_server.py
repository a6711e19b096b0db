"""The servers by their old names and constructors."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import waitress
import waitress_core
from tests.support.client import Client
from tests.support.processes import becomes_true
from waitress.adjustments import Adjustments
from waitress.server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, WSGIServer, create_server

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
def test_an_application_that_is_none_is_refused_at_once(make: Callable[..., Any]) -> None:
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


def test_create_server_is_the_same_by_both_names() -> None:
    assert waitress.create_server is create_server


@pytest.mark.parametrize(("listen", "kind"), [("127.0.0.1:0", TcpWSGIServer), (TWO, MultiSocketServer)])
def test_create_server_gives_the_kind_for_the_number_of_sockets(listen: str, kind: type) -> None:
    with closing(create_server(application, listen=listen)) as server:
        assert type(server) is kind
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


def test_the_map_of_the_caller_gets_the_listener() -> None:
    own: dict[int, Any] = {}
    with closing(create_server(application, own, listen="127.0.0.1:0")) as server:
        assert isinstance(server, TcpWSGIServer)
        assert list(own) == [server.fileno()]
    assert own == {}


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
    """Comes to its socket in steps of its own, and notes them."""

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
