"""Two instances behind a front restart one after the other, as the front's page says, and no request fails."""

import contextlib
import re
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.ecosystem.fronts import Front, Kind, each_kind, front
from tests.ecosystem.programs.commands import json_of, served
from tests.support.pages import DOCS
from tests.support.ports import free_port
from tests.support.servers import Spawned

CLIENTS = 8
PAUSE = 0.05  # seconds between two rounds of a client: without it they take the processor that the restarts need
SECONDS = 60.0

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no signal to ask a server to end by")


def options_of_page(kind: Kind) -> list[str]:
    """Return the options that the page starts an instance with, but for where it listens."""
    command = r"waitress-serve --listen=127\.0\.0\.1:8081 (.*) shop:application"
    (options,) = re.findall(command, (DOCS / kind.page).read_text(encoding="utf-8"))
    return str(options).split()


class Load:
    """Clients that ask hundreds of times a second until the end; what went wrong, and which instances have answered."""

    def __init__(self, running_front: Front) -> None:
        self.failures: list[str] = []
        self._answered: set[str] = set()
        self._changed = threading.Condition()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(running_front,)) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(SECONDS)

    def wait_until_answered_by(self, name: str) -> None:
        """Wait until an instance has answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: name in self._answered, SECONDS), (name, self._answered)

    def _ask(self, running_front: Front) -> None:
        with running_front.client() as client:
            while not self._is_over.wait(PAUSE):
                try:
                    name = json_of(client.get("/environ"))["SERVER_SOFTWARE"]
                    echo = client.post("/echo", content=b"once only")
                    assert (echo.status_code, echo.content) == (200, b"once only")
                except (AssertionError, httpx.HTTPError) as error:
                    self.failures.append(repr(error))
                    continue
                with self._changed:
                    self._answered.add(name)
                    self._changed.notify_all()


@each_kind
def test_instances_restart_under_load_without_a_failed_request(kind: Kind) -> None:
    ports = [free_port(), free_port()]

    @contextlib.contextmanager
    def instance(number: int, age: str, options: list[str]) -> Iterator[Spawned]:
        where = f"--listen=127.0.0.1:{ports[number]}"
        with served("waitress-serve", where, f"--ident={number}-{age}", *options, "plain:application") as server:
            server.wait_for_address()
            yield server

    with contextlib.ExitStack() as stack:
        old = [stack.enter_context(contextlib.ExitStack()) for _ in ports]
        for number, one in enumerate(old):
            one.enter_context(instance(number, "old", options_of_page(kind)))
        addresses = {f"127.0.0.1:{8081 + number}": f"127.0.0.1:{port}" for number, port in enumerate(ports)}
        running_front = stack.enter_context(front(kind, kind.configurations.several, addresses))
        with Load(running_front) as load:
            for number in range(len(ports)):
                load.wait_until_answered_by(f"{number}-old")
            for number, one in enumerate(old):
                one.close()  # asks it to end, and waits for that
                stack.enter_context(instance(number, "new", []))
                load.wait_until_answered_by(f"{number}-new")
        # Apache does not repeat a request on a connection that was reset: at most the one that it makes at the very
        # moment at which an instance closes its listener. See its page.
        assert len(load.failures) <= (len(ports) if kind.name == "Apache" else 0), load.failures
