"""What cannot be says so: where it is read, set or called, and where a program puts its own in its place."""

from typing import Any

import pytest

from tests.waitress.serving import address_of, answer, application, running
from waitress import receiver
from waitress._left_out import LeftOut, refuse_ineffective, without_effect
from waitress._replacements import replaceable
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, TcpWSGIServer, create_server


@replaceable
class Kettle:
    """Has something that is left out, and something that nothing calls."""

    whistle = LeftOut("listen to the water")

    @without_effect("it stands")
    def walk(self) -> str:
        return "it does not"

    def boil(self) -> str:
        return "water"


@replaceable
class Walking(Kettle):
    """One of ours, for which it has an effect."""

    def walk(self) -> str:
        return "it does"


def test_what_is_left_out_says_so_on_an_object_and_is_in_the_class() -> None:
    said = "Kettle.whistle of waitress 3.0 is not available: listen to the water"
    kettle: Any = Kettle()
    with pytest.raises(AttributeError, match=said):
        kettle.whistle()
    with pytest.raises(AttributeError, match=said):
        kettle.whistle = None
    with pytest.raises(AttributeError, match=said):
        Kettle.whistle(kettle)
    assert not hasattr(kettle, "whistle")
    assert hasattr(Kettle, "whistle")


@pytest.mark.parametrize("name", ["whistle", "walk"])
def test_a_method_that_nothing_would_call_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_ineffective(Kettle)
    own = type("Own", (Kettle,), {name: lambda self: "own"})
    with pytest.raises(NotImplementedError, match=f"^{name} of Own would never be called: "):
        refuse_ineffective(own)
    monkeypatch.setattr(Kettle, name, lambda self: "own")
    with pytest.raises(NotImplementedError, match=f"^{name} of Kettle would never be called: "):
        refuse_ineffective(Kettle)


def test_a_method_that_is_called_is_not_refused() -> None:
    refuse_ineffective(type("Own", (Kettle,), {"boil": lambda self: "milk"}))
    refuse_ineffective(type("Own", (Walking,), {"walk": lambda self: "it runs"}))
    refuse_ineffective(type("Foreign", (), {"walk": lambda self: "it runs"}))


def server_with(**methods: Any) -> Any:
    return type("Own", (TcpWSGIServer,), methods)(application, host="127.0.0.1", port=0)


def server_with_channel(**methods: Any) -> Any:
    return server_with(channel_class=type("Channel", (HTTPChannel,), methods))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *((server_with, name) for name in ("handle_accept", "handle_read", "fix_addr", "readable", "handle_connect")),
        *((server_with_channel, name) for name in ("handle_read", "handle_write", "writable", "send_continue")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
@pytest.mark.parametrize("how", ["run", "start"])
def test_a_server_refuses_to_run_with_a_method_that_it_would_never_call(make: Any, name: str, how: str) -> None:
    server = make(**{name: lambda self, *arguments: None})
    with pytest.raises(NotImplementedError, match=f"^{name} of .* would never be called: "):
        getattr(server, how)()
    assert server._map == {}


def test_a_server_runs_with_the_methods_that_a_subclass_may_have() -> None:
    called: list[str] = []

    class Own(TcpWSGIServer):
        def bind_server_socket(self) -> None:
            called.append("bound")
            super().bind_server_socket()

    server = Own(application, host="127.0.0.1", port=0)
    with running(server):
        assert answer(address_of(server), "/tea") == b"/tea"
    assert called == ["bound"]


def test_what_a_server_cannot_have_is_named() -> None:
    server = create_server(application, listen="127.0.0.1:0 127.0.0.1:0")
    with pytest.raises(AttributeError, match=r"handle_accept of waitress 3\.0 is not available: the server's own"):
        server.handle_accept()
    with pytest.raises(AttributeError, match="only a TcpWSGIServer binds its socket"):
        server.bind_server_socket()
    assert isinstance(BaseWSGIServer.handle_accept, LeftOut)
    server.close()
    decoder = receiver.ChunkedReceiver(OverflowableBuffer(10))
    with pytest.raises(AttributeError, match=r"ChunkedReceiver\.trailer of waitress 3\.0 is not available"):
        decoder.trailer  # noqa: B018  # reading it is what is tested
