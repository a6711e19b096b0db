"""`serve`: makes a server for an application and runs it until its end.

Thread: the caller's; it runs no application code (see `waitress_core`).
"""

import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import waitress_core
from waitress_core import BaseWSGIServer, create_server, wants_worker_processes
from waitress_core.safe_logger import SafeLogger

if TYPE_CHECKING:
    import cProfile

    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from waitress_core.config.keywords import Settings

    from . import pure_profile

logger = SafeLogger(logging.getLogger("waitress"))

PROFILE_LINES = 30
FORMAT_OF_WORKERS = "%(process)d:" + logging.BASIC_FORMAT


def serve(
    app: "WSGIApplication",
    *,
    _server: Callable[..., Any] = create_server,
    _quiet: bool = False,
    _profile: bool = False,
    _on_serving: Callable[[], None] | None = None,
    _read_settings: Callable[[], dict[str, Any]] | None = None,
    **settings: "Unpack[Settings]",
) -> None:
    """Serve the application until SIGTERM, SIGINT or Ctrl-C, with the settings as keyword arguments.

    If the logger `waitress` has no handler, the root logger gets one for standard error. Each address and the version
    of the server are logged.

    Parameters with an underscore are private: `_server` makes the server, `_quiet` leaves logging alone, `_profile`
    prints a profile at the end, `_on_serving` is called when the server serves, `_read_settings` returns the current
    settings, for the workers that a supervisor starts after SIGHUP.

    Raises:
        ValueError: a setting is invalid, or the application is None.
        OSError: an address cannot be bound.
    """
    if not _quiet and not logging.getLogger("waitress").handlers:
        # Each does nothing if the root logger has a handler.
        if _wants_worker_processes(settings):
            logging.basicConfig(format=FORMAT_OF_WORKERS)
        else:
            logging.basicConfig()
    server = _server(app, **settings)
    if _on_serving is not None:
        if isinstance(server, BaseWSGIServer) and not _runs_otherwise(server):
            server.call_when_serving(_on_serving)
        else:  # it listens already, and that is all that can be known
            _on_serving()
    if _read_settings is not None and isinstance(server, BaseWSGIServer):
        read_settings = _read_settings
        server.call_when_reloading(lambda: _server(app, **read_settings()))
    # From the first line of the log on a signal is heard; what `_server` gives need not have this.
    with _signals(server, says_on_terminal=not _quiet):
        if not _quiet:
            _log_addresses(server)  # first: programs wait for it
            if isinstance(server, BaseWSGIServer):
                logger.info("%s", _what_serves(server))
                for url in server.status_urls:
                    logger.info("Status on %s", url)
        if _profile:
            profile("server.run()", {}, {"server": server}, (), False)
        else:
            server.run()


def serve_paste(app: "WSGIApplication", global_conf: Mapping[str, str] | None, **settings: Any) -> int:
    """Serve the application with the settings of a section `[server:main]`, which are strings; return 0 at the end.

    PasteDeploy calls this; `global_conf`, the section `[DEFAULT]`, is not used.

    Raises: see `serve`.
    """
    serve(app, **settings)
    return 0


def _wants_worker_processes(settings: Mapping[str, Any]) -> bool:
    try:
        return wants_worker_processes(settings)
    except ValueError:  # which the server raises too
        return False


def _runs_otherwise(server: Any) -> bool:
    """Return whether a program has given a server its own `run`, such as the loop of aiowsgi.

    That one would never learn of a signal that the server has heard.
    """
    return isinstance(server, BaseWSGIServer) and getattr(server.run, "__func__", None) is not BaseWSGIServer.run


def _signals(server: Any, *, says_on_terminal: bool) -> AbstractContextManager[None]:
    """Return the context in which signals end the server."""
    if _runs_otherwise(server):
        return nullcontext()
    if says_on_terminal and isinstance(server, BaseWSGIServer):
        return server.ending_signals(_say_on_terminal)
    context: AbstractContextManager[None] = getattr(server, "ending_signals", nullcontext)()
    return context


def _say_on_terminal(requests: int, ends_now: str) -> None:
    """Write to a terminal what the server waits for, unless the log has said so there."""
    stream = sys.stderr
    if _is_terminal(stream) and not _log_reaches_a_terminal():
        waits = f"waiting for {requests} request{'s' * (requests != 1)}; " if requests else ""
        with suppress(OSError):  # the terminal is gone
            print(f"Stopping: {waits}{ends_now} ends the server at once", file=stream, flush=True)


def _log_reaches_a_terminal() -> bool:
    standard = logging.getLogger("waitress")
    if not standard.isEnabledFor(logging.INFO):
        return False
    current: logging.Logger | None = standard
    while current is not None:
        for handler in current.handlers:
            if handler.level <= logging.INFO and _is_terminal(getattr(handler, "stream", None)):
                return True
        current = current.parent if current.propagate else None
    return False


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, OSError, ValueError):  # there is none, or it is closed
        return False


def _log_addresses(server: Any) -> None:
    """Log a line for each listener."""
    print_listen = getattr(server, "print_listen", None)
    if print_listen is None:
        for url in server.urls:
            logger.info("Serving on %s", url)
    else:  # of waitress 3.0.2: programs override it, and what `_server` gives may have nothing else
        print_listen("Serving on http://{}:{}")


def _what_serves(server: BaseWSGIServer) -> str:
    # The version of the core, not of `waitress`: asking the installed packages takes longer than all of the start.
    version, python = waitress_core.__version__, f"{sys.implementation.name} {sys.version.split()[0]}"
    threads = f"{server.adj.threads} thread{'s' * (server.adj.threads > 1)}"
    if server.adj.workers > 1:
        threads = f"{server.adj.workers} workers of {threads} each"
    return f"waitress-core {version} on {python} with {threads} serves {' '.join(server.urls)}"


def profile(
    cmd: str, globals: dict[str, Any], locals: dict[str, Any], sort_order: tuple[str, ...], callers: bool
) -> None:
    """Run a statement under the profiler and print the most expensive calls, or with `callers` their callers.

    Sort by `sort_order`, keys of `pstats`; if it is empty, by cumulative time. Before Python 3.12 the profile has the
    calls of the calling thread only, without those of the application; later it has the calls of all threads.
    """
    # Here, because nobody else needs them and they take longer to import than the command line does.
    import pstats

    profiler: cProfile.Profile | pure_profile.PureProfile
    if sys.version_info < (3, 15) and not getattr(sys, "_is_gil_enabled", lambda: True)():
        # `cProfile` hears the calls of all threads; before 3.15, without the lock, they tear its list of open calls:
        # it can become a ring, and never end.
        from .pure_profile import PureProfile

        profiler = PureProfile()
    else:
        from cProfile import Profile

        profiler = Profile()
    try:
        profiler.runctx(cmd, globals, locals)
    finally:
        stats = pstats.Stats(profiler).strip_dirs().sort_stats(*(sort_order or ("cumulative", "calls", "time")))
        print_calls = stats.print_callers if callers else stats.print_stats
        print_calls(PROFILE_LINES)
