"""The settings of one server: given as keyword arguments, cast and checked once, at construction.

Nothing writes to them after construction. `settings` is the table of all settings.
"""

import logging
import os
import socket
import sys
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from ..safe_logger import SafeLogger
from .addresses import AF_UNIX, ListenAddress, bracketed, resolve
from .casts import aslist
from .faults import SettingsFault
from .settings import SETTINGS

logger = SafeLogger(logging.getLogger("waitress"))

X_FORWARDED_HEADERS = frozenset(f"x-forwarded-{name}" for name in ("for", "host", "proto", "port", "by"))
PROXY_HEADERS = X_FORWARDED_HEADERS | {"forwarded"}

_BY_NAME = {setting.name: setting for setting in SETTINGS}

_OF_WORKERS = ("workers", "worker_kind", "max_requests", "max_worker_age", "max_worker_memory")

# Settings that contradict each other: (setting, any of these with it, message).
EXCLUSIVE = (
    ("listen", ("host", "port"), "{host} or {port} may not be set if {listen} is set."),
    ("listen", ("sockets",), "socket may not be set if {listen} is set."),
    ("sockets", ("host", "port"), "{host} or {port} may not be set if {sockets} is set."),
    ("sockets", ("unix_socket",), "{unix_socket} may not be set if {sockets} is set"),
    ("unix_socket", ("host", "port"), "{unix_socket} may not be set if {host} or {port} is set"),
    ("unix_socket", ("listen",), "{unix_socket} may not be set if {listen} is set"),
)


class Adjustments:
    """The settings of one server, each an attribute; the keyword arguments are the names in `SETTINGS`.

    After construction `listen` is a list of resolved `(family, type, protocol, address)` tuples; it is empty with
    `unix_socket` or `sockets`.

    Raises:
        ValueError: a setting is unknown, a value is invalid, or settings contradict each other.
    """

    host: str
    port: int | str
    listen: list[ListenAddress]
    ipv4: bool
    ipv6: bool
    unix_socket: str | None
    unix_socket_perms: int
    sockets: list[socket.socket]
    backlog: int
    url_scheme: str
    url_prefix: str
    server_name: str
    ident: str | None
    expose_tracebacks: bool
    threads: int
    trusted_proxy: str | None
    trusted_proxy_count: int
    trusted_proxy_headers: set[str]
    proxy_protocol: str
    clear_untrusted_proxy_headers: bool
    log_untrusted_proxy_headers: bool
    connection_limit: int
    max_request_header_size: int
    max_request_body_size: int
    queue_limit: int
    channel_request_lookahead: int
    channel_timeout: float
    cleanup_interval: float
    request_head_timeout: float
    request_body_timeout: float
    request_body_rate: int
    response_timeout: float
    blocked_response_rate: int
    response_rate: int
    linger_timeout: float
    shutdown_delay: float
    shutdown_timeout: float
    queue_timeout: float
    request_timeout: float
    asyncore_loop_timeout: float
    recv_bytes: int
    send_bytes: int
    inbuf_overflow: int
    outbuf_overflow: int
    outbuf_high_watermark: int
    access_log: bool
    access_log_format: str
    log_slow_requests: float
    queue_warning_seconds: float
    log_socket_errors: bool
    request_id_header: str | None
    status_listen: str | None
    status_token: str | None
    status_token_file: str | None
    ready_queue_seconds: float
    asyncore_use_poll: bool
    workers: int
    worker_kind: str
    worker_timeout: float
    max_requests: int
    max_requests_jitter: int
    max_worker_age: float
    max_worker_memory: int
    tls_certificate: list[str]
    tls_key: str | None
    tls_key_password_file: str | None
    tls_client_ca: str | None
    tls_client_certificate: str
    tls_minimum_version: str
    tls_ciphers: str | None
    tls_context: object | None
    tls_handshake_timeout: float

    # Set on every accepted TCP connection; a subclass or an instance may replace it.
    socket_options: ClassVar[list[tuple[int, int, int]]] = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]

    def __init__(self, **given: Any) -> None:
        for name, others, message in EXCLUSIVE:
            if name in given and any(other in given for other in others):
                raise SettingsFault(message)
        for name in given:
            if name not in _BY_NAME:
                raise ValueError(f"Unknown adjustment {name!r}{_hint(name)}")
        for setting in SETTINGS:
            if setting.name in given:
                setattr(self, setting.name, setting.read(given[setting.name]))
            else:
                default = getattr(type(self), setting.name)
                # A copy: a server that changes its list must not change another's default.
                setattr(self, setting.name, default.copy() if isinstance(default, (list, set)) else default)
        if "send_bytes" in given:
            warnings.warn("send_bytes will be removed in a future release", DeprecationWarning, stacklevel=2)
        self.listen = [] if self.sockets or self.unix_socket else self._resolve(given)
        if isinstance(self.access_log, str):
            self._take_format(self.access_log, given)
        self._check_proxy(given)
        check_sockets(self.sockets)
        self._check_workers()
        if self.has_tls or any(name.startswith("tls_") for name in given):
            from .tls import check_tls  # lazy import: only servers that speak TLS need it

            check_tls(self, given)
        if self.status_listen or self.status_token or self.status_token_file:
            from .status_settings import check_status  # lazy import: only servers with a status server need it

            check_status(self)
        if self.shutdown_delay > self.shutdown_timeout:
            raise SettingsFault(
                "{shutdown_delay}={given}: expected no more than {shutdown_timeout}, which includes it and is {most}",
                given=self.shutdown_delay,
                most=self.shutdown_timeout,
            )

    @property
    def has_tls(self) -> bool:
        """Whether there is a certificate."""
        return bool(self.tls_certificate) or self.tls_context is not None

    @property
    def default_scheme(self) -> str:
        """What is spoken at an address of `listen` that names neither http nor https."""
        return "https" if self.has_tls else "http"

    @property
    def given_scheme(self) -> str:
        """What is spoken at a unix socket, or at given sockets: mostly there is a proxy in front of them."""
        return "https" if self.has_tls and self.url_scheme == "https" else "http"

    @property
    def uses_proxy_protocol(self) -> bool:
        """Whether the clients of a listener start with a PROXY protocol header."""
        return self.proxy_protocol != "off" or any(address.has_proxy_prelude for address in self.listen)

    def proxy_mode(self, *, has_prelude: bool) -> str:
        """Return "off", "optional" or "required" for a listener, by whether its word of `listen` has `proxy+`.

        If any word has it, it is for those words only, and without the setting means "required".
        """
        if has_prelude:
            return self.proxy_protocol if self.proxy_protocol != "off" else "required"
        is_for_words = any(address.has_proxy_prelude for address in self.listen)
        return "off" if is_for_words else self.proxy_protocol

    def _resolve(self, given: dict[str, Any]) -> list[ListenAddress]:
        if not self.ipv4 and not socket.has_ipv6:
            raise ValueError("IPv4 is disabled but IPv6 is not available. Cowardly refusing to start.")
        words = aslist(self.listen)  # not given["listen"], which may be an iterator that has been read
        is_stock = words == _BY_NAME["listen"].default
        if "listen" not in given and (is_stock or "host" in given or "port" in given):
            words = [f"{bracketed(self.host)}:{self.port}"]
        try:
            ipv6 = self.ipv6 and socket.has_ipv6
            return resolve(words, str(self.port), ipv4=self.ipv4, ipv6=ipv6, default_scheme=self.default_scheme)
        except SettingsFault as fault:
            values = {f"given_{name}": given[name] for name in ("listen", "host", "port") if name in given}
            said = ", ".join(f"{{{name[6:]}}}={{{name}!r}}" for name in values)
            raise fault.within(f"{said}: ", prefix="Invalid host/port specified. ", **values) from None

    @property
    def has_worker_processes(self) -> bool:
        """Whether this process supervises, and others, forked from it, serve."""
        return wants_worker_processes(vars(self))

    @property
    def has_worker_threads(self) -> bool:
        """Whether several workers serve side by side in this process."""
        return self.workers > 1 and _is_thread(self.worker_kind)

    def _check_workers(self) -> None:
        if self.workers > 1 and self.worker_kind == "thread" and _is_gil_enabled():
            raise SettingsFault(
                "{worker_kind}='thread': this interpreter runs one thread at a time (it has a GIL), so {count} "
                "workers in one process would use one processor; give {worker_kind}=process, or take a free-threaded "
                "interpreter",
                count=self.workers,
            )
        if self.has_worker_processes and not hasattr(os, "fork"):
            raise SettingsFault(
                "{workers}={count}: this system cannot fork processes; run several servers, each on its own port, "
                "behind a proxy that balances them",
                count=self.workers,
            )

    def _take_format(self, text: str, given: dict[str, Any]) -> None:
        """Turn the access log on, in the format that `access_log` has named."""
        if given.get("access_log_format", text) != text:
            raise SettingsFault(
                "{access_log}={one!r} and {access_log_format}={other!r} are two formats: give one",
                one=text,
                other=self.access_log_format,
            )
        self.access_log, self.access_log_format = True, text

    def _check_proxy(self, given: dict[str, Any]) -> None:
        for name in ("trusted_proxy_count", "trusted_proxy_headers"):
            if self.trusted_proxy is None and given.get(name):
                raise SettingsFault(f"{{{name}}} has no meaning without setting {{trusted_proxy}}")
        headers = self.trusted_proxy_headers = {name.lower() for name in self.trusted_proxy_headers}
        unknown = headers - PROXY_HEADERS
        if unknown:
            raise SettingsFault(
                "Received unknown {trusted_proxy_headers} value ({unknown}) expected one of {known}",
                unknown=", ".join(sorted(unknown)),
                known=", ".join(sorted(PROXY_HEADERS)),
            )
        if "forwarded" in headers and len(headers) > 1:
            raise SettingsFault(
                "The Forwarded proxy header and the X-Forwarded-{{By,Host,Proto,Port,For}} headers are mutually "
                "exclusive. Can't trust both!",
                about=("trusted_proxy_headers",),
            )
        uses_protocol = self.uses_proxy_protocol
        if uses_protocol and self.trusted_proxy is None:
            raise SettingsFault(
                "{proxy_protocol}, and proxy+ in {listen}, have no meaning without {trusted_proxy}: set it to the "
                "addresses of your proxies, which alone may say who the client is"
            )
        is_unix = self.unix_socket is not None or any(sock.family == AF_UNIX for sock in self.sockets)
        if "localhost" in (self.trusted_proxy or "").split() and not is_unix:
            logger.info(
                "trusted_proxy=localhost: peers at 127.0.0.0/8 and ::1 are trusted, as no listener is a unix socket"
            )
        if self.trusted_proxy is not None and not headers and not uses_protocol:
            warnings.warn(
                "No proxy headers were marked as trusted, but trusted_proxy was set. Implicitly trusting "
                "X-Forwarded-Proto for backwards compatibility. This will be removed in future versions of waitress.",
                DeprecationWarning,
                stacklevel=3,
            )
            self.trusted_proxy_headers = {"x-forwarded-proto"}


def wants_worker_processes(settings: Mapping[str, Any]) -> bool:
    """Whether these settings, before or after their cast, ask for worker processes.

    Raises:
        ValueError: one of them is invalid.
    """
    read = {name: _BY_NAME[name].read(settings[name]) for name in _OF_WORKERS if name in settings}
    if read.get("workers", 1) > 1:
        return not _is_thread(read.get("worker_kind", "auto"))
    return any(read.get(name) for name in ("max_requests", "max_worker_age", "max_worker_memory"))


def _is_thread(worker_kind: str) -> bool:
    return worker_kind == "thread" or (worker_kind == "auto" and not _is_gil_enabled())


def _is_gil_enabled() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _hint(name: str) -> str:
    # lazy import: only needed after a typo, and it takes longer to import than this module
    from difflib import get_close_matches

    near = get_close_matches(name.replace("-", "_").lower(), _BY_NAME, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_sockets(sockets: list[socket.socket]) -> None:
    """Refuse sockets that are not all of one kind, TCP or unix, with a ValueError."""
    families = {sock.family for sock in sockets}
    inet = {socket.AF_INET, socket.AF_INET6}
    unix = {AF_UNIX} - {None}
    if any(sock.type != socket.SOCK_STREAM for sock in sockets) or families - inet - unix:
        raise ValueError("Only Internet or UNIX stream sockets may be used.")
    if families & inet and families & unix:
        raise ValueError("Internet and UNIX sockets may not be mixed.")


for _setting in SETTINGS:
    # The defaults are attributes of the class: programs read and replace them there, or in a subclass.
    setattr(Adjustments, _setting.name, _setting.default)
