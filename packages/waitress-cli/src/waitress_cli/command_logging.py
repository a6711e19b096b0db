"""Sets logging up as the settings of the command ask for: log_config, or log_level; and access_log_file.

Thread: the main thread, before the server runs, in the supervisor of worker processes, and in each of them.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator

from .access_log import AccessLogOutput
from .configuration import Configuration


class CommandLogging:
    """Logging, as the command sets it up; without log_config it leaves alone what the application has set up."""

    def __init__(self, configuration: Configuration, log_format: str) -> None:
        self._configuration = configuration
        self._format = log_format
        self._access_log = AccessLogOutput(configuration.command("access_log_file"))
        self._config_path = configuration.command("log_config")  # it stays: a reload reads the file, not its name
        self._undo: Callable[[], None] | None = None

    @property
    def has_config(self) -> bool:
        """Whether a file says how to log."""
        return bool(self._config_path)

    def set_up(self) -> None:
        """Set logging up for the first time.

        Raises:
            ValueError: a file cannot be read or written, or is wrong.
        """
        if self._config_path:
            from .log_config import LogConfig  # lazy import: it imports much, and few servers have such a file

            LogConfig(self._config_path, self._access_log.set_up).start()
        else:
            self._set_up_level()

    def set_up_access_log(self) -> None:
        """Give the access log its handler, which the application may have taken away."""
        self._access_log.set_up()

    @contextlib.contextmanager
    def undone(self) -> Iterator[None]:
        """Let an application be imported as if nobody had set logging up, if no file says how to log."""
        if self._undo is None:
            yield
            return
        self._undo()
        try:
            yield
        finally:
            self._set_up_level()

    def change(self, configuration: Configuration) -> None:
        """Take other settings over."""
        self._configuration = configuration
        self._access_log.path = configuration.command("access_log_file")
        if self._undo is None:
            self._access_log.set_up()
        else:
            self._undo()
            self._set_up_level()

    def _set_up_level(self) -> None:
        """Send the log to standard error, unless the application has set up logging.

        Without a level the logger of the server gets the level INFO, unless it has one.
        """
        level = self._configuration.command("log_level")
        access_logger, standard = logging.getLogger("waitress.access"), logging.getLogger("waitress")
        before = {one: (one.handlers[:], one.level, one.propagate) for one in (logging.root, standard, access_logger)}
        self._access_log.set_up()
        if not standard.handlers:
            logging.basicConfig(format=self._format, level=level.upper() or None)
        if level or standard.level == logging.NOTSET:
            standard.setLevel(level.upper() or logging.INFO)

        def undo() -> None:
            for one, (handlers, one_level, propagates) in before.items():
                one.handlers[:], one.propagate = handlers, propagates
                one.setLevel(one_level)

        self._undo = undo
