"""Proxy headers: whether Forwarded and X-Forwarded-* of a request are believed, and which of them are hidden.

A header changes something only if the peer is a trusted proxy and the header is one of the trusted headers. What it
changes then is in `trusted_headers`.

Thread: the application thread that runs the task. Never blocks, never resolves a name.
"""

import logging
import threading
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Protocol

from waitress_parser.errors import shown

from ..http.request import Request
from ..safe_logger import SafeLogger
from .proxy_errors import MalformedProxyHeader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .trusted_headers import TrustedHeaders

_ENVIRON_KEYS = {
    "X-Forwarded-For": "HTTP_X_FORWARDED_FOR",
    "X-Forwarded-Host": "HTTP_X_FORWARDED_HOST",
    "X-Forwarded-Proto": "HTTP_X_FORWARDED_PROTO",
    "X-Forwarded-Port": "HTTP_X_FORWARDED_PORT",
    "X-Forwarded-By": "HTTP_X_FORWARDED_BY",
    "Forwarded": "HTTP_FORWARDED",
}
_ALL_KEYS = frozenset(_ENVIRON_KEYS.values())
_READ_KEYS = _ALL_KEYS | {"HTTP_X_REQUEST_START"}
_LOOPBACK = ("127.0.0.0/8", "::1")  # what `localhost` means where a peer has an address
_hint_is_given = threading.Lock()  # held from the first hint on, so that a process gives only one


class ProxySettings(Protocol):
    """The settings that a policy needs; `Adjustments` has them."""

    trusted_proxy: str | None
    trusted_proxy_count: int
    trusted_proxy_headers: set[str]
    clear_untrusted_proxy_headers: bool
    log_untrusted_proxy_headers: bool


class ProxyPolicy:
    """Applies the proxy settings of one server to environs."""

    def __init__(self, adj: ProxySettings, logger: logging.Logger | None = None) -> None:
        self._logger = SafeLogger(logging.getLogger("waitress") if logger is None else logger)
        words = (adj.trusted_proxy or "").split()
        self._trusts_any = "*" in words
        self._trusts_unix = "localhost" in words
        addresses = [word for word in words if word not in ("*", "localhost")]
        addresses += _LOOPBACK if self._trusts_unix else ()
        self._is_trusted_address = _peers_in(addresses) if addresses else _trusts_nobody
        self._headers = trusted_headers(adj, self._logger) if words else None
        self._clears = adj.clear_untrusted_proxy_headers
        self._logs = adj.log_untrusted_proxy_headers
        self.is_needed = bool(words) or self._clears

    def apply(self, environ: "WSGIEnvironment", request: Request | None = None) -> None:
        """Apply the trusted proxy headers of an environ to it, and remove the untrusted ones.

        `request` has the field lines of which the environ has only the joined text.

        Raises:
            MalformedProxyHeader: one cannot be read; it is logged, and the application must not be called.
        """
        if environ.keys().isdisjoint(_READ_KEYS):
            return
        headers = self._headers if self.trusts(environ["REMOTE_ADDR"]) else None
        if headers is not None:
            headers.add_time_before(environ)
        if environ.keys().isdisjoint(_ALL_KEYS):
            return
        if self._headers is None and _hint_is_given.acquire(blocking=False):
            self._log_hint(environ)
        untrusted = _ALL_KEYS
        if headers is not None:
            untrusted = _ALL_KEYS - headers.environ_keys
            try:
                headers.apply(environ, request)
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

    def _log_hint(self, environ: "WSGIEnvironment") -> None:
        name = next(name for name, key in _ENVIRON_KEYS.items() if key in environ)
        self._logger.info(
            "%s from %s is not believed, because trusted_proxy is not set. If %s is your proxy, set trusted_proxy and "
            "trusted_proxy_headers. This is logged once.",
            name,
            environ["REMOTE_ADDR"],
            environ["REMOTE_ADDR"],
        )

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


def trusted_headers(adj: ProxySettings, logger: SafeLogger) -> "TrustedHeaders":
    """Return what applies the headers that the settings trust, whoever sends them."""
    from .trusted_headers import TrustedHeaders  # lazy import: only servers behind a proxy need it

    keys = {name: key for name, key in _ENVIRON_KEYS.items() if name.lower() in adj.trusted_proxy_headers}
    return TrustedHeaders(keys, adj.trusted_proxy_count, logger)


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
