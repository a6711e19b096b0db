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
    """Addresses to listen on, HOST:PORT, PORT, [IPV6]:PORT, http://HOST:PORT or https://HOST:PORT, separated by blanks
    or commas; instead of host and port. systemd is every socket that systemd has passed, systemd:NAME those of that
    name, fd:3 an inherited descriptor. Default: ['0.0.0.0:8080'].
    """

    ipv4: bool
    """Listen on the IPv4 addresses of a name. Default: True."""

    ipv6: bool
    """Listen on the IPv6 addresses of a name. Default: True."""

    unix_socket: str | None
    """Path of a unix socket to listen on; a socket that a server before it has left there is replaced."""

    unix_socket_perms: str
    """Permissions of the unix socket, as a string of octal digits. Default: '600'."""

    sockets: Iterable[socket.socket]
    """Bound stream sockets to listen on (from Python only); who gives them closes them."""

    backlog: int
    """Connections the system may hold until they are accepted. Default: 1024."""

    asyncore_use_poll: bool
    """Accepted, without effect. The best poller of the system is always used. Default: False."""

    url_scheme: str
    """wsgi.url_scheme of a request. Default: 'http'."""

    url_prefix: str
    """Path under which the application lives: becomes SCRIPT_NAME and is taken off PATH_INFO."""

    server_name: str
    """SERVER_NAME, unless a trusted proxy header gives one. Default: 'waitress.invalid'."""

    ident: str | None
    """Value of the Server header, or of Via if the application sends Server; empty sends neither. Default: 'waitress'.
    """

    expose_tracebacks: bool
    """Show the traceback in the body of a 500 response. Default: False."""

    threads: int
    """Threads that run the application. Default: 4."""

    trusted_proxy: str | Iterable[object] | None
    """Peers whose proxy headers are believed: addresses and CIDR networks; * for any; localhost for those on this
    machine, by a unix socket or from a loopback address.
    """

    trusted_proxy_count: int
    """How many proxies, counted from this server, are trusted. Default: 1."""

    trusted_proxy_headers: str | Iterable[str]
    """Which headers of a trusted proxy are believed: forwarded, or x-forwarded-{for,host,proto,port,by}."""

    proxy_protocol: str
    """Whether a trusted_proxy starts each connection with a PROXY protocol header: off, optional or required. With
    proxy+ before words of listen it is for those only. Default: 'off'.
    """

    clear_untrusted_proxy_headers: bool
    """Hide proxy headers that are not trusted. Default: True."""

    log_untrusted_proxy_headers: bool
    """Log a warning when such a header is hidden. Default: False."""

    connection_limit: int
    """Client connections held open at once. Default: 1000."""

    max_request_header_size: int | str
    """Largest request head: request line and header fields. Default: 262144."""

    max_request_body_size: int | str
    """Largest request body, decoded. Default: 1073741824."""

    queue_limit: int
    """A request that finds so many waiting before it is answered 503, its application not called; 0 is no limit.
    Default: 0.
    """

    channel_request_lookahead: int
    """Accepted, without effect. The next request is always read ahead while one runs, up to recv_bytes. Default: 0."""

    channel_timeout: float | str
    """Idle time after which a persistent connection is closed. Default: 120."""

    cleanup_interval: float | str
    """Accepted, without effect. Time between calls of the maintenance() of a server class of one's own; deadlines do
    not depend on it. Default: 30.
    """

    request_head_timeout: float | str
    """Time in which a request head must be complete. Default: 30."""

    request_body_timeout: float | str
    """Time that a request body may take; every request_body_rate bytes of it give one second back. Default: 30."""

    request_body_rate: int | str
    """See request_body_timeout. Default: 500."""

    response_timeout: float | str
    """Time that a client may keep the application waiting for room in its output buffer; every blocked_response_rate
    bytes that it takes give one second back. Default: 30.
    """

    blocked_response_rate: int | str
    """Rate at which a client that keeps the application waiting must take its response: see response_timeout. Default:
    16384.
    """

    response_rate: int | str
    """Rate at which every other client must take its response; one that is slower for channel_timeout is disconnected.
    Default: 500.
    """

    linger_timeout: float | str
    """Time in which input is read, and discarded, after the last response, so that the client can read that. Default:
    2.
    """

    shutdown_delay: float | str
    """Time after SIGTERM or SIGINT in which new connections are still answered, so that load balancers can notice.
    Default: 0.
    """

    shutdown_timeout: float | str
    """Time in which SIGTERM or SIGINT lets running requests end, shutdown_delay included. Default: 25."""

    queue_timeout: float | str
    """Time that a request may wait for a thread: after it, it is answered 503, its application not called; 0 is no
    limit. Default: 0.
    """

    request_timeout: float | str
    """Time that a request may run: after it, its stack is logged, it is answered 503, and another thread is started in
    place of its own; 0 is no limit. Default: 0.
    """

    asyncore_loop_timeout: float | str
    """Longest wait between two checks for signals; 0 means 1. Default: 1."""

    recv_bytes: int | str
    """Bytes of one read; large bodies are read in larger pieces. Default: 8192."""

    send_bytes: int | str
    """Accepted, without effect. Responses are sent as they come. Default: 1."""

    inbuf_overflow: int | str
    """Request body size from which a temporary file is used. Default: 524288."""

    outbuf_overflow: int | str
    """Pending output from which a temporary file is used. Default: 1048576."""

    outbuf_high_watermark: int | str
    """Pending output at which the application must wait. Default: 16777216."""

    access_log: bool | str
    """Write a line for each request to the logger waitress.access; the name of a format does so in that format.
    Default: False.
    """

    access_log_format: str
    """What the line says: combined, json, or a text with fields in braces, as {remote_addr} {target} {status}. Default:
    'combined'.
    """

    log_slow_requests: float | str
    """Time after which a request that still runs is logged, once, with the stack of its thread; 0 logs none. Default:
    0.
    """

    queue_warning_seconds: float | str
    """Time that a request may wait for a thread until the log warns of the queue; 0 warns each time that it grows.
    Default: 0.1.
    """

    log_socket_errors: bool
    """Log errors of client sockets. Default: True."""

    request_id_header: str | None
    """Give each request an id, in this header of request and response and in the log; true is X-Request-ID."""

    workers: int | str
    """Workers that serve, each a whole server with its own threads; auto is WEB_CONCURRENCY, or else the processors
    that this process may use. With more than one, this process supervises them. Default: 1.
    """

    worker_kind: str
    """What a worker is: process; thread, side by side in one process, on a free-threaded interpreter; auto is thread
    there, and process elsewhere. Default: 'auto'.
    """

    worker_timeout: float | str
    """Time without a tick after which a worker process writes its threads' stacks to the log and is replaced; 0 waits
    for ever. Default: 60.
    """

    max_requests: int
    """Requests after which a worker process is replaced, checked once a second; 0 sets no limit. Default: 0."""

    max_requests_jitter: int
    """Each worker adds a random number up to this to max_requests, so that not all are replaced at once. Default: 0."""

    max_worker_age: float | str
    """Time after which a worker process is replaced; 0 sets no limit. Default: 0."""

    max_worker_memory: int
    """Resident memory above which a worker process is replaced; 0 sets no limit. Default: 0."""

    tls_certificate: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
    """File of the certificate and its chain, in PEM form; each TCP listener but those written http:// speaks TLS then.
    For single server names there may be more, each as NAME=CERTIFICATE or NAME=CERTIFICATE,KEY.
    """

    tls_key: str | os.PathLike[str] | None
    """File of the certificate's key; by default it is in the same file."""

    tls_key_password_file: str | os.PathLike[str] | None
    """File with the password of keys that are encrypted."""

    tls_client_ca: str | os.PathLike[str] | None
    """File of the CAs, in PEM form, whose certificates clients can show: see tls_client_certificate."""

    tls_client_certificate: str
    """Whether clients are asked for a certificate: none, optional or required. Default: 'none'."""

    tls_minimum_version: str
    """Lowest version of TLS that is spoken: 1.2 or 1.3. Default: '1.2'."""

    tls_ciphers: str | None
    """Cipher suites of TLS 1.2, as OpenSSL writes them; by default those of the system's policy that have forward
    secrecy and authenticated encryption.
    """

    tls_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None
    """An ssl.SSLContext, or a callable that returns one (from Python only); all other settings of TLS but
    tls_handshake_timeout have no effect with it.
    """

    tls_handshake_timeout: float | str
    """Time in which the TLS handshake of a new connection must be complete. Default: 10."""

    status_listen: str | None
    """Address of the status server, which says what this one does: HOST:PORT, [IPV6]:PORT or the path of a unix socket;
    one beyond this machine needs status_token or status_token_file.
    """

    status_token: str | None
    """Token that clients of the status server send, as Authorization: Bearer TOKEN. On the command line others can see
    it: rather use status_token_file.
    """

    status_token_file: str | None
    """File that holds the token, which only its owner and group may read."""

    ready_queue_seconds: float | str
    """Time that a request may wait for a thread until /ready of the status server says 503; 0 sets no limit. Default:
    10.
    """
