"""Where the command sends the lines of the access log: to standard output, or to a file.

A file is reopened at SIGHUP and SIGUSR1, as that of every `logging.FileHandler`.

Thread: the main thread before the server runs; later the one that waits for it.
"""

import errno
import io
import logging
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from waitress_core.config.faults import SettingsFault
from waitress_core.safe_logger import SafeLogger
from waitress_core.throttled_logger import ThrottledLogger

logger = SafeLogger(logging.getLogger("waitress"))

FAULT_SECONDS = 60.0  # at most one record in so many seconds

if TYPE_CHECKING:
    StreamHandler = logging.StreamHandler[TextIO]
else:
    StreamHandler = logging.StreamHandler


class _OutputHandler(logging.Handler):
    """A handler of which a line that cannot be written, as the disk is full, is a record of the server's log.

    `logging` would print the stack of each such line. Thread: any, with the handler's lock.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._faults = ThrottledLogger(logger, FAULT_SECONDS)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is that of `logging`
        """Log the exception that is being handled."""
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, ValueError)):  # a ValueError: standard output has been closed
            super().handleError(record)
            return
        where = getattr(self, "baseFilename", "on standard output")
        self._faults.log(
            logging.ERROR,
            time.monotonic(),
            "Cannot write the access log %s, lines are lost: %s",
            where,
            getattr(error, "strerror", None) or error,
        )


class StandardOutputHandler(_OutputHandler, StreamHandler):
    """Writes to standard output."""


class WholeLineHandler(_OutputHandler, logging.FileHandler):
    """Writes each line by one call of the system, which appends it: lines of several processes do not mix."""

    def _open(self) -> io.TextIOWrapper:
        raw: Any = io.FileIO(self.baseFilename, "a")  # without a buffer, as standard output has none by `python -u`
        return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)


class AccessLogOutput:
    """A file, standard output for `-`, or, with an empty path, whatever handles the records of the access log.

    If nothing handles them, that is standard output. Lines that go to a file or to standard output go to no other
    handler: they have their own time and format.
    """

    def __init__(self, path: str = "") -> None:
        self.path = path  # for the next `set_up`
        self._handler: logging.Handler | None = None

    def set_up(self) -> None:
        """Give the logger its handler; again after a set-up of logging that has taken it away.

        Raises:
            SettingsFault: the file cannot be written; the first time only.
        """
        access_logger = logging.getLogger("waitress.access")
        has_been_set_up = self._handler is not None
        if self._handler is not None:
            access_logger.removeHandler(self._handler)
            self._handler.close()
        if not self.path and access_logger.hasHandlers():
            self._handler = None
            return
        if self.path in ("", "-"):
            self._handler = StandardOutputHandler(sys.stdout)
        else:
            self._handler = _open(self.path, delay=has_been_set_up)
        access_logger.addHandler(self._handler)
        access_logger.propagate = False


def check_access_log(path: str) -> None:
    """Raise a SettingsFault if the access log cannot be written to this path; make no file."""
    if path not in ("", "-"):
        try:
            check_writable(path)
        except OSError as error:
            raise _fault(path, error) from error


def check_writable(path: str) -> None:
    """Raise the OSError that opening a file for writing would raise; make no file, which another user may need."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.exists(folder):  # not by os.stat, which speaks of it in other words on Windows
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
    else:
        if not stat.S_ISFIFO(mode):  # to open one waits for a reader
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def _open(path: str, *, delay: bool) -> logging.Handler:
    try:
        return WholeLineHandler(path, delay=delay)
    except OSError as error:
        raise _fault(path, error) from error


def _fault(path: str, error: OSError) -> SettingsFault:
    text = "Cannot write the access log {path}: {reason}"
    return SettingsFault(text, about=["access_log_file"], path=path, reason=error.strerror or str(error))
