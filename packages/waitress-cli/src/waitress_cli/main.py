"""The command `waitress-serve`: reads the command line, loads the application, serves it.

The exit status is 0 after the server has ended or after `--help`, and 1 if the server could not start. Then standard
error has one line that starts with `Error:`, and after it the traceback, if code of the application raised during its
import. A SystemExit of the application is not caught.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from waitress_core import CannotStartThread
from waitress_core.safe_logger import SafeLogger

from .serve import serve as _serve

if TYPE_CHECKING:
    from .access_log import AccessLogOutput

logger = SafeLogger(logging.getLogger("waitress"))

LOG_FORMAT = "%(asctime)s %(levelname)s [%(name)s] %(message)s"


def main(argv: Sequence[str] | None = None, serve: Callable[..., Any] = _serve) -> int:
    """Run the command with the arguments `argv`, by default those of the process; return the exit status.

    `serve(application, **settings)` gets the settings as strings, as they were given.
    """
    # lazy import: `import waitress` imports this module and needs none of them.
    from .access_log import AccessLogOutput
    from .app_loader import CannotLoadError
    from .configuration import configure, go_to_folders, load
    from .options import CommandLineError, help_text, parse

    try:
        command = parse(sys.argv[1:] if argv is None else argv)
    except CommandLineError as error:
        return _fail(f"{error} (waitress-serve --help lists the options)")
    if command.wants == "help":
        print(help_text(), end="")
        return 0
    if command.wants != "serve":
        from .reports import report  # lazy import: a server needs nothing of it

        return report(command, os.environ)
    configuration = configure(command, os.environ)
    if configuration.faults:
        # Before the application is imported, which may take long. And before a missing one is reported: its name may
        # have been read as the value of an option.
        return _fail(configuration.faults[0])
    try:
        go_to_folders(configuration)
        with _pid_file(configuration.command("pid_file")) as at_serving:
            access_log = AccessLogOutput(configuration.command("access_log_file"))
            log_config = configuration.command("log_config")
            if log_config:
                _start_log_config(log_config, access_log)  # before the application, whose import may log
            application = load(configuration)
            access_log.set_up()
            if not log_config:
                _set_up_logging(configuration.command("log_level"))  # after the application, which may have done so
            for variable in configuration.ignored:
                logger.warning("%s is no setting, and is ignored", variable)
            serve(application, **at_serving, **configuration.server)
    except CannotLoadError as error:
        return _fail(str(error), error.details)
    except (ValueError, CannotStartThread) as error:
        return _fail(str(error))
    except OSError as error:
        # Without the number of the system's error, which helps nobody; but with the name of a file.
        return _fail(error.strerror if error.strerror and error.filename is None else str(error))
    return 0


@contextlib.contextmanager
def _pid_file(path: str) -> Iterator[dict[str, Any]]:
    """Return a context that gives `serve` what writes the file, and that removes the file; without a path, nothing."""
    if not path:
        yield {}
        return
    from .pid_file import PidFile  # lazy import: few servers have one

    with PidFile(path) as pid_file:
        yield {"_on_serving": pid_file.write}


def _start_log_config(path: str, access_log: "AccessLogOutput") -> None:
    from .log_config import LogConfig  # lazy import: it imports much, and few servers have such a file

    LogConfig(path, access_log.set_up).start()


def _set_up_logging(level: str) -> None:
    """Send the log to standard error, unless the application has set up logging; `level` is a name, or empty.

    Without a level the logger of the server gets the level INFO, unless it has one.
    """
    logger = logging.getLogger("waitress")
    if not logger.handlers:
        logging.basicConfig(format=LOG_FORMAT, level=level.upper() or None)
    if level or logger.level == logging.NOTSET:
        logger.setLevel(level.upper() or logging.INFO)


def _fail(message: str, details: str = "") -> int:
    print(f"Error: {message}\n{details}", end="", file=sys.stderr)
    return 1
