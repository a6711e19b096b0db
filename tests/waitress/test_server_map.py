"""When the map of a server has channels of its clients, and when it does not need them."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.waitress.serving import PATIENCE, address_of, application, running
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server


def test_a_server_makes_no_channel_while_nobody_looks_at_its_map() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        assert client.get().status == 200
        assert server._server_map.channels == {}
        assert [*server._server_map.entries] == [server.trigger.fileno(), server._listeners[0].descriptor]


LOOKS: dict[str, Callable[[BaseWSGIServer], Any]] = {
    "map": lambda server: server._map,
    "active_channels": lambda server: server.active_channels,
    "in_connection_overflow": lambda server: server.in_connection_overflow,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_from_the_first_look_on_every_client_has_a_channel(look: Callable[[BaseWSGIServer], Any]) -> None:
    server = create_server(application, listen="127.0.0.1:0")
    entries = server._server_map.entries
    with running(server), Client(address_of(server)) as before:
        before.get()
        look(server)
        with Client(address_of(server)) as later:
            later.get()
            channels = [entry for entry in entries.values() if isinstance(entry, HTTPChannel)]
            assert [channel.addr for channel in channels] == [before.socket.getsockname(), later.socket.getsockname()]
            assert [channel.socket.getpeername() for channel in channels] == [channel.addr for channel in channels]
            assert list(server._map.values())[-2:] == channels  # the same ones
        assert becomes_true(lambda: len(server.active_channels) == 1)
        channels[0].close()
        assert before.rest() == b""
        assert becomes_true(lambda: not server._server_map.channels)
    assert entries == {}


def test_a_map_of_the_program_has_the_channels_at_once() -> None:
    own: dict[int, Any] = {}
    server = create_server(application, own, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        client.get()
        assert [entry.addr for entry in own.values() if isinstance(entry, HTTPChannel)] == [client.socket.getsockname()]


def test_an_emptied_map_ends_a_server_though_it_had_no_channels() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    with running(server) as thread, Client(address_of(server)) as client:
        client.get()
        server._map.clear()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_clients_that_come_and_go_at_the_first_look_leave_nothing_behind() -> None:
    for _ in range(20):
        server = create_server(application, listen="127.0.0.1:0", threads=2)
        entries, looks = server._server_map.entries, threading.Event()

        def come_and_go(server: BaseWSGIServer = server, looks: threading.Event = looks) -> None:
            for number in range(40):
                if number == 10:
                    looks.set()
                with Client(address_of(server)) as client:
                    assert client.get().status == 200

        with running(server), Client(address_of(server)) as stays:
            stays.get()
            clients = [threading.Thread(target=come_and_go) for _ in range(2)]
            for client in clients:
                client.start()
            assert looks.wait(PATIENCE)
            assert any(isinstance(entry, HTTPChannel) for entry in server._map.copy().values())
            for client in clients:
                client.join(PATIENCE)
            assert becomes_true(lambda server=server: len(server._server_map.channels) == 1)  # type: ignore[misc]
            (channel,) = server.active_channels.values()
            assert channel.addr == stays.socket.getsockname()
        assert entries == {}
        assert server._server_map.channels == {}


@pytest.mark.parametrize("ends_before", [True, False], ids=["it ends first", "both make its channel"])
def test_a_first_look_and_the_leader_meet_at_one_connection(ends_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    server = create_server(application, listen="127.0.0.1:0")
    made: list[HTTPChannel] = []

    class Meeting(HTTPChannel):
        """While the looking thread makes it, the connection ends, or has its channel made by the leader."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            made.append(self)
            if len(made) == 1:
                if ends_before:
                    client.close()
                    assert becomes_true(lambda: self.connection.state_name is None)
                else:
                    server._server_map.open(self.connection)

    with running(server), Client(address_of(server)) as client:
        client.get()
        monkeypatch.setattr(server, "channel_class", Meeting)  # after the start of the run, which would notice it
        channels = list(server.active_channels.values())
        assert channels == ([] if ends_before else [made[1]])
        assert becomes_true(lambda: len(server._server_map.channels) == len(channels))


def test_a_second_thread_that_looks_first_as_well_sees_every_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    server = create_server(application, listen="127.0.0.1:0")
    seen: list[set[int]] = []
    second = threading.Thread(target=lambda: seen.append({*server._map}))

    class Slow(HTTPChannel):
        """While the first of two is made, another thread looks at the map."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            if second.ident is None:
                second.start()
                second.join(0.1)  # it waits; if it did not, this would be enough for it

    with running(server), Client(address_of(server)) as one, Client(address_of(server)) as other:
        one.get()
        other.get()
        monkeypatch.setattr(server, "channel_class", Slow)  # after the start of the run, which would notice it
        entries = {*server._map}
        second.join(PATIENCE)
        assert seen == [entries]
        assert len(server._server_map.channels) == 2
