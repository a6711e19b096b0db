"""The file of `--pid-file`: the process id of the server, for as long as it serves.

Thread: the main thread.
"""

import contextlib
import errno
import os
import sys

from waitress_core.config.faults import SettingsFault
from waitress_core.net.listener import HANDOVER_VARIABLE

from .access_log import check_writable

MOST_BYTES = 64  # a process id with a line break; a longer file is somebody's, and is not replaced


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
        """Raise a SettingsFault if the file cannot be written, or the process that has it runs, which is named."""
        self.check()
        return self

    def check(self) -> None:
        """Raise as `__enter__` does."""
        try:
            # The file is replaced, so it need not be writable itself: its folder is to be.
            if os.path.isdir(self._absolute):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            check_writable(f"{self._absolute}.{os.getpid()}")
            if os.path.exists(self._absolute) and not os.path.isfile(self._absolute):  # /dev/null, for example
                raise FileExistsError(errno.EEXIST, "there is a device or a pipe")
            if os.path.exists(self._absolute) and os.path.getsize(self._absolute) > MOST_BYTES:
                raise FileExistsError(errno.EEXIST, "there is another file, which is longer than a process id")
        except OSError as error:
            raise self._fault(error) from error
        process_id = self._read()
        is_successor = HANDOVER_VARIABLE in os.environ
        if not is_successor and process_id not in (0, os.getpid()) and _is_running(process_id):
            raise SettingsFault(
                "the pid file {path} is that of the running process {process_id}; if that is no server, remove the "
                "file",
                about=["pid_file"],
                path=self._path,
                process_id=process_id,
            )

    def write(self) -> None:
        """Write the id of this process, in one step: nobody reads an empty file.

        Raises:
            SettingsFault: it cannot be written.
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
            raise self._fault(error) from error
        self._writer = process_id

    def __exit__(self, *exc_info: object) -> None:
        """Remove the file, if this process has written it, and nobody has since."""
        if self._writer == os.getpid() == self._read():
            with contextlib.suppress(OSError):
                os.unlink(self._absolute)

    def _fault(self, error: OSError) -> SettingsFault:
        return SettingsFault(
            "Cannot write the pid file {path}: {reason}",
            about=["pid_file"],
            path=self._path,
            reason=error.strerror or str(error),
        )

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
