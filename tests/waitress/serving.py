"""Old servers that run in a thread, and what is asked of them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.servers import waitress_threads

PATIENCE = 20.0  # seconds of the real clock for what comes at once on an idle machine


def application(environ: Any, start_response: Any) -> list[bytes]:
    """Answer with the path."""
    start_response("200 OK", [("X-Kettle", "on")])
    return [environ["PATH_INFO"].encode()]


@contextmanager
def running(server: Any, run: Callable[[], object] | None = None) -> Iterator[threading.Thread]:
    """Run a server that was made already; it is closed at the end, unless it has ended before."""
    thread = threading.Thread(target=run or server.run)
    thread.start()
    try:
        yield thread
    finally:
        server.close()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert becomes_true(lambda: not waitress_threads())


def address_of(server: Any) -> Any:
    """Where the first listener listens."""
    listener = server._listeners[0]
    return listener.port if listener.is_unix else (listener.host, int(listener.port))


def answer(address: tuple[str, int] | str, path: str = "/") -> bytes:
    """Return the body of the response to a request."""
    with Client(address) as client:
        return client.get(path).body


def is_refused(address: tuple[str, int]) -> bool:
    """Whether nobody listens there; for a while it may be another test, which the system has given the port to."""

    def refuses() -> bool:
        try:
            socket.create_connection(address, 5).close()
        except OSError:
            return True
        return False

    return becomes_true(refuses)
