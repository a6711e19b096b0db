"""The servers that a forked child abandons, without a fork."""

import gc
import weakref

import pytest

from waitress_core.lifecycle import fork


class Server:
    """Notes that it is abandoned."""

    is_abandoned = False

    def abandon_after_fork(self) -> None:
        self.is_abandoned = True


@pytest.fixture(autouse=True)
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Have no other servers; the calls of `give_signals_back`."""
    calls: list[bool] = []
    monkeypatch.setattr(fork, "_running", weakref.WeakSet())
    monkeypatch.setattr(fork, "give_signals_back", lambda: calls.append(True))
    return calls


def test_a_child_abandons_the_servers_that_run_and_gives_their_signals_back(given_back: list[bool]) -> None:
    running, ended = Server(), Server()
    fork.add(running)
    fork.add(ended)
    fork.remove(ended)
    fork._abandon_all()
    assert (running.is_abandoned, ended.is_abandoned) == (True, False)
    assert given_back == [True]


def test_a_child_of_a_child_abandons_nothing_again(given_back: list[bool]) -> None:
    server = Server()
    fork.add(server)
    fork._abandon_all()
    server.is_abandoned = False
    fork._abandon_all()
    assert not server.is_abandoned
    assert given_back == [True]


def test_a_server_that_nobody_holds_is_forgotten(given_back: list[bool]) -> None:
    fork.add(Server())
    gc.collect()  # PyPy
    fork._abandon_all()
    assert given_back == []
