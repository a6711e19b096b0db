"""The acceptor: who may come in, how many, and what the log reports of it."""

import contextlib
import errno
import importlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.core.connecting import HeldTask, ManagedHarness, fake_listener
from tests.support.fake_poller import FakePoller
from tests.support.fake_socket import DESCRIPTOR, FakeSocket, as_socket
from tests.support.manual_clock import ManualClock
from tests.support.pairs import is_open
from waitress_core import Adjustments
from waitress_core.connection import acceptor as module
from waitress_core.connection.acceptor import ACCEPT_BURST, ASIDE_CHECKS, QUIET_SECONDS, SHARE_SECONDS, Acceptor
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import Endpoint, ServerContext
from waitress_core.connection.states import CLOSED
from waitress_core.net.transport import SocketTransport
from waitress_core.reactor.poller import READ
from waitress_core.reactor.reactor import Reactor

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
FULL = "total open connections reached the connection limit, no longer accepting new connections"
EXCLUSIVE = 1 << 28  # as EPOLLEXCLUSIVE
RELIEVED = "total open connections dropped below the connection limit, listening again"

Make = Callable[..., ManagedHarness]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


class Share:
    """What an acceptor knows of other workers: `more` says whether it has more than they, at each question."""

    def __init__(self, *more: bool) -> None:
        self.more = list(more)
        self.dismissed = False
        self.notes: list[tuple[int, bool]] = []

    def note(self, connections: int, *, accepts: bool) -> None:
        self.notes.append((connections, accepts))

    def is_dismissed(self) -> bool:
        return self.dismissed

    def has_more_than_others(self) -> bool:
        return self.more.pop(0)


class Accepting:
    """An acceptor with a listener that accepts what a test has written down, without a client."""

    def __init__(
        self,
        *accepts: object,
        can_make_room: bool = False,
        poller_limit: int | None = None,
        share: "Share | None" = None,
        **settings: Any,
    ):
        self.clock = ManualClock()
        self.poller = FakePoller()
        self.poller.limit = poller_limit
        self.reactor = Reactor(poller=self.poller, clock=self.clock)
        self.context = ServerContext(
            Adjustments(listen="127.0.0.1:0", **settings),
            self.reactor,
            submit=lambda task: None,
            yield_leadership=lambda: None,
            resume_leadership=lambda: False,
            share=share,
        )
        self.poller.exclusive = EXCLUSIVE
        self.fake = FakeSocket(accept=list(accepts))
        self.listener = fake_listener(self.fake)
        endpoint = Endpoint(self.listener, open_transport=self._open_transport, make_task=HeldTask)
        self.connections: dict[int, Connection] = {}
        self.transports: list[SocketTransport] = []
        self.can_make_room = can_make_room
        self.asked_for_room = 0
        self.acceptor = Acceptor(
            self.context,
            [endpoint],
            self.connections,
            close_one=self._close_one,
            on_opened=lambda connection: None,
            on_closed=self._remove,
        )
        self.acceptor.start()

    def _open_transport(self, accepted: socket.socket) -> SocketTransport:
        self.transports.append(SocketTransport(accepted))
        return self.transports[-1]

    def _close_one(self) -> bool:
        self.asked_for_room += 1
        if self.can_make_room:
            next(iter(self.connections.values())).close()
        return self.can_make_room

    def _remove(self, connection: Connection) -> None:
        self.connections.pop(connection.descriptor, None)
        self.reactor.handlers.pop(connection.descriptor, None)

    @property
    def accepted(self) -> list[str]:
        """The addresses of the clients that have been accepted and are open."""
        return [connection.remote_addr for connection in self.connections.values()]

    @property
    def accepts(self) -> int:
        """How often the socket was asked to accept."""
        return self.fake.names.count("accept")

    @property
    def is_watching(self) -> bool:
        """Whether the poller watches the listener."""
        return self.poller.interests.get(DESCRIPTOR, 0) & READ != 0

    def tick(self, seconds: float) -> bool:
        """Let time pass, then tick as a run does; return whether the tick came for the share only."""
        self.clock.advance(seconds)
        self.reactor.turn(0)
        if self.acceptor.check_share():
            return True
        self.acceptor.tick()
        return False

    def turn(self) -> "Accepting":
        """Serve the listener once, if it is watched."""
        assert self.is_watching
        self.poller.script.append([(DESCRIPTOR, READ)])
        self.reactor.turn(0)
        return self


AcceptFrom = Callable[..., Accepting]


@pytest.fixture
def accept_from() -> Iterator[AcceptFrom]:
    """Make acceptors from what a listener's socket gives; their reactors are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make_one(*accepts: object, **settings: Any) -> Accepting:
            accepting = Accepting(*accepts, **settings)
            stack.callback(accepting.reactor.close)
            return accepting

        yield make_one


_descriptors = iter(range(DESCRIPTOR + 1, DESCRIPTOR + 100_000))


def client(address: str) -> tuple[socket.socket, tuple[str, int]]:
    """Return what a socket gives when it accepts a client."""
    return as_socket(FakeSocket(next(_descriptors))), (address, 5)


def clients(number: int) -> list[object]:
    return [client(f"client {one}") for one in range(number)]


# --- one turn


def test_all_that_wait_are_accepted(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("a"), client("b"), client("c")).turn()
    assert accepting.accepted == ["a", "b", "c"]
    assert accepting.is_watching


def test_a_flood_of_clients_does_not_hold_up_a_turn(accept_from: AcceptFrom) -> None:
    accepting = accept_from(*clients(3 * ACCEPT_BURST)).turn()
    assert len(accepting.accepted) == ACCEPT_BURST


def test_no_more_are_accepted_than_there_is_room_for(accept_from: AcceptFrom) -> None:
    accepting = accept_from(*clients(3), connection_limit=2).turn()
    assert len(accepting.accepted) == 2
    assert accepting.accepts == 2
    # Room is made for a client that is surely there: at the next readiness.
    assert accepting.asked_for_room == 0
    assert accepting.is_watching


def test_without_room_nothing_is_accepted(accept_from: AcceptFrom) -> None:
    accepting = accept_from(*clients(3), connection_limit=1).turn().turn()
    assert accepting.asked_for_room == 1
    assert accepting.accepts == 1
    assert not accepting.is_watching


def test_room_is_made_for_one_client_at_a_time(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("a"), client("b"), client("c"), connection_limit=1, can_make_room=True).turn()
    accepting.turn()
    assert accepting.accepted == ["b"]
    assert accepting.asked_for_room == 1


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO], ids=errno.errorcode.get)
def test_a_client_that_left_before_it_was_accepted_does_not_hold_up_the_next(
    accept_from: AcceptFrom, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    accepting = accept_from(OSError(number, "text"), client("b")).turn()
    assert accepting.accepted == ["b"]
    assert accepting.is_watching
    assert not caplog.records


def test_a_client_without_an_address_has_left_already(accept_from: AcceptFrom) -> None:
    left = FakeSocket()
    accepting = accept_from((left, b""), client("b")).turn()
    assert left.is_closed
    assert accepting.accepted == ["b"]


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL], ids=errno.errorcode.get
)
def test_an_error_that_trying_again_would_not_mend_pauses(
    accept_from: AcceptFrom, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    accepting = accept_from(client("a"), OSError(number, "text"), client("never")).turn()
    assert accepting.accepted == ["a"]
    assert accepting.accepts == 2
    assert not accepting.is_watching
    assert messages(caplog) == [f"server accept() threw an exception: [Errno {number}] text"]


def test_accepting_resumes_when_that_may_help(accept_from: AcceptFrom) -> None:
    accepting = accept_from(OSError(errno.EMFILE, "text"), client("a")).turn()
    assert not accepting.is_watching
    accepting.acceptor.tick()
    assert accepting.is_watching
    assert accepting.turn().accepted == ["a"]


def test_a_pause_for_an_error_does_not_ask_clients_to_leave(accept_from: AcceptFrom) -> None:
    accepting = accept_from(OSError(errno.EMFILE, "text")).turn()
    assert not accepting.context.is_full


def test_a_handler_of_a_listener_is_named_after_it_and_survives_a_fault(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("a"))
    listener_handler = accepting.reactor.handlers[DESCRIPTOR]
    assert listener_handler.descriptor == accepting.listener.descriptor == DESCRIPTOR
    assert repr(listener_handler) == repr(accepting.listener) == "<Listener 127.0.0.1:8080>"
    listener_handler.on_notify()
    listener_handler.on_fault()
    assert accepting.turn().accepted == ["a"]


def test_each_endpoint_opens_its_transports(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("a"), client("b")).turn()
    assert [one.descriptor for one in accepting.transports] == list(accepting.connections)


# --- coming in


def test_a_client_is_accepted_with_its_address_and_options(make: Make) -> None:
    harness = make()
    connection, client = harness.accept()
    host, port = client.getsockname()
    assert (connection.remote_addr, connection.remote_port) == (host, str(port))
    assert harness.reactor.handlers[connection.descriptor] is connection
    accepted = connection.socket
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not accepted.getblocking()


def test_the_socket_options_are_those_of_the_settings(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adjustments, "socket_options", [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
    connection, _ = make().accept()
    accepted = connection.socket
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_client_of_a_unix_socket_is_called_localhost_and_has_no_options(accept_from: AcceptFrom) -> None:
    accepted = FakeSocket(next(_descriptors))
    accepting = accept_from((accepted, ""))
    accepting.listener.is_unix = True
    accepting.turn()
    (connection,) = accepting.connections.values()
    assert (connection.remote_addr, connection.remote_port) == ("localhost", "")
    assert "setsockopt" not in accepted.names


def test_a_client_that_has_left_while_it_is_accepted_leaves_nothing(accept_from: AcceptFrom) -> None:
    gone = FakeSocket(next(_descriptors), setsockopt=[OSError(errno.EINVAL, "text")])
    accepting = accept_from((gone, ("127.0.0.1", 5)), client("b")).turn()
    assert gone.is_closed
    assert accepting.accepted == ["b"]


def test_a_client_that_the_poller_refuses_leaves_nothing(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    harness = make()

    def refuse(descriptor: int, interest: int) -> None:
        raise OSError(errno.ENOSPC, "too many watches")

    register = harness.reactor.poller.register
    harness.reactor.poller.register = refuse  # type: ignore[method-assign]
    client = harness.connect()
    harness.turn_until(lambda: messages(caplog))
    harness.reactor.poller.register = register  # type: ignore[method-assign]
    assert harness.manager.connections == {}
    assert sum(map(len, harness.reactor._deadlines)) == 0
    assert client.recv(1) == b""
    assert len(caplog.records) == 1
    harness.accept()


def test_a_fault_of_a_callback_costs_that_connection_only(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    harness = make()

    def fail(*arguments: Any) -> None:
        raise ValueError("odd")

    harness.on_opened, on_opened = fail, harness.on_opened
    client = harness.connect()
    harness.turn_until(lambda: messages(caplog))
    assert client.recv(1) == b""
    assert harness.manager.connections == {}
    harness.on_opened = on_opened
    harness.accept()


# --- the limit


@pytest.mark.promise("S67")
def test_clients_beyond_the_limit_wait_in_the_backlog_while_all_are_busy(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    harness = make(connection_limit=2)
    for _ in range(2):
        harness.accept()[1].sendall(GET)
    harness.turn_until(lambda: len(harness.tasks) == 2)
    waiting = harness.connect()
    harness.turn_to_pause()
    harness.turn(3)
    assert len(harness.manager.connections) == 2
    assert is_open(waiting)
    assert messages(caplog) == [FULL]
    harness.tasks.pop().cancel()
    harness.turn_until(lambda: len(harness.manager.connections) == 2 and harness.listener_handler.interest)
    waiting.sendall(GET)
    harness.turn_until(lambda: len(harness.tasks) == 2)
    assert messages(caplog) == [FULL]


def test_responses_close_their_connections_while_a_client_waits_at_the_limit(make: Make) -> None:
    harness = make(connection_limit=2)
    first, client = harness.accept()
    second, _ = harness.accept()
    harness.turn()
    assert not second.wants_close()  # at the limit, but no client waits: connections persist
    harness.connect()
    harness.turn_until(second.wants_close)
    client.close()
    harness.turn_to(first, CLOSED)
    assert not second.wants_close()
    harness.turn_until(lambda: len(harness.manager.connections) == 2)


def test_the_limit_is_logged_once_until_there_is_relief(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    harness = make(connection_limit=10)
    for _ in range(10):
        harness.accept()
    for _ in range(5):  # each makes room for the next
        harness.pass_seconds(2)
        harness.accept()
    assert messages(caplog) == [FULL]
    for connection in list(harness.manager.connections.values())[:1]:
        connection.close()
    harness.pass_seconds(2)
    assert messages(caplog) == [FULL]  # nine of ten are no relief
    for connection in list(harness.manager.connections.values())[:1]:
        connection.close()
    harness.pass_seconds(2)
    assert messages(caplog) == [FULL, RELIEVED]
    harness.pass_seconds(5)
    assert messages(caplog) == [FULL, RELIEVED]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_small_limit_is_logged_once_when_reached_and_once_when_there_is_room(
    make: Make, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    harness = make(connection_limit=limit)
    for _ in range(limit):
        harness.accept()
    for _ in range(3):
        harness.pass_seconds(2)
        harness.accept()
    assert messages(caplog) == [FULL]
    next(iter(harness.manager.connections.values())).close()
    for _ in range(3):
        harness.pass_seconds(2)
    assert messages(caplog) == [FULL, RELIEVED]


def test_a_poller_with_a_limit_lowers_the_servers(accept_from: AcceptFrom) -> None:
    accepting = accept_from(*clients(10), poller_limit=5, connection_limit=100).turn()
    assert len(accepting.accepted) == 3  # one is the listener's, one the wake-up's
    accepting.turn()
    assert accepting.asked_for_room == 1


@pytest.mark.parametrize(
    ("open_files", "setting", "fitting", "level"),
    [
        pytest.param(10_000, 1000, 1000, None, id="enough"),
        pytest.param(1143, 1000, 1000, None, id="just-enough"),
        pytest.param(1024, 1000, 896, "INFO", id="the-default-of-many-shells"),
        pytest.param(256, 1000, 224, "WARNING", id="the-default-of-macos"),
        pytest.param(256, 100, 100, None, id="a-low-setting"),
        pytest.param(64, 50, 32, "INFO", id="some-are-left-to-others"),
        pytest.param(20, 1000, 1, "WARNING", id="hardly-any"),
    ],
)
def test_the_limit_is_no_higher_than_the_process_may_open_files(
    accept_from: AcceptFrom,
    open_files: int,
    setting: int,
    fitting: int,
    level: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "descriptor_limit", lambda: open_files)
    assert accept_from(connection_limit=setting).acceptor._limit == fitting
    text = (
        f"connection_limit is {setting}, but only {fitting} connections fit: this process may open {open_files} files"
    )
    assert [(record.levelname, record.getMessage().partition(", and")[0]) for record in caplog.records] == (
        [(level, text)] if level else []
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of open files")
def test_the_limit_of_open_files_is_that_of_the_process() -> None:
    resource: Any = importlib.import_module("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    try:
        assert module.descriptor_limit() == soft - 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_that_the_poller_cannot_watch_is_logged(
    accept_from: AcceptFrom, caplog: pytest.LogCaptureFixture
) -> None:
    accept_from(poller_limit=512, connection_limit=5000)
    expected = "connection_limit is 5000, but only 510 connections fit: the system's select() watches no more"
    assert messages(caplog) == [expected]


def test_while_a_client_waits_at_the_limit_there_is_soon_a_next_attempt(accept_from: AcceptFrom) -> None:
    accepting = accept_from(*clients(3), connection_limit=1).turn().turn()
    assert not accepting.is_watching
    accepting.clock.advance(module.RETRY_SECONDS)
    accepting.reactor._on_tick = accepting.acceptor.tick
    accepting.reactor.turn(1.0)
    assert accepting.poller.timeouts[-1] == module.RETRY_SECONDS
    assert accepting.is_watching
    accepting.clock.advance(module.RETRY_SECONDS)
    accepting.reactor.turn(1.0)
    accepting.reactor.turn(1.0)
    assert accepting.poller.timeouts[-1] == 1.0


def test_the_backlog_is_accepted_beyond_the_limit_but_not_beyond_the_pollers(accept_from: AcceptFrom) -> None:
    accepting = accept_from(*clients(10), poller_limit=7, connection_limit=1)
    accepting.acceptor.take_backlog()
    assert len(accepting.accepted) == 5
    assert accepting.asked_for_room == 0


def test_a_backlog_that_fills_again_does_not_hold_up_the_end(accept_from: AcceptFrom) -> None:
    accepting = accept_from(*clients(10), backlog=3)
    accepting.acceptor.take_backlog()
    assert len(accepting.accepted) == 4


# --- out of descriptors


def test_out_of_descriptors_accepting_pauses_and_resumes_by_itself(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    harness = make()
    fake = harness.fail_to_accept(errno.EMFILE, 3)
    harness.connect()
    harness.turn_to_pause()
    assert fake.names.count("accept") == 1
    harness.turn(5)
    assert fake.names.count("accept") == 1  # no spinning
    for seconds in range(1, 4):
        harness.pass_seconds(1)
        harness.turn_until(lambda seconds=seconds: fake.names.count("accept") > seconds)  # type: ignore[misc]
    harness.turn_until(lambda: len(harness.manager.connections) == 1)
    assert len(caplog.records) == 1
    assert "server accept() threw an exception" in caplog.text
    assert os.strerror(errno.EMFILE) in caplog.text


def test_out_of_descriptors_is_logged_once_however_many_clients_come_and_go(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    harness = make()

    def fail_and_recover() -> None:
        harness.fail_to_accept(errno.EMFILE, 1)
        harness.connect()
        harness.turn_to_pause()
        harness.pass_seconds(1)
        harness.turn_until(lambda: harness.manager.connections)
        for connection in list(harness.manager.connections.values()):
            connection.close()

    for _ in range(5):
        fail_and_recover()
    assert len(caplog.records) == 1
    harness.pass_seconds(int(QUIET_SECONDS))  # without a failure: the next one is logged
    fail_and_recover()
    assert len(caplog.records) == 2


def test_errors_of_accept_are_not_logged_where_socket_errors_are_not(
    accept_from: AcceptFrom, caplog: pytest.LogCaptureFixture
) -> None:
    accepting = accept_from(OSError(errno.EMFILE, "text"), log_socket_errors=False).turn()
    assert not accepting.is_watching
    assert caplog.records == []


# --- the end


def test_after_its_stop_an_acceptor_does_not_resume(accept_from: AcceptFrom) -> None:
    accepting = accept_from(OSError(errno.EMFILE, "text"), client("never")).turn()
    accepting.acceptor.stop()
    assert accepting.fake.is_closed
    accepting.acceptor.tick()
    accepting.acceptor.resume()
    assert not accepting.is_watching
    assert DESCRIPTOR not in accepting.reactor.handlers


def test_a_listener_that_is_not_the_acceptors_is_not_removed(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("a"))
    accepting.acceptor.remove(fake_listener())
    assert accepting.turn().accepted == ["a"]
    accepting.acceptor.remove(accepting.listener)
    assert accepting.fake.is_closed
    assert not accepting.is_watching


def test_a_forked_child_closes_its_copies_of_listeners(accept_from: AcceptFrom) -> None:
    accepting = accept_from()
    accepting.acceptor.abandon_after_fork()
    assert accepting.fake.is_closed


def test_in_a_forked_child_an_acceptor_that_has_paused_does_not_resume(accept_from: AcceptFrom) -> None:
    """The task that has forked ends its connection there, which resumes; but the reactor has ended."""
    accepting = accept_from(OSError(errno.EMFILE, "text")).turn()
    assert not accepting.is_watching
    accepting.acceptor.abandon_after_fork()
    accepting.acceptor.resume()
    assert not accepting.is_watching


# --- several workers


def test_one_worker_alone_does_not_watch_exclusively(accept_from: AcceptFrom) -> None:
    assert accept_from().poller.interests[DESCRIPTOR] == READ


def test_a_worker_that_has_accepted_goes_to_the_end_of_the_queue(accept_from: AcceptFrom) -> None:
    share = Share(False, False)
    accepting = accept_from(client("1"), client("2"), share=share)
    changes = accepting.poller.unregistered
    accepting.turn()
    assert accepting.poller.interests[DESCRIPTOR] == READ | EXCLUSIVE
    assert changes == [DESCRIPTOR]
    assert share.notes == [(0, True), (1, True), (2, True)]
    accepting.turn()  # another worker has taken the client
    assert changes == [DESCRIPTOR]


def test_a_worker_with_more_than_others_steps_aside_until_it_has_not(accept_from: AcceptFrom) -> None:
    share = Share(True, True, False)
    accepting = accept_from(client("1"), client("2"), share=share).turn()
    assert len(accepting.accepted) == 1
    assert not accepting.is_watching
    assert share.notes[-1] == (1, True)  # it takes part all the same
    assert accepting.reactor.tick_seconds == SHARE_SECONDS
    assert accepting.tick(SHARE_SECONDS)
    assert not accepting.is_watching
    assert accepting.tick(SHARE_SECONDS)
    assert accepting.is_watching
    assert accepting.reactor.tick_seconds == accepting.reactor.usual_tick_seconds


def test_a_worker_steps_aside_for_a_moment_only(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("1"), share=Share(*[True] * ASIDE_CHECKS)).turn()
    for _ in range(ASIDE_CHECKS):
        assert not accepting.is_watching
        accepting.tick(SHARE_SECONDS)
    assert accepting.is_watching


def test_a_worker_that_steps_aside_and_loses_a_connection_accepts_again(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("1"), share=Share(True)).turn()
    next(iter(accepting.connections.values())).close()
    accepting.acceptor.resume()
    assert accepting.is_watching


def test_a_worker_that_steps_aside_still_ticks_once_a_second(accept_from: AcceptFrom) -> None:
    accepting = accept_from(client("1"), share=Share(True, True)).turn()
    assert not accepting.tick(1.0)


def test_a_worker_at_its_limit_does_not_count_as_one_that_accepts(accept_from: AcceptFrom) -> None:
    share = Share(False)
    accepting = accept_from(client("1"), client("2"), share=share, connection_limit=1)
    accepting.turn().turn()
    assert share.notes[-1] == (1, False)
    accepting.acceptor.stop()
    assert share.notes[-1] == (1, False)


def test_a_worker_that_is_dismissed_accepts_who_woke_it_and_ticks_at_once(accept_from: AcceptFrom) -> None:
    share = Share(False)
    accepting = accept_from(client("1"), share=share)
    share.dismissed = True
    accepting.turn()
    assert accepting.accepted == ["1"]
    assert accepting.reactor.tick_seconds == 0
    accepting.acceptor.stop()
    assert accepting.reactor.tick_seconds == accepting.reactor.usual_tick_seconds
