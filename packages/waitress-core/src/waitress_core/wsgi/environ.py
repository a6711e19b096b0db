"""The WSGI environ of a request (PEP 3333, "environ Variables").

The keys that depend on the listener are made once and copied; those of the request are then set in the copy. Header
values and paths are strings decoded as latin-1, as PEP 3333 requires. Proxy headers are handled in `proxy_headers`.

Thread: the application thread that runs the task.
"""

import logging
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitress_buffers import ReadOnlyFileBuffer
from waitress_parser.errors import shown

from ..config.adjustments import Adjustments
from ..http.request import Request
from ..safe_logger import SafeLogger

if TYPE_CHECKING:
    from io import TextIOBase

    from _typeshed.wsgi import WSGIEnvironment

    from ..net.tls_info import TlsInfo

logger = SafeLogger(logging.getLogger("waitress"))

# Field name (lower case) -> environ key. Bounded, because names come from clients; if it is full, lookups take longer.
_KEYS: dict[str, str] = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_MAX_KEYS = 1024
_MAX_KEY_LENGTH = 64

# Fields that were dropped for an underscore, by the start of their names. Bounded: each costs a line of the log.
_dropped_names: set[str] = set()
_MAX_DROPPED_NAMES = 20

# The keys that are set for every request.
_OF_REQUEST = (
    "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_HOST",
    "REMOTE_PORT", "wsgi.errors", "wsgi.input", "waitress.client_disconnected",
)  # fmt: skip

# A % that starts no escape. RFC 3986 2.1: pct-encoded = "%" HEXDIG HEXDIG
# Text, which `re` compiles for the first path with a %, and keeps.
_STRAY = "%(?![0-9A-Fa-f]{2})"


def percent_decoded(path: str) -> str:
    """Return a path with its escapes decoded as latin-1; a % that is not part of an escape is kept.

    Decoded as quoted-printable, with = for %: a call for each escape would take 10 ms for a path of 64 KiB, and
    urllib.parse takes longer, and time to import.
    """
    from binascii import a2b_qp  # lazy import: a shared library, which many applications need for no path

    if "%%" in path:  # only for speed; twice, because of four in a row the first time leaves two
        path = path.replace("%%", "%25%").replace("%%", "%25%")
    escaped = re.sub(_STRAY, "%25", path).replace("=", "%3D").replace("%", "=")
    return a2b_qp(escaped.encode("latin-1")).decode("latin-1")


def wsgi_text(text: str) -> str:
    """Return text as a string of an environ: each byte of its UTF-8 form is a character (PEP 3333, "Unicode Issues").

    A byte of the command line that was not UTF-8 is that byte again.
    """
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def is_hidden(name: str) -> bool:
    """Whether the field of this lower-case name is hidden from the application.

    A name with an underscore would have the environ key of the name with a hyphen. Transfer-Encoding does not describe
    the body that the application gets, which is decoded.
    """
    return "_" in name or name == "transfer-encoding"


def new_environ_key(name: str) -> str | None:
    """Return the environ key of a lower-case field name that is not in `_KEYS`; cache it while there is room.

    Return None for a field that is hidden.
    """
    if is_hidden(name):
        if "_" in name:
            _log_dropped(name[:_MAX_KEY_LENGTH])
        return None
    key = "HTTP_" + name.upper().replace("-", "_")
    if len(_KEYS) < _MAX_KEYS and len(name) <= _MAX_KEY_LENGTH:
        _KEYS[name] = key
    return key


def _log_dropped(name: str) -> None:
    """Log that a field was dropped, once for each name in a process: whoever sends it wants it to arrive."""
    # Threads that add at the same time may log a name twice, which is harmless.
    if name not in _dropped_names and len(_dropped_names) < _MAX_DROPPED_NAMES:
        _dropped_names.add(name)
        logger.info(
            "Field %s was dropped, as it could pose as %s: send it with hyphens. This is logged once for each name.",
            shown(name),
            shown(name.replace("_", "-")),
        )


def error_stream() -> "TextIOBase":
    """Return a stream in place of standard error, of which there is none."""
    from .error_stream import ErrorStream  # lazy import: nearly every program has a standard error

    return ErrorStream()


class EnvironBuilder:
    """Builds the environ of each request that arrives at one listener.

    `server_port` is a decimal string, the value of SERVER_PORT; `scheme` is that of wsgi.url_scheme. With `is_tls` the
    environ is not complete before `add_tls`.
    """

    def __init__(self, adj: Adjustments, server_port: str, scheme: str, *, is_tls: bool = False) -> None:
        self.is_tls = is_tls
        self._prefix = wsgi_text(adj.url_prefix)
        self._prefix_slash = self._prefix + "/"
        # The keys that `build` sets are here too: then the copy has room for them and does not grow.
        self._base: dict[str, Any] = {
            **dict.fromkeys(_OF_REQUEST),
            "SCRIPT_NAME": self._prefix,
            "SERVER_NAME": adj.server_name,
            "SERVER_PORT": server_port,
            "SERVER_SOFTWARE": adj.ident or "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.multithread": True,
            "wsgi.multiprocess": getattr(adj, "has_worker_processes", False),
            "wsgi.run_once": False,
            "wsgi.file_wrapper": ReadOnlyFileBuffer,
            "wsgi.input_terminated": True,
        }
        if is_tls:
            self._base["HTTPS"] = "on"

    def offer(self, key: str, value: object) -> None:
        """Set a key of every environ from now on."""
        self._base[key] = value

    def build(
        self, request: Request, remote_addr: str, remote_port: str, client_disconnected: Callable[[], bool]
    ) -> "WSGIEnvironment":
        """Return the environ of one request from one peer."""
        # Unpacked at once: to read each field of the named tuple takes longer.
        method, target, version, _, values, authority, path, query, content_length, _, _ = request.head
        environ = self._base.copy()
        for name, value in values.items():
            try:
                environ[_KEYS[name]] = value
            except KeyError:
                key = new_environ_key(name)
                if key is not None:
                    environ[key] = value
        if authority is not None:
            environ["HTTP_HOST"] = authority  # RFC 9112 3.2.2: the target's authority replaces the Host field
        if content_length is None:
            environ["CONTENT_LENGTH"] = str(request.body_bytes)
        if "%" in path:
            path = percent_decoded(path)
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        elif path == "*":  # RFC 9110 9.3.7: OPTIONS of the server, of no path in it
            path = ""
        if self._prefix and (path == self._prefix or path.startswith(self._prefix_slash)):
            path = path[len(self._prefix) :]
        environ["REQUEST_METHOD"] = method
        environ["PATH_INFO"] = path
        environ["QUERY_STRING"] = query
        environ["REQUEST_URI"] = target
        environ["SERVER_PROTOCOL"] = "HTTP/1.1" if version == "1.1" else "HTTP/1.0"
        environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = remote_addr
        environ["REMOTE_PORT"] = remote_port
        errors = sys.stderr  # looked up each time: programs and tests replace it
        try:
            is_closed = errors.closed
        except AttributeError:  # None, or an object of the program that has only what PEP 3333 asks for
            is_closed = errors is None
        environ["wsgi.errors"] = error_stream() if is_closed else errors
        environ["wsgi.input"] = request.open_body()
        environ["waitress.client_disconnected"] = client_disconnected
        return environ


def add_tls(environ: "WSGIEnvironment", tls: "TlsInfo | None") -> None:
    """Add what the TLS handshake of a connection has found out."""
    if tls is not None:
        environ.update(tls.environ)
