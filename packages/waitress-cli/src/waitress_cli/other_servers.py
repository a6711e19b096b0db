"""Options of gunicorn, uvicorn and granian that have another name here: for the message about an unknown option."""

_SETTINGS, _COMMAND = "docs/reference/settings.md", "docs/reference/command-line.md"
_PROXIES, _LOGGING = "docs/how-to/behind-nginx.md", "docs/how-to/logging.md"
_TLS, _WORKERS = "docs/how-to/serve-https.md", "docs/how-to/use-all-processors.md"

# By their name: the name of ours, and the page that has more.
COUNTERPARTS = {
    "--access-log-fmt": ("--access-log-format", _LOGGING),
    "--access-logfile": ("--access-log", _LOGGING),
    "--access-logformat": ("--access-log-format", _LOGGING),
    "--blocking-threads": ("--threads", _SETTINGS),
    "--ca-certs": ("--tls-client-ca", _TLS),
    "--certfile": ("--tls-certificate", _TLS),
    "--ciphers": ("--tls-ciphers", _TLS),
    "--factory": ("--call", _COMMAND),
    "--forwarded-allow-ips": ("--trusted-proxy", _PROXIES),
    "--graceful-timeout": ("--shutdown-timeout", _SETTINGS),
    "--keep-alive": ("--channel-timeout", _SETTINGS),
    "--keyfile": ("--tls-key", _TLS),
    "--limit-concurrency": ("--connection-limit", _SETTINGS),
    "--limit-max-requests": ("--max-requests", _WORKERS),
    "--limit-request-line": ("--max-request-header-size", _SETTINGS),
    "--proxy-headers": ("--trusted-proxy-headers", _PROXIES),
    "--pythonpath": ("--app-dir", _COMMAND),
    "--reload-extra-file": ("--reload-extra", _COMMAND),
    "--reload-include": ("--reload-extra", _COMMAND),
    "--root-path": ("--url-prefix", "docs/how-to/url-prefix.md"),
    "--ssl-ca-certs": ("--tls-client-ca", _TLS),
    "--ssl-certfile": ("--tls-certificate", _TLS),
    "--ssl-certificate": ("--tls-certificate", _TLS),
    "--ssl-keyfile": ("--tls-key", _TLS),
    "--timeout": ("--worker-timeout", _WORKERS),
    "--timeout-graceful-shutdown": ("--shutdown-timeout", _SETTINGS),
    "--timeout-keep-alive": ("--channel-timeout", _SETTINGS),
    "--uds": ("--unix-socket", _SETTINGS),
    "--umask": ("--unix-socket-perms", _SETTINGS),
    "--url-path-prefix": ("--url-prefix", "docs/how-to/url-prefix.md"),
    "--worker-class": ("--threads", "docs/explanation/threads.md"),
    "--worker-connections": ("--connection-limit", _SETTINGS),
    "--workers-lifetime": ("--max-worker-age", _WORKERS),
    "--workers-max-rss": ("--max-worker-memory", _WORKERS),
    "--working-dir": ("--chdir", _COMMAND),
    "-k": ("--threads", "docs/explanation/threads.md"),
    "-t": ("--worker-timeout", _WORKERS),
    "-w": ("--workers", _WORKERS),
}
