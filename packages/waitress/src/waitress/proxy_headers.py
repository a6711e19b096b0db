"""Forwarding headers of proxies, by the names of waitress 3.0, over the policy of `waitress_core`.

For programs that put the middleware in front of an application themselves, behind another server or in their tests.
"""

import logging
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from waitress_core.safe_logger import SafeLogger
from waitress_core.wsgi.proxy_errors import MalformedProxyHeader
from waitress_core.wsgi.proxy_headers import ProxyPolicy, trusted_headers

from ._modules import old_module
from .adjustments import PROXY_HEADERS
from .utilities import BadRequest, logger

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = [
    "PROXY_HEADERS",
    "MalformedProxyHeader",
    "clear_untrusted_headers",
    "parse_proxy_headers",
    "proxy_headers_middleware",
    "strip_brackets",
]


@dataclass
class _Settings:
    trusted_proxy: str | None = None
    trusted_proxy_count: int = 1
    trusted_proxy_headers: set[str] = field(default_factory=set)
    clear_untrusted_proxy_headers: bool = True
    log_untrusted_proxy_headers: bool = False


def proxy_headers_middleware(
    app: "WSGIApplication",
    trusted_proxy: str | None = None,
    trusted_proxy_count: int = 1,
    trusted_proxy_headers: Set[str] | None = None,
    clear_untrusted: bool = True,
    log_untrusted: bool = False,
    logger: logging.Logger = logger,
) -> "WSGIApplication":
    """Return an application that applies the headers of a trusted proxy, and removes untrusted ones.

    The arguments are the settings of similar names. A header that cannot be read is answered 400.
    """
    settings = _Settings(
        trusted_proxy, trusted_proxy_count, set(trusted_proxy_headers or ()), clear_untrusted, log_untrusted
    )
    policy = ProxyPolicy(settings, logger)

    def behind_proxy(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            policy.apply(environ)
        except MalformedProxyHeader as error:
            return BadRequest(str(error)).wsgi_response(environ, start_response)
        return app(environ, start_response)

    return behind_proxy


def parse_proxy_headers(
    environ: "WSGIEnvironment",
    trusted_proxy_count: int,
    trusted_proxy_headers: Set[str],
    logger: logging.Logger = logger,
) -> set[str]:
    """Change an environ by the trusted headers; return the other ones of `PROXY_HEADERS`.

    Raises:
        MalformedProxyHeader: one cannot be read.
    """
    settings = _Settings(None, trusted_proxy_count, set(trusted_proxy_headers))
    trusted_headers(settings, SafeLogger(logger)).apply(environ)
    return set(PROXY_HEADERS) - {name.upper().replace("-", "_") for name in trusted_proxy_headers}


def clear_untrusted_headers(
    environ: "WSGIEnvironment",
    untrusted_headers: Iterable[str],
    log_warning: bool = False,
    logger: logging.Logger = logger,
) -> None:
    """Take headers, given as in `PROXY_HEADERS`, out of an environ."""
    policy = ProxyPolicy(_Settings(log_untrusted_proxy_headers=log_warning), logger)
    policy.clear(environ, {f"HTTP_{name}" for name in untrusted_headers})


def strip_brackets(addr: str) -> str:
    """Return an IPv6 address without the brackets that it has in a URL."""
    return addr[1:-1] if addr.startswith("[") and addr.endswith("]") else addr


old_module(__name__, "Forwarded namedtuple undquote")
