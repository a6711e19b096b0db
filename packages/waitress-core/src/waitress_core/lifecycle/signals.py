"""Signals: what a server does at each of them, and the handlers for as long as it runs.

    signal               action
    SIGTERM              drain, however often it comes
    SIGINT, SIGBREAK     drain; half a second or more after the signal that started that: end at once
    SIGQUIT              end at once
    SIGHUP               reopen log files; with a terminal as standard input, which is gone then: drain
    SIGUSR1              reopen log files, and report what the server does
    SIGUSR2              ignore it, with a record

and a supervisor of worker processes, which else does the same:

    SIGHUP               replace all workers by fresh ones; with a terminal, which is gone then: drain
    SIGTTIN, SIGTTOU     one worker more, one fewer
    SIGUSR2              start the command again, with the listening sockets, and retire when that serves

Supervisors, `timeout` and shells often signal a process and then its group: the same signal comes twice within
milliseconds. That must cut nobody off, so only what somebody types again, or a signal that nobody sends by chance, ends
a server at once.

In a process that ends with its server (`ends_with_server`), signals end nothing after the server's end either: its exit
status would report a signal although the server has drained.

A handler decides (`action_for`) and leaves a request for another thread (`SignalRequests`): it takes no lock and logs
nothing.

Thread: the main thread, the only one in which Python runs signal handlers.
"""

import atexit
import contextlib
import enum
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import FrameType
from typing import Any

from .end_limit import lift_limit

# Seconds. Doubled: who types Ctrl-C twice within a second has to type it again. Halved: a supervisor under load that
# signals a process and then its group could be taken for somebody who types.
AGAIN_SECONDS = 0.5


class Action(enum.Enum):
    """What a server does at a signal."""

    DRAIN = "answer what is under way, and end"
    END = "end at once"
    REOPEN = "reopen log files"
    REPORT = "reopen log files, and report what the server does"
    IGNORE = "nothing, with a record"
    RELOAD = "replace all workers"
    MORE = "one worker more"
    FEWER = "one worker fewer"
    START_SUCCESSOR = "start a successor, and retire when it serves"


ACTIONS = {
    "SIGTERM": Action.DRAIN,
    "SIGINT": Action.DRAIN,
    "SIGBREAK": Action.DRAIN,  # Ctrl-Break on Windows
    "SIGQUIT": Action.END,
    "SIGHUP": Action.REOPEN,
    "SIGUSR1": Action.REPORT,
    "SIGUSR2": Action.IGNORE,
}
SUPERVISOR_ACTIONS = {
    **ACTIONS,
    "SIGHUP": Action.RELOAD,
    "SIGTTIN": Action.MORE,
    "SIGTTOU": Action.FEWER,
    "SIGUSR2": Action.START_SUCCESSOR,
}
_TYPED = {"SIGINT": "Ctrl-C", "SIGBREAK": "Ctrl-Break"}
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)

_ends_with_server = False  # this process
_ignored: list[int] = []  # signals, since the end of the server
_replaced: dict[int, Any] = {}  # handlers that a context has replaced, by signal; the main thread only


def action_for(
    name: str, *, draining_seconds: float | None, has_terminal: bool, actions: Mapping[str, Action] = ACTIONS
) -> Action:
    """Return what a server does at the signal `name`.

    `draining_seconds` have passed since the signal that made the server drain; None without one. `has_terminal` says
    whether standard input was a terminal when the server started.
    """
    if name in _TYPED and draining_seconds is not None and draining_seconds >= AGAIN_SECONDS:
        return Action.END
    if name == "SIGHUP" and has_terminal:
        return Action.DRAIN
    return actions[name]


def what_ends_now(name: str, *, has_terminal: bool) -> str:
    """Return what ends a server that drains since the signal `name`, in the words of whoever has sent that."""
    if name in _TYPED:
        return f"{_TYPED[name]} again" if has_terminal or sys.platform == "win32" else f"a further {name}"
    return "Ctrl-C" if sys.platform == "win32" else "SIGINT or SIGQUIT"


class SignalRequests:
    """Decides at each signal, by those before it, and requests what it asks for. Thread: the main thread."""

    def __init__(
        self,
        *,
        drain: Callable[[str], None],  # with what ends the server at once then
        end: Callable[[], None],
        act: Callable[[Action, str], None],  # with any other action, and the name of the signal
    ) -> None:
        self.actions = ACTIONS
        self._drain = drain
        self._end = end
        self._act = act
        self._draining_since: float | None = None  # when a signal has made the server drain
        self._has_terminal = False  # standard input was a terminal when `handled` was called

    @contextlib.contextmanager
    def handled(self, actions: dict[str, Action]) -> Iterator[None]:
        """Handle each signal of the table in this context. At its end the server has ended."""
        self.actions = actions
        self._has_terminal = os.isatty(0)
        with handled_signals(self.on_signal, actions):
            try:
                yield
            finally:
                lift_limit()

    def on_signal(self, name: str) -> None:
        """Request what the signal `name` asks for. It may be called by a signal handler."""
        now, since = time.monotonic(), self._draining_since
        action = action_for(
            name,
            draining_seconds=None if since is None else now - since,
            has_terminal=self._has_terminal,
            actions=self.actions,
        )
        if action is Action.END:
            self._end()
        elif action is not Action.DRAIN:
            self._act(action, name)
        elif since is None:
            self._draining_since = now
            self._drain(what_ends_now(name, has_terminal=self._has_terminal))


@contextlib.contextmanager
def handled_signals(on_signal: Callable[[str], None], names: Collection[str] = ACTIONS) -> Iterator[None]:
    """Call `on_signal` with the name of each of these signals, as long as the context lasts.

    Only in the main thread (no other can handle signals), and only for signals that nothing else handles.
    """
    replaced = []
    if is_main_thread():
        elsewhere = _handled_outside_of_python()
        for name in names:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) not in _DEFAULTS:
                continue
            if signal.getsignal(number) is signal.SIG_DFL and elsewhere >> (number - 1) & 1:
                continue
            _replaced[number] = signal.signal(number, _handler(name, on_signal))
            replaced.append(number)
    try:
        yield
    finally:
        if _ends_with_server:
            _ignore_until_exit(replaced)
        else:
            _give_back(replaced)


def ends_with_server() -> None:
    """Note that this process ends when its server has ended.

    Call it first: what is registered with `atexit` after this runs before signals are ignored for good.
    """
    global _ends_with_server
    _ends_with_server = True
    atexit.register(_ignore_for_good)


def _ignore_until_exit(numbers: Iterable[int]) -> None:
    """Ignore signals, except that SIGQUIT ends the process, and Ctrl-C does if it hangs."""
    ended_at = time.monotonic()

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and time.monotonic() - ended_at >= AGAIN_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in numbers:
        if number == getattr(signal, "SIGQUIT", None):
            _give_back([number])
        else:
            signal.signal(number, handle)
            _ignored.append(number)


def _ignore_for_good() -> None:
    # At its end the interpreter takes handlers away, and then a signal would end it; but it goes on to ignore.
    for number in _ignored:
        signal.signal(number, signal.SIG_IGN)


def is_main_thread() -> bool:
    """Whether this is the main thread, in which alone Python handles signals."""
    current = threading.current_thread()
    # eventlet has its own object of the main thread, of another class of that name.
    return current is threading.main_thread() or type(current).__name__ == "_MainThread"


def _handler(name: str, on_signal: Callable[[str], None]) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        on_signal(name)

    return handle


def _handled_outside_of_python() -> int:
    """Return the set of the signals with a handler that Python does not know of, such as `faulthandler.register`'s.

    Bit 0 is signal 1. Handlers of Python are in it, too. Empty where the system does not report it: all but Linux.
    """
    masks = 0
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(("SigIgn:", "SigCgt:")):
                masks |= int(line.split()[1], 16)
    return masks


def give_signals_back() -> None:
    """Undo what the contexts did: in a forked child, which no signal could end otherwise."""
    _give_back(list(_replaced))


def _give_back(numbers: list[int]) -> None:
    for number in numbers:
        if number in _replaced:
            signal.signal(number, _replaced.pop(number))
