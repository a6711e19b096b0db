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

from waitress_core import (
    CannotStartThread,
    CannotStartWorker,
    DeferredApplication,
    __version__,
    create_server,
    wants_worker_processes,
)
from waitress_core.lifecycle.signals import ends_with_server
from waitress_core.safe_logger import SafeLogger

from .serve import serve as _serve

if TYPE_CHECKING:
    from waitress_core.config.faults import SettingsFault

    from .configuration import Configuration
    from .current import CurrentConfiguration

logger = SafeLogger(logging.getLogger("waitress"))

LOG_FORMAT = "%(asctime)s %(levelname)s [%(name)s] %(message)s"
LOG_FORMAT_OF_WORKERS = "%(asctime)s [%(process)d] %(levelname)s [%(name)s] %(message)s"


def command() -> int:
    """Run the command in a process that ends with it; return the exit status."""
    ends_with_server()
    return main()


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
    from .configuration import configure, go_to_folders, watched_patterns
    from .current import CurrentConfiguration
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
            has_processes = wants_worker_processes(configuration.server)
            log_format = LOG_FORMAT_OF_WORKERS if has_processes else LOG_FORMAT
            current = CurrentConfiguration(command, folder, configuration, log_format)
            watched = watched_patterns(configuration)
            application = _application(current, watched, has_processes=has_processes)
            if has_processes or watched is not None:
                at_serving.update(current.for_supervisor())
            for variable in configuration.ignored:
                logger.warning("%s is not a setting, and is ignored", variable)
            serve(application, **at_serving, **configuration.server)
    except (CannotLoadError, CannotStartWorker) as error:
        return _fail(str(error), error.details)
    except (ValueError, CannotStartThread) as error:
        return _fail(configuration.explained(error))
    except OSError as error:
        # Without the number of the system's error, which helps nobody; but with the name of a file.
        text = error.strerror if error.strerror and error.filename is None else str(error)
        return _fail(configuration.explained(_fault_of_address(text)))
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


def _application(current: "CurrentConfiguration", watched: list[str] | None, *, has_processes: bool) -> Any:
    """Set logging up; return the application, loaded, or for each worker process to load."""
    if watched is not None or (has_processes and not current.configuration.command("preload")):
        current.log.set_up()
        return DeferredApplication(current.load_in_worker, current.folder, watched)
    if current.log.has_config:
        current.log.set_up()  # before the import of the application, which may log
    with _status_while_starting(current.configuration):
        application = current.load()
    if current.log.has_config:
        current.log.set_up_access_log()
    else:
        current.log.set_up()  # after the application, which may have done so
    return application


def _status_while_starting(configuration: "Configuration") -> contextlib.AbstractContextManager[None]:
    """Return a context in which the status server, if there is to be one, says that the server starts."""
    if sys.platform != "win32" and "status_listen" in configuration.given:  # Windows cannot fork
        from waitress_core.processes.starting import status_while_starting  # lazy import: few servers have one

        return status_while_starting(create_server, configuration.server, version=__version__)
    return contextlib.nullcontext()


def _fault_of_address(text: str) -> "SettingsFault":
    """Return an error of the system as a fault of the setting that has the address, if it is about an address."""
    from waitress_core.config.faults import SettingsFault

    name, mark, rest = text.partition(": ")
    if name == "status_listen" and mark:
        return SettingsFault("{status_listen}: {rest}", rest=rest)
    is_main = text.startswith("Cannot listen on ")
    return SettingsFault("{text}", about=("listen", "host", "port", "unix_socket") if is_main else (), text=text)


def _fail(message: str, details: str = "") -> int:
    from waitress_core.config.faults import one_line

    print(f"Error: {one_line(message)}\n{details}", end="", file=sys.stderr)
    return 1
