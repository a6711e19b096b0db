"""Options of gunicorn, uvicorn and granian that have another name here: for the message about an unknown option."""

# Titles of pages: their paths are no use to a reader of the built documentation.
_SETTINGS, _COMMAND = "Settings", "Command line"
_PROXIES, _LOGGING = "Run behind nginx", "Log what the server does"
_TLS, _WORKERS = "Serve HTTPS", "Use all processors"
_PREFIX, _THREADS = "Serve under a path", "Threads, and who owns what"

# By their name: the name of ours, and the title of the page that has more.
COUNTERPARTS = {
    "--access-log-fmt": ("--access-log-format", _LOGGING),
    "--access-logfile": ("--access-log", _LOGGING),
    "--access-logformat": ("--access-log-format", _LOGGING),
    "--blocking-threads": ("--threads", _SETTINGS),
    "--ca-certs": ("--tls-client-ca", _TLS),
    "--certfile": ("--tls-certificate", _TLS),
    "--ciphers": ("--tls-ciphers", _TLS),
    "--error-logfile": ("--log-config", _LOGGING),
    "--factory": ("--call", _COMMAND),
    "--forwarded-allow-ips": ("--trusted-proxy", _PROXIES),
    "--graceful-timeout": ("--shutdown-timeout", _SETTINGS),
    "--keep-alive": ("--channel-timeout", _SETTINGS),
    "--keyfile": ("--tls-key", _TLS),
    "--limit-concurrency": ("--connection-limit", _SETTINGS),
    "--limit-max-requests": ("--max-requests", _WORKERS),
    "--limit-request-line": ("--max-request-header-size", _SETTINGS),
    "--log-file": ("--log-config", _LOGGING),
    "--proxy-headers": ("--trusted-proxy-headers", _PROXIES),
    "--pythonpath": ("--app-dir", _COMMAND),
    "--reload-dir": ("--reload-extra", _COMMAND),
    "--reload-extra-file": ("--reload-extra", _COMMAND),
    "--reload-include": ("--reload-extra", _COMMAND),
    "--root-path": ("--url-prefix", _PREFIX),
    "--ssl-ca-certs": ("--tls-client-ca", _TLS),
    "--ssl-certfile": ("--tls-certificate", _TLS),
    "--ssl-certificate": ("--tls-certificate", _TLS),
    "--ssl-keyfile": ("--tls-key", _TLS),
    "--timeout": ("--worker-timeout", _WORKERS),
    "--timeout-graceful-shutdown": ("--shutdown-timeout", _SETTINGS),
    "--timeout-keep-alive": ("--channel-timeout", _SETTINGS),
    "--uds": ("--unix-socket", _SETTINGS),
    "--umask": ("--unix-socket-perms", _SETTINGS),
    "--url-path-prefix": ("--url-prefix", _PREFIX),
    "--worker-class": ("--threads", _THREADS),
    "--worker-connections": ("--connection-limit", _SETTINGS),
    "--workers-lifetime": ("--max-worker-age", _WORKERS),
    "--workers-max-rss": ("--max-worker-memory", _WORKERS),
    "--working-dir": ("--chdir", _COMMAND),
    "-c": ("--config", _COMMAND),
    "-k": ("--threads", _THREADS),
    "-p": ("--pid-file", _COMMAND),
    "-t": ("--worker-timeout", _WORKERS),
    "-w": ("--workers", _WORKERS),
}
