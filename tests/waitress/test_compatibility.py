"""The page of old names lists every one of them, and says rightly which of them are there."""

import os
import re
import socket
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.waitress.serving import address_of, application, running
from waitress import buffers, channel, parser, receiver, server, task, utilities, wasyncore
from waitress._left_out import LeftOut
from waitress.adjustments import Adjustments
from waitress.proxy_headers import MalformedProxyHeader

PAGE = Path(__file__).parents[2] / "docs/reference/compatibility.md"
ROW = re.compile(r"^\| (?:`(\w+)` )?\| ((?:`\w+`(?:, )?)+) \| (kept|adapted|left out) \| (?:(.*) )?\|$")
STATES = ("kept", "adapted", "left out")
# Names for what this system lacks: unix sockets, and descriptors of files that can be waited for. So did 3.0.2.
LACKING = {
    *(() if hasattr(socket, "AF_UNIX") else ("UnixWSGIServer",)),
    *(() if os.name == "posix" else ("file_dispatcher", "file_wrapper")),
}


class Row(NamedTuple):
    """One old name, where it was at home, and what the page says of it."""

    module: str
    owner: str
    name: str
    state: str
    reason: str

    @property
    def home(self) -> str:
        return f"{self.module} {self.owner}".strip()


def rows() -> list[Row]:
    found, module = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            module = line[3:]
        elif line.startswith("|") and not line.startswith(("| class |", "|---")):
            match = ROW.fullmatch(line)
            assert match, f"a row that cannot be read: {line}"
            for name in re.findall(r"`(\w+)`", match[2]):
                found.append(Row(module, match[1] or "", name, match[3], match[4] or ""))
    return found


ROWS = rows()


def old_names() -> Iterator[tuple[str, str]]:
    text = Path(__file__).with_name("names_of_3_0_2.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            home, _, names = line.partition(": ")
            yield from ((home, name) for name in names.split())


def test_every_name_of_3_0_2_is_listed_once() -> None:
    assert sorted((row.home, row.name) for row in ROWS) == sorted(old_names())


def test_what_is_not_as_it_was_has_a_reason() -> None:
    assert [row for row in ROWS if row.state != "kept" and not row.reason] == []


@pytest.fixture(scope="module")
def objects() -> Iterator[dict[str, Any]]:
    """Return an object of each class that has attributes besides the class's."""
    own: list[Any] = []

    class Noting(task.WSGITask):
        def service(self) -> None:
            super().service()
            own.append(self)

    class Channel(channel.HTTPChannel):
        task_class = Noting

    class Server(server.TcpWSGIServer):
        channel_class = Channel

    made = Server(application, host="127.0.0.1", port=0)
    memory = buffers.BytesIOBasedBuffer()
    overflowable = buffers.OverflowableBuffer(10)
    wrapper = wasyncore.file_wrapper(0) if hasattr(wasyncore, "file_wrapper") else None
    with running(made), Client(address_of(made)) as client:
        client.get()
        assert becomes_true(lambda: bool(own))
        yield {
            "waitress.server BaseWSGIServer": made,
            "waitress.server MultiSocketServer": server.MultiSocketServer({}, made.adj, [], None, made.log_info),
            "waitress.channel HTTPChannel": next(iter(made.active_channels.values())),
            "waitress.task Task": own[0],
            "waitress.task WSGITask": own[0],
            "waitress.task ThreadedTaskDispatcher": task.ThreadedTaskDispatcher(),
            "waitress.parser HTTPRequestParser": parser.HTTPRequestParser(Adjustments()),
            "waitress.buffers FileBasedBuffer": memory,
            "waitress.buffers BytesIOBasedBuffer": memory,
            "waitress.buffers OverflowableBuffer": overflowable,
            "waitress.receiver FixedStreamReceiver": receiver.FixedStreamReceiver(1, overflowable),
            "waitress.receiver ChunkedReceiver": receiver.ChunkedReceiver(overflowable),
            "waitress.proxy_headers MalformedProxyHeader": MalformedProxyHeader("header", "reason", "value"),
            "waitress.utilities Error": utilities.Error("body"),
            "waitress.wasyncore dispatcher": wasyncore.dispatcher(map={}),
            "waitress.wasyncore file_dispatcher": wasyncore.dispatcher(map={}),
            "waitress.wasyncore file_wrapper": wrapper,
            "waitress.trigger trigger": made.trigger,
            "waitress.trigger _triggerbase": made.trigger,
        }
    if wrapper is not None:
        wrapper.close()


@pytest.mark.parametrize("state", STATES)
def test_what_is_there_is_there_and_what_is_left_out_is_not(state: str, objects: dict[str, Any]) -> None:
    for row in ROWS:
        if row.state == state:
            owner: Any = import_module(row.module)
            if not LACKING.isdisjoint((row.owner, row.name)):
                assert not hasattr(owner, row.owner or row.name)
                continue
            if row.owner:
                owner = getattr(owner, row.owner, None)
            found = getattr(owner, row.name, None)
            if isinstance(found, LeftOut):
                is_there = False
                # The server here is of a subclass, which binds its socket by a method.
                if row.home in objects and row.name != "bind_server_socket":
                    with pytest.raises(AttributeError, match=f"{row.name} of waitress 3.0 is not available: "):
                        getattr(objects[row.home], row.name)
            else:
                is_there = hasattr(owner, row.name) or hasattr(objects.get(row.home), row.name)
            assert is_there is (state != "left out"), row
