"""The supervisor: starts workers, watches them, replaces them; serves nothing, and starts no thread.

Its loop waits for something to happen (`waiting`), notes what has, asks `plan` what to do, and does that. What it knows
of one worker is in its `WorkerHandle`, what it knows of all in `Workers` and `Figures`.

It knows no server: what it forks runs `serve_as_worker` of what it was given.

Thread: the main thread only; `stats` and `wake` any.
"""

import sys

assert sys.platform != "win32"  # which cannot fork: nothing imports this there

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ..config.application import CannotStartWorker
from ..config.casts import MOST_WORKERS
from ..connection.context import State
from ..lifecycle import requested, signals
from ..lifecycle.shutdown import strongest
from ..lifecycle.states import StopRequest
from ..observability.stats import ServerStats
from ..safe_logger import SafeLogger
from .child import name_process
from .figures import Figures
from .forking import how_it_ended
from .plan import (
    END_SECONDS,
    KILL_SECONDS,
    YOUNG_SECONDS,
    Action,
    Limits,
    StartPause,
    Step,
    Stop,
    plan,
    seconds_to_wait,
)
from .scoreboard import Command, Word
from .states import SUPERVISOR_TRANSITIONS, Event, SupervisorState, WorkerState
from .status_process import StatusProcess
from .takeover import Takeover
from .waiting import Waiting
from .worker import WorkerServer
from .worker_handle import WorkerHandle
from .workers import Workers, reap_others

if TYPE_CHECKING:
    from ..observability.snapshot import Snapshot
    from ..status.document import Supervision

logger = SafeLogger(logging.getLogger("waitress"))

# Between two checks of what no event reports: ticks of the workers, and whether one asks to be replaced.
TICK_SECONDS = 1.0


class Supervisor:
    """Runs the workers of one server, once."""

    tick_seconds = TICK_SECONDS  # an attribute, so that a test can shorten it

    def __init__(
        self,
        server: WorkerServer,
        *,
        workers: int,
        stop_requests: Sequence[StopRequest],  # appended to by any thread or signal handler, acted on here
        actions: deque[tuple[signals.Action, str]],  # likewise
        folder: str,  # in which the command was started
    ) -> None:
        adj = server.adj
        # Set once
        self._server = server
        self._stop_requests = stop_requests
        self._actions = actions
        self._workers = Workers()
        self._figures = Figures(self._workers.scoreboard)
        self._pid = os.getpid()
        self._takeover = Takeover(folder)
        self._waiting = Waiting()
        # Main thread only
        self._target = server  # what workers run: another one, after a reload with other settings
        self._limits = Limits(adj.worker_timeout, adj.shutdown_timeout)
        self.state = SupervisorState.STARTING
        self._wanted = self._configured = workers
        self._is_ready = False  # a worker has served
        self._reload_started_at = 0.0
        self._pause = StartPause()
        self._stop: Stop | None = None
        self._failure: CannotStartWorker | None = None
        self._postponed: dict[signals.Action, str] = {}  # actions that cannot start yet, with their signals
        self.successor_pid = 0
        self._status = StatusProcess(server) if adj.status_listen else None
        self._turned_at = self._watched_since = time.monotonic()
        self._tick_at = self._turned_at + self.tick_seconds  # when the next tick is due

    # --- any thread

    def wake(self) -> None:
        """Make the loop check at once. Takes no lock: a signal handler may call it."""
        self._waiting.wake()

    def kill_workers(self) -> None:
        """Kill all workers. Thread: the main thread, where a signal handler may call it: it takes no lock."""
        self._workers.kill()

    def stats(self) -> ServerStats | None:
        """Return the sum of what the workers published last, up to a second ago; None before the first did."""
        return self._figures.stats()

    def status_snapshots(self) -> "list[Snapshot]":
        """Return what each worker has published last for the status server."""
        return self._figures.snapshots()

    def status(self) -> "tuple[list[Snapshot], Supervision | None]":
        """Return what each worker has published last, and what the supervisor has counted.

        A worker that ends meanwhile is in one of them. For the status server: this is called in its process.
        """
        return self._workers.scoreboard.read_between_moves(
            lambda: (self._figures.snapshots(), None if self._status is None else self._status.supervision())
        )

    # --- the loop

    def run(self) -> None:
        """Run the workers until the server is stopped and the last of them has ended.

        Raises:
            CannotStartWorker: one could not start, before all had served once; all have ended.
        """
        name_process("waitress: supervisor")
        self._server.on_supervisor(Event.STATE, self)
        try:
            with self._waiting.woken_by_signals():
                while self.state is not SupervisorState.ENDED:
                    self._turn()
        except BaseException:
            self.kill_workers()
            raise
        finally:
            if self._status is not None:
                self._status.end()
            if self._target is not self._server:
                self._target.release()
        if self._failure is not None:
            raise self._failure

    def _turn(self) -> None:
        self._publish()
        if (
            self._status is not None and not self._takeover.has_predecessor
        ):  # until it takes over, its predecessor's answers
            self._status.check(self._leave())
        self._reap()
        self._read_reports()
        self._move_on()
        if self._postponed and self.state is SupervisorState.SERVING and not self._takeover.has_successor:
            self._actions.extendleft(reversed(self._postponed.items()))
            self._postponed.clear()
        while self._actions:
            self._act(*self._actions.popleft())
        self._note_successor()
        self._note_stop_requests()
        if self._stop is not None:
            self._takeover.end_successor(self._stop)
        self._note_hanging()
        self._note_stale()
        views = [handle.view() for handle in self._workers]
        now = time.monotonic()
        self._note_pause(now)
        steps = plan(
            views,
            wanted=self._wanted,
            now=now,
            limits=self._limits,
            may_start_at=self._pause.until,
            stop=self._stop,
            watched_since=self._watched_since,
        )
        for step in steps:
            if step.action is not Action.START or now >= self._pause.until:  # a step before may have started a pause
                self._take(step)
        if self.state is not SupervisorState.ENDED:
            if not steps:  # what has been done may call for more: after a retirement the next worker starts
                self._wait()
            self._tick()

    def _publish(self) -> None:
        if self._status is not None:
            self._status.publish(deepcopy(self._figures.counted))

    def _note_pause(self, now: float) -> None:
        """Notice that the whole server was paused, by SIGSTOP or a container's: no worker could tick meanwhile.

        `now` is after the last check of the ticks: a pause may fall amid a turn.
        """
        if now - self._turned_at > max(self._limits.worker_timeout / 2, 3 * self.tick_seconds):
            self._watched_since = now
        self._turned_at = now

    def _wait(self) -> None:
        """Wait until there may be something to do."""
        pipes = [*self._workers.pipes, *self._takeover.pipes]
        now = time.monotonic()
        self._waiting.wait(pipes, seconds_to_wait(now, tick_at=self._tick_at, may_start_at=self._pause.until))

    def _tick(self) -> None:
        """Once a second, report that all is well: all workers tick."""
        now = time.monotonic()
        if now < self._tick_at:
            return
        self._tick_at = now + self.tick_seconds
        longest = 2.5 * self.tick_seconds + 1
        if all(handle.slot.beat_age < longest for handle in self._workers.of(WorkerState.SERVING)):
            self._server.on_supervisor(Event.TICK, self)

    # --- what has happened

    def _reap(self) -> None:
        """Wait for the children that have ended; as process 1, for those of others too."""
        for handle, status in self._workers.ended():
            self._on_ended(handle, status)
        own = self._workers.pids
        reap_others(own if self._status is None else {*own, self._status.pid})

    def _on_ended(self, handle: WorkerHandle, status: int) -> None:
        for word, data in handle.reports():
            self._on_report(handle, word, data)
        was, lived = handle.state, time.monotonic() - handle.started_at
        how = how_it_ended(status)
        could_not_start = was is WorkerState.STARTING or handle.has_hung_at_start
        handle.enter(WorkerState.ENDED)
        self._workers.remove(handle)
        if handle.stacks:
            logger.error("The threads of worker %d, when it ended:\n%s", handle.pid, handle.stacks)
        if was in (WorkerState.RETIRING, WorkerState.STOPPING) and status == 0:
            logger.info("Worker %d has ended", handle.pid)
        elif could_not_start and self._stop is None:
            self._on_not_started(handle, how)
        elif handle.has_served or self._failure is None:  # otherwise what has failed is reported, and only that
            running = handle.running()
            ran = f"; it was running {', '.join(running)}" if running and was is not WorkerState.STARTING else ""
            message, details = handle.failure or ("", "")
            reason = f"\n{details or message}" if message else ""
            logger.warning("Worker %d has ended: %s%s%s", handle.pid, how, ran, reason)
        if was < WorkerState.RETIRING:
            self._note_loss(is_early=lived < YOUNG_SECONDS or could_not_start)
        with self._workers.scoreboard.moving():
            self._figures.note_end(handle.slot, was, status)
            self._publish()
            handle.close()

    def _note_loss(self, *, is_early: bool) -> None:
        """A worker that was to go on has ended, or has hung at its start and is going to."""
        if self._stop is None:
            pause = self._pause.note_end(time.monotonic(), is_early=is_early)
            if pause:
                logger.warning(
                    "The next worker starts in %.0f seconds, because workers end soon after their start", pause
                )

    def _on_not_started(self, handle: WorkerHandle, how: str) -> None:
        message, details = handle.failure or (f"a worker has ended before it served: {how}", "")
        if self.state is SupervisorState.STARTING:
            self._failure = CannotStartWorker(message, details)
            now = time.monotonic()
            self._start_stop(Stop(now, now + KILL_SECONDS))
            return
        logger.error("Worker %d could not start: %s%s", handle.pid, message, f"\n{details}" if details else "")
        if self.state is SupervisorState.RELOADING:
            old = [one for one in self._workers.of(WorkerState.SERVING) if one.is_stale]
            for one in self._workers:
                one.is_stale = False
            logger.error("The reload has failed: %d old worker(s) keep serving", len(old))
            self._figures.note_reload(is_done=False)
            self._enter(SupervisorState.SERVING)

    def _read_reports(self) -> None:
        for handle in self._workers:
            for word, data in handle.reports():
                self._on_report(handle, word, data)

    def _on_report(self, handle: WorkerHandle, word: str, data: Any) -> None:
        if word == "serves" and handle.state is WorkerState.STARTING:
            handle.enter(WorkerState.SERVING)
            handle.has_served = True
            if not self._is_ready:
                self._is_ready = True
                self._server.on_supervisor(Event.READY, self)
            logger.info("Worker %d serves", handle.pid)
        elif word == "loads":
            handle.is_loading = True
        elif word == "changed":
            self._on_changed(data)
        elif word == "failed":
            handle.failure = (data[0], data[1])

    def _on_changed(self, path: str) -> None:
        """A file has changed, and the worker that has noticed retires: the others do too, at once."""
        logger.info("%s has changed: the workers are replaced", path)
        for one in self._workers.of(WorkerState.STARTING):
            one.is_stale = True
        for one in self._workers.of(WorkerState.SERVING):
            one.slot[Word.COMMAND] = Command.RETIRE
            one.enter(WorkerState.RETIRING)
        self._pause.end()

    def _note_successor(self) -> None:
        pid = self._takeover.note_successor(is_ending=self._stop is not None)
        if not pid:
            return
        if self._status is not None:  # the successor has one, on the same sockets
            self._status.end()
            self._status = None
        logger.info("Process %d serves in place of this one, which ends", pid)
        for listener in (*self._target.listeners, *self._server.status_listeners):
            listener.leave_path()
        self.successor_pid = pid
        self._server.on_supervisor(Event.REPLACED, self)
        until = time.monotonic() + self._limits.shutdown_timeout
        self._start_stop(Stop(until + END_SECONDS, until + KILL_SECONDS, retires=True))

    def _note_stop_requests(self) -> None:
        if self._stop_requests:
            request = strongest(self._stop_requests)
            end_at = request.until + (END_SECONDS if request.state is State.LEAVING else 0)
            if self._stop is None or self._stop.retires or end_at < self._stop.end_at:
                self._start_stop(Stop(end_at, request.until + KILL_SECONDS))

    def _start_stop(self, stop: Stop) -> None:
        self._stop = stop
        if self.state is not SupervisorState.STOPPING:
            self._enter(SupervisorState.STOPPING)

    def _note_hanging(self) -> None:
        for handle in self._workers:
            handle.note_whether_it_hangs()

    def _note_stale(self) -> None:
        for handle in self._workers.of(WorkerState.SERVING):
            if handle.slot[Word.REPLACE]:
                handle.is_stale = True

    # --- what is to be done

    def _take(self, step: Step) -> None:
        """Take one step of the plan."""
        if step.action is Action.START:
            self._start_worker()
            return
        handle = self._workers[step.pid]
        if step.action is Action.RETIRE:
            handle.slot[Word.COMMAND] = Command.RETIRE
            handle.enter(WorkerState.RETIRING)
        elif step.action is Action.STOP:
            if self._stop is None:
                logger.info("Worker %d is stopped: it starts with what was there before the reload", handle.pid)
            handle.slot[Word.COMMAND] = Command.STOP
            handle.enter(WorkerState.STOPPING)
            handle.send(signal.SIGTERM)
        elif step.action is Action.END:
            handle.was_told_to_end = True
            handle.send(signal.SIGQUIT)
        elif step.action is Action.ABORT:
            logger.error(
                "Worker %d has not responded for %.0f seconds (worker_timeout): it is killed%s",
                handle.pid,
                handle.slot.beat_age,
                "".join(f"; it was running {task}" for task in handle.running()),
            )
            handle.has_hung_at_start = handle.state is WorkerState.STARTING
            handle.enter(WorkerState.ABORTED)
            handle.slot[Word.ACCEPTING] = 0
            handle.send(signal.SIGABRT)
            if handle.has_hung_at_start:  # now, not at its end: meanwhile the next one may hang, and so on
                self._note_loss(is_early=True)
        elif step.action is Action.KILL:
            handle.enter(WorkerState.KILLED)
            handle.send(signal.SIGKILL)

    def _start_worker(self) -> None:
        try:
            self._workers.start(self._target, self._leave())
        except (LookupError, OSError) as error:  # no slot, or the system has no process or descriptor left for it
            pause = self._pause.note_no_process(time.monotonic())
            logger.error("Cannot start a worker: %s; the next attempt follows in %.0f seconds", error, pause)
        else:
            self._figures.note_start()

    def _leave(self) -> list[Callable[[], object]]:
        """Return what undoes in a child what is the supervisor's alone."""
        return [*self._waiting.leave(), *self._workers.leave(), *self._takeover.leave()]

    def _move_on(self) -> None:
        """Move to another state, if it is time to."""
        serving, starting = self._workers.of(WorkerState.SERVING), self._workers.of(WorkerState.STARTING)
        if self.state is SupervisorState.STARTING and len(serving) >= self._wanted:
            self._enter(SupervisorState.SERVING)
            self._takeover.report_ready()
        elif self.state is SupervisorState.RELOADING:
            if not starting and not any(handle.is_stale for handle in serving) and len(serving) >= self._wanted:
                seconds = time.monotonic() - self._reload_started_at
                logger.info("Reloaded: %d worker(s) replaced in %.1f seconds", len(serving), seconds)
                self._figures.note_reload(is_done=True)
                self._enter(SupervisorState.SERVING)
        elif self.state is SupervisorState.STOPPING and not self._workers and not self._takeover.has_successor:
            self._enter(SupervisorState.ENDED)
        if serving:
            self._pause.note_ages(time.monotonic() - handle.started_at for handle in self._workers)

    def _enter(self, state: SupervisorState) -> None:
        """Move to a state. The only place that writes it."""
        assert state in SUPERVISOR_TRANSITIONS[self.state], (self.state, state)
        self.state = state
        self._server.on_supervisor(Event.STATE, self)

    # --- what a signal asks for

    def _act(self, action: signals.Action, name: str) -> None:
        if action is signals.Action.RELOAD:
            self._reload(name)
        elif action is signals.Action.MORE:
            self._change_count(name, 1)
        elif action is signals.Action.FEWER:
            self._change_count(name, -1)
        elif action is signals.Action.START_SUCCESSOR:
            self._start_successor(name)
        else:
            requested.reopen_log_files(name)
            if action is signals.Action.REPORT and (stats := self.stats()) is not None:
                requested.report(stats, ())
            for handle in self._workers.of(WorkerState.SERVING, WorkerState.RETIRING, WorkerState.STOPPING):
                handle.send(getattr(signal, name))

    def _reload(self, name: str) -> None:
        """Replace all workers by fresh ones, one after the other."""
        if not self._may(signals.Action.RELOAD, name, SupervisorState.SERVING, SupervisorState.RELOADING):
            return
        if not self._remake(name):
            self._figures.note_reload(is_done=False)
            return
        adj = self._target.adj
        self._limits = Limits(adj.worker_timeout, adj.shutdown_timeout)
        if adj.workers != self._configured:  # and not what SIGTTIN and SIGTTOU have made of the same number
            self._wanted = self._configured = adj.workers
        requested.reload_logging(name)
        self._server.on_supervisor(Event.RELOAD, self)
        old = self._workers.of(WorkerState.STARTING, WorkerState.SERVING)
        for handle in old:
            handle.is_stale = True
        logger.info("%s: replacing %d worker(s) one after the other", name, len(old))
        self._reload_started_at = time.monotonic()
        self._pause.end()
        if self.state is not SupervisorState.RELOADING:
            self._enter(SupervisorState.RELOADING)

    def _remake(self, name: str) -> bool:
        """Make the server that fresh workers run; False if there is none, and nothing has changed."""
        try:
            self._target = self._server.remake(self._target)
        except (ValueError, OSError) as error:
            logger.error("%s: %s; settings and workers stay as they were", name, error)
            return False
        except (Exception, SystemExit):  # of the program: the workers would be killed without a drain
            logger.exception(
                "%s: uncaptured python exception in call_when_reloading; settings and workers stay as they were", name
            )
            return False
        return True

    def _start_successor(self, name: str) -> None:
        """Start the command again, as it is installed now, to take over."""
        if self._pid == 1:
            logger.error("%s: ignored, because this is process 1: its container ends with it", name)
            return
        if self._may(signals.Action.START_SUCCESSOR, name, SupervisorState.SERVING):
            self._takeover.start_successor(
                name,
                [*self._target.listeners, *self._server.status_listeners],
                self._leave(),
                shutdown_timeout=self._limits.shutdown_timeout,
            )

    def _may(self, action: signals.Action, name: str, *states: SupervisorState) -> bool:
        """Whether the supervisor is in one of these states, without a successor; otherwise the action may follow."""
        if not self._takeover.has_successor and self.state in states:
            return True
        if self.state is SupervisorState.STOPPING or (
            self._takeover.has_successor and action is signals.Action.START_SUCCESSOR
        ):
            self._ignore(name)
        else:
            self._postponed[action] = name  # once, however often it was asked for
            logger.info("%s: postponed until the server has started or reloaded, or its successor has failed", name)
        return False

    def _change_count(self, name: str, by: int) -> None:
        """Change the number of workers: at least one, and no more than the settings accept."""
        if self.state is SupervisorState.STOPPING:
            self._ignore(name)
            return
        self._wanted = min(max(1, self._wanted + by), MOST_WORKERS)
        logger.info("%s: %d worker(s) from now on", name, self._wanted)

    def _ignore(self, name: str) -> None:
        logger.warning("%s: ignored, because a successor is starting or the server is ending", name)
