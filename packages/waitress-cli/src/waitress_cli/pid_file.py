"""The file of `--pid-file`: the process id of the server, for as long as it serves.

Thread: the main thread.
"""

import contextlib
import os
import sys

from waitress_core.net.listener import HANDOVER_VARIABLE


class PidFile:
    """As a context, refuses a file that another server has, and removes its own at the end.

    A file that was left behind is replaced: its process has ended, or is this one, as process ids return soon in a
    container. So is that of the predecessor: this process takes its place.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._absolute = os.path.abspath(path)  # an application may change the working directory
        self._writer: int | None = None

    def __enter__(self) -> "PidFile":
        """Raise a ValueError that names the process that has the file, if that runs."""
        process_id = self._read()
        is_successor = HANDOVER_VARIABLE in os.environ
        if not is_successor and process_id not in (0, os.getpid()) and _is_running(process_id):
            raise ValueError(
                f"the pid file {self._path} is that of the running process {process_id}; if that is no server, remove "
                "the file"
            )
        return self

    def write(self) -> None:
        """Write the id of this process, in one step: nobody reads an empty file.

        Raises:
            ValueError: it cannot be written.
        """
        process_id = os.getpid()
        new = f"{self._absolute}.{process_id}"
        try:
            with open(new, "w", encoding="ascii") as file:
                file.write(f"{process_id}\n")
            os.replace(new, self._absolute)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise ValueError(f"Cannot write the pid file {self._path}: {error.strerror or error}") from error
        self._writer = process_id

    def __exit__(self, *exc_info: object) -> None:
        """Remove the file, if this process has written it, and nobody has since."""
        if self._writer == os.getpid() == self._read():
            with contextlib.suppress(OSError):
                os.unlink(self._absolute)

    def _read(self) -> int:
        """Return the process id in the file; 0 if there is none."""
        with contextlib.suppress(OSError, ValueError), open(self._absolute, encoding="ascii") as file:
            return max(0, int(file.read(32)))
        return 0


def _is_running(process_id: int) -> bool:
    if sys.platform == "win32":
        return False  # there `os.kill` would end it, and nothing else in the standard library shows it
    try:
        os.kill(process_id, 0)
    except PermissionError:  # of another user
        return True
    except (OSError, OverflowError):
        return False
    return True
