"""Every setting once: as words of the command line, as a string, and what it then is."""

import os
import socket
from typing import Any, NamedTuple

from waitress_core import SETTINGS


class Row(NamedTuple):
    """`words` on the command line give the setting the string `text`, which Adjustments reads as `value`."""

    name: str
    words: list[str]
    text: str
    value: Any
    needed: tuple[tuple[str, str], ...] = ()  # settings without which this one has no meaning


_CERTIFIED = ("tls_certificate", "a.pem")
_ASKED = ("tls_client_certificate", "required")
_PROXY = ("trusted_proxy", "10.0.0.1")
OF_PROCESSES = frozenset({"workers", "max_requests", "max_worker_age", "max_worker_memory"})
_STATUS = ("status_listen", "127.0.0.1:9181")
_TOKEN = "0123456789abcdef"
_BELIEVED = ("trusted_proxy_headers", "x-forwarded-for")

ROWS = [
    Row("host", ["--host=127.0.0.1"], "127.0.0.1", "127.0.0.1", (("port", "0"),)),
    Row("port", ["--port", "8041"], "8041", 8041),
    Row("listen", ["--listen=127.0.0.1:8041"], "127.0.0.1:8041", [("127.0.0.1", 8041)]),
    Row("ipv4", ["--no-ipv4"], "false", False, (("listen", "*:0"),)),
    Row("ipv6", ["--no-ipv6"], "false", False),
    Row("unix_socket", ["--unix-socket=/tmp/it.sock"], "/tmp/it.sock", "/tmp/it.sock"),
    Row("unix_socket_perms", ["--unix-socket-perms=660"], "660", 0o660),
    Row("sockets", ["--sockets="], "", []),
    Row("backlog", ["--backlog=16"], "16", 16),
    Row("url_scheme", ["--url-scheme=https"], "https", "https"),
    Row("url_prefix", ["--url-prefix=/shop/"], "/shop/", "/shop"),
    Row("server_name", ["--server-name=shop.example"], "shop.example", "shop.example"),
    Row("ident", ["--ident="], "", None),
    Row("expose_tracebacks", ["--expose-tracebacks"], "true", True),
    Row("threads", ["--threads=8"], "8", 8),
    Row("trusted_proxy", ["--trusted-proxy=10.0.0.1"], "10.0.0.1", "10.0.0.1", (_BELIEVED,)),
    Row("trusted_proxy_count", ["--trusted-proxy-count=2"], "2", 2, (_PROXY, _BELIEVED)),
    Row(
        "trusted_proxy_headers",
        ["--trusted-proxy-headers", "x-forwarded-for X-Forwarded-Proto"],
        "x-forwarded-for X-Forwarded-Proto",
        {"x-forwarded-for", "x-forwarded-proto"},
        (_PROXY,),
    ),
    Row("clear_untrusted_proxy_headers", ["--no-clear-untrusted-proxy-headers"], "false", False),
    Row("log_untrusted_proxy_headers", ["--log-untrusted-proxy-headers"], "true", True),
    Row("shutdown_delay", ["--shutdown-delay=10"], "10", 10),
    Row("channel_timeout", ["--channel-timeout=0.4"], "0.4", 0.4),
    Row("access_log", ["--access-log"], "true", True),
    Row("access_log_format", ["--access-log-format", "{method} {target}"], "{method} {target}", "{method} {target}"),
    Row("log_socket_errors", ["--no-log-socket-errors"], "false", False),
    Row("proxy_protocol", ["--proxy-protocol=required"], "required", "required", (_PROXY, _BELIEVED)),
    Row("request_id_header", ["--request-id-header=X-Id"], "X-Id", "X-Id"),
    Row("tls_certificate", ["--tls-certificate=a.pem"], "a.pem", ["a.pem"]),
    Row("tls_key", ["--tls-key=a.key"], "a.key", "a.key", (_CERTIFIED,)),
    Row("tls_key_password_file", ["--tls-key-password-file=word"], "word", "word", (_CERTIFIED,)),
    Row("tls_client_ca", ["--tls-client-ca=ca.pem"], "ca.pem", "ca.pem", (_CERTIFIED, _ASKED)),
    Row(
        "tls_client_certificate",
        ["--tls-client-certificate=required"],
        "required",
        "required",
        (_CERTIFIED, ("tls_client_ca", "ca.pem")),
    ),
    Row("tls_minimum_version", ["--tls-minimum-version=1.3"], "1.3", "1.3"),
    Row("tls_ciphers", ["--tls-ciphers=ECDHE+AESGCM"], "ECDHE+AESGCM", "ECDHE+AESGCM", (_CERTIFIED,)),
    Row("tls_context", ["--tls-context="], "", None),
    Row("status_listen", ["--status-listen=127.0.0.1:9181"], "127.0.0.1:9181", "127.0.0.1:9181"),
    Row("status_token", ["--status-token", _TOKEN], _TOKEN, _TOKEN, (_STATUS,)),
    Row("status_token_file", ["--status-token-file=/run/token"], "/run/token", "/run/token", (_STATUS,)),
    Row("asyncore_use_poll", ["--asyncore-use-poll"], "true", True),
    Row("worker_kind", ["--worker-kind=process"], "process", "process"),
]
# All others are numbers, without a note about it.
ROWS += [
    Row(setting.name, [f"--{setting.name.replace('_', '-')}=77"], "77", 77)
    for setting in SETTINGS
    if setting.kind in ("integer", "number") and setting.name not in {row.name for row in ROWS}
]


def is_possible_here(row: Row) -> bool:
    """Say whether this system has what the setting is about."""
    return hasattr(os, "fork") if row.name in OF_PROCESSES else row.name != "ipv4" or socket.has_ipv6


def what_it_is(row: Row, adjustments: Any) -> Any:
    """Return the setting as Adjustments has read it, in the form of `Row.value`."""
    value = getattr(adjustments, row.name)
    return [address[3] for address in value] if row.name == "listen" else value
