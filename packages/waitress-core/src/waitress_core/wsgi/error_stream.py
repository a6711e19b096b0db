"""`wsgi.errors` where there is no standard error: a text stream with lines that go to the logger `waitress.errors`.

Programs without a console have none: those of `pythonw`, services of Windows, daemons that have closed it. PEP 3333
requires a stream all the same.

Thread: the application thread that runs the request; each request has its own stream.
"""

import io
import logging

from ..safe_logger import SafeLogger

logger = SafeLogger(logging.getLogger("waitress.errors"))


class ErrorStream(io.TextIOBase):
    """Logs each line at ERROR when it is complete, and an incomplete one when it is flushed or the stream ends."""

    def __init__(self) -> None:
        self._incomplete = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Write text."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        *lines, self._incomplete = (self._incomplete + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        """Log an incomplete line. The end of the stream, and of the last reference to it, calls this."""
        line, self._incomplete = self._incomplete, ""
        self._log(line)

    def _log(self, line: str) -> None:
        if line:
            logger.error("%s", line)
