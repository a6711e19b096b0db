"""What a server does at a signal that does not end it: reads log settings again, reopens log files, reports.

Logging belongs to the whole process, whichever server hears the signal.

Thread: the one that waits for the server. It may block; the server serves on meanwhile.
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ..observability.stats import ServerStats
from ..safe_logger import SafeLogger
from ..threads.running import RunningTask
from .signals import Action

if TYPE_CHECKING:
    from ..net.tls_contexts import TlsContexts
    from .notify import Notifier

logger = SafeLogger(logging.getLogger("waitress"))

LOCK_SECONDS = 1.0  # for a record that is being written to a log file; one that blocks must not hold up the end


class Server(Protocol):
    """The server, as this file sees it."""

    notifier: "Notifier | None"
    tls_contexts: "TlsContexts | None"

    def stats(self) -> ServerStats:
        """Return a snapshot of the counters."""

    def running(self) -> list[RunningTask]:
        """Return the requests that run."""


_log_settings: list[Callable[[], None]] = []  # what the program reads again at SIGHUP


def act(server: Server, action: Action, name: str) -> None:
    """Do what the signal `name` asks for, which does not end the server."""
    if action is Action.IGNORE:
        report_ignored(name)
    elif action is Action.REPORT:
        reopen_log_files(name)
        report(server.stats(), server.running())
    else:
        with contextlib.nullcontext() if server.notifier is None else server.notifier.reloading():
            reload_logging(name)
            if server.tls_contexts is not None:
                server.tls_contexts.reload()


def read_at_reload(read_settings: Callable[[], None]) -> None:
    """Call this at each SIGHUP, to read log settings again. It logs itself what is wrong with them."""
    _log_settings.append(read_settings)


def reload_logging(name: str) -> None:
    """Read log settings again, and reopen log files; `name` is the signal."""
    for read_settings in list(_log_settings):
        try:
            read_settings()
        except Exception:  # of the program; the others, and the files, are not its to stop
            logger.exception("uncaptured python exception in a callback that reads log settings")
    reopen_log_files(name)


def reopen_log_files(name: str) -> None:
    """Reopen the log files that were moved or removed, of all handlers in this process; `name` is the signal."""
    count = 0
    for reference in list(getattr(logging, "_handlerList", ())):  # also those of a queue listener, which no logger has
        handler = reference()
        if handler is None:
            continue
        try:
            count += _reopen(handler)
        except Exception as error:  # of a handler of the program, too
            logger.warning("Cannot reopen the log file of %r: %s", handler, error)
    logger.info("%s: %d log file(s) reopened", name, count)


def _reopen(handler: logging.Handler) -> bool:
    """Reopen the file of a handler; False if it has none, or that is still the file of its name."""
    reopen = getattr(handler, "reopen", None)  # of a handler of the program
    if callable(reopen):
        reopen()
        return True
    if not isinstance(handler, logging.FileHandler):
        return False
    with contextlib.ExitStack() as stack:
        if handler.lock is not None:
            if not handler.lock.acquire(timeout=LOCK_SECONDS):
                raise TimeoutError("a record is being written to it")
            stack.callback(handler.lock.release)
        before = handler.stream
        if before is None:  # it is opened with the next record
            return False
        # Reopened in its mode, "w" for example, a file that is still there would lose what it has.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(handler.baseFilename), os.fstat(before.fileno())):
                return False
        handler.stream = handler._open()  # an error leaves the old one
        before.close()
    return True


def report(stats: ServerStats, running: Sequence[RunningTask]) -> None:
    """Log what the server does at this moment, and each request that runs."""
    logger.info("Statistics: %s", json.dumps(stats._asdict()))
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for run in running:
        logger.info(
            "%r has been running for %.1f seconds, in thread %s",
            run.task,
            run.seconds,
            names.get(run.thread_id, run.thread_id),
        )


def report_ignored(name: str) -> None:
    """Log that a signal means nothing to this server."""
    logger.warning("%s is ignored: it has no meaning for this server", name)
