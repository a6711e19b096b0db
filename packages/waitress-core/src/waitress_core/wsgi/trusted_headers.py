"""What the headers of a trusted proxy change in an environ: Forwarded (RFC 7239), X-Forwarded-* and X-Request-Start.

Imported by servers with a trusted proxy only.

Only the last `trusted_proxy_count` elements of a list count: trusted proxies have added them, and the first of them
names the client of the outermost trusted proxy.

Guarantee: whatever a client sends in front of these elements, in the same field line or in others, can get its request
refused, but cannot change their meaning.
- Forwarded is parsed whole, field line by field line, by the grammar of RFC 7239 section 4. A quoted-string that a
  client has left open would otherwise swallow what a proxy appends.
- X-Forwarded-* have no grammar. They are split at every comma, from the end, so no quotation mark can hide one.

Thread: the application thread that runs the task. Never blocks, never resolves a name.
"""

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from waitress_parser.errors import shown

from ..http.request import Request
from ..safe_logger import SafeLogger
from .proxy_errors import MalformedProxyHeader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_FORWARDED_NAMES = frozenset({"by", "for", "host", "proto"})
_DEFAULT_PORTS = {"http": "80", "https": "443"}
# A proxy writes ws or wss for the handshake of a WebSocket, which is a request in HTTP (RFC 6455 section 3).
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

# Of what is parsed: all of Forwarded, or one element of another header. At the head's own limit a client could make it
# take a third of a second. nginx 8K, Apache 8190 a line; 8192 characters take a few milliseconds at most.
MAX_CHARACTERS = 8192

# RFC 9110 5.6.2: token = 1*tchar
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9110 5.6.4: quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
_QUOTED = r'"[\t !#-\[\]-~\x80-\xff]*(?:\\[\t !-~\x80-\xff][\t !#-\[\]-~\x80-\xff]*)*"'
_QUOTED_STRING = re.compile(_QUOTED, re.ASCII)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# RFC 7239 4: Forwarded         = 1#forwarded-element
#             forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
#             forwarded-pair    = token "=" ( token / quoted-string )
# One pair, if there is one, and what ends it.
_PAIR = re.compile(rf"(?:({_TOKEN})=({_TOKEN}|{_QUOTED}))?([ \t]*,[ \t]*|;|\Z)", re.ASCII)
# RFC 7239 6: node = nodename [ ":" node-port ]. In X-Forwarded-For an IPv6 address may lack its brackets, and a proxy
# may write any name.
_IPV6 = rf"[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%{_TOKEN})?"  # two colons: `1.2.3.4:55` is not one
_NODE = re.compile(
    rf"(?:\[(?P<ipv6>{_IPV6})\]|(?P<name>{_TOKEN}))(?::(?P<port>[0-9]{{1,5}}|_[A-Za-z0-9._\-]+))?|(?P<bare>{_IPV6})",
    re.ASCII,
)
# RFC 3986 3.2.2 with the port of 3.2.3; an empty reg-name is not accepted.
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)

# X-Request-Start: `t=1512379167.574`, in seconds, milliseconds or microseconds, with or without the `t=`.
_REQUEST_START = re.compile(r"(?:t=)?([0-9]{1,17}(?:\.[0-9]{1,9})?)")
_MILLISECONDS, _MICROSECONDS = 1e3, 1e6
_EARLIEST = 1e8  # seconds: 1973. As milliseconds, no later time is meant until 5138.
_LONGEST_TIME_BEFORE = 3600.0  # seconds; more is a clock that is wrong


class _Hops(NamedTuple):
    """The values of the trusted headers; empty if there is none."""

    client: str = ""
    host: str = ""
    scheme: str = ""
    port: str = ""


class TrustedHeaders:
    """Applies the trusted headers of one server.

    `keys` are these headers, as name and environ key: some of X-Forwarded-*, or Forwarded alone. `hop_count` is how
    many elements of each count.
    """

    def __init__(self, keys: Mapping[str, str], hop_count: int, logger: SafeLogger) -> None:
        self.environ_keys = frozenset(keys.values())
        self._keys = keys
        self._hop_count = hop_count
        self._logger = logger
        self._reads_forwarded = "Forwarded" in keys

    def apply(self, environ: "WSGIEnvironment", request: Request | None = None) -> None:
        """Apply the trusted headers of an environ to it, whoever the peer is.

        `request` has the field lines of which the environ has only the joined text.

        Raises:
            MalformedProxyHeader: one cannot be read.
        """
        hops = self._read_forwarded(environ, request) if self._reads_forwarded else self._read_x_forwarded(environ)
        port = hops.port
        if hops.scheme:
            scheme = hops.scheme.lower()
            if scheme not in _SCHEMES:
                raise self._malformed("Proto", "unsupported proto value", hops.scheme)
            scheme = _SCHEMES[scheme]
            environ["wsgi.url_scheme"] = scheme
            port = port or _DEFAULT_PORTS[scheme]
        if hops.host:
            port = self._apply_host(environ, hops.host, port)
        if port:
            environ["SERVER_PORT"] = port
        if hops.client:
            self._apply_client(environ, hops.client)

    @staticmethod
    def add_time_before(environ: "WSGIEnvironment") -> None:
        """Count the time since a proxy has got the request as time in a queue, as far as the two clocks agree on it."""
        match = _REQUEST_START.fullmatch(environ.get("HTTP_X_REQUEST_START", ""))
        if match is None or "waitress.queue_seconds" not in environ:
            return
        started_at = float(match[1])
        for unit in (_MICROSECONDS, _MILLISECONDS):
            if started_at >= unit * _EARLIEST:
                started_at /= unit
        seconds = time.time() - started_at
        if seconds < _LONGEST_TIME_BEFORE:
            environ["waitress.queue_seconds"] = max(environ["waitress.queue_seconds"], seconds)

    def _apply_host(self, environ: "WSGIEnvironment", host_and_port: str, port: str) -> str:
        """Set the host; return the port. A port in the host takes precedence."""
        match = _HOST.fullmatch(host_and_port)
        if match is None:
            raise self._malformed("Host", "not a host with an optional port", host_and_port)
        host = match["host"]
        environ["SERVER_NAME"] = host
        if match["port"] is not None:
            if not _is_server_port(match["port"]):
                raise self._malformed("Host", "not a host with an optional port", host_and_port)
            environ["HTTP_HOST"] = host_and_port
            return match["port"]
        is_default = not port or (environ["wsgi.url_scheme"], port) in _DEFAULT_PORTS.items()
        environ["HTTP_HOST"] = host if is_default else f"{host}:{port}"
        return port

    def _apply_client(self, environ: "WSGIEnvironment", client: str) -> None:
        """Set REMOTE_*: `1.2.3.4`, `1.2.3.4:55`, `::1`, `[::1]`, `[::1]:55`, or a name that a proxy made up."""
        match = _NODE.fullmatch(client)
        port = match["port"] if match is not None else None
        if match is None or (port is not None and not port.startswith("_") and not _is_port(port)):
            raise self._malformed("For", "not an address with an optional port", client)
        environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = match["ipv6"] or match["name"] or match["bare"]
        if port is not None:
            environ["REMOTE_PORT"] = port

    def _malformed(self, part: str, reason: str, value: str) -> MalformedProxyHeader:
        header = f"Forwarded {part}=" if self._reads_forwarded else f"X-Forwarded-{part}"
        return MalformedProxyHeader(header, reason, value)

    def _read_x_forwarded(self, environ: "WSGIEnvironment") -> _Hops:
        found = {}
        for name, key in self._keys.items():
            if not environ.get(key):
                continue
            elements = [element.strip(" \t") for element in environ[key].rsplit(",", self._hop_count)]
            elements = elements[-self._hop_count :]
            environ[key] = ", ".join(elements)
            found[name], *_ = [_unquoted(name, element) for element in elements]  # all are checked
        port = found.get("X-Forwarded-Port", "")
        if port and not _is_server_port(port):
            raise MalformedProxyHeader("X-Forwarded-Port", "not a port number", port)
        return _Hops(
            found.get("X-Forwarded-For", ""),
            found.get("X-Forwarded-Host", ""),
            found.get("X-Forwarded-Proto", ""),
            port,
        )

    def _read_forwarded(self, environ: "WSGIEnvironment", request: Request | None) -> _Hops:
        value = environ.get("HTTP_FORWARDED")
        if not value:
            return _Hops()
        lines = [value]
        if request is not None:
            sent = [line for name, line in request.head.fields if name == "forwarded"]
            if ", ".join(sent) == value:  # nobody has changed the environ
                lines = sent
        _check_length("Forwarded", value)
        elements = [element for line in lines for element in _forwarded_elements(line)][-self._hop_count :]
        environ["HTTP_FORWARDED"] = ", ".join(text for text, _ in elements)
        found: dict[str, str] = {}
        unknown: list[str] = []
        for _, pairs in reversed(elements):  # so that the outermost trusted proxy takes precedence
            found.update({name: said for name, said in pairs.items() if said})
            unknown += pairs.keys() - _FORWARDED_NAMES
        if unknown:  # in one record, as there may be many
            self._logger.warning("Unknown Forwarded token: %s", shown(", ".join(sorted(unknown))))
        return _Hops(found.get("for", ""), found.get("host", ""), found.get("proto", ""))


def _forwarded_elements(line: str) -> list[tuple[str, dict[str, str]]]:
    """Return the elements of one field line, any of which may be empty (RFC 7239 4).

    Each is its text as sent, and its pairs in lower case, as waitress has always read them.

    Raises:
        MalformedProxyHeader: it does not follow the grammar, or an element has two pairs of one name.
    """
    line = line.strip(" \t")
    elements: list[tuple[str, dict[str, str]]] = []
    pairs: dict[str, str] = {}
    start = position = 0
    while True:
        match = _PAIR.match(line, position)
        if match is None:
            pair = re.split("[,;]", line[position:], maxsplit=1)[0]
            raise MalformedProxyHeader("Forwarded", _fault_of_pair(pair), pair)
        name, value, end = match.groups()
        if name is not None:
            name = name.lower()
            if name in pairs:
                raise MalformedProxyHeader("Forwarded", "Token given twice in one element", name)
            pairs[name] = _unquoted("Forwarded", value).lower()
        position = match.end()
        if end == ";":
            continue
        elements.append((line[start : match.start(3)], pairs))
        if not end:
            return elements
        start, pairs = position, {}


def _fault_of_pair(pair: str) -> str:
    """Return the rule that a pair breaks; it has been cut at the next separator, even within quotation marks."""
    token, equals, value = pair.partition("=")
    if not equals:
        return 'Invalid forwarded-pair missing "="'
    if token.strip(" \t") != token:
        return "Token may not be surrounded by whitespace"
    if value.strip(" \t") != value and '"' not in value:
        return "Value may not be surrounded by whitespace"
    return "Invalid quoting in value" if '"' in value else "neither a token nor a quoted-string"


def _check_length(header: str, value: str) -> None:
    if len(value) > MAX_CHARACTERS:
        raise MalformedProxyHeader(header, f"longer than {MAX_CHARACTERS} characters", value)


def _unquoted(header: str, value: str) -> str:
    """Return the text of a quoted-string; a value without quotation marks unchanged."""
    _check_length(header, value)
    if '"' not in value:
        return value
    if _QUOTED_STRING.fullmatch(value) is None:
        raise MalformedProxyHeader(header, "Invalid quoting in value", value)
    return _QUOTED_PAIR.sub(r"\1", value[1:-1])


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def _is_server_port(text: str) -> bool:
    return _is_port(text) and int(text) > 0  # nobody can have connected to 0
