"""Reports what the server does to systemd, by the protocol of sd_notify(3): `NAME=value` lines in datagrams.

    READY=1       it serves, or has reloaded            RELOADING=1  it reloads, from MONOTONIC_USEC on
    STOPPING=1    it ends                               WATCHDOG=1   it is alive: at half of WATCHDOG_USEC
    STATUS=text   what it does, for `systemctl status`  MAINPID=pid  another process takes over

Imported only where NOTIFY_SOCKET is set. Nothing that happens to that socket reaches the server: the first failure is
logged, later ones are not, and each message is tried all the same, because systemd may be back.

Thread: the one that waits for the server, or the supervisor's only one. A call may block it for SEND_SECONDS.
"""

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping

from ..config.addresses import AF_UNIX
from ..connection.context import State
from ..safe_logger import SafeLogger

logger = SafeLogger(logging.getLogger("waitress"))

# For room in the queue of a systemd that is busy. Doubled: one that hangs holds up the report that a signal asks for
# as long. Halved: READY=1 is lost more easily, and with it the start of the service.
SEND_SECONDS = 1.0


def notifier_for(environ: Mapping[str, str], process_id: int, serving_status: str = "") -> "Notifier":
    """Return the notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID ask for (sd_watchdog_enabled(3))."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    is_meant = environ.get("WATCHDOG_PID", str(process_id)) == str(process_id)
    is_watched = is_meant and microseconds.isascii() and microseconds.isdigit() and int(microseconds) > 0
    keep_alive_seconds = int(microseconds) / 2_000_000 if is_watched else None
    return Notifier(environ["NOTIFY_SOCKET"], serving_status, keep_alive_seconds=keep_alive_seconds)


class Notifier:
    """Sends messages to the socket `address`, a path or `@` and an abstract name.

    `serving_status` describes for people a server that serves. `keep_alive_seconds` is half of the time within which
    systemd expects a sign that the server is alive; None if it does not watch that.
    """

    def __init__(
        self,
        address: str,
        serving_status: str = "",
        *,
        keep_alive_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keep_alive_seconds = keep_alive_seconds
        self._address = address
        self._clock = clock
        self._keep_alive_at = 0.0  # when the next WATCHDOG=1 is due
        self._serving_status = serving_status
        self._is_stopping = False
        self._has_failed = False
        self._is_closed = False
        # Open from the start: a server that is out of descriptors must still be able to say that it is alive.
        self._socket: socket.socket | None = None
        if AF_UNIX is not None:
            self._socket = socket.socket(AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(SEND_SECONDS)

    def close(self) -> None:
        """Report nothing more, and close the socket; any number of times."""
        self._is_closed = True
        if self._socket is not None:
            self._socket.close()

    # --- messages

    def on_state(self, state: State) -> None:
        """Report that the server serves, or that it stops: the first time only."""
        if state is State.SERVING:
            self.ready(self._serving_status)
        elif state > State.SERVING:
            self.stopping("at once" if state is State.CLOSING else "requests in progress are answered")

    def ready(self, serving_status: str) -> None:
        """Report that the server serves."""
        self._serving_status = serving_status
        self._send("READY=1", _status(serving_status))

    def stopping(self, how: str) -> None:
        """Report that the server stops: the first time only."""
        if not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1", _status(f"Stopping: {how}"))

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the server reloads, and at the end of the context, whatever happens in it, that it has.

        A server that stops meanwhile, or before, is not ready again.
        """
        if self._is_stopping:
            yield
            return
        # systemd compares the time with that of its signal, to know which reload this is (Type=notify-reload).
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", _status("Reloading"))
        try:
            yield
        finally:
            if not self._is_stopping:
                self.ready(self._serving_status)

    def status(self, text: str) -> None:
        """Describe the server for people."""
        self._send(_status(text))

    def main_pid(self, process_id: int) -> None:
        """Report that this process takes over: from now on systemd watches it, and listens to it only."""
        self._send(f"MAINPID={process_id}")

    def keep_alive(self) -> None:
        """Report that the server is alive, if it is time to."""
        now = self._clock()
        if self.keep_alive_seconds is not None and now >= self._keep_alive_at:
            self._keep_alive_at = now + self.keep_alive_seconds
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._is_closed:
            return
        address = self._address
        try:
            if self._socket is None or not address.startswith(("/", "@")):
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            self._socket.sendto(
                "\n".join(lines).encode("utf-8", "surrogateescape"),
                os.fsencode("\0" + address[1:] if address.startswith("@") else address),
            )
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                logger.warning("Cannot notify systemd of %s at NOTIFY_SOCKET=%s: %s", lines[0], address, error)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"
