"""The child of a fork, from the fork to its exit: leaves behind what is the supervisor's, serves, ends the process.

Thread: the main thread, the only one that the child has at first.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import atexit
import contextlib
import faulthandler
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Collection, Iterable
from typing import NoReturn, Protocol

from ..lifecycle.signals import ends_with_server, give_signals_back
from ..safe_logger import SafeLogger
from .worker import Worker, WorkerServer, report

logger = SafeLogger(logging.getLogger("waitress"))

FAILED_STATUS = 3  # exit status of a worker that could not start, as gunicorn's
# What a terminal, systemd or an operator sends to all processes of a server: the supervisor ends that of the status.
STATUS_IGNORES = ("SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU")
MOST_DETAILS = 30_000  # characters of a traceback that are reported


def run_in_child(
    server: WorkerServer, worker: Worker, pipe: int, leave: Iterable[Callable[[], object]], mask: Collection[int]
) -> None:
    """Serve in the child of a fork, and end the process.

    `leave` is called first, for what is the supervisor's alone; `mask` has the signals that were blocked before.
    """
    status = FAILED_STATUS
    try:
        _leave_parent(leave, mask)
        _report_faults_to(pipe)
        name_process(f"waitress: worker {worker.number}")
        server.serve_as_worker(worker)
        status = 0
    except SystemExit as error:
        report(pipe, "failed", [f"the application ended the process: SystemExit({error.code!r})", _traceback()])
        status = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:  # Ctrl-C while the application is imported
        status = 128 + signal.SIGINT
    except BaseException as error:
        details = getattr(error, "details", None)
        report(
            pipe, "failed", [str(error) or repr(error), _traceback() if details is None else details[-MOST_DETAILS:]]
        )
    finally:
        worker.limit_end()
        _exit(status)


class StatusServing(Protocol):
    """The server, as the process of its status server runs it."""

    def serve_status(self, parent: int) -> None:
        """Serve the status server for as long as the parent, a process, is there."""


def run_status_in_child(
    server: StatusServing, parent: int, leave: Iterable[Callable[[], object]], mask: Collection[int]
) -> NoReturn:
    """Serve the status server in the child of a fork, and end the process."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for leave_one in leave:
            leave_one()
        give_signals_back()
        atexit._clear()
        for name in STATUS_IGNORES:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        name_process("waitress: status")
        server.serve_status(parent)
        status = 0
    except BaseException:
        logger.exception("The status server has failed")
    finally:
        os._exit(status)


def _traceback() -> str:
    return traceback.format_exc()[-MOST_DETAILS:]


def _leave_parent(leave: Iterable[Callable[[], object]], mask: Collection[int]) -> None:
    """Undo what the supervisor has set up for itself."""
    signal.set_wakeup_fd(-1)
    for leave_one in leave:
        leave_one()
    give_signals_back()
    atexit._clear()  # what is to be done at the end of the parent is not the child's to do
    ends_with_server()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _report_faults_to(pipe: int) -> None:
    """Write the stacks of all threads to the pipe at a fault, and at the SIGABRT that the supervisor sends."""
    if not faulthandler.is_enabled():
        faulthandler.enable(pipe, all_threads=True)


def name_process(title: str) -> None:
    """Set the title in `ps` and `top`, if the package setproctitle is installed."""
    with contextlib.suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(title)


def _exit(status: int) -> None:
    """End the process as the interpreter does at its end, but without the frames of the parent that are below."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are not daemons
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    with contextlib.suppress(BaseException):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(status)
