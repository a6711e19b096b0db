"""The pollers, each against the same table."""

import select
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.fake_kqueue import poller_module_executed_again, poller_module_of_a_bsd
from waitress_core.reactor import poller as module
from waitress_core.reactor.poller import READ, WRITE, Poller, best_poller
from waitress_core.reactor.wakeup import WakeUp

NAMES = [name for name in ("EpollPoller", "KqueuePoller", "PollPoller", "SelectPoller") if hasattr(module, name)]

SOON = 20.0  # seconds: an end of a wait that has to come, and comes at once


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends, the first of which is watched."""
    watched, other = socket.socketpair()
    watched.setblocking(False)
    other.setblocking(False)
    with watched, other:
        yield watched, other


def fill(sock: socket.socket) -> None:
    try:
        while True:
            sock.send(b"x" * 65536)
    except BlockingIOError:
        pass


def readiness_of(poller: Poller, sock: socket.socket, timeout: float = SOON) -> int:
    """Poll, and return the readiness of a socket, which must be reported once at most."""
    reported = [readiness for descriptor, readiness in poller.poll(timeout) if descriptor == sock.fileno()]
    assert len(reported) < 2
    return reported[0] if reported else 0


def test_the_best_poller_of_linux_is_epoll() -> None:
    expected = {"linux": "EpollPoller", "darwin": "KqueuePoller", "win32": "SelectPoller"}
    if sys.platform in expected:
        assert type(best_poller()).__name__ == expected[sys.platform]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the real one is tested, or there is none")
def test_the_best_poller_of_the_bsds_is_kqueue() -> None:
    poller = poller_module_of_a_bsd().best_poller()
    assert type(poller).__name__ == "KqueuePoller"
    poller.close()


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has nothing but select()")
@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (["epoll", "kqueue"], "PollPoller"),  # as gevent leaves the module
        (["epoll", "kqueue", "poll"], "SelectPoller"),  # as eventlet does
    ],
    ids=["gevent", "eventlet"],
)
def test_the_best_poller_is_one_that_the_module_select_has_when_it_is_made(
    monkeypatch: pytest.MonkeyPatch, gone: list[str], expected: str
) -> None:
    for name in gone:
        monkeypatch.delattr(select, name, raising=False)
    poller = best_poller()
    assert type(poller).__name__ == expected
    poller.close()


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no poll()")
def test_a_wait_by_poll_makes_its_object_in_the_thread_that_waits(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    makers: list[int] = []
    stock = vars(select)["poll"]

    def poll() -> object:
        makers.append(threading.get_ident())
        return stock()

    monkeypatch.setattr(select, "poll", poll)
    poller = vars(module)["PollPoller"]()  # mypy: Windows has neither
    poller.register(pair[0].fileno(), READ)
    pair[1].send(b"x")
    waiters: list[int] = []

    def wait() -> None:
        poller.poll(SOON)
        waiters.append(threading.get_ident())

    for _ in range(2):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert makers == waiters


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has epoll")
def test_a_poller_wakes_one_of_several_though_the_interpreter_has_no_name_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyPy has none; it is a number of Linux."""
    stock = getattr(select, "EPOLLEXCLUSIVE", 1 << 28)
    monkeypatch.delattr(select, "EPOLLEXCLUSIVE", raising=False)
    poller = poller_module_executed_again().EpollPoller
    assert poller.exclusive == stock == 1 << 28


def test_only_select_has_a_limit() -> None:
    limits = {name: getattr(module, name).limit for name in NAMES}
    assert limits == {**dict.fromkeys(NAMES), "SelectPoller": 512 if sys.platform == "win32" else 1024}


@pytest.mark.parametrize(
    ("interest", "has_input", "is_full", "expected"),
    [
        (READ, False, False, 0),
        (READ, True, False, READ),
        (READ, True, True, READ),
        (WRITE, False, False, WRITE),
        (WRITE, True, False, WRITE),
        (WRITE, True, True, 0),
        (READ | WRITE, False, False, WRITE),
        (READ | WRITE, True, False, READ | WRITE),
        (READ | WRITE, True, True, READ),
        (READ | WRITE, False, True, 0),
    ],
)
@pytest.mark.parametrize("by", ["register", "modify"])
def test_readiness_is_reported_as_far_as_it_is_of_interest(
    poller: Poller,
    pair: tuple[socket.socket, socket.socket],
    by: str,
    interest: int,
    has_input: bool,
    is_full: bool,
    expected: int,
) -> None:
    watched, other = pair
    if has_input:
        other.send(b"x")
    if is_full:
        fill(watched)
    if by == "register":
        poller.register(watched.fileno(), interest)
    else:
        poller.register(watched.fileno(), READ | WRITE)
        poller.modify(watched.fileno(), interest)
    assert readiness_of(poller, watched, SOON if expected else 0) == expected


def test_readiness_is_reported_until_it_ends(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    watched, other = pair
    poller.register(watched.fileno(), READ)
    other.send(b"xy")
    for _ in range(3):
        assert readiness_of(poller, watched) == READ
    watched.recv(1)
    assert readiness_of(poller, watched) == READ
    watched.recv(1)
    assert readiness_of(poller, watched, 0) == 0


@pytest.mark.parametrize("interest", [READ, WRITE, READ | WRITE])
def test_the_end_of_the_peer_concerns_whoever_watches(
    poller: Poller, pair: tuple[socket.socket, socket.socket], interest: int
) -> None:
    watched, other = pair
    poller.register(watched.fileno(), interest)
    other.close()
    readiness = readiness_of(poller, watched)
    # READ or WRITE, as far as watched, or any other bit, which concerns both.
    assert readiness & (interest | ~(READ | WRITE))


def test_a_descriptor_that_is_unregistered_is_not_reported(
    poller: Poller, pair: tuple[socket.socket, socket.socket], wake_up: WakeUp
) -> None:
    watched, other = pair
    poller.register(watched.fileno(), READ)
    other.send(b"x")
    poller.unregister(watched.fileno())
    wake_up.wake()
    assert poller.poll(SOON) == [(wake_up.descriptor, READ)]


def test_a_descriptor_can_be_registered_again(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    watched, other = pair
    other.send(b"x")
    for _ in range(3):
        poller.register(watched.fileno(), READ)
        assert readiness_of(poller, watched) == READ
        poller.unregister(watched.fileno())


def test_several_descriptors_are_reported_in_one_poll(poller: Poller) -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    for watched, other in pairs:
        poller.register(watched.fileno(), READ)
        other.send(b"x")
    assert dict(poller.poll(SOON)) == {watched.fileno(): READ for watched, _ in pairs}
    for watched, other in pairs:
        poller.unregister(watched.fileno())
        watched.close()
        other.close()


def test_a_poll_without_events_ends_after_its_timeout(poller: Poller, wake_up: WakeUp) -> None:
    started_at = time.monotonic()
    assert poller.poll(0) == []
    assert poller.poll(0.01) == []
    assert 0.005 < time.monotonic() - started_at < SOON
