"""A logger that raises nothing: a failure of the log costs its record, never a thread, an answer or the end.

What a handler, a filter or a formatter of the program raises comes out of `logging`. So does the ValueError of a closed
`sys.stderr`, to which `logging` reports its own errors. The packages make all their records by a `SafeLogger`.

Thread: any.
"""

import logging
import signal
import sys
import threading
import traceback
from typing import Any


class SafeLogger:
    """Logs by `logger`: one of `logging`, or another object of the program with methods of the same names."""

    __slots__ = ("_is_standard", "_logger")

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._is_standard = isinstance(logger, logging.Logger)

    def is_enabled_for(self, level: int) -> bool:
        """Whether a record of this level would be made."""
        with contained:
            return bool(self._logger.isEnabledFor(level))
        return False

    def debug(self, text: str, *args: object) -> None:
        """Log at DEBUG."""
        self._log("debug", logging.DEBUG, text, args)

    def info(self, text: str, *args: object) -> None:
        """Log at INFO."""
        self._log("info", logging.INFO, text, args)

    def warning(self, text: str, *args: object) -> None:
        """Log at WARNING."""
        self._log("warning", logging.WARNING, text, args)

    def error(self, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log at ERROR, with the traceback of `exc_info` if it is given."""
        self._log("error", logging.ERROR, text, args, exc_info)

    def exception(self, text: str, *args: object) -> None:
        """Log at ERROR, with the traceback of the exception that is being handled."""
        self._log("exception", logging.ERROR, text, args, True)

    def log(self, level: int, text: str, *args: object, exc_info: bool = False, stacklevel: int = 1) -> None:
        """Log at a level. The record names the caller; with a `stacklevel` of 2, the caller of that."""
        self._log("log", level, text, args, exc_info, stacklevel)

    def _log(
        self,
        method: str,
        level: int,
        text: str,
        args: tuple[object, ...],
        exc_info: BaseException | bool | None = None,
        stacklevel: int = 1,
    ) -> None:
        with contained:
            if self._is_standard:
                # Two calls of this file are between the caller and `logging`.
                self._logger.log(level, text, *args, exc_info=exc_info, stacklevel=stacklevel + 2)
            else:  # it may know none of these arguments
                getattr(self._logger, method)(text, *args)


class _Contained:
    """Ends an exception of the log, as a context: `with contained:`.

    What a signal handler has raised goes on: it is not of the log, which the signal has only interrupted.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            return False
        if threading.current_thread() is threading.main_thread() and _is_of_signal_handler(error):
            return False
        _report(error)
        return True


contained = _Contained()


def _is_of_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler has raised this. Thread: the main thread, the only one that runs signal handlers."""
    codes = set()
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if handler is signal.default_int_handler and isinstance(error, KeyboardInterrupt):
            return True  # it is written in C, so no traceback shows it
        if callable(handler):
            handler = getattr(handler, "func", handler)  # of a partial
            codes |= {getattr(each, "__code__", None) for each in (handler, handler.__call__)}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


_is_reported = False


def _report(error: BaseException) -> None:
    """Report an exception of the log to standard error: the first one only."""
    global _is_reported
    if _is_reported:
        return
    _is_reported = True
    try:
        stream = sys.stderr
        if stream is not None:
            text = "".join(traceback.format_exception(error))
            stream.write(f"waitress: logging has failed, and a record is lost; this is reported once\n{text}")
    except BaseException:  # there is nowhere left to report it
        return
