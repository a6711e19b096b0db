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
from functools import partial
from typing import TYPE_CHECKING, Any

from waitress_core import CannotStartThread, CannotStartWorker, DeferredApplication, wants_worker_processes
from waitress_core.safe_logger import SafeLogger

from .serve import serve as _serve

if TYPE_CHECKING:
    from .access_log import AccessLogOutput
    from .configuration import Configuration
    from .options import CommandLine

logger = SafeLogger(logging.getLogger("waitress"))

LOG_FORMAT = "%(asctime)s %(levelname)s [%(name)s] %(message)s"
LOG_FORMAT_OF_WORKERS = "%(asctime)s [%(process)d] %(levelname)s [%(name)s] %(message)s"


def main(argv: Sequence[str] | None = None, serve: Callable[..., Any] = _serve) -> int:
    """Run the command with the arguments `argv`, by default those of the process; return the exit status.

    `serve(application, **settings)` gets the settings as strings, as they were given.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["status"]:  # no application: a module that is one needs the name of an object in it
        from .status import main as print_status  # lazy import: a server needs nothing of it

        return print_status(arguments[1:])
    # lazy import: `import waitress` imports this module and needs none of them.
    from .app_loader import CannotLoadError
    from .configuration import configure, go_to_folders
    from .options import CommandLineError, help_text, parse

    try:
        command = parse(arguments)
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
        folder = os.getcwd()
        go_to_folders(configuration)
        with _pid_file(configuration.command("pid_file")) as at_serving:
            application = _application_and_logging(configuration, folder, partial(_read_again, command, folder))
            for variable in configuration.ignored:
                logger.warning("%s is no setting, and is ignored", variable)
            serve(application, **at_serving, **configuration.server)
    except (CannotLoadError, CannotStartWorker) as error:
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


def _application_and_logging(
    configuration: "Configuration", folder: str, read_again: Callable[[], dict[str, Any]]
) -> Any:
    """Set logging up; return the application, loaded, or for each worker process to load."""
    from .access_log import AccessLogOutput
    from .configuration import loader

    load = loader(configuration)
    log_config, level = configuration.command("log_config"), configuration.command("log_level")
    has_processes = wants_worker_processes(configuration.server)
    watched = _watched(configuration)
    is_deferred = watched is not None or (has_processes and not configuration.command("preload"))
    access_log = AccessLogOutput(configuration.command("access_log_file"))
    if log_config:
        _start_log_config(log_config, access_log)  # before the application, whose import may log
        application = DeferredApplication(load, folder, watched, read_again) if is_deferred else load()
        access_log.set_up()
        return application
    set_up = partial(_set_up_logging, access_log, level, LOG_FORMAT_OF_WORKERS if has_processes else LOG_FORMAT)
    if is_deferred:
        return DeferredApplication(partial(_load_in_worker, load, set_up, undo=set_up()), folder, watched, read_again)
    application = load()
    set_up()  # after the application, which may have done so
    return application


def _watched(configuration: "Configuration") -> list[str] | None:
    """Return the patterns of files to watch beside those of modules; None without --reload.

    Raises:
        ValueError: it cannot be done.
    """
    if not configuration.command("reload"):
        return None
    if sys.platform == "win32":
        raise ValueError("--reload: this system cannot fork processes; start the server again by hand")
    if configuration.command("preload"):
        raise ValueError("--reload and --preload contradict each other: with --preload no new code is seen")
    from importlib.util import find_spec  # lazy import: for development only

    if find_spec("watchfiles") is None:
        raise ValueError("--reload needs the package watchfiles: pip install 'waitress[reload]'")
    patterns: list[str] = configuration.command("reload_extra")
    return patterns


def _read_again(command: "CommandLine", folder: str) -> dict[str, Any]:
    """Return the settings of the server as they are now; `folder` is the one in which the command was started.

    Raises:
        ValueError: one is invalid.
    """
    from .configuration import configure

    current = os.getcwd()
    os.chdir(folder)  # paths of the command line mean files there
    try:
        configuration = configure(command, os.environ)
    finally:
        os.chdir(current)
    if configuration.faults:
        raise ValueError(configuration.faults[0])
    return configuration.server


def _load_in_worker(load: Callable[[], Any], set_up: Callable[[], object], *, undo: Callable[[], None]) -> Any:
    """Load the application in a worker process: it may set up logging, as if nobody had done so before."""
    undo()
    try:
        return load()
    finally:
        set_up()


def _start_log_config(path: str, access_log: "AccessLogOutput") -> None:
    from .log_config import LogConfig  # lazy import: it imports much, and few servers have such a file

    LogConfig(path, access_log.set_up).start()


def _set_up_logging(access_log: "AccessLogOutput", level: str, log_format: str) -> Callable[[], None]:
    """Send the log to standard error, unless the application has set up logging; `level` is a name, or empty.

    Without a level the logger of the server gets the level INFO, unless it has one. Return what undoes all of this.
    """
    access_logger, standard = logging.getLogger("waitress.access"), logging.getLogger("waitress")
    before = {one: (one.handlers[:], one.level, one.propagate) for one in (logging.root, standard, access_logger)}
    access_log.set_up()
    if not standard.handlers:
        logging.basicConfig(format=log_format, level=level.upper() or None)
    if level or standard.level == logging.NOTSET:
        standard.setLevel(level.upper() or logging.INFO)

    def undo() -> None:
        for one, (handlers, one_level, propagates) in before.items():
            one.handlers[:], one.propagate = handlers, propagates
            one.setLevel(one_level)

    return undo


def _fail(message: str, details: str = "") -> int:
    print(f"Error: {message}\n{details}", end="", file=sys.stderr)
    return 1
