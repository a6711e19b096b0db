"""Faults on demand: of real calls on sockets and files, behind fakes; of a handler of the log; of starts of threads."""

import logging
import os
import threading

import pytest


class Faults:
    """Calls that fail, by name.

    `seen` counts the calls of the armed names since `arm`, `fired` those that have failed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._errors: tuple[int, ...] = ()
        self._first = self._step = 0
        self.seen = 0
        self.fired = 0

    def arm(self, *names: str, errors: tuple[int, ...], first: int, step: int = 0) -> None:
        """Have the `first` call of these names fail, and with a step each further one; each with the next error."""
        with self._lock:
            self._names, self._errors, self._first, self._step = frozenset(names), errors, first, step
            self.seen = self.fired = 0

    def disarm(self) -> None:
        """Let every call be."""
        with self._lock:
            self._names = frozenset()

    def before(self, name: str) -> None:
        """Count a call, and raise if it is one that fails."""
        with self._lock:
            if name not in self._names:
                return
            self.seen += 1
            late = self.seen - self._first
            if late and not (late > 0 and self._step and late % self._step == 0):
                return
            number = self._errors[self.fired % len(self._errors)]
            self.fired += 1
        raise OSError(number, os.strerror(number))


class RaisingHandler(logging.Handler):
    """A handler of a program that raises; `handle` is called before the handlers' own net for errors."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def handle(self, record: logging.LogRecord) -> bool:
        raise self.error


NO_THREAD = "can't start new thread"  # as CPython says it


def leave_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> list[threading.Thread]:
    """Leave the system only so many threads; return a list of those that are started from now on."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_if_one_is_left(thread: threading.Thread) -> None:
        if len(started) == count:
            raise RuntimeError(NO_THREAD)
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_one_is_left)
    return started
