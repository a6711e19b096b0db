"""The configuration in force: read at the start, and again at each SIGHUP to a supervisor of worker processes.

The supervisor makes a server of what `read_again` returns. Only when it has one are the settings of the command taken
over, with those of the log: a reload that is refused changes nothing.

Thread: the main thread, before the server runs and in its supervisor; `load_in_worker` that of a worker process.
"""

import os
from typing import Any

from .access_log import check_access_log
from .command_logging import CommandLogging
from .configuration import Configuration, configure, loader, read_together
from .options import CommandLine


class CurrentConfiguration:
    """What was read last of the sources that `command` names; `folder` is the one in which it was started.

    Raises:
        ValueError: no application is named.
    """

    def __init__(self, command: CommandLine, folder: str, configuration: Configuration, log_format: str) -> None:
        self.folder = folder
        self.configuration = configuration
        self.log = CommandLogging(configuration, log_format)
        self._command = command
        self._read: Configuration | None = None  # since, and not in force
        loader(configuration)

    def load(self) -> Any:
        """Import the application. Raises CannotLoadError: see `load_application`."""
        return loader(self.configuration)()

    def load_in_worker(self) -> Any:
        """Import the application in a worker process."""
        with self.log.undone():
            return self.load()

    def for_supervisor(self) -> dict[str, Any]:
        """Return what `serve` needs to read the settings again; take them over at each reload from now on."""
        from waitress_core.lifecycle.requested import read_at_reload  # lazy import: only a supervisor needs it

        read_at_reload(self._take_over)
        return {"_read_settings": self.read_again}

    def read_again(self) -> dict[str, Any]:
        """Return the settings of the server as they are now.

        Raises:
            ValueError: one is invalid; all settings stay.
        """
        here = os.getcwd()
        os.chdir(self.folder)  # paths of the command line mean files there
        try:
            configuration = configure(self._command, os.environ)
        finally:
            os.chdir(here)
        if configuration.faults:
            raise ValueError(configuration.faults[0])
        loader(configuration)
        try:
            check_access_log(configuration.command("access_log_file"))
            read_together(configuration.server)
        except ValueError as error:
            raise ValueError(configuration.explained(error)) from None
        self._read = configuration
        return configuration.server

    def _take_over(self) -> None:
        """Put in force what was read last."""
        if self._read is not None:
            self.configuration, self._read = self._read, None
            self.log.change(self.configuration)
