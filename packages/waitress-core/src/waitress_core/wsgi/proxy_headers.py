"""Proxy headers: what Forwarded (RFC 7239) and X-Forwarded-* change in an environ, and which of them are hidden.

A header changes something only if the peer is a trusted proxy and the header is one of the trusted headers. Only the
last `trusted_proxy_count` entries of a list count: trusted proxies have added them, and the first of them names the
client of the outermost trusted proxy.

Thread: the application thread that runs the task. Never blocks, never resolves a name.
"""

import logging
import re
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, NamedTuple, Protocol

from waitress_parser.errors import shown

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger("waitress")

_ENVIRON_KEYS = {
    "X-Forwarded-For": "HTTP_X_FORWARDED_FOR",
    "X-Forwarded-Host": "HTTP_X_FORWARDED_HOST",
    "X-Forwarded-Proto": "HTTP_X_FORWARDED_PROTO",
    "X-Forwarded-Port": "HTTP_X_FORWARDED_PORT",
    "X-Forwarded-By": "HTTP_X_FORWARDED_BY",
    "Forwarded": "HTTP_FORWARDED",
}
_ALL_KEYS = frozenset(_ENVIRON_KEYS.values())
_DEFAULT_PORTS = {"http": "80", "https": "443"}

# RFC 9110 5.6.4: quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
_QUOTED_STRING = re.compile(r'"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t !-~\x80-\xff])*)"', re.ASCII)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# RFC 3986 3.2.2 with the port of 3.2.3; an empty reg-name is not accepted.
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


class MalformedProxyHeader(Exception):
    """A trusted proxy header cannot be read: the response is 400.

    `header` is its name, `reason` the rule that it breaks, `value` its value.
    """

    def __init__(self, header: str, reason: str, value: str) -> None:
        super().__init__(f'Header "{header}" malformed.')
        self.header = header
        self.reason = reason
        self.value = value


class _Hops(NamedTuple):
    """The values of the trusted headers; empty if there is none."""

    client: str = ""
    host: str = ""
    scheme: str = ""
    port: str = ""


class ProxySettings(Protocol):
    """The settings that a policy needs; `Adjustments` has them."""

    trusted_proxy: str | None
    trusted_proxy_count: int
    trusted_proxy_headers: set[str]
    clear_untrusted_proxy_headers: bool
    log_untrusted_proxy_headers: bool


class ProxyPolicy:
    """Applies the proxy settings of one server to environs."""

    def __init__(self, adj: ProxySettings, logger: logging.Logger = logger) -> None:
        self._logger = logger
        words = (adj.trusted_proxy or "").split()
        self._trusts_any = "*" in words
        self._trusts_unix = "localhost" in words
        addresses = [word for word in words if word not in ("*", "localhost")]
        self._is_trusted_address = _peers_in(addresses) if addresses else _trusts_nobody
        self._hop_count = adj.trusted_proxy_count
        self._trusted = frozenset(name for name in _ENVIRON_KEYS if name.lower() in adj.trusted_proxy_headers)
        self._reads_forwarded = "Forwarded" in self._trusted
        self._trusted_keys = frozenset(_ENVIRON_KEYS[name] for name in self._trusted)
        self._clears = adj.clear_untrusted_proxy_headers
        self._logs = adj.log_untrusted_proxy_headers
        self.is_needed = bool(words) or self._clears

    def apply(self, environ: "WSGIEnvironment") -> None:
        """Apply the trusted proxy headers of an environ to it, and remove the untrusted ones.

        Raises:
            MalformedProxyHeader: one cannot be read; it is logged, and the application must not be called.
        """
        if environ.keys().isdisjoint(_ALL_KEYS):
            return
        untrusted = _ALL_KEYS
        if self.trusts(environ["REMOTE_ADDR"]):
            untrusted = _ALL_KEYS - self._trusted_keys
            try:
                self.apply_trusted(environ)
            except MalformedProxyHeader as error:
                self._logger.warning(
                    'Malformed proxy header "%s" from "%s": %s value: %s',
                    error.header,
                    environ["REMOTE_ADDR"],
                    error.reason,
                    shown(error.value),  # proxies pass on what clients send
                )
                raise
        if self._clears:
            self.clear(environ, untrusted)

    def trusts(self, peer: str) -> bool:
        """Whether a peer's proxy headers are believed."""
        if self._trusts_any or (self._trusts_unix and peer == "localhost"):
            return True
        return peer != "localhost" and self._is_trusted_address(peer)

    def clear(self, environ: "WSGIEnvironment", untrusted: Set[str]) -> None:
        """Remove headers, given by their environ keys, from an environ; log it if the settings ask for that."""
        removed = [
            name for name, key in _ENVIRON_KEYS.items() if key in untrusted and environ.pop(key, None) is not None
        ]
        if removed and self._logs:
            self._logger.warning(
                "Removed untrusted headers (%s). Waitress recommends these be removed upstream.", ", ".join(removed)
            )

    def apply_trusted(self, environ: "WSGIEnvironment") -> None:
        """Apply the trusted headers of an environ to it, whoever the peer is.

        Raises:
            MalformedProxyHeader: one cannot be read.
        """
        hops = self._read_forwarded(environ) if self._reads_forwarded else self._read_x_forwarded(environ)
        scheme = hops.scheme.lower()
        port = hops.port
        if scheme:
            if scheme not in _DEFAULT_PORTS:
                raise self._malformed("Proto", "unsupported proto value", hops.scheme)
            environ["wsgi.url_scheme"] = scheme
            port = port or _DEFAULT_PORTS[scheme]
        if hops.host:
            port = self._apply_host(environ, hops.host, port)
        if port:
            environ["SERVER_PORT"] = port
        if hops.client:
            self._apply_client(environ, hops.client)

    def _apply_host(self, environ: "WSGIEnvironment", host_and_port: str, port: str) -> str:
        """Set the host; return the port. A port in the host takes precedence."""
        match = _HOST.fullmatch(host_and_port)
        if match is None:
            raise self._malformed("Host", "not a host with an optional port", host_and_port)
        host = match["host"]
        environ["SERVER_NAME"] = host
        if match["port"] is not None:
            environ["HTTP_HOST"] = host_and_port
            return match["port"]
        is_default = not port or (environ["wsgi.url_scheme"], port) in _DEFAULT_PORTS.items()
        environ["HTTP_HOST"] = host if is_default else f"{host}:{port}"
        return port

    def _apply_client(self, environ: "WSGIEnvironment", client: str) -> None:
        """Set REMOTE_*: `1.2.3.4`, `1.2.3.4:55`, `::1`, `[::1]`, `[::1]:55`, or a name that a proxy made up."""
        host, port = client, ""
        if client.startswith("["):
            host, _, port = client[1:].partition("]")
        elif client.count(":") == 1:
            host, _, port = client.partition(":")
            port = ":" + port
        # RFC 7239 6: node = nodename [ ":" node-port ], and a port can be a made-up name too.
        if not host or (port and not (port.startswith(":") and (_is_port(port[1:]) or port.startswith(":_")))):
            raise self._malformed("For", "not an address with an optional port", client)
        environ["REMOTE_ADDR"] = environ["REMOTE_HOST"] = host
        if port:
            environ["REMOTE_PORT"] = port[1:]

    def _malformed(self, part: str, reason: str, value: str) -> MalformedProxyHeader:
        header = f"Forwarded {part}=" if self._reads_forwarded else f"X-Forwarded-{part}"
        return MalformedProxyHeader(header, reason, value)

    def _read_x_forwarded(self, environ: "WSGIEnvironment") -> _Hops:
        found = {}
        for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"):
            key = _ENVIRON_KEYS[name]
            if name not in self._trusted or not environ.get(key):
                continue
            entries = [entry.strip(" \t") for entry in environ[key].split(",")][-self._hop_count :]
            environ[key] = ", ".join(entries)
            found[name] = _unquoted(name, entries[0])
        port = found.get("X-Forwarded-Port", "")
        if port and not _is_port(port):
            raise MalformedProxyHeader("X-Forwarded-Port", "not a port number", port)
        return _Hops(
            found.get("X-Forwarded-For", ""),
            found.get("X-Forwarded-Host", ""),
            found.get("X-Forwarded-Proto", ""),
            port,
        )

    def _read_forwarded(self, environ: "WSGIEnvironment") -> _Hops:
        value = environ.get("HTTP_FORWARDED")
        if not value:
            return _Hops()
        elements = [element.strip(" \t") for element in _split_quoted(value, ",")][-self._hop_count :]
        environ["HTTP_FORWARDED"] = ", ".join(elements)
        found: dict[str, str] = {}
        for element in reversed(elements):  # so that the outermost trusted proxy takes precedence
            found.update({token: said for token, said in _forwarded_pairs(element, self._logger) if said})
        return _Hops(found.get("for", ""), found.get("host", ""), found.get("proto", ""))


def _trusts_nobody(peer: str) -> bool:
    return False


def _peers_in(networks: list[str]) -> Callable[[str], bool]:
    """Return a predicate: whether a peer's address is one of these addresses or in one of these networks."""
    from ipaddress import (  # lazy import: only servers behind a proxy need it
        IPv4Network,
        IPv6Network,
        ip_address,
        ip_network,
    )

    def unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
        mapped = getattr(network.network_address, "ipv4_mapped", None)
        # RFC 4291 2.5.5.2: the first 96 bits mark an IPv4-mapped address.
        return network if mapped is None or network.prefixlen < 96 else IPv4Network((mapped, network.prefixlen - 96))

    trusted = [unmapped(ip_network(word, strict=False)) for word in networks]

    def is_in_one(peer: str) -> bool:
        # A zone index (fe80::1%eth0) names the link, not the peer.
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:  # for example "unknown", from middleware
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any(address in network or (mapped is not None and mapped in network) for network in trusted)

    return is_in_one


def _forwarded_pairs(element: str, logger: logging.Logger) -> list[tuple[str, str]]:
    """Return the (token, value) pairs of one element of Forwarded, in lower case (RFC 7239 4)."""
    pairs, unknown = [], []
    for pair in _split_quoted(element.lower(), ";"):
        if not pair:
            continue
        token, equals, value = pair.partition("=")
        if not equals:
            raise MalformedProxyHeader("Forwarded", 'Invalid forwarded-pair missing "="', pair)
        if token.strip() != token:
            raise MalformedProxyHeader("Forwarded", "Token may not be surrounded by whitespace", token)
        if value.strip() != value:
            raise MalformedProxyHeader("Forwarded", "Value may not be surrounded by whitespace", value)
        if token in ("for", "by", "host", "proto"):
            pairs.append((token, _unquoted("Forwarded", value)))
        else:
            unknown.append(token)
    if unknown:  # in one record, as there may be thousands
        logger.warning("Unknown Forwarded token: %s", shown(", ".join(unknown)))
    return pairs


def _split_quoted(text: str, separator: str) -> list[str]:
    """Split at separators outside quoted strings, in linear time."""
    if '"' not in text:
        return text.split(separator)
    parts = []
    start = 0
    is_quoted = is_escaped = False
    for index, character in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif is_quoted and character == "\\":
            is_escaped = True
        elif character == '"':
            is_quoted = not is_quoted
        elif character == separator and not is_quoted:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def _unquoted(header: str, value: str) -> str:
    """Return the text of a quoted-string; a value without quotes unchanged."""
    if not value.startswith('"') and not value.endswith('"'):
        return value
    match = _QUOTED_STRING.fullmatch(value)
    if match is None:
        raise MalformedProxyHeader(header, "Invalid quoting in value", value)
    return _QUOTED_PAIR.sub(r"\1", match[1])


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
