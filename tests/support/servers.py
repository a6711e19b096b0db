"""Real servers for tests: one in this process, or one in its own process, each on a port that the system chose."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from waitress_core import BaseWSGIServer, create_server
from waitress_core.lifecycle.run import THREADS_SECONDS, ServerRun

from . import over_tls, side_by_side
from .client import TIMEOUT, Client

START_SECONDS = 120.0  # a machine under load starts an interpreter slowly: PyPy took 30 to import Flask


class Running:
    """A server that runs in threads of this process."""

    def __init__(self, server: BaseWSGIServer) -> None:
        self.server = server
        listener = server._listeners[0]
        self.address: Any = listener.port if listener.is_unix else (listener.host, int(listener.port))

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at its end."""
        return f"{self.server._listeners[0].scheme}://{self.address[0]}:{self.address[1]}"

    def client(self, timeout: float = TIMEOUT) -> Client:
        """Connect to the first listener."""
        return Client(self.address, timeout)

    @contextlib.contextmanager
    def clients(self, count: int) -> Iterator[list[Client]]:
        """Open so many connections, one after the other."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self.client()) for _ in range(count)]


@contextlib.contextmanager
def running(application: Callable[..., Any], **settings: Any) -> Iterator[Running]:
    """Serve the application with the settings, on 127.0.0.1 unless they say where.

    At the end the server is closed, and no thread of it may be left.
    """
    if not {"listen", "host", "port", "unix_socket", "sockets"} & settings.keys():
        settings["listen"] = "127.0.0.1:0"
    server = create_server(application, **side_by_side.settings_for(over_tls.settings_for(settings)))
    threads_before = waitress_threads()
    server.start()
    made = Running(server)
    # The port may have been that of a server that has ended, and spoke TLS.
    over_tls.addresses.difference_update([one for one in over_tls.addresses if one[1] == made.address[1]])
    if server._listeners[0].scheme == "https":
        over_tls.addresses.add(made.address)
    try:
        yield made
    finally:
        over_tls.addresses.discard(made.address)
        server.close()
        left = waitress_threads() - threads_before
        is_shortened = ServerRun.threads_seconds < THREADS_SECONDS  # then `close` may return before they have ended
        for thread in left:
            if is_shortened or thread.name == "waitress-run":  # this one has announced its end
                thread.join(20)
    names = [thread.name for thread in left if thread.is_alive()]
    assert not names, f"threads left by the server: {names}"


@contextlib.contextmanager
def run_in_thread(server: Any, run: Callable[[], object] | None = None) -> Iterator[threading.Thread]:
    """Run a server that was made already, in a thread; at the end it is closed, unless it has ended before."""
    thread = threading.Thread(target=run or server.run)
    thread.start()
    try:
        yield thread
    finally:
        server.close()
        thread.join(20)
    assert not thread.is_alive(), "run() has not returned after close()"


def waitress_threads() -> set[threading.Thread]:
    """Return the threads of this process that belong to a server.

    When `close` returns, the one that has announced the end may be among them for a moment.
    """
    return {thread for thread in threading.enumerate() if thread.name.startswith("waitress")}


class Spawned:
    """A server in its own process; `log` has the lines of its standard error so far."""

    def __init__(
        self,
        command: list[str],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self.addresses: list[tuple[str, int]] = []  # where it has said to serve
        self.log: list[str] = []
        self.output: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stderr, self.log), (self.process.stdout, self.output))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        with stream:
            for line in stream:
                lines.append(line.rstrip("\n"))
                if lines is self.log:
                    self._lines.put(lines[-1])
        if lines is self.log:
            self._lines.put(None)

    def wait_for_line(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """Wait for a line of standard error that the pattern is found in; lines are looked at once."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {pattern!r} in {seconds} s; log: {self.log}") from None
            assert line is not None, f"the process ended without a line with {pattern!r}; log: {self.log}"
            match = re.search(pattern, line)
            if match is not None:
                return match

    def wait_for_address(self) -> tuple[str, int]:
        """Wait for the next "Serving on" line; give the host and port that it names."""
        match = self.wait_for_line(r"Serving on (https?)://\[?([0-9a-fA-F.:]+?)\]?:(\d+)$")
        address = match[2], int(match[3])
        self.addresses.append(address)
        (over_tls.addresses.add if match[1] == "https" else over_tls.addresses.discard)(address)
        return address

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = START_SECONDS) -> int:
        """Wait for the end of the process; return its exit status, with all of its output read."""
        status = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(10)
        return status


@contextlib.contextmanager
def spawned(
    command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None, descriptors: Sequence[int] = ()
) -> Iterator[Spawned]:
    """Run a command that serves, and inherits the descriptors; it is killed at the end if it still runs."""
    server = Spawned(command, cwd, env, descriptors)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.wait()
        over_tls.addresses.difference_update(server.addresses)  # another server may get the port


@contextlib.contextmanager
def spawned_script(source: str, tmp_path: Path, env: dict[str, str] | None = None) -> Iterator[Spawned]:
    """Run a Python program, given as its text, that serves."""
    script = tmp_path / "script.py"
    script.write_text(source, encoding="utf-8")
    with spawned([sys.executable, str(script)], tmp_path, env) as server:
        yield server
