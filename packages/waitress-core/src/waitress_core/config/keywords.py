"""The settings as keywords of `serve` and `create_server`, with their types: for type checkers and editors.

Made from the table in `settings` by `make generated`. Nothing imports this when a program runs.
"""

import os
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import TypedDict


class Settings(TypedDict, total=False):
    """What may be set. A text in place of a number or a boolean, as .ini files have it, is read too."""

    host: str
    """Address or name to listen on; * is every address. Default: '0.0.0.0'."""

    port: int | str
    """TCP port; 0 lets the system choose one. Default: 8080."""

    listen: str | Iterable[str]
    """Addresses to listen on: HOST:PORT, PORT, [IPV6]:PORT, http://HOST:PORT or https://HOST:PORT, separated by spaces
    or commas. Replaces host and port. systemd is every socket that systemd has passed, systemd:NAME those with that
    name, fd:3 an inherited descriptor. Default: ['0.0.0.0:8080'].
    """

    ipv4: bool
    """Listen on the IPv4 addresses of a name. Default: True."""

    ipv6: bool
    """Listen on the IPv6 addresses of a name. Default: True."""

    unix_socket: str | None
    """Path of a unix socket to listen on. A socket that an earlier server has left there is replaced."""

    unix_socket_perms: str
    """Permissions of the unix socket, in octal digits. Default: '600'."""

    sockets: Iterable[socket.socket]
    """Bound stream sockets to listen on (from Python only). The program that gives them closes them."""

    backlog: int
    """Connections that the system holds until the server accepts them. Default: 1024."""

    asyncore_use_poll: bool
    """Accepted, without effect. The best poller of the system is always used. Default: False."""

    url_scheme: str
    """The value of wsgi.url_scheme. Default: 'http'."""

    url_prefix: str
    """Path under which the application is served: it becomes SCRIPT_NAME and is removed from PATH_INFO."""

    server_name: str
    """The value of SERVER_NAME, unless a trusted proxy header gives one. Default: 'waitress.invalid'."""

    ident: str | None
    """Value of the Server header, or of Via if the application sends Server. Empty: send neither. Default: 'waitress'.
    """

    expose_tracebacks: bool
    """Show the traceback in the body of a 500 response. Default: False."""

    threads: int
    """Threads that run the application. Default: 4."""

    trusted_proxy: str | Iterable[object] | None
    """Proxies that may set the proxy headers: addresses and CIDR networks. * is any; localhost is any on this machine,
    on a unix socket or a loopback address.
    """

    trusted_proxy_count: int
    """Number of trusted proxies in a row, counted from this server. Default: 1."""

    trusted_proxy_headers: str | Iterable[str]
    """Headers to believe from a trusted proxy: forwarded, or x-forwarded-{for,host,proto,port,by}."""

    proxy_protocol: str
    """Whether a trusted_proxy starts each connection with a PROXY protocol header: off, optional or required. To
    require it for one address only, write proxy+ before that address in listen. Default: 'off'.
    """

    clear_untrusted_proxy_headers: bool
    """Hide proxy headers that are not trusted from the application. Default: True."""

    log_untrusted_proxy_headers: bool
    """Log a warning when such a header is hidden. Default: False."""

    connection_limit: int
    """Largest number of open client connections. Default: 1000."""

    max_request_header_size: int | str
    """Largest request head: request line and header fields. Default: 262144."""

    max_request_body_size: int | str
    """Largest request body, after decoding. Default: 1073741824."""

    queue_limit: int
    """Answer 503, without calling the application, if this many requests are already waiting. 0: no limit. Default: 0.
    """

    channel_request_lookahead: int
    """Accepted, without effect. The next request is always read ahead while one runs, up to recv_bytes. Default: 0."""

    channel_timeout: float | str
    """Close a persistent connection after it has been idle for this time. Default: 120."""

    cleanup_interval: float | str
    """Accepted, without effect. Time between calls of maintenance() of your server class. Deadlines do not depend on
    it. Default: 30.
    """

    request_head_timeout: float | str
    """Time in which a request head must arrive. Default: 30."""

    request_body_timeout: float | str
    """Time in which a request body must arrive. Every request_body_rate bytes received give one more second. Default:
    30.
    """

    request_body_rate: int | str
    """Bytes of a request body that give one more second: see request_body_timeout. Default: 500."""

    response_timeout: float | str
    """Time that a client may keep the application waiting because the output buffer is full. Every
    blocked_response_rate bytes sent give one more second. Default: 30.
    """

    blocked_response_rate: int | str
    """Rate at which a client that keeps the application waiting must read: see response_timeout. Default: 16384."""

    response_rate: int | str
    """Rate at which every other client must read its response. A client that is slower for channel_timeout is
    disconnected. Default: 500.
    """

    linger_timeout: float | str
    """Time in which input is read and discarded after the last response, so that the client can read that response.
    Default: 2.
    """

    shutdown_delay: float | str
    """Keep accepting connections for this time after SIGTERM or SIGINT, until load balancers have noticed. Default: 0.
    """

    shutdown_timeout: float | str
    """Time that running requests have to end after SIGTERM or SIGINT. It includes shutdown_delay. Default: 25."""

    queue_timeout: float | str
    """Answer 503, without calling the application, if a request has waited longer than this when a thread takes it. 0:
    no limit. Default: 0.
    """

    request_timeout: float | str
    """Give up a request that runs longer: log its stack, answer 503, and replace its thread. 0: no limit. Default: 0.
    """

    asyncore_loop_timeout: float | str
    """Longest wait between two checks for signals. 0 means 1. Default: 1."""

    recv_bytes: int | str
    """Bytes to read at once. Large bodies are read in larger pieces. Default: 8192."""

    send_bytes: int | str
    """Accepted, without effect. Responses are sent as they come. Default: 1."""

    inbuf_overflow: int | str
    """Store a request body of this size or more in a temporary file. Default: 524288."""

    outbuf_overflow: int | str
    """Store pending output of this size or more in a temporary file. Default: 1048576."""

    outbuf_high_watermark: int | str
    """Pause the application while this much output is pending. Default: 16777216."""

    access_log: bool | str
    """Log one line for each request to the logger waitress.access, in the format of access_log_format. Default: False.
    """

    access_log_format: str
    """Format of the access log: combined, json, or a text with fields in braces, for example {remote_addr} {target}
    {status}. Default: 'combined'.
    """

    log_slow_requests: float | str
    """Log a request that runs longer than this, once, with the stack of its thread. 0: never. Default: 0."""

    queue_warning_seconds: float | str
    """Log a warning when a request has waited this long for a thread. 0: each time the queue grows. Default: 0.1."""

    log_socket_errors: bool
    """Log errors of client sockets. Default: True."""

    request_id_header: str | None
    """Give each request an id, in this header for the application and in the response, and log it. true is
    X-Request-ID.
    """

    workers: int | str
    """Number of workers. Each is a whole server with its own threads; this process supervises them. auto is
    WEB_CONCURRENCY, or the number of usable processors. Default: 1.
    """

    worker_kind: str
    """What a worker is: a process, or a thread (side by side in one process, free-threaded Python only). auto is thread
    on free-threaded Python, otherwise process. Default: 'auto'.
    """

    worker_timeout: float | str
    """Replace a worker process that is stuck for this time, after logging the stacks of its threads. 0: never. Default:
    60.
    """

    max_requests: int
    """Replace a worker process after this many requests (checked once a second). 0: never. Default: 0."""

    max_requests_jitter: int
    """Add a random number up to this to max_requests, so that workers are not all replaced at once. Default: 0."""

    max_worker_age: float | str
    """Replace a worker process after this time. 0: never. Default: 0."""

    max_worker_memory: int
    """Replace a worker process that uses more MiB of resident memory than this. 0: never. Default: 0."""

    tls_certificate: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
    """File with the certificate and its chain (PEM). Turns on TLS for all TCP listeners except those written as
    http://. More certificates, each for one server name: NAME=CERTIFICATE or NAME=CERTIFICATE,KEY.
    """

    tls_key: str | os.PathLike[str] | None
    """File with the private key. Default: the certificate's file."""

    tls_key_password_file: str | os.PathLike[str] | None
    """File with the password of encrypted keys."""

    tls_client_ca: str | os.PathLike[str] | None
    """File with the CAs (PEM) that issue the certificates of clients: see tls_client_certificate."""

    tls_client_certificate: str
    """Whether to ask clients for a certificate: none, optional or required. Default: 'none'."""

    tls_minimum_version: str
    """Lowest accepted version of TLS: 1.2 or 1.3. Default: '1.2'."""

    tls_ciphers: str | None
    """Cipher suites of TLS 1.2, in the notation of OpenSSL. Their order decides, not the client's. Default: those of
    the system's policy that have forward secrecy and authenticated encryption; among them the client chooses.
    """

    tls_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None
    """An ssl.SSLContext, or a callable that returns one (from Python only). The other TLS settings except
    tls_handshake_timeout have no effect with it.
    """

    tls_handshake_timeout: float | str
    """Time in which the TLS handshake of a new connection must be complete. Default: 10."""

    status_listen: str | None
    """Address of the status server (status page, metrics, health checks): HOST:PORT, [IPV6]:PORT or the path of a unix
    socket. An address that other machines can reach needs status_token or status_token_file.
    """

    status_token: str | None
    """Token that clients of the status server must send, as Authorization: Bearer TOKEN. Other users can see it on the
    command line: prefer status_token_file.
    """

    status_token_file: str | os.PathLike[str] | None
    """File with the token. Only its owner and group may be able to read it."""

    ready_queue_seconds: float | str
    """Answer 503 to /ready of the status server when a request has waited this long for a thread. 0: never. Default:
    10.
    """
