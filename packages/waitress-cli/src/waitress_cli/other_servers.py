"""Options of gunicorn, uvicorn and granian that have another name here: for the message about an unknown option."""

_SETTINGS, _COMMAND = "docs/reference/settings.md", "docs/reference/command-line.md"
_PROXIES, _LOGGING = "docs/how-to/behind-nginx.md", "docs/how-to/logging.md"

# By their name: the name of ours, and the page that has more.
COUNTERPARTS = {
    "-k": ("--threads", "docs/explanation/threads.md"),
    "-t": ("--worker-timeout", _SETTINGS),
    "-w": ("--workers", _SETTINGS),
    "--access-log-fmt": ("--access-log-format", _LOGGING),
    "--access-logfile": ("--access-log", _LOGGING),
    "--access-logformat": ("--access-log-format", _LOGGING),
    "--blocking-threads": ("--threads", _SETTINGS),
    "--factory": ("--call", _COMMAND),
    "--forwarded-allow-ips": ("--trusted-proxy", _PROXIES),
    "--graceful-timeout": ("--shutdown-timeout", _SETTINGS),
    "--keep-alive": ("--channel-timeout", _SETTINGS),
    "--limit-concurrency": ("--connection-limit", _SETTINGS),
    "--limit-request-line": ("--max-request-header-size", _SETTINGS),
    "--proxy-headers": ("--trusted-proxy-headers", _PROXIES),
    "--pythonpath": ("--app-dir", _COMMAND),
    "--root-path": ("--url-prefix", "docs/how-to/url-prefix.md"),
    "--timeout": ("--worker-timeout", _SETTINGS),
    "--timeout-graceful-shutdown": ("--shutdown-timeout", _SETTINGS),
    "--timeout-keep-alive": ("--channel-timeout", _SETTINGS),
    "--uds": ("--unix-socket", _SETTINGS),
    "--umask": ("--unix-socket-perms", _SETTINGS),
    "--url-path-prefix": ("--url-prefix", "docs/how-to/url-prefix.md"),
    "--worker-class": ("--threads", "docs/explanation/threads.md"),
    "--worker-connections": ("--connection-limit", _SETTINGS),
    "--working-dir": ("--chdir", _COMMAND),
}
