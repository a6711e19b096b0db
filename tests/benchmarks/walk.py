"""Print the walk of a small request through the packages: every call of ours, in order, indented by its depth.

`python -m tests.benchmarks.walk` shows a request on an open connection, `--accept` the acceptance of a client. Climbs
are calls from a file to one of a higher layer: the places where a reader cannot follow the imports.
"""

import argparse
import socket
import sys
import threading
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import waitress
from waitress.server import TcpWSGIServer
from waitress_core.threads import leadership
from waitress_core.threads.dispatcher import Dispatcher

ROOT = Path(__file__).resolve().parents[2] / "packages"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
# From the ground up; siblings have the same number. What is not named is below all.
LAYERS = {
    "waitress_core/http": 1,
    "waitress_core/reactor": 1,
    "waitress_core/threads": 1,
    "waitress_core/config": 2,
    "waitress_core/net": 3,
    "waitress_core/observability": 3,
    "waitress_core/connection": 4,
    "waitress_core/wsgi": 5,
    "waitress_core/lifecycle": 6,
    "waitress_core/server.py": 7,
    "waitress/": 8,
}

Call = tuple[int, str, str]  # depth, file, function


def layer_of(file: str) -> int:
    """Return the layer of a file, 0 for one that is below all folders of the core."""
    return next((layer for prefix, layer in LAYERS.items() if file.startswith(prefix)), 0)


class Recorder:
    """Records the calls of the packages in the thread that leads; another one, as the watchdog, may run amid them."""

    def __init__(self) -> None:
        self.is_on = False
        self._calls: dict[int, list[Call]] = {}  # by thread
        self._depth = threading.local()

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        """Note a call or a return (`sys.setprofile`)."""
        path = frame.f_code.co_filename
        if not self.is_on or event not in ("call", "return") or not path.startswith(str(ROOT)):
            return
        depth = getattr(self._depth, "value", 0)
        if event == "return":
            self._depth.value = max(0, depth - 1)
            return
        self._depth.value = depth + 1
        calls = self._calls.setdefault(threading.get_ident(), [])
        calls.append((depth, path.partition("/src/")[2], frame.f_code.co_name))

    def calls_of_leader(self) -> list[Call]:
        """Return the calls of the one thread that has made turns while the recorder was on."""
        [leader] = [calls for calls in self._calls.values() if any(name == "_turn" for _, _, name in calls)]
        return leader


def climbs_in(calls: list[Call]) -> list[Call]:
    """Return the calls that go from a file to one of a higher layer."""
    callers: dict[int, str] = {}  # the last file at each depth
    found: list[Call] = []
    for call in calls:
        depth, file, _ = call
        # Turns and tasks are called by the dispatcher, which may be outside what was recorded.
        caller = callers.get(depth - 1, "waitress_core/threads/dispatcher.py")
        if layer_of(file) > layer_of(caller):
            found.append(call)
        callers[depth] = file
    return found


def summary_of(calls: list[Call]) -> str:
    """Count calls, files, changes of file and climbs, in a line."""
    files = [file for _, file, _ in calls]
    changes = sum(first != second for first, second in pairwise(files))
    climbs = climbs_in(calls)
    return f"{len(calls)} calls in {len(set(files))} files, {changes} changes of file, {len(climbs)} climbs"


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Answer with five bytes."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def ask(client: socket.socket) -> None:
    """Send a request, and read its response."""
    client.sendall(GET)
    received = b""
    while not received.endswith(b"hello"):
        received += client.recv(65536)


def record(is_accept: bool) -> list[Call]:
    """Serve a client, and return the calls of its third request, or those until it has been accepted."""
    leadership.FAST = 60.0  # seconds: profiling is slow, and the application is not to count as that
    Dispatcher.yield_leadership = lambda self: None  # type: ignore[method-assign]  # for the same reason
    recorder = Recorder()
    threading.setprofile(recorder.profile)
    server = waitress.create_server(application, listen="127.0.0.1:0", threads=1)
    assert isinstance(server, TcpWSGIServer)
    with server:
        address = server.effective_host, int(server.effective_port)
        with socket.create_connection(address) as first, socket.create_connection(address) as second:
            for client in (first, second, first):
                ask(client)  # the application thread has the leadership now, and waits in the poller
            recorder.is_on = True
            if is_accept:
                with socket.create_connection(address) as third:
                    ask(third)
            else:
                # The turn of the first is being waited in already, that of the third may come after the recording.
                for _ in range(3):
                    ask(first)
            recorder.is_on = False
    threading.setprofile(None)
    calls = recorder.calls_of_leader()
    turns = [index for index, (_, _, name) in enumerate(calls) if name == "_turn"]
    if is_accept:
        start = next(index for index, (_, file, name) in enumerate(calls) if name == "on_ready" and "acceptor" in file)
        return calls[start : next(turn for turn in turns if turn > start) - 1]
    return calls[turns[0] - 1 : turns[1] - 1]  # from the turn that finds one request to that of the next


def main() -> None:
    """Print the calls, and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accept", action="store_true", help="the acceptance of a client instead of a request")
    calls = record(parser.parse_args().accept)
    climbs = climbs_in(calls)
    for call in calls:
        depth, file, function = call
        print(f"{'^' if call in climbs else ' '} {'  ' * depth}{file.removeprefix('waitress_core/')}  {function}")
    print(summary_of(calls), file=sys.stderr)


if __name__ == "__main__":
    main()
