"""Answers at the address of the status server while the application is imported: `/ready` says that the server starts.

A process does that, forked before the import. A thread would not do: an application may replace the modules that
threads use, as gevent's `monkey.patch_all()` does, and the server is made after that. The process has ended before the
server binds the same address.

Thread: the main thread, before the server is made.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import contextlib
import logging
import os
import select
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..config.adjustments import Adjustments
from ..net.listener import HANDOVER_VARIABLE, file_of
from ..status.second_server import make_status_server
from .child import run_status_in_child
from .forking import fork

CHECK_SECONDS = 1.0  # between two checks whether the parent still runs


@contextlib.contextmanager
def status_while_starting(create: Callable[..., Any], settings: Mapping[str, Any], *, version: str) -> Iterator[None]:
    """Return a context in which another process answers as the status server of a server that starts.

    `create` is `create_server`, `settings` are those of the server, and `version` is what the status server reports.

    What prevents it, for example an address in use, is not reported: it prevents the server too, which reports it. A
    successor has nothing to report: the status server of its predecessor answers.
    """
    if HANDOVER_VARIABLE in os.environ:
        yield
        return
    end, wants_end = os.pipe()
    files = {end: file_of(end), wants_end: file_of(wants_end)}
    try:
        status = _StartingStatus(create, settings, version, end)
        try:
            pid = fork(partial(run_status_in_child, status, os.getpid(), ()))
        except OSError:  # the system has no process left
            pid = 0
        try:
            yield
        finally:
            if pid:
                _end(pid, wants_end if file_of(wants_end) == files[wants_end] else None)
    finally:
        # The application may have closed what it did not know: then a number is that of no file, or of another one.
        for descriptor, file in files.items():
            if file_of(descriptor) == file:
                os.close(descriptor)


def _end(pid: int, wants_end: int | None) -> None:
    """End the process, and wait for it; kill it if the pipe is lost by which it is told to end."""
    with contextlib.suppress(ChildProcessError, BrokenPipeError):  # the application has waited for it, or it just ended
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        if wants_end is None:
            os.kill(pid, signal.SIGKILL)
        else:
            os.write(wants_end, b".")  # closing it would not do: what the application has forked may have it open
        os.waitpid(pid, 0)


class _StartingStatus:
    """The status server of a server that starts, until `end`, a pipe, is readable."""

    def __init__(self, create: Callable[..., Any], settings: Mapping[str, Any], version: str, end: int) -> None:
        self._create = create
        self._settings = settings
        self._version = version
        self._end = end

    def serve_status(self, parent: int) -> None:
        """Serve until the end, or until the parent, a process, is gone."""
        logging.disable()
        with warnings.catch_warnings(), contextlib.suppress(ValueError, OSError):
            warnings.simplefilter("ignore")
            adj = Adjustments(**self._settings)
            with make_status_server(self._create, adj, lambda: ([], None), version=self._version):
                while os.getppid() == parent and not select.select([self._end], [], [], CHECK_SECONDS)[0]:
                    pass
