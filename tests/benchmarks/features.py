"""Ask this server and its peers the same questions, and print the answers as the table of the README.

    .venv/bin/python -m tests.benchmarks.features

A question is a function that talks to a server through sockets; each server runs `features_application.py` with four
threads in one process. The peers are installed into `.venvs/peers`, in the versions that `servers.py` names.
`tests/project/test_comparison.py` asks this server only.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.benchmarks.servers import OTHERS, THREADS, Server, install, started, waitress_servers

APPLICATION = "features_application:application"
ANSWER_SECONDS = 10.0  # a server that does not answer a client in this time has no thread for it
HEAD_SECONDS = 70  # wait for a server to give up a head; the longest default found is 30

OURS, *_ = SERVERS = (
    *waitress_servers("--trusted-proxy=127.0.0.1", "--trusted-proxy-headers=x-forwarded-for"),
    *OTHERS,
)


class Asked:
    """A running server, and ways to ask it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def connect(self, data: bytes = b"", receive_bytes: int = 0) -> socket.socket:
        """Connect and send; `receive_bytes` limits the receive buffer of the system."""
        client = socket.socket()
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(ANSWER_SECONDS)
        client.connect(("127.0.0.1", self.port))
        client.sendall(data)
        return client

    def ask(self, data: bytes) -> bytes:
        """Return the whole response, or the part that has arrived if it takes too long."""
        with self.connect(data) as client:
            return read_all(client)

    def get(self, path: str, *fields: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *fields]
        return self.ask("\r\n".join([*lines, "", ""]).encode())

    def answers_others(self) -> bool:
        """Whether an ordinary request is answered now."""
        return status(self.get("/")) == 200


def read_all(client: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(OSError):
        while data := client.recv(65536):
            received += data
    return bytes(received)


def status(answer: bytes) -> int:
    """Return the status of a response; 0 for none."""
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 2 else 0


@contextmanager
def asked(server: Server) -> Iterator[Asked]:
    """Run a server until the end of the context."""
    with started(server, APPLICATION) as (process, port):
        yield Asked(process, port)


# --- the questions


def has_file_wrapper(server: Asked) -> bool:
    return b"file_wrapper: True" in server.get("/environ")


def has_write(server: Asked) -> bool:
    return b"written" in server.get("/write")


def takes_no_thread_for_slow_senders(server: Asked) -> bool:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
    with contextlib.ExitStack() as stack:
        for _ in range(2 * THREADS):
            stack.enter_context(server.connect(head))
        return _answers_after_all(server)


def takes_no_thread_for_slow_readers(server: Asked) -> bool:
    with contextlib.ExitStack() as stack:
        for _ in range(2 * THREADS):
            stack.enter_context(server.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", receive_bytes=4096))
        return _answers_after_all(server)


def _answers_after_all(server: Asked) -> bool:
    time.sleep(1)  # no event shows that the server has given its threads away
    return server.answers_others()


def gives_up_a_head_that_does_not_end(server: Asked) -> bool:
    with server.connect(b"GET / HTTP/1.1\r\nHost: x\r\nX: ") as client:
        client.settimeout(1)
        for _ in range(HEAD_SECONDS):
            try:
                client.sendall(b"a")
                if not client.recv(1000):
                    return True
            except TimeoutError:
                continue
            except OSError:
                return True
    return False


def refuses_two_lengths(server: Asked) -> bool:
    fields = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    return status(server.ask(b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n0\r\n\r\n")) == 400


def refuses_two_hosts(server: Asked) -> bool:
    return status(server.get("/", "Host: y")) == 400


def refuses_no_host(server: Asked) -> bool:
    return status(server.ask(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")) == 400


def drops_names_with_underscores(server: Asked) -> bool:
    return b"forwarded_for: None" in server.get("/environ", "X_Forwarded_For: 192.0.2.9")


def reads_the_clients_address(server: Asked) -> bool:
    return b"remote_addr: 192.0.2.9" in server.get("/environ", "X-Forwarded-For: 192.0.2.9")


def answers_what_runs_at_sigterm(server: Asked) -> bool:
    with server.connect(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
        received = bytearray()
        while b"started" not in received and (data := client.recv(1000)):
            received += data
        server.process.terminate()
        return b"done" in read_all(client)


Question = Callable[[Asked], bool]

# The last question ends the server.
QUESTIONS: dict[str, Question] = {
    "`wsgi.file_wrapper`": has_file_wrapper,
    "the `write` callable of PEP 3333": has_write,
    "slow senders of a body occupy no thread": takes_no_thread_for_slow_senders,
    "slow readers of 8 MB occupy no thread": takes_no_thread_for_slow_readers,
    "a head that does not end is given up": gives_up_a_head_that_does_not_end,
    "Content-Length with Transfer-Encoding is refused": refuses_two_lengths,
    "a second Host is refused": refuses_two_hosts,
    "HTTP/1.1 without Host is refused": refuses_no_host,
    "`X_Forwarded_For` cannot pose as `X-Forwarded-For`": drops_names_with_underscores,
    "X-Forwarded-For of a trusted proxy sets `REMOTE_ADDR`": reads_the_clients_address,
    "SIGTERM lets a running request be answered": answers_what_runs_at_sigterm,
}


def main() -> int:
    columns: dict[str, list[bool]] = {}
    for server in SERVERS:
        install(server.requirement)
        with asked(server) as one:
            columns[server.name] = [question(one) for question in QUESTIONS.values()]
        print(server.name, "asked", file=sys.stderr)
    print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row, text in enumerate(QUESTIONS):
        print(f"| {text} | {' | '.join('yes' if answers[row] else 'no' for answers in columns.values())} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
