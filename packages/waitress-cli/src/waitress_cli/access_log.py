"""Where the command sends the lines of the access log: to standard output, or to a file.

A file is reopened at SIGHUP and SIGUSR1, as that of every `logging.FileHandler`.

Thread: the main thread before the server runs; later the one that waits for it.
"""

import io
import logging
import sys
from typing import Any


class WholeLineHandler(logging.FileHandler):
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
            ValueError: the file cannot be written; the first time only.
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
            self._handler = logging.StreamHandler(sys.stdout)
        else:
            self._handler = _open(self.path, delay=has_been_set_up)
        access_logger.addHandler(self._handler)
        access_logger.propagate = False


def check_access_log(path: str) -> None:
    """Raise a ValueError if the access log cannot be written to this path."""
    if path not in ("", "-"):
        _open(path, delay=False).close()


def _open(path: str, *, delay: bool) -> logging.Handler:
    try:
        return WholeLineHandler(path, delay=delay)
    except OSError as error:
        raise ValueError(f"Cannot write the access log {path}: {error.strerror or error}") from error
