"""A program of somebody who has waitress 3.0.2 and `types-waitress`: its types hold with those stubs, and with ours.

`make typecheck` holds it to our types, tests/ecosystem/test_types.py to the stubs.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import waitress
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer, ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, create_server
from waitress.task import ThreadedTaskDispatcher, WSGITask
from waitress.utilities import BadRequest, build_http_date, parse_http_date

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with what is in a file."""
    file = ReadOnlyFileBasedBuffer(io.BytesIO(b"typed"))
    size = file.prepare()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Expires", build_http_date(0))])
    return [file.get(size)]


SOCKETS: dict[int, Any] = {}


class CountingTask(WSGITask):
    """A call of the application that counts itself."""

    count = 0

    def execute(self) -> None:
        """Count, and call."""
        CountingTask.count += 1
        super().execute()


class OwnChannel(HTTPChannel):
    """A channel with a task of its own."""

    task_class = CountingTask


class OwnServer(TcpWSGIServer):
    """A server in a thread, as programs stop one."""

    channel_class = OwnChannel
    runner: threading.Thread

    def begin(self) -> None:
        """Serve in a thread."""
        self.runner = threading.Thread(target=self.run)
        self.runner.start()

    def run(self) -> None:
        """Serve until nothing is left in the map."""
        wasyncore.loop(0.5, map=SOCKETS)

    def end(self) -> None:
        """Close what the map has."""
        wasyncore.close_all(SOCKETS)
        self.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        self.runner.join()


def from_arguments(arguments: Iterable[str]) -> tuple[Adjustments, int]:
    """Read settings; count those that are about proxies."""
    settings = dict(argument.split("=") for argument in arguments)
    adjustments = Adjustments(**settings)
    return adjustments, len(adjustments.trusted_proxy_headers)


def address_of(server: BaseWSGIServer | MultiSocketServer) -> str:
    """Tell where a server listens."""
    if isinstance(server, MultiSocketServer):
        return " ".join(f"{host}:{port}" for host, port in server.effective_listen)
    return f"{server.adj.host}:{server.adj.port} by {server.adj.threads} threads"


def dispatcher_of_one() -> ThreadedTaskDispatcher:
    """Make a dispatcher."""
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(1)
    return dispatcher


def main() -> None:
    """Use it all."""
    buffer = OverflowableBuffer(1000)
    buffer.append(b"octets")
    assert buffer.get(3) == b"oct"
    assert parse_http_date(build_http_date(86400)) == 86400
    assert BadRequest("no").to_response()[0].startswith("400")
    adjustments, count = from_arguments(["threads=3", "trusted_proxy=*", "trusted_proxy_headers=forwarded"])
    assert (adjustments.threads, count) == (3, 1)

    several = create_server(application, listen="127.0.0.1:0 127.0.0.1:0")
    assert address_of(several).count(":") == 2
    several.close()
    dispatcher = dispatcher_of_one()
    dispatcher.shutdown()

    server = OwnServer(application, map=SOCKETS, host="127.0.0.1", port=0)
    assert "127.0.0.1" in address_of(server)
    server.begin()
    server.end()
    if adjustments.unix_socket is not None:
        waitress.serve(application, unix_socket=adjustments.unix_socket)


if __name__ == "__main__":
    main()
