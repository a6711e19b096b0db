"""Ask this server and its peers the same questions, and write the answers into docs/reference/comparison.md.

    .venv/bin/python -m tests.benchmarks.features
    .venv/bin/python -m tests.benchmarks.features "HTTP/2" "TLS"    # print the answers to some of them

A question is a function that talks to a server through sockets. Each server runs `features_application.py` with four
threads in one process, everything else at its default, and with the options that the row needs, if the server has
any: `OPTIONS` names them. The peers are installed into `.venvs/peers`, in the versions that `servers.py` names.
`tests/project/test_comparison.py` asks this server only.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import os
import platform
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.servers import (
    HERE,
    OTHERS,
    ROOT,
    THREADS,
    Server,
    certificate_files,
    environment,
    executable,
    install,
    make_certificates,
    stop,
    wait_until_it_listens,
    waitress_servers,
)
from tests.support.ports import free_port

APPLICATION = "features_application:application"
ASGI = "features_application:asgi"
PAGE = ROOT / "docs" / "reference" / "comparison.md"
ANSWER_SECONDS = 10.0  # a server that does not answer a client in this time has no thread for it
HEAD_SECONDS = 70  # wait for a server to give up a head; the longest default found is 30
RELOAD_SECONDS = 60.0
CLIENT = "192.0.2.9"

OURS, *_ = SERVERS = (
    *waitress_servers("--trusted-proxy=127.0.0.1", "--trusted-proxy-headers=x-forwarded-for"),
    *OTHERS,
)


def name_of(server: Server) -> str:
    """Return the name of a server in OPTIONS: that of its project, and `waitress` for this one."""
    return server.name if server.requirement.startswith("waitress=") else server.name.split()[0]


@dataclass
class Asked:
    """A running server, and ways to ask it."""

    process: subprocess.Popen[bytes]
    port: int
    side_port: int
    """What the options call `{side}`: for metrics and the like."""
    output: Path
    """What it has written to standard output and standard error."""
    speaks_tls: bool = False

    def connect(self, data: bytes = b"", receive_bytes: int = 0, port: int = 0) -> socket.socket:
        """Connect and send; `receive_bytes` limits the receive buffer of the system."""
        client = socket.socket()
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(ANSWER_SECONDS)
        try:
            client.connect(("127.0.0.1", port or self.port))
            if self.speaks_tls:
                client = tls_context().wrap_socket(client)
            client.sendall(data)
        except BaseException:
            client.close()
            raise
        return client

    def ask(self, data: bytes, port: int = 0) -> bytes:
        """Return the whole response, or the part that has arrived if it takes too long; nothing if nobody listens."""
        with contextlib.suppress(OSError), self.connect(data, port=port) as client:
            return read_all(client)
        return b""

    def get(self, path: str, *fields: str, port: int = 0) -> bytes:
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *fields]
        return self.ask("\r\n".join([*lines, "", ""]).encode(), port)

    def get_aside(self, path: str) -> bytes:
        """Return what the server of metrics and the like answers, which may start a little later."""
        until = time.monotonic() + ANSWER_SECONDS
        while not (received := self.get(path, port=self.side_port)) and time.monotonic() < until:
            time.sleep(0.05)
        return received

    def answers_others(self) -> bool:
        """Whether an ordinary request is answered now."""
        return status(self.get("/")) == 200

    def has_written(self, text: bytes) -> bool:
        """Whether a text is in its output, within ANSWER_SECONDS."""
        until = time.monotonic() + ANSWER_SECONDS
        while text not in self.output.read_bytes():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True


def tls_context() -> ssl.SSLContext:
    """Return a client's context that accepts any certificate and offers HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


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
def asked(server: Server, options: tuple[str, ...] = (), application: str = APPLICATION) -> Iterator[Asked]:
    """Run a server with further options until the end of the context.

    Raises:
        RuntimeError: it does not start.
    """
    port, side = free_port(), free_port()
    *command, last = server.command
    words = [word.format(port=port, side=side, application=application) for word in (*command, *options, last)]
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "output"), "wb") as output:
        process = subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=output, stderr=output)
        try:
            wait_until_it_listens(process, port)
            yield Asked(process, port, side, Path(output.name), server.speaks_tls)
        finally:
            stop(process)


# --- the questions: to a server at its defaults


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


# --- the questions: to a server with the options of OPTIONS


def speaks_tls(server: Asked) -> bool:
    return replace(server, speaks_tls=True).answers_others()


def speaks_http2(server: Asked) -> bool:
    with server.connect() as plain, tls_context().wrap_socket(plain) as client:
        return client.selected_alpn_protocol() == "h2"


def serves_asgi(server: Asked) -> bool:
    return b"by ASGI" in server.get("/")


def opens_websockets(server: Asked) -> bool:
    fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    with server.connect(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + key + b"\r\n") as client:
        return status(client.recv(1000)) == 101


def serves_files_by_itself(server: Asked) -> bool:
    return Path(__file__).read_bytes() in server.get(f"/static/{Path(__file__).name}")


def pushes_to_statsd(server: Asked) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", server.side_port))
        statsd.settimeout(ANSWER_SECONDS)
        server.get("/")
        try:
            return b"|" in statsd.recv(1000)
        except TimeoutError:
            return False


def has_several_processes(server: Asked) -> bool:
    until = time.monotonic() + RELOAD_SECONDS  # one may start long after the other
    found: set[bytes] = set()
    while len(found - {b""}) < 2:
        if time.monotonic() > until:
            return False
        found.add(process_of(server))
    return True


def process_of(server: Asked) -> bytes:
    """Return the id of the process that answers a request; nothing if none does."""
    found = re.search(rb"process: (\d+)", server.get("/environ"))
    return found[1] if found else b""


def reloads_without_a_lost_request(server: Asked) -> bool:
    """Whether SIGHUP replaces all processes while 4 clients see nothing of it."""
    before = {process_of(server) for _ in range(100)}
    until = time.monotonic() + RELOAD_SECONDS

    def client() -> bool:
        """Ask until only new processes have answered for two seconds; return whether each request was answered."""
        quiet_since = time.monotonic() + 1
        while time.monotonic() < until:
            process = process_of(server)
            if not process:
                return False
            if process in before:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > 2:
                return True
        return False

    with concurrent.futures.ThreadPoolExecutor() as clients:
        results = [clients.submit(client) for _ in range(4)]
        time.sleep(0.2)  # they ask all the time
        server.process.send_signal(signal.Signals["SIGHUP"])
        return all(result.result() for result in results)


def serves_a_socket_of_systemd(server: Asked) -> bool:
    return server.answers_others()  # it was started with one, and with no address


def has_an_access_log(server: Asked) -> bool:
    server.get("/seen-in-the-log")
    return server.has_written(b"/seen-in-the-log")


def logs_where_a_slow_request_is(server: Asked) -> bool:
    server.get("/slow")
    return server.has_written(b"features_application.py")


def has_metrics(server: Asked) -> bool:
    server.get("/")
    until = time.monotonic() + ANSWER_SECONDS  # granian collects them now and then
    while b"# TYPE " not in server.get_aside("/metrics"):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def has_a_status_page(server: Asked) -> bool:
    return b"<!doctype html" in server.get_aside("/").lower()


def answers_probes_while_all_threads_are_busy(server: Asked) -> bool:
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS):
            stack.enter_context(server.connect(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")).recv(1)
        started = time.monotonic()
        return status(server.get_aside("/health")) == 200 and time.monotonic() < started + 1


def reads_the_proxy_protocol(server: Asked) -> bool:
    text = f"PROXY TCP4 {CLIENT} 192.0.2.1 50000 80\r\n".encode()
    addresses = socket.inet_aton(CLIENT) + socket.inet_aton("192.0.2.1") + bytes([0xC3, 0x50, 0, 80])
    binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(addresses).to_bytes(2, "big") + addresses
    request = b"GET /environ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return all(f"remote_addr: {CLIENT}\n".encode() in server.ask(header + request) for header in (text, binary))


def gives_request_ids(server: Asked) -> bool:
    ids = [re.search(rb"x-request-id: ([!-~]+)", server.get("/").lower()) for _ in range(2)]
    return len({found[1] for found in ids if found}) == 2


def refuses_what_the_queue_cannot_hold(server: Asked) -> bool:
    """Whether some of many requests at once are answered 503, and the others served."""
    with concurrent.futures.ThreadPoolExecutor(5 * THREADS) as clients:
        answers = [status(answer) for answer in clients.map(server.get, ["/slow"] * 5 * THREADS)]
    return set(answers) == {200, 503}


def sends_early_hints(server: Asked) -> bool:
    return server.get("/hints").startswith(b"HTTP/1.1 103 ")


# --- the rows

Question = Callable[[Asked], bool]
Options = Mapping[str, tuple[str, ...]]
"""By the name of a server, what its command needs for the feature; a server without an entry does not have it."""

TLS_FILES = tuple(map(str, certificate_files("P-256")))
_WAITRESS_TLS = (f"--tls-certificate={TLS_FILES[0]}", f"--tls-key={TLS_FILES[1]}")
_GUNICORN_TLS = ("--certfile", TLS_FILES[0], "--keyfile", TLS_FILES[1])
_GRANIAN_TLS = ("--ssl-certificate", TLS_FILES[0], "--ssl-keyfile", TLS_FILES[1])
_GRANIAN_ASGI = ("--interface=asgi", "--blocking-threads=1")
_STATUS = ("--status-listen=127.0.0.1:{side}",)
_TWO = ("--workers=2",)
_OUR_TWO = (*_TWO, "--worker-kind=process")  # without the GIL they would be threads


class Row(NamedTuple):
    """A question, and how the servers are started for it; without `options` each has its defaults."""

    question: Question
    options: Options | None = None
    application: str = APPLICATION
    notes: Mapping[str, str] = {}
    """By the name of a server, what the table says in place of yes or no, because the command cannot show it."""
    extras: Mapping[str, str] = {}
    """By the name of a server, what else pip must install for it."""


SECTIONS: dict[str, dict[str, Row]] = {
    "What others have and this server lacks": {
        "HTTP/2": Row(
            speaks_http2,
            {
                "waitress": _WAITRESS_TLS,
                "gunicorn": (*_GUNICORN_TLS, "--http-protocols=h2,h1"),
                "granian": _GRANIAN_TLS,
            },
            extras={"gunicorn": "http2"},
        ),
        "ASGI": Row(serves_asgi, {"gunicorn": ("--worker-class=asgi",), "granian": _GRANIAN_ASGI}, application=ASGI),
        "websockets": Row(
            opens_websockets, {"gunicorn": ("--worker-class=asgi",), "granian": _GRANIAN_ASGI}, application=ASGI
        ),
        "static files, served by the server itself": Row(
            serves_files_by_itself, {"granian": ("--static-path-mount", str(HERE))}
        ),
        "metrics pushed to statsd": Row(pushes_to_statsd, {"gunicorn": ("--statsd-host=127.0.0.1:{side}",)}),
    },
    "By itself, without a proxy or a supervisor": {
        "TLS": Row(
            speaks_tls,
            {"waitress": _WAITRESS_TLS, "gunicorn": _GUNICORN_TLS, "granian": _GRANIAN_TLS},
            notes={"cheroot": "from Python"},
        ),
        "several worker processes": Row(
            has_several_processes, {"waitress": _OUR_TWO, "gunicorn": _TWO, "granian": _TWO}
        ),
        "SIGHUP replaces them without losing a request": Row(
            reloads_without_a_lost_request, {"waitress": _OUR_TWO, "gunicorn": _TWO, "granian": _TWO}
        ),
        "SIGTERM lets a running request be answered": Row(answers_what_runs_at_sigterm),
        "sockets that systemd has opened": Row(
            serves_a_socket_of_systemd, {"waitress": ("--listen=systemd",), "gunicorn": ()}
        ),
    },
    "What it reports": {
        "an access log": Row(
            has_an_access_log,
            {"waitress": ("--access-log",), "gunicorn": ("--access-logfile=-",), "granian": ("--access-log",)},
        ),
        "a slow request is logged, with the code that it runs": Row(
            logs_where_a_slow_request_is, {"waitress": ("--log-slow-requests=0.5",)}
        ),
        "metrics for Prometheus": Row(
            has_metrics,
            {
                "waitress": _STATUS,
                "granian": ("--metrics", "--metrics-address=127.0.0.1", "--metrics-port={side}"),
            },
        ),
        "a status page": Row(
            has_a_status_page,
            {
                "waitress": _STATUS,
                "granian": ("--metrics", "--metrics-address=127.0.0.1", "--metrics-port={side}"),
            },
        ),
        "health checks while all threads are busy": Row(
            answers_probes_while_all_threads_are_busy, {"waitress": _STATUS}
        ),
        "an id for each request": Row(gives_request_ids, {"waitress": ("--request-id-header=X-Request-ID",)}),
    },
    "Slow clients and too much load": {
        "a client that sends a body slowly occupies no thread": Row(takes_no_thread_for_slow_senders),
        "a client that reads 8 MB slowly occupies no thread": Row(takes_no_thread_for_slow_readers),
        "a request head that never ends is given up": Row(gives_up_a_head_that_does_not_end),
        "a request is answered 503 if the queue is full": Row(
            refuses_what_the_queue_cannot_hold,
            {
                "waitress": (f"--queue-limit={THREADS}",),
                "cheroot": (f"--accepted-queue-size={THREADS}", "--accepted-queue-timeout=1"),
                "granian": (f"--backpressure={2 * THREADS}",),
            },
        ),
    },
    "Behind a proxy": {
        "Content-Length with Transfer-Encoding is refused": Row(refuses_two_lengths),
        "a second Host is refused": Row(refuses_two_hosts),
        "HTTP/1.1 without Host is refused": Row(refuses_no_host),
        "`X_Forwarded_For` cannot pose as `X-Forwarded-For`": Row(drops_names_with_underscores),
        "X-Forwarded-For of a trusted proxy sets `REMOTE_ADDR`": Row(reads_the_clients_address),
        "the PROXY protocol, versions 1 and 2": Row(
            reads_the_proxy_protocol,
            {"waitress": ("--proxy-protocol=required",), "gunicorn": ("--proxy-protocol=auto",)},
        ),
    },
    "For the application": {
        "`wsgi.file_wrapper`": Row(has_file_wrapper),
        "the `write` callable of PEP 3333": Row(has_write),
        "early hints (`103`)": Row(sends_early_hints),
    },
}
ROWS = {text: row for rows in SECTIONS.values() for text, row in rows.items()}


@contextmanager
def started_for(server: Server, row: Row) -> Iterator[Asked | None]:
    """Run a server for a question, or yield None if it has no option for that."""
    options = () if row.options is None else row.options.get(name_of(server))
    if options is None:
        yield None
        return
    if row.question in (speaks_tls, speaks_http2):
        make_certificates()
    started = _with_a_socket_of_systemd(server, options) if row.question is serves_a_socket_of_systemd else server
    with asked(started, () if started is not server else options, row.application) as one:
        yield one


# Opens a socket on the port, and becomes the command with it as descriptor 3, as systemd does.
_PASS_A_SOCKET = """\
import os, socket, sys
one = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(one.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def _with_a_socket_of_systemd(server: Server, options: tuple[str, ...]) -> Server:
    """Return a server that gets its socket, and no address."""
    words = [word for word in server.command if "{port}" not in word]
    return replace(server, command=(sys.executable, "-c", _PASS_A_SOCKET, "{port}", *words[:-1], *options, words[-1]))


def answer(server: Server, row: Row) -> str:
    """Return the cell of a server in a row."""
    if name_of(server) in row.notes:
        return row.notes[name_of(server)]
    extra = row.extras.get(name_of(server), "")
    try:
        with started_for(_with_extra(server, extra) if extra else server, row) as one:
            is_there = one is not None and row.question(one)
    except RuntimeError:
        return "does not start"
    return f"yes, with [{extra}]" if is_there and extra else "yes" if is_there else "no"


def _with_extra(server: Server, extra: str) -> Server:
    """Return a server from an environment in which pip has installed the extra too."""
    requirement = server.requirement.replace("==", f"[{extra}]==")
    install(requirement)
    command = str(executable(requirement, Path(server.command[0]).name))
    return replace(server, requirement=requirement, command=(command, *server.command[1:]))


def needs(server: Server) -> str:
    """Return what is installed with a server, from the files of its environment."""
    if not server.requirement:
        return "nothing"
    folder = executable(server.requirement, "python").parents[1]
    (packages,) = folder.glob("lib/python*/site-packages")
    own = server.requirement.partition("==")[0]
    names = {path.name.partition("-")[0] for path in packages.glob("*.dist-info")} - {"pip", "setuptools", own}
    parts = ["compiled code"] if any((packages / own).rglob("*.so")) else []
    parts += [f"{len(names)} package{'s' * (len(names) > 1)}"] if names else []
    return ", ".join(parts) or "nothing"


def is_typed(server: Server) -> bool:
    if not server.requirement:
        return all(any(package.rglob("py.typed")) for package in (ROOT / "packages").iterdir() if package.is_dir())
    folder = executable(server.requirement, "python").parents[1]
    return any(folder.glob(f"lib/python*/site-packages/{server.requirement.partition('==')[0]}/py.typed"))


def tables(rows: Mapping[str, Mapping[str, list[str]]], names: list[str]) -> str:
    """Return the answers as a table for each section."""
    parts = []
    for section, cells in rows.items():
        head = f"| {section} | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
        parts.append("\n".join([head, *(f"| {text} | {' | '.join(answers)} |" for text, answers in cells.items())]))
    return "\n\n".join(parts)


def main(texts: list[str]) -> int:
    """Ask all questions and write the page, or print the answers to those that are named."""
    for server in SERVERS:
        install(server.requirement)
    rows: dict[str, dict[str, list[str]]] = {}
    for section, questions in SECTIONS.items():
        for text, row in questions.items():
            if not texts or text in texts:
                answers = [answer(server, row) for server in SERVERS]
                rows.setdefault(section, {})[text] = answers
                print(text, answers, file=sys.stderr)
    if texts:
        return 0
    rows["To install"] = {
        "needs, besides the standard library": [needs(server) for server in SERVERS],
        "types (`py.typed`)": ["yes" if is_typed(server) else "no" for server in SERVERS],
    }
    made = f"Asked on {datetime.date.today()}, on CPython {platform.python_version()} and {platform.system()}.\n\n"
    made += tables(rows, [server.name for server in SERVERS])
    page = PAGE.read_text(encoding="utf-8")
    between = re.compile(r"(?<=<!-- asked -->\n\n).*(?=\n\n<!-- end of asked -->)", re.DOTALL)
    PAGE.write_text(between.sub(lambda _: made, page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
