"""The access log: what is kept of a request until its response has ended, and the line that is written then.

Application threads write the lines, until the server ends: a slow handler of the log keeps no client waiting but its
own. The task of the request writes its line if everything has been sent when it ends; otherwise a separate task does,
once the reactor has sent the rest or given it up. Of those, no more wait for a thread than fit into MAX_WAITING_BYTES;
the log reports how many were left out.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Protocol

from waitress_parser import RequestHead

from ..config.log_format import MAX_VALUE_CHARACTERS, Access, make_format
from ..safe_logger import SafeLogger
from ..threads.tasks import InternalTask
from ..throttled_logger import ThrottledLogger

logger = SafeLogger(logging.getLogger("waitress.access"))
server_logger = SafeLogger(logging.getLogger("waitress"))

# Of lines that wait for a thread. Refused clients cause as many as they like, as large as their requests.
MAX_WAITING_BYTES = 4 * 1024 * 1024
LINE_BYTES = 1000  # of one in memory, besides what its client has sent
# version "-" trace-id "-" parent-id "-" trace-flags; a version above 00 may have more. Version ff and ids of zeros are
# invalid.
_TRACEPARENT = re.compile(
    r"(?:00(?=.{53}\Z)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|\Z)"
)
LOG_SECONDS = 1.0  # at most one record about lines that were left out in so many seconds


class Tls(Protocol):
    """The TLS of a connection, as the access log sees it."""

    @property
    def version(self) -> str:
        """The version: `TLSv1.3`."""

    @property
    def cipher(self) -> str:
        """The name of the suite."""

    @property
    def client_dn(self) -> str | None:
        """The subject of the client's certificate; None without one."""


class AccessLog:
    """Writes a line for each request of one server."""

    def __init__(
        self, format_text: str, clock: Callable[[], float], wall_clock: Callable[[], float] = time.time
    ) -> None:
        """Raises ValueError if the format is invalid."""
        self.clock = clock  # monotonic, in steps that are shorter than a quick request
        self._wall_clock = wall_clock
        self._format = make_format(format_text)
        # Guarded by self._lock
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self.dropped_lines = 0  # left out so far; read without the lock
        self._left_out = ThrottledLogger(server_logger, LOG_SECONDS)  # counts lines
        standard = logging.getLogger("waitress.access")
        if standard.level == logging.NOTSET:
            standard.setLevel(logging.INFO)  # whoever turns the log on wants to see it, whatever the others' level

    def start(
        self, remote_addr: str, head: RequestHead | None, method: str, sent_bytes: int, tls: "Tls | None" = None
    ) -> "Exchange":
        """Start to follow a request that is complete, or never will be.

        `head` is None for one that could not be parsed, of which at most `method` is known; `sent_bytes` is what its
        connection has sent before.
        """
        return Exchange(self, remote_addr, head, method, sent_bytes, tls)

    def write(self, access: Access) -> None:
        """Write a line."""
        if logger.is_enabled_for(logging.INFO):
            logger.info("%s", self._format(access))

    def reserve(self, size: int) -> bool:
        """Let a line wait for a thread; False when there is no room for it: it is left out."""
        with self._lock:
            if self._waiting_bytes + size > MAX_WAITING_BYTES:
                self._left_out.suppress()
                self.dropped_lines += 1
                return False
            self._waiting_bytes += size
            return True

    def release(self, size: int) -> None:
        """A line that has waited is going to be written."""
        now = self.clock()
        with self._lock:
            self._waiting_bytes -= size
            left_out = self._left_out.take_suppressed(now)
        if left_out:
            server_logger.warning("%d line(s) of the access log left out: no thread was free to write them", left_out)

    def started_at(self, duration: float) -> float:
        """Return the time of the wall clock `duration` seconds ago."""
        return self._wall_clock() - duration


class Exchange(InternalTask):
    """One request and its response; as a task it writes its line.

    Thread: the one that has the request: the application thread while its task runs, else the leader.
    """

    __slots__ = (
        "_access",
        "_head",
        "_log",
        "_method",
        "_sent_before",
        "_started_at",
        "_tls",
        "_waiting_bytes",
        "head_bytes",
        "queue_time",
        "remote_addr",
        "remote_user",
        "request_id",
        "status",
    )

    def __init__(
        self,
        log: AccessLog,
        remote_addr: str,
        head: RequestHead | None,
        method: str,
        sent_bytes: int,
        tls: "Tls | None" = None,
    ) -> None:
        self.remote_addr = remote_addr
        self.remote_user: str | None = None
        self.request_id: str | None = None
        self.status: int | None = None
        self.head_bytes = 0  # of the response, and of interim responses before it
        self.queue_time = 0.0
        self._log = log
        self._head = head
        self._method = method
        self._started_at = log.clock()
        self._sent_before = sent_bytes
        self._tls = tls
        self._waiting_bytes = 0
        self._access: Access | None = None

    def leave_queue(self) -> None:
        """The application is going to be called."""
        self.queue_time = self._log.clock() - self._started_at

    def answer(self, status: str, head_bytes: int) -> None:
        """A response with this status has started, with a head of `head_bytes`."""
        self.status = int(status[:3])
        self.head_bytes += head_bytes

    def end(self, sent_bytes: int) -> None:
        """The response has ended, or been given up, when its connection had sent `sent_bytes`."""
        duration = self._log.clock() - self._started_at
        head = self._head
        values = {} if head is None else head.values
        tls = self._tls
        self._access = Access(
            remote_addr=self.remote_addr[:MAX_VALUE_CHARACTERS],
            remote_user=_cut(self.remote_user),
            time=self._log.started_at(duration),
            method=_cut((self._method if head is None else head.method) or None),
            target=None if head is None else _cut(head.target),
            version=None if head is None else head.version,
            status=self.status,
            bytes=max(0, sent_bytes - self._sent_before - self.head_bytes),
            duration=duration,
            queue_time=self.queue_time,
            referer=_cut(values.get("referer")),
            user_agent=_cut(values.get("user-agent")),
            request_id=self.request_id,
            trace_id=trace_id(values.get("traceparent")),
            tls_version=None if tls is None else tls.version,
            tls_cipher=None if tls is None else tls.cipher,
            client_dn=None if tls is None else _cut(tls.client_dn),
        )
        self._head = None  # it may be large

    def reserve_room(self) -> bool:
        """Let the line wait for a thread, after `end`; False when too much waits already: it is left out."""
        access = self._access
        assert access is not None  # `end` has been called
        said = (access.method, access.target, access.referer, access.user_agent)
        size = LINE_BYTES + sum(len(text) for text in said if text)
        if not self._log.reserve(size):
            return False
        self._waiting_bytes = size
        return True

    def service(self) -> None:
        """Write the line, after `end`."""
        assert self._access is not None  # `end` has been called
        if self._waiting_bytes:
            self._log.release(self._waiting_bytes)
        self._log.write(self._access)

    cancel = service  # also when no application thread gets to it before the end


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a W3C traceparent (Trace Context, section 3.2); None if it is invalid."""
    match = _TRACEPARENT.match(traceparent) if traceparent else None
    return match[1] if match else None


def _cut(value: str | None) -> str | None:
    return value and value[:MAX_VALUE_CHARACTERS]
