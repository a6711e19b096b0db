"""The application of the status server.

    GET /             a page that shows the rest, live; has no figures itself
    GET /health       200 while the process lives
    GET /ready        200 while it serves, else 503 and the reason
    GET /metrics      metrics, as OpenMetrics or as text of Prometheus, by Accept
    GET /status.json  everything, as JSON: see `document.Document`
    GET /threads      what each application thread works on, with its stack

With a token, all that has figures wants it. The page, which a browser must open without one, asks for it; probes get
their one line without it. Without a token the server listens on this machine only; then a Host that is neither an
address nor `localhost` is refused: by its own name, a web page that a browser on this machine has open could
otherwise read the figures (DNS rebinding). A request without Host is no browser's: HAProxy checks servers in HTTP/1.0.

Thread: the one application thread of the status server.
"""

import hmac
import json
import pkgutil
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from ..observability.snapshot import Snapshot
from .document import Document, Supervision, make_document, why_not_ready
from .metrics import OPEN_METRICS, PROMETHEUS, render, wants_open_metrics
from .threads_text import threads_as_text

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

TEXT = "text/plain; charset=utf-8"
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'"  # the policy of everything but the page
PATHS = ("/", "/health", "/ready", "/metrics", "/status.json", "/threads")
OPEN_PATHS = frozenset({"/", "/health", "/ready"})  # wanted without a token


class Answer(NamedTuple):
    """What is answered to a request."""

    status: str
    body: str
    content_type: str = TEXT
    fields: tuple[tuple[str, str], ...] = ()
    policy: str = NO_CONTENT


class StatusApplication:
    """Answers from what `status()` returns: what each worker does, and what their supervisor has counted."""

    def __init__(
        self,
        status: Callable[[], tuple[Sequence[Snapshot], Supervision | None]],
        *,
        version: str,
        token: str | None = None,
        is_unix: bool = False,
        ready_queue_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._version = version
        self._python = f"{sys.implementation.name} {sys.version.split()[0]}"
        self._token = None if token is None else token.encode("ascii")
        self._checks_host = token is None and not is_unix
        self._ready_queue_seconds = ready_queue_seconds
        self._clock = clock

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = self._answer(environ)
        body = answer.body.encode("utf-8", "backslashreplace")
        start_response(
            answer.status,
            [
                ("Content-Type", answer.content_type),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("Content-Security-Policy", answer.policy),
                ("Referrer-Policy", "no-referrer"),
                ("X-Content-Type-Options", "nosniff"),
                *answer.fields,
            ],
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _answer(self, environ: "WSGIEnvironment") -> Answer:
        path, host = environ["PATH_INFO"], environ.get("HTTP_HOST")
        if self._checks_host and host is not None and not is_local_host(host):
            reason = "Without status_token, the status server answers only if Host is an IP address or localhost"
            return Answer("421 Misdirected Request", f"{reason}\n")
        if path not in PATHS:
            return Answer("404 Not Found", f"There is nothing here. The paths are {' '.join(PATHS)}\n")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return Answer("405 Method Not Allowed", "Only GET and HEAD\n", fields=(("Allow", "GET, HEAD"),))
        if path not in OPEN_PATHS and not self._is_admitted(environ.get("HTTP_AUTHORIZATION", "")):
            challenge = (("WWW-Authenticate", 'Bearer realm="waitress status"'),)
            reason = "The token is missing or wrong: send Authorization: Bearer TOKEN"
            return Answer("401 Unauthorized", f"{reason}\n", fields=challenge)
        if path == "/":
            html, policy = page()
            return Answer("200 OK", html, "text/html; charset=utf-8", policy=policy)
        if path == "/health":
            return Answer("200 OK", "ok\n")
        if path == "/ready":
            return self._ready()
        if path == "/metrics":
            return self._metrics(environ.get("HTTP_ACCEPT", ""))
        if path == "/threads":
            return Answer("200 OK", threads_as_text(self._status()[0]))
        return Answer("200 OK", json.dumps(self.document()) + "\n", "application/json")

    def _is_admitted(self, authorization: str) -> bool:
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        # In constant time: otherwise the time would show how many characters are right.
        return hmac.compare_digest(given.strip().encode("latin-1"), self._token) and scheme.lower() == "bearer"

    def _ready(self) -> Answer:
        seconds, now = self._ready_queue_seconds, self._clock()
        reason = why_not_ready(self._status()[0], ready_queue_seconds=seconds, now=now)
        return Answer("503 Service Unavailable", f"not ready: {reason}\n") if reason else Answer("200 OK", "ready\n")

    def _metrics(self, accept: str) -> Answer:
        is_open = wants_open_metrics(accept)
        build = {"version": self._version, "python": self._python}
        text = render(*self._status(), build, is_open_metrics=is_open)
        return Answer("200 OK", text, OPEN_METRICS if is_open else PROMETHEUS, (("Vary", "Accept"),))

    def document(self) -> Document:
        """Return what `/status.json` answers."""
        return make_document(
            *self._status(),
            server=f"waitress-core {self._version}",
            python=self._python,
            ready_queue_seconds=self._ready_queue_seconds,
            now=self._clock(),
        )


def is_local_host(host: str) -> bool:
    """Whether a Host field is an address, or `localhost` or a name below it, with or without a port."""
    name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
    name = name.removesuffix(".").lower()
    if name.startswith("[") or name == "localhost" or name.endswith(".localhost"):
        return True
    return bool(name) and name.replace(".", "").isdigit()  # no name of the domain name system ends in a number


def page() -> tuple[str, str]:
    """Return the page and its policy: nothing but its own script and style, and requests to its own server."""
    data = pkgutil.get_data(__package__, "page.html")
    assert data is not None  # it is a part of the package
    html = data.decode("utf-8")
    return html, (
        f"default-src 'none'; script-src '{_hash_of(html, 'script')}'; style-src '{_hash_of(html, 'style')}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash_of(html: str, element: str) -> str:
    """Return the source expression of the one element of that name in the page."""
    text = html.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    return "sha256-" + b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")
