"""`waitress-serve status [ADDRESS]`: asks the status server of a server, and prints what that does.

`text_of` is a pure function from the document of `/status.json` to the text. With an earlier document it has rates, and
percentiles of what has ended since that.
"""

import argparse
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from time import sleep
from typing import Any, NoReturn

from waitress_core.config.addresses import split_listen_word
from waitress_core.config.status_settings import DEFAULT_PORT

DEFAULT_ADDRESS = f"127.0.0.1:{DEFAULT_PORT}"
WATCH_SECONDS = 2.0
TIMEOUT_SECONDS = 5.0
CLEAR_SCREEN = "\x1b[H\x1b[J"

_HELP = """\
Usage: waitress-serve status [ADDRESS] [--watch] [--token-file=FILE]

Print what a server does that was started with --status-listen=ADDRESS. ADDRESS
is HOST:PORT, a URL, or the path of a unix socket; by default it is the value of
the environment variable WAITRESS_STATUS_LISTEN, or 127.0.0.1:9180.

  --watch            Print it again every two seconds, until Ctrl-C.
  --token-file=FILE  Read the token of the server from this file. By default, it
                     is the value of WAITRESS_STATUS_TOKEN, or in the file that
                     WAITRESS_STATUS_TOKEN_FILE names.
"""

Document = dict[str, Any]


class CannotAskError(Exception):
    """The status server does not answer, or not with its figures."""


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run the command with the words after `status`; return the exit status."""
    try:
        given = _parse(arguments)
        if given.help:
            print(_HELP, end="")
            return 0
        address = given.address or environ.get("WAITRESS_STATUS_LISTEN") or DEFAULT_ADDRESS
        token = _token(given.token_file or environ.get("WAITRESS_STATUS_TOKEN_FILE"), environ)
        if given.watch:
            _watch(address, token)
        else:
            print(text_of(ask(address, token)), end="", flush=True)
    except CannotAskError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # whoever reads standard output has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the interpreter's end
        return 0
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CannotAskError(f"{message} (waitress-serve status --help lists the options)")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="waitress-serve status", add_help=False)
    parser.add_argument("address", nargs="?", default="")
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--token-file", default="")
    parser.add_argument("--help", action="store_true")
    return parser.parse_args(arguments)


def _token(path: str | None, environ: Mapping[str, str]) -> str:
    if not path:
        return _checked(environ.get("WAITRESS_STATUS_TOKEN", ""), "WAITRESS_STATUS_TOKEN")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return _checked(file.read().strip(), path)
    except OSError as error:
        raise CannotAskError(f"the token cannot be read from {path}: {error.strerror or error}") from None


def _checked(token: str, source: str) -> str:
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise CannotAskError(f"{source} holds no token: expected one line of visible ASCII characters")


def _watch(address: str, token: str) -> None:
    before: Document | None = None
    asked_at = 0.0
    while True:
        document, now = ask(address, token), time.monotonic()
        text = text_of(document, before, now - asked_at)
        print((CLEAR_SCREEN if sys.stdout.isatty() else "\n" if before else "") + text, end="", flush=True)
        before, asked_at = document, now
        sleep(WATCH_SECONDS)


# --- asking


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        if sys.platform == "win32":
            raise OSError("this system has no unix sockets")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def ask(address: str, token: str = "") -> Document:
    """Return the document of the status server at an address.

    Raises:
        CannotAskError: says why there is none, and what to do.
    """
    place = address.removeprefix("http://").removeprefix("unix:").rstrip("/")
    connection = _UnixConnection(place) if "/" in place else _tcp(place)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", "/status.json", headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, UnicodeError, http.client.HTTPException) as error:  # a name that IDNA does not know is the second
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CannotAskError(
            f"no status server answers at {address}: {reason}. Start the server with --status-listen={address}, or "
            "give the address of its status server: waitress-serve status ADDRESS"
        ) from None
    finally:
        connection.close()
    if response.status == 401:
        if token:
            raise CannotAskError(
                f"the status server at {address} has another token: give the file that it was started with, "
                "--token-file=FILE"
            )
        raise CannotAskError(f"the status server at {address} wants its token: give --token-file=FILE")
    try:
        document: Document = json.loads(body)
        if response.status != 200 or document["version"] != 1:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise CannotAskError(
            f"the server at {address} is not a status server of this version: {response.status} {response.reason}"
        ) from None
    return document


def _tcp(place: str) -> http.client.HTTPConnection:
    """Return a connection to an address that a server listens on: to the loopback, if that is every address."""
    host, port = split_listen_word(place, DEFAULT_PORT)
    host = {"*": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        return http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS)
    except (ValueError, http.client.InvalidURL) as error:
        raise CannotAskError(f"{place!r} is not HOST:PORT: {error}") from None


# --- the text


def text_of(document: Document, before: Document | None = None, seconds: float = 0.0) -> str:
    """Return what a document says; with the one from `seconds` before, what has changed since then too."""
    total = document["total"]
    earlier = before["total"] if before is not None else None
    state = "ready" if document["is_ready"] else f"not ready: {document['reason']}"
    lines = [
        f"{document['server']} on {document['python']}: {state}",
        "",
        f"requests     {_grown(_ended(total), earlier and _ended(earlier), seconds)}",
        f"errors       {_grown(_errors(total), earlier and _errors(earlier), seconds)} (5xx, or no answer)",
        f"refused      {_grown(_sum(total['refused']), earlier and _sum(earlier['refused']), seconds)}",
        f"latency      {_latency(total, earlier)}",
        f"threads      {_busy(total['threads'])} busy{_lost(total['threads'])}",
        f"queue        {_queue(total)}",
        f"connections  {_connections(total['connections'])}",
        f"traffic      in {_bytes(total['bytes_in'])}, out {_bytes(total['bytes_out'])}",
        "",
        *_table(
            ("PROCESS", "STATE", "AGE", "REQUESTS", "BUSY", "QUEUE", "CONNECTIONS", "MEMORY"),
            [_worker(worker) for worker in document["workers"]],
        ),
    ]
    running = sorted(
        ((run["seconds"], run) for worker in document["workers"] for run in worker["running"]),
        key=lambda item: item[0],
        reverse=True,
    )
    if running:
        rows = [(_seconds(length), run["thread"], _printable(_request(run))) for length, run in running[:20]]
        lines += ["", *_table(("TIME", "THREAD", "REQUEST"), rows)]
    return "\n".join(lines) + "\n"


def _request(run: Mapping[str, Any]) -> str:
    request, request_id = run["request"], run["request_id"]
    return f"{request}, request {request_id}" if request_id else str(request)


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _ended(total: Document) -> int:
    return sum(_sum(counts) for counts in total["requests"].values())


def _errors(total: Document) -> int:
    return sum(counts.get("5xx", 0) + counts.get("none", 0) for counts in total["requests"].values())


def _grown(now: int, before: int | None, seconds: float) -> str:
    if before is None or seconds <= 0:
        return str(now)
    # A counter starts again with its worker: then what it has now is all that is known.
    return f"{now}, {(now - before if now >= before else now) / seconds:.1f} a second"


def _latency(total: Document, earlier: Document | None) -> str:
    # lazy import: a server of the command needs nothing of it
    from waitress_core.observability.snapshot import quantile

    counts: list[int] = total["durations"]["counts"]
    if earlier is not None:
        since = [now - before for now, before in zip(counts, earlier["durations"]["counts"], strict=True)]
        counts = since if min(since) >= 0 else counts
    values = [(share, quantile(counts, share / 100)) for share in (50, 95, 99)]
    return ", ".join(f"p{share} {_seconds(value)}" for share, value in values if value is not None) or "no request"


def _busy(threads: Mapping[str, int]) -> str:
    busy = threads.get("busy", 0)
    return f"{busy} of {busy + threads.get('idle', 0)}"


def _lost(threads: Mapping[str, int]) -> str:
    """Return how many threads are lost to requests that were given up."""
    return f", {threads['lost']} lost" if threads.get("lost") else ""


def _queue(total: Document) -> str:
    depth = total["queue_depth"]
    if not depth:
        return "nobody waits"
    return f"{depth} wait for a thread, the first for {_seconds(total['queue_oldest_seconds'])}"


def _connections(states: Mapping[str, int]) -> str:
    named = ", ".join(f"{state} {count}" for state, count in states.items() if count)
    return f"{_sum(states)}{': ' if named else ''}{named}"


def _worker(worker: Document) -> tuple[str, ...]:
    memory = worker["memory_bytes"]
    return (
        str(worker["pid"]),
        worker["state"],
        _seconds(max(0.0, time.time() - worker["started_at"])),
        str(_ended(worker)),
        _busy(worker["threads"]),
        str(worker["queue_depth"]),
        str(_sum(worker["connections"])),
        "-" if memory is None else _bytes(memory),
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def _seconds(number: float) -> str:
    if number < 0.1:
        return f"{number * 1000:.1f} ms"
    if number < 120:
        return f"{number:.1f} s"
    minutes = int(number // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _printable(text: str) -> str:
    """Return a text of a client without what could steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
