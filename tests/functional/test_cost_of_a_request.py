"""What a small request costs, counted: system calls and thread changes. Time is measured by `make bench`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from tests.functional.applications import get
from tests.support.processes import becomes_true
from tests.support.servers import running
from waitress_core import Dispatcher
from waitress_core.net.transport import SocketTransport
from waitress_core.reactor import poller
from waitress_core.reactor.wakeup import WakeUp
from waitress_core.threads import leadership
from waitress_core.threads.task_queue import TaskQueue

CLIENTS = 16
ROUNDS = 20
CALLS: list[tuple[type, str]] = [
    (SocketTransport, "receive"),
    (SocketTransport, "receive_into"),
    (SocketTransport, "send"),
    (SocketTransport, "send_file"),
    (WakeUp, "wake"),
    (TaskQueue, "put_task"),
]


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the calls of CALLS, and of the poller as `poll` and `change`."""
    counted: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            counted[name] += 1
            return function(*arguments, **options)

        return call

    for owner, name in CALLS:
        monkeypatch.setattr(owner, name, counting(name, getattr(owner, name)))

    def counting_poller() -> poller.Poller:
        made = poller.best_poller()
        for name in ("register", "modify", "unregister"):
            setattr(made, name, counting("change", getattr(made, name)))
        made.poll = counting("poll", made.poll)  # type: ignore[method-assign]  # that is how it is counted
        return made

    monkeypatch.setattr("waitress_core.reactor.reactor.best_poller", counting_poller)
    # A machine under load can hold up any task for a while: let none count as slow.
    monkeypatch.setattr(leadership, "FAST", 60.0)
    monkeypatch.setattr(Dispatcher, "yield_leadership", lambda self: None)
    return counted


@pytest.mark.one_worker  # each has a thread that leads
@pytest.mark.plain  # it counts calls of the plain transport
def test_a_small_request_costs_one_recv_and_one_send_and_no_change_of_thread(calls: Counter[str]) -> None:
    threads = set()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        threads.add(threading.get_ident())
        return hello(environ, start_response)

    with running(application) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(CLIENTS)]
        for client in clients:
            assert client.get().status == 200  # the connection is accepted, and an application thread leads
        threads.clear()
        calls.clear()
        for _ in range(ROUNDS):
            for client in clients:
                client.send(get())
            for client in clients:
                assert client.response().body == b"hello"
        requests = ROUNDS * CLIENTS
        polls = calls.pop("poll")
        assert calls == {"receive": requests, "send": requests}
        assert polls <= requests + ROUNDS  # at worst one for each request that comes alone
        assert len(threads) == 1


@pytest.mark.plain  # it counts calls of the plain transport
def test_a_response_of_another_thread_does_not_end_the_wait_for_requests(
    calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leadership, "FAST", 0.0)  # each request is handed off
    with running(hello) as server, server.client() as client:

        def ask() -> None:
            assert client.get().body == b"hello"
            assert becomes_true(lambda: server.server.stats().threads_busy == 0)  # or the next would come too early

        ask()  # the connection is accepted
        calls.clear()
        for _ in range(ROUNDS):
            ask()
        del calls["poll"]
        assert calls == {"receive": ROUNDS, "send": ROUNDS, "put_task": ROUNDS}


def test_a_request_of_a_client_alone_costs_one_wait(calls: Counter[str]) -> None:
    with running(hello) as server, server.client() as client:
        assert client.get().status == 200
        calls.clear()
        for _ in range(ROUNDS):
            assert client.get().body == b"hello"
        assert calls["poll"] < 1.5 * ROUNDS  # some only check deadlines, on a slow machine
