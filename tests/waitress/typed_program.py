"""A program that was written with the types of `types-waitress`, and is checked with ours: see test_types.

It uses what programs use: the functions, its own server, channels, tasks, the parser and the rest.
"""

import logging
from io import BytesIO
from typing import TYPE_CHECKING

import waitress
from waitress import runner, utilities, wasyncore
from waitress.adjustments import Adjustments, asbool, aslist
from waitress.buffers import OverflowableBuffer, ReadOnlyFileBasedBuffer
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, get_header_lines, split_uri
from waitress.receiver import FixedStreamReceiver
from waitress.server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, create_server
from waitress.task import ThreadedTaskDispatcher, WSGITask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log: logging.Logger = utilities.logger


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        write(b"tea")
    except ClientDisconnected:
        log.info("gone")
    wrapper = ReadOnlyFileBasedBuffer(BytesIO(b"tea"), 1024)
    return [wrapper.get(3, skip=True)] if wrapper.prepare(3) else []


class Task(WSGITask):
    def get_environment(self) -> "WSGIEnvironment":
        environ = super().get_environment()
        environ["own.host"] = self.channel.addr[0]
        return environ

    def build_response_header(self) -> bytes:
        self.set_close_on_finish()
        return super().build_response_header()


class Channel(HTTPChannel):
    task_class = Task

    def received(self, data: bytes) -> bool:
        log.debug("%d bytes, %d requests", len(data), len(self.requests))
        return super().received(data)


class Dispatcher(ThreadedTaskDispatcher):
    def handler_thread(self, thread_no: int) -> None:
        log.debug("thread %d, %d wait", thread_no, len(self.queue))
        super().handler_thread(thread_no)


class Server(TcpWSGIServer):
    channel_class = Channel

    def run(self) -> None:
        self.asyncore.loop(0.5, use_poll=True, count=None)

    def stop(self) -> None:
        self.maintenance(0)
        self.task_dispatcher.shutdown(cancel_pending=True, timeout=1)
        self.close()


def make(app: "WSGIApplication") -> BaseWSGIServer | MultiSocketServer:
    dispatcher = Dispatcher()
    dispatcher.set_thread_count(2)
    server = Server(app, dispatcher=dispatcher, adj=Adjustments())
    server.print_listen("Serving on http://{}:{}")
    return create_server(app, host="127.0.0.1", port=0, max_request_body_size=1 << 20, ipv6=False)


def sizes(adj: Adjustments) -> int:
    parser = HTTPRequestParser(adj)
    taken: int = parser.received(b"GET / HTTP/1.0\r\n\r\n")
    body: bytes = parser.get_body_stream().read()
    buffer = OverflowableBuffer(adj.inbuf_overflow)
    buffer.append(body)
    receiver = FixedStreamReceiver(3, buffer)
    if parser.error is not None:
        log.info("%d %s: %s", parser.error.code, parser.error.reason, parser.error.body)
    return taken + len(receiver) + len(buffer.get(10, skip=True))


def lines(head: bytes) -> list[bytes]:
    try:
        return list(get_header_lines(head))
    except ParsingError:
        return []


def main(arguments: list[str]) -> None:
    scheme, netloc, *_ = split_uri(b"http://localhost/")
    log.info("%s %s %s %s", scheme, netloc, asbool("yes"), aslist("a b"))
    wasyncore.close_all()
    waitress.serve(
        application,
        listen=["127.0.0.1:8080", "[::1]:8080"],
        threads=8,
        channel_timeout=0.5,
        ident=None,
        trusted_proxy="10.0.0.0/8",
        trusted_proxy_headers={"x-forwarded-for"},
        unix_socket_perms="660",
    )
    runner.run(arguments)
