"""The table of settings: the cast, default, unit, check and help of each.

`Adjustments` reads its keywords by it; the command line, `keywords`, the schema of configuration files and the
reference documentation are made from it. Only the annotations of `Adjustments`, for type checkers, name each setting
again; a test compares them with the table.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .casts import (
    MOST_WORKERS,
    as_address_words,
    as_boolean_or_text,
    as_bytes,
    as_filled_text,
    as_header_name,
    as_lower_word,
    as_path,
    as_paths,
    as_port_or_service,
    as_seconds,
    as_socket_list,
    as_tls_context,
    as_whole_number,
    as_word_set,
    as_words,
    as_worker_count,
    asbool,
    asoctal,
    slash_fixed_str,
    str_iftruthy,
)
from .checks import (
    A_TOKEN,
    A_WORKER_COUNT,
    LOG_SWITCH,
    access_log_fault,
    addresses_fault,
    between,
    header_text_fault,
    host_fault,
    log_format_fault,
    own_header_fault,
    permission_fault,
    port_fault,
    scheme_fault,
    token_fault,
    utf_8_fault,
    worker_count_fault,
)
from .faults import SettingsFault

A_PATH = "the path of a file"  # what is accepted

_MOST = (1 << 63) - 1  # more no call of the system takes
_MOST_INT = (1 << 31) - 1  # an int of C
_MOST_THREADS = 65535  # the number of threads that a system may have; more would only fill its memory
_MOST_AT_ONCE = 1 << 30

_ACCEPTED_BY_KIND = {"text": "a text", "list": "a list of texts, or one text with spaces or commas between them"}


def _accept(value: object) -> str | None:
    return None


class Setting(NamedTuple):
    """One row of the table.

    `kind` names the cast for readers ("integer", "number", "boolean", "text", "octal", "list", "sockets", "object").
    `default` is the value after the cast. `accepts` describes the accepted values for the message of an error. `check`
    returns None for an accepted value, otherwise such a description. `unit` follows the kind in the documentation: the
    unit of a number ("seconds"), or what else is accepted ("or a format"); with the kind in it, it replaces that.
    """

    name: str
    group: str
    kind: str
    default: Any
    help: str
    cast: Callable[[Any], Any]
    unit: str = ""
    check: Callable[[Any], str | None] = _accept
    accepts: str = ""
    has_effect: bool = True  # false: accepted because programs still set it
    is_secret: bool = False  # nobody prints its value
    bounds: Mapping[str, float] = {}  # as JSON Schema says them: minimum, exclusiveMinimum, maximum

    def read(self, given: object) -> Any:
        """Return a given value, cast and checked.

        Raises:
            SettingsFault: names the setting, the value and what is accepted.
        """
        try:
            value = self.cast(given)
        except SettingsFault:
            raise
        except (ValueError, TypeError, OverflowError):
            raise self._fault(given, self.expected()) from None
        accepted = self.check(value)
        if accepted is not None:
            raise self._fault(given, accepted)
        return value

    def _fault(self, given: object, accepted: str) -> SettingsFault:
        shown = "..." if self.is_secret else repr(given)
        return SettingsFault(f"{{{self.name}}}={{shown}}: expected {{accepted}}", shown=shown, accepted=accepted)

    def expected(self) -> str:
        """Return what this setting accepts, with an article."""
        return self.accepts or _ACCEPTED_BY_KIND[self.kind]


def _integer(
    name: str,
    group: str,
    default: int,
    unit: str,
    help: str,
    least: int = 0,
    *,
    most: int = _MOST,
    has_effect: bool = True,
) -> Setting:
    is_size = unit.startswith("bytes")
    accepts = f"a whole number of at least {least}"
    return Setting(
        name,
        group,
        "integer",
        default,
        help,
        as_bytes if is_size else as_whole_number,
        unit,
        between(least, most),
        f"{accepts}, or one with a unit: 64k, 10m, 1g" if is_size else accepts,
        has_effect,
        bounds={"minimum": least} if most == _MOST else {"minimum": least, "maximum": most},
    )


def _seconds(
    name: str, group: str, default: float, help: str, *, may_be_zero: bool = False, has_effect: bool = True
) -> Setting:
    accepts = f"a number of seconds {'of at least' if may_be_zero else 'above'} 0, or one with a unit: 500ms, 2min, 1h"
    bounds = {"minimum" if may_be_zero else "exclusiveMinimum": 0}

    def check(value: float) -> str | None:
        return None if value > 0 or (may_be_zero and value == 0) else accepts

    return Setting(
        name, group, "number", default, help, as_seconds, "seconds", check, accepts, has_effect, bounds=bounds
    )


def _choice(name: str, group: str, default: str, words: tuple[str, ...], help: str) -> Setting:
    accepts = f"{', '.join(words[:-1])} or {words[-1]}"

    def check(value: str) -> str | None:
        return None if value in words else accepts

    return Setting(name, group, "text", default, help, as_lower_word, check=check, accepts=accepts)


def _boolean(name: str, group: str, default: bool, help: str, *, has_effect: bool = True) -> Setting:
    return Setting(name, group, "boolean", default, help, asbool, accepts="true or false", has_effect=has_effect)


SETTINGS: tuple[Setting, ...] = (
    # Where to listen
    Setting(
        "host",
        "Listening",
        "text",
        "0.0.0.0",
        "Address or name to listen on; * is every address.",
        str,
        check=host_fault,
    ),
    Setting(
        "port",
        "Listening",
        "integer",
        8080,
        "TCP port; 0 lets the system choose one.",
        as_port_or_service,
        "port number",
        port_fault,
        "a port number between 0 and 65535, or the name of a service",
        bounds={"minimum": 0, "maximum": 65535},
    ),
    Setting(
        "listen",
        "Listening",
        "list",
        ["0.0.0.0:8080"],
        "Addresses to listen on: HOST:PORT, PORT, [IPV6]:PORT, http://HOST:PORT or https://HOST:PORT, separated by "
        "spaces or commas. Replaces host and port. systemd is every socket that systemd has passed, systemd:NAME those"
        " with that name, fd:3 an inherited descriptor.",
        as_words,
    ),
    _boolean("ipv4", "Listening", True, "Listen on the IPv4 addresses of a name."),
    _boolean("ipv6", "Listening", True, "Listen on the IPv6 addresses of a name."),
    Setting(
        "unix_socket",
        "Listening",
        "text",
        None,
        "Path of a unix socket to listen on. A socket that an earlier server has left there is replaced.",
        str_iftruthy,
    ),
    Setting(
        "unix_socket_perms",
        "Listening",
        "octal",
        0o600,
        "Permissions of the unix socket, in octal digits.",
        asoctal,
        "octal permissions",
        permission_fault,
        "octal permissions between 0 and 7777, such as '660'",
    ),
    Setting(
        "sockets",
        "Listening",
        "sockets",
        [],
        "Bound stream sockets to listen on (from Python only). The program that gives them closes them.",
        as_socket_list,
        accepts="a list of sockets, which only Python code can give",
    ),
    _integer(
        "backlog",
        "Listening",
        1024,
        "connections",
        "Connections that the system holds until the server accepts them.",
        1,
        most=_MOST_INT,
    ),
    _boolean(
        "asyncore_use_poll", "Listening", False, "The best poller of the system is always used.", has_effect=False
    ),
    # What the application sees
    Setting("url_scheme", "Application", "text", "http", "The value of wsgi.url_scheme.", str, check=scheme_fault),
    Setting(
        "url_prefix",
        "Application",
        "text",
        "",
        "Path under which the application is served: it becomes SCRIPT_NAME and is removed from PATH_INFO.",
        slash_fixed_str,
        check=utf_8_fault,
    ),
    Setting(
        "server_name",
        "Application",
        "text",
        "waitress.invalid",
        "The value of SERVER_NAME, unless a trusted proxy header gives one.",
        str,
        check=header_text_fault,
    ),
    Setting(
        "ident",
        "Application",
        "text",
        "waitress",
        "Value of the Server header, or of Via if the application sends Server. Empty: send neither.",
        str_iftruthy,
        check=header_text_fault,
    ),
    _boolean("expose_tracebacks", "Application", False, "Show the traceback in the body of a 500 response."),
    _integer("threads", "Application", 4, "threads", "Threads that run the application.", 1, most=_MOST_THREADS),
    # Behind a proxy
    Setting(
        "trusted_proxy",
        "Proxy",
        "list",
        None,
        "Proxies that may set the proxy headers: addresses and CIDR networks. * is any; localhost is any on this "
        "machine, on a unix socket or a loopback address.",
        as_address_words,
        check=addresses_fault,
    ),
    _integer(
        "trusted_proxy_count",
        "Proxy",
        1,
        "hops",
        "Number of trusted proxies in a row, counted from this server.",
        1,
        most=_MOST_INT,
    ),
    Setting(
        "trusted_proxy_headers",
        "Proxy",
        "list",
        set(),
        "Headers to believe from a trusted proxy: forwarded, or x-forwarded-{for,host,proto,port,by}.",
        as_word_set,
    ),
    _choice(
        "proxy_protocol",
        "Proxy",
        "off",
        ("off", "optional", "required"),
        "Whether a trusted_proxy starts each connection with a PROXY protocol header: off, optional or required. To "
        "require it for one address only, write proxy+ before that address in listen.",
    ),
    _boolean(
        "clear_untrusted_proxy_headers", "Proxy", True, "Hide proxy headers that are not trusted from the application."
    ),
    _boolean("log_untrusted_proxy_headers", "Proxy", False, "Log a warning when such a header is hidden."),
    # Limits
    _integer("connection_limit", "Limits", 1000, "connections", "Largest number of open client connections.", 1),
    _integer(
        "max_request_header_size",
        "Limits",
        262144,
        "bytes",
        "Largest request head: request line and header fields.",
        64,
    ),
    _integer("max_request_body_size", "Limits", 1073741824, "bytes", "Largest request body, after decoding."),
    _integer(
        "queue_limit",
        "Limits",
        0,
        "requests",
        "Answer 503, without calling the application, if this many requests are already waiting. 0: no limit.",
    ),
    _integer(
        "channel_request_lookahead",
        "Limits",
        0,
        "requests",
        "The next request is always read ahead while one runs, up to recv_bytes.",
        has_effect=False,
    ),
    # Timeouts
    _seconds("channel_timeout", "Timeouts", 120, "Close a persistent connection after it has been idle for this time."),
    _seconds(
        "cleanup_interval",
        "Timeouts",
        30,
        "Time between calls of maintenance() of your server class. Deadlines do not depend on it.",
        may_be_zero=True,
        has_effect=False,
    ),
    _seconds("request_head_timeout", "Timeouts", 30, "Time in which a request head must arrive."),
    _seconds(
        "request_body_timeout",
        "Timeouts",
        30,
        "Time in which a request body must arrive. Every request_body_rate bytes received give one more second.",
    ),
    _integer(
        "request_body_rate",
        "Timeouts",
        500,
        "bytes per second",
        "Bytes of a request body that give one more second: see request_body_timeout.",
        1,
    ),
    _seconds(
        "response_timeout",
        "Timeouts",
        30,
        "Time that a client may keep the application waiting because the output buffer is full. Every "
        "blocked_response_rate bytes sent give one more second.",
    ),
    _integer(
        "blocked_response_rate",
        "Timeouts",
        16384,
        "bytes per second",
        "Rate at which a client that keeps the application waiting must read: see response_timeout.",
        1,
    ),
    _integer(
        "response_rate",
        "Timeouts",
        500,
        "bytes per second",
        "Rate at which every other client must read its response. A client that is slower for channel_timeout is "
        "disconnected.",
        1,
    ),
    _seconds(
        "linger_timeout",
        "Timeouts",
        2,
        "Time in which input is read and discarded after the last response, so that the client can read that response.",
    ),
    _seconds(
        "shutdown_delay",
        "Timeouts",
        0,
        "Keep accepting connections for this time after SIGTERM or SIGINT, until load balancers have noticed.",
        may_be_zero=True,
    ),
    _seconds(
        "shutdown_timeout",
        "Timeouts",
        25,
        "Time that running requests have to end after SIGTERM or SIGINT. It includes shutdown_delay.",
        may_be_zero=True,
    ),
    _seconds(
        "queue_timeout",
        "Timeouts",
        0,
        "Answer 503, without calling the application, if a request has waited longer than this when a thread takes it. "
        "0: no limit.",
        may_be_zero=True,
    ),
    _seconds(
        "request_timeout",
        "Timeouts",
        0,
        "Give up a request that runs longer: log its stack, answer 503, and replace its thread. 0: no limit.",
        may_be_zero=True,
    ),
    _seconds(
        "asyncore_loop_timeout",
        "Timeouts",
        1,
        "Longest wait between two checks for signals. 0 means 1.",
        may_be_zero=True,
    ),
    # Buffers
    _integer(
        "recv_bytes",
        "Buffers",
        8192,
        "bytes",
        "Bytes to read at once. Large bodies are read in larger pieces.",
        1,
        most=_MOST_AT_ONCE,
    ),
    _integer("send_bytes", "Buffers", 1, "bytes", "Responses are sent as they come.", 0, has_effect=False),
    _integer(
        "inbuf_overflow",
        "Buffers",
        524288,
        "bytes",
        "Store a request body of this size or more in a temporary file.",
        1,
    ),
    _integer(
        "outbuf_overflow",
        "Buffers",
        1048576,
        "bytes",
        "Store pending output of this size or more in a temporary file.",
        1,
    ),
    _integer(
        "outbuf_high_watermark",
        "Buffers",
        16777216,
        "bytes",
        "Pause the application while this much output is pending.",
        1,
    ),
    # Logging
    Setting(
        "access_log",
        "Logging",
        "boolean",
        False,
        "Log one line for each request to the logger waitress.access, in the format of access_log_format.",
        as_boolean_or_text,
        "or a format",
        access_log_fault,
        LOG_SWITCH,
    ),
    Setting(
        "access_log_format",
        "Logging",
        "text",
        "combined",
        "Format of the access log: combined, json, or a text with fields in braces, for example {remote_addr} {target}"
        " {status}.",
        str,
        check=log_format_fault,
    ),
    _seconds(
        "log_slow_requests",
        "Logging",
        0,
        "Log a request that runs longer than this, once, with the stack of its thread. 0: never.",
        may_be_zero=True,
    ),
    _seconds(
        "queue_warning_seconds",
        "Logging",
        0.1,
        "Log a warning when a request has waited this long for a thread. 0: each time the queue grows.",
        may_be_zero=True,
    ),
    _boolean("log_socket_errors", "Logging", True, "Log errors of client sockets."),
    Setting(
        "request_id_header",
        "Logging",
        "text",
        None,
        "Give each request an id, in this header for the application and in the response, and log it. true is "
        "X-Request-ID.",
        as_header_name,
        check=own_header_fault,
        accepts="true, false, or the name of a header",
    ),
    # Several workers
    Setting(
        "workers",
        "Workers",
        "integer",
        1,
        "Number of workers. Each is a whole server with its own threads; this process supervises them. auto is "
        "WEB_CONCURRENCY, or the number of usable processors.",
        as_worker_count,
        "workers or auto",
        worker_count_fault,
        A_WORKER_COUNT,
        bounds={"minimum": 1, "maximum": MOST_WORKERS},
    ),
    _choice(
        "worker_kind",
        "Workers",
        "auto",
        ("auto", "process", "thread"),
        "What a worker is: a process, or a thread (side by side in one process, free-threaded Python only). auto is "
        "thread on free-threaded Python, otherwise process.",
    ),
    _seconds(
        "worker_timeout",
        "Workers",
        60,
        "Replace a worker process that is stuck for this time, after logging the stacks of its threads. 0: never.",
        may_be_zero=True,
    ),
    _integer(
        "max_requests",
        "Workers",
        0,
        "requests",
        "Replace a worker process after this many requests (checked once a second). 0: never.",
    ),
    _integer(
        "max_requests_jitter",
        "Workers",
        0,
        "requests",
        "Add a random number up to this to max_requests, so that workers are not all replaced at once.",
    ),
    _seconds(
        "max_worker_age",
        "Workers",
        0,
        "Replace a worker process after this time. 0: never.",
        may_be_zero=True,
    ),
    _integer(
        "max_worker_memory",
        "Workers",
        0,
        "MiB",
        "Replace a worker process that uses more MiB of resident memory than this. 0: never.",
    ),
    # TLS
    Setting(
        "tls_certificate",
        "TLS",
        "list",
        [],
        "File with the certificate and its chain (PEM). Turns on TLS for all TCP listeners except those written as "
        "http://. More certificates, each for one server name: NAME=CERTIFICATE or NAME=CERTIFICATE,KEY.",
        as_paths,
        "paths",
        accepts="the paths of files, separated by spaces",
    ),
    Setting(
        "tls_key",
        "TLS",
        "text",
        None,
        "File with the private key. Default: the certificate's file.",
        as_path,
        accepts=A_PATH,
    ),
    Setting(
        "tls_key_password_file",
        "TLS",
        "text",
        None,
        "File with the password of encrypted keys.",
        as_path,
        accepts=A_PATH,
    ),
    Setting(
        "tls_client_ca",
        "TLS",
        "text",
        None,
        "File with the CAs (PEM) that issue the certificates of clients: see tls_client_certificate.",
        as_path,
        accepts=A_PATH,
    ),
    _choice(
        "tls_client_certificate",
        "TLS",
        "none",
        ("none", "optional", "required"),
        "Whether to ask clients for a certificate: none, optional or required.",
    ),
    _choice("tls_minimum_version", "TLS", "1.2", ("1.2", "1.3"), "Lowest accepted version of TLS: 1.2 or 1.3."),
    Setting(
        "tls_ciphers",
        "TLS",
        "text",
        None,
        "Cipher suites of TLS 1.2, in the notation of OpenSSL. Their order decides, not the client's. Default: those of"
        " the system's policy that have forward secrecy and authenticated encryption; among them the client chooses.",
        str_iftruthy,
    ),
    Setting(
        "tls_context",
        "TLS",
        "object",
        None,
        "An ssl.SSLContext, or a callable that returns one (from Python only). The other TLS settings except "
        "tls_handshake_timeout have no effect with it.",
        as_tls_context,
        accepts="an ssl.SSLContext, or a callable that returns one, which only Python code can give",
    ),
    _seconds(
        "tls_handshake_timeout", "TLS", 10, "Time in which the TLS handshake of a new connection must be complete."
    ),
    # The status server
    Setting(
        "status_listen",
        "Status",
        "text",
        None,
        "Address of the status server (status page, metrics, health checks): HOST:PORT, [IPV6]:PORT or the path of a "
        "unix socket. An address that other machines can reach needs status_token or status_token_file.",
        str_iftruthy,
    ),
    Setting(
        "status_token",
        "Status",
        "text",
        None,
        "Token that clients of the status server must send, as Authorization: Bearer TOKEN. Other users can see it on "
        "the command line: prefer status_token_file.",
        as_filled_text,
        check=token_fault,
        accepts=A_TOKEN,
        is_secret=True,
    ),
    Setting(
        "status_token_file",
        "Status",
        "text",
        None,
        "File with the token. Only its owner and group may be able to read it.",
        as_path,
        accepts=A_PATH,
    ),
    _seconds(
        "ready_queue_seconds",
        "Status",
        10,
        "Answer 503 to /ready of the status server when a request has waited this long for a thread. 0: never.",
        may_be_zero=True,
    ),
)
