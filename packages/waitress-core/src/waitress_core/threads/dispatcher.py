"""The threads, and the leadership that makes one of them the reactor.

Runs tasks (`service`, `cancel`) and a `turn` of I/O; knows no HTTP and no socket. The pattern is Leader/Followers
(POSA2): whoever has leadership runs the turns, and so is the reactor.

Threads
    N application threads   the only ones that run the application; `threads=1` is one thread, always the same
    the standby             leads while no application thread should; never runs the application
    the watchdog            takes leadership from a task that keeps it from the I/O

Rules
1. While the application is quick, an application thread leads and runs each task itself, between two turns. A task then
   never changes threads; a hand-off is most of what a threaded server in Python spends on a small request.
2. While the leader runs a task, leadership is in the slot of its `_Term`. If a task runs from one check of the
   watchdog to the next, the watchdog takes leadership from the slot and gives it to the standby, which is always free.
   After the task the thread finds the slot empty, and is a plain application thread again.
3. The standby hands every task off to the queue. When the application has been quick (`LeadershipPolicy`), it gives
   leadership to an application thread, if one is free. The queue knows whether one is (`TaskQueue.reserve_thread`). It
   must be exact: otherwise leadership could be queued behind tasks while every thread is busy, and all I/O would stop.
4. `ready` belongs to leadership, not to a thread: the leader alone may touch it. The leader runs tasks for a QUANTUM,
   then it asks the poller again, without waiting if tasks are left. The mean time of the tasks is updated once for all
   of them, unless a rare take ended them, and checked before the next.
5. A task that is about to block gives leadership away first (`yield_leadership`). A task that ends takes it back from
   the slot, if it is still there (`resume_leadership`): what is left to do at its end is then done at once, in place of
   a notification that the next turn would handle.
6. With another dispatcher (`delegate`) the standby keeps leadership, and that dispatcher gets every task.
7. Whoever gives leadership away starts a new term, which its receiver accepts. Only the latest term counts: one that
   was lost on its way can be started again, and if the lost one turns up after all, nobody accepts it.
8. A thread that an exception has reached (no task, turn or record lets one through, but `PyThreadState_SetAsyncExc`
   raises one anywhere) goes on. It starts the next term if it may have led, and ends the task that it ran (`fail`).
   What is lost nevertheless, a thread or leadership, `check` replaces. Nobody releases the lock of a log handler that
   `logging` was taking (up to CPython 3.12), or one that a `with` has just taken (CPython 3.14).
9. Each task runs in a copy of the context (`contextvars`) that its thread started with, its log records included.

Guarantees, each with its test in tests/core/threads
- One thread leads at any time: `deque.append` and `deque.pop` are atomic with and without a GIL, and whoever pops has
  leadership (test_one_thread_leads_whatever_races). It does again within a second, whatever has raised
  (test_leadership_survives_an_exception_anywhere, test_whatever_raises_the_server_serves_on).
- I/O goes on whatever tasks do (test_a_slow_task_loses_leadership_to_the_standby_and_io_goes_on).
- Each task is serviced or cancelled, and only once (test_one_thread_leads_whatever_races,
  test_cancelling_counts_the_tasks_that_have_not_started).
- No thread is lost to a task (test_a_thread_is_never_lost_to_a_task), or to the log
  (test_no_thread_is_lost_to_a_log_that_raises).
- No lock is held over a task, a turn or a log record (test_no_lock_is_held_over_a_task_a_turn_or_a_log_record).

Races, each with its test
- A task ends while the watchdog takes leadership from it: one pop succeeds (test_one_thread_leads_whatever_races).
- A thread that has lost leadership ends its task while a later leader runs one: each has the slot of its term
  (test_a_thread_that_has_lost_leadership_leaves_that_of_a_later_leader_alone).
- A task takes leadership back while the watchdog takes it (test_one_thread_leads_whatever_races).
- A thread that has lost leadership takes a task from the queue, which ends while another leads: it takes nothing back
  (test_a_task_from_the_queue_resumes_nothing_while_another_thread_leads).
- The standby gives leadership away, and the new leader is quicker than the standby's next statement
  (test_the_standby_touches_nothing_once_it_has_given_leadership_away).
- All threads are busy when the application has been quick (test_leadership_is_not_given_while_no_thread_is_free).
- A task starts while the watchdog parks (test_a_task_that_starts_just_before_the_wait_unparks_it,
  test_a_task_that_has_not_seen_it_park_is_not_left_alone).
- Tasks are cancelled while a thread has not taken its message to stop yet
  (test_threads_that_still_run_are_counted_and_end_with_their_tasks).
- The process forks while another thread holds the lock
  (test_in_a_forked_child_the_thread_that_forked_ends_with_its_task).

Measured when this was chosen (CPython 3.11, two cores, small requests on 16 connections): twice the requests of handing
each one off, and a third of its p99; with 1 task in 20 asleep, the same as handing off, and with 1 in 300, 1.7 times.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from enum import Enum
from typing import Any

from ..safe_logger import SafeLogger
from .leadership import QUANTUM, LeadershipPolicy
from .message_queue import MessageQueue, message_queue
from .pool import CannotStartThread, ThreadPool
from .running import RunningTask, ThreadSlot, running_tasks
from .task_queue import TaskQueue
from .tasks import InternalTask, Task, TaskSink
from .watchdog import IDLE_WAIT, Watchdog

logger = SafeLogger(logging.getLogger("waitress"))
_now = time.perf_counter

QUEUE_WARNING_SECONDS = 0.1  # that a task may wait for a thread, by default


class _Message(Enum):
    STOP = "end the thread"


class _Term:
    """The leadership of one thread, from the end of the one before."""

    __slots__ = ("has_resumed", "leader", "slot")

    def __init__(self) -> None:
        self.has_resumed = False  # a task has taken leadership back from the slot; written by the leader's thread only
        self.leader: ThreadSlot | None = None  # guarded by the dispatcher's lock; None until a thread has accepted it
        self.slot: deque[_Term] = deque()  # holds one item while the leader runs a task


class Dispatcher:
    """Runs tasks on `threads` application threads, and turns of I/O on the leader.

    The log warns of a queue when a task has waited for a thread for longer than `queue_warning_seconds`. The names of
    the threads start with `name`.
    """

    def __init__(
        self,
        threads: int,
        delegate: TaskSink | None = None,
        *,
        queue_warning_seconds: float = QUEUE_WARNING_SECONDS,
        name: str = "waitress",
    ) -> None:
        # Set before `start`, read anywhere
        self._turn: Callable[[float], None] = time.sleep  # given by `start`
        self._delegate = delegate
        self._queue: TaskQueue[_Term | _Message] = TaskQueue(threads if delegate is None else 0, queue_warning_seconds)
        self._hand_off: Callable[[Task], None] = self._queue.put_task if delegate is None else delegate.add_task
        self._standby_queue: MessageQueue[_Term | _Message] = message_queue()
        self._policy = LeadershipPolicy()  # each of its attributes says who writes it
        self._watchdog = Watchdog(self._policy, lambda: bool(self._term.slot), self.yield_leadership)
        self._pool = ThreadPool(name, self._on_fault)
        # Leader only
        self.ready: deque[Task] = deque()
        # Written by the leader, and by the thread that ends the threads; read by every thread
        self.has_leadership_ended = False
        # Guarded by self._lock: without it two threads could each start the next term
        self._lock = threading.Lock()
        self._term = _Term()  # the latest; may be read without the lock

    # --- starting and ending

    def start(self, turn: Callable[[float], None]) -> None:
        """Start the threads; the standby leads.

        `turn(timeout)` waits up to `timeout` seconds for I/O, puts tasks into `ready`, and raises nothing.

        Raises:
            CannotStartThread: the system has none left; those that were started have ended again.
        """
        self._turn = turn
        if self._delegate is None and self._has_own_add_task():
            self.hand_off_all_to(self.add_task)
        try:
            for _ in range(self.thread_count):
                self._pool.start_application_thread(self._run_application_thread)
            self._pool.start("standby", self._run_standby)
            self._pool.start("watchdog", lambda slot: self._watchdog.run())
        except CannotStartThread:
            self.stop_threads(timeout=1.0)
            raise
        self._start_term(self._term)

    def _has_own_add_task(self) -> bool:
        """Whether a program wants to see every task: it has replaced `add_task` in a subclass, here or on the class."""
        # Bound methods are compared: from CPython 3.11 on each attribute of an object is read more slowly once somebody
        # has asked for its `__dict__`.
        return type(self) is not Dispatcher or self.add_task != _STOCK_ADD_TASK.__get__(self)

    def hand_off_all_to(self, add_task: Callable[[Task], None]) -> None:
        """Give every request to `add_task`, and run none without it; call this before `start`."""

        def hand_off(task: Task) -> None:
            # A program that wants to see each request does not know the other tasks.
            if isinstance(task, InternalTask) and self._delegate is None:
                self._queue.put_task(task)
            else:
                add_task(task)

        self._hand_off = hand_off
        self._policy.hand_off_always()

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that have been started."""
        return self._pool.threads

    @property
    def thread_count(self) -> int:
        """Application threads that there should be; 0 with a delegate. It may be set before `start`."""
        return self._queue.thread_count

    @thread_count.setter
    def thread_count(self, count: int) -> None:
        self._queue.thread_count = count

    @property
    def waiting_count(self) -> int:
        """Requests in the queue that no thread is free for. Thread: any."""
        return self._queue.waiting_count

    @property
    def ready_count(self) -> int:
        """Requests that wait for the leader to run them, or to hand them off. Thread: any."""
        count = 0
        with suppress(IndexError):  # By index: without the GIL no deque can be iterated that another thread changes
            for index in range(len(self.ready)):
                count += not isinstance(self.ready[index], InternalTask)
        return count

    @property
    def oldest_waiting_seconds(self) -> float:
        """For how long the oldest request in the queue has waited; 0 with none. Thread: any."""
        return self._queue.oldest_waiting_seconds

    @property
    def busy_count(self) -> int:
        """Application threads that run a task, or lead. Thread: any."""
        return self._queue.busy_count

    @property
    def lost_count(self) -> int:
        """Application threads that have been replaced, and still run their task. Thread: any."""
        return self._pool.lost_count

    @property
    def is_short_of_threads(self) -> bool:
        """Whether so many threads are lost to tasks that do not end that no more are replaced. Thread: any."""
        return 0 < self.thread_count <= self.lost_count

    def running(self) -> list[RunningTask]:
        """Return what the application threads run. Thread: any."""
        return running_tasks(self._pool.slots, _now())

    def end_leadership(self) -> None:
        """End leadership for good, after the turn that calls this.

        Thread: the leader, or the one that ends the threads.
        """
        self.has_leadership_ended = True
        self._watchdog.stop()

    def cancel_pending(self) -> int:
        """Cancel all tasks that have not started; return how many.

        Internal tasks stay until leadership has ended, because there are threads to run them: closing a file may run
        code of the application.

        Thread: the leader, or whoever ends the threads once leadership has ended.
        """

        def stays(task: Task) -> bool:
            return isinstance(task, InternalTask) and not self.has_leadership_ended

        tasks = [task for task in self.ready if not stays(task)]
        staying = [task for task in self.ready if stays(task)]
        self.ready.clear()
        self.ready.extend(staying)
        tasks += self._queue.take_tasks(stays)
        for task in tasks:
            _cancel(task)
        return len(tasks)

    def stop_threads(self, timeout: float) -> int:
        """End all threads once leadership has ended; wait up to `timeout` seconds, and return how many still run.

        A thread that calls this from within a task is neither waited for nor counted.
        """
        self.end_leadership()
        self._pool.stop()
        for _ in self.threads:
            self._queue.put(_Message.STOP)
        self._standby_queue.put(_Message.STOP)
        return self._pool.join(timeout)

    def abandon_after_fork(self) -> None:
        """Void leadership and the queues in a forked child, which has only the thread that forked."""
        self.has_leadership_ended = True
        self._lock = threading.Lock()  # another thread may have held it
        self._term.slot.clear()
        self._queue.abandon_after_fork()
        self._queue.put(_Message.STOP)

    # --- tasks

    def add_task(self, task: Task) -> None:
        """Queue a task for the application threads. Thread: any."""
        self._queue.put_task(task)

    def tick(self) -> None:
        """Log that a task waits too long, or that the queue is empty again. Called once a second. Thread: any."""
        self._queue.tick()

    def yield_leadership(self) -> None:
        """Give leadership to the standby, if it is in the slot; a task calls this before it blocks. Thread: any.

        Another thread's task may have put it there; the standby may just as well lead in place of that thread.
        """
        term = self._term
        with suppress(IndexError):
            term.slot.pop()
            self._policy.on_take(_now())
            self._start_term(term)

    def resume_leadership(self) -> bool:
        """Take back the leadership that was put down for this task: its last act may then be that of the leader.

        False if this thread has not led, or leads no more, or if the task has taken it back already: as its last act it
        may have started another, which was refused. Thread: the one that runs the task.
        """
        term = self._term
        if term.has_resumed or term.leader is None or term.leader.thread_id != threading.get_ident():
            return False
        term.has_resumed = True  # before the slot is empty: `check` must not take it for leadership that was lost
        try:
            term.slot.pop()
        except IndexError:
            term.has_resumed = False
            return False
        return True

    # --- from one leader to the next

    def _start_term(self, before: _Term) -> None:
        """Give leadership to the standby, unless a term has started since `before`. Thread: any.

        `before` has no leader any more, or one that runs a task: it finds its slot empty.
        """
        with self._lock:
            if before is not self._term:
                return
            self._term = term = _Term()
        self._standby_queue.put(term)

    def _accept(self, term: _Term, slot: ThreadSlot) -> bool:
        """Take leadership; false if it is another thread's. Thread: that of the slot, which then leads."""
        with self._lock:
            if term is not self._term or term.leader is not None:
                return False
            term.leader = slot
            return True

    def _replace_leader(self, slot: ThreadSlot) -> None:
        """Give leadership to the standby if the thread with this slot, which has failed, may have had it. Thread: any.

        A term that nobody has accepted yet may have been in its hands, too. If it was not, two are on their way, of
        which only the later one can be accepted.
        """
        with self._lock:
            if self._term.leader is not None and self._term.leader is not slot:
                return
            self._term = term = _Term()
        self._standby_queue.put(term)

    def check(self) -> None:
        """Replace threads that have ended, and leadership that is lost. Call it once a second.

        Neither can happen, but for exceptions that are raised in the few lines that handle exceptions.

        Thread: the one that starts and ends the threads.

        Raises:
            CannotStartThread: the system has none left.
        """
        if self.has_leadership_ended:
            return
        self._pool.check()
        self._queue.wake_for_all()
        term = self._term
        leader = term.leader
        if leader is None:  # it is on its way, or was lost there
            self._replace_leader(ThreadSlot())
            return
        running = leader.running
        # The slot is filled before the leader runs a task, and emptied after that. If it is empty while the task runs,
        # it was taken, by a thread that has not passed leadership on yet, or has failed before it could.
        if running is not None and not term.slot and not term.has_resumed and leader.running is running:
            self._start_term(term)

    def replace_thread(self, task: object) -> None:
        """Start an application thread in place of the one that runs this task, which ends when the task does.

        Not if as many are lost as there should be. If the system has none left, the log reports it.

        Thread: the one that starts and ends the threads.
        """
        if self.is_short_of_threads or not any(self._queue.lose_thread(slot, task) for slot in self._pool.slots):
            return  # or the task has ended
        try:
            self._pool.start_application_thread(self._run_application_thread)
        except CannotStartThread as error:
            logger.error("Cannot start a thread in place of one that is lost: %s", error)
            return
        self._queue.wake_for_all()

    # --- the threads

    def _on_fault(self, slot: ThreadSlot) -> None:
        """The thread with this slot has failed. Thread: that thread, or the one that checks."""
        self._replace_leader(slot)
        self._queue.wake_one()
        running, slot.running = slot.running, None
        if running is not None:
            _fail(running[0])

    def _run_application_thread(self, slot: ThreadSlot) -> None:
        """Run tasks from the queue, or lead, until told to stop. Thread: an application thread."""
        slot.thread_id = threading.get_ident()
        while not slot.is_lost:
            item = self._queue.get()
            if item is None:
                continue
            if isinstance(item, _Message):
                return
            try:
                if isinstance(item, _Term):
                    self._run_as_leader(slot, item)
                    continue
                task, queued_at = item
                started_at = _now()
                slot.running = (task, started_at)  # first: whatever interrupts this thread from now on ends the task
                self._queue.note_start(task, queued_at, started_at)
                self._service(task)
                slot.running = None
                self._policy.weigh(_now() - started_at)
            finally:
                self._queue.release(slot)

    def _service(self, task: Task) -> None:
        try:
            copy_context().run(task.service)  # what one task sets there, no other sees
        except BaseException:  # a thread is never lost to a task
            logger.exception("Exception when servicing %r", task)
            _fail(task)

    def _run_as_leader(self, slot: ThreadSlot, term: _Term) -> None:
        """Run turns and tasks until leadership is taken, or tasks are slow. Thread: an application thread."""
        ready, leadership, policy, watchdog = self.ready, term.slot, self._policy, self._watchdog
        has_leadership = self._accept(term, slot)
        while has_leadership and not self.has_leadership_ended:
            started_at = now = _now()
            if ready and policy.hands_off(now):
                self._start_term(term)
                return
            count = 0
            while ready and now - started_at <= QUANTUM:
                count += 1
                task = ready[0]
                try:  # as in `_service`; nearly every request: no call for that
                    ready.popleft()  # in here, or an exception of another thread could lose the task
                    policy.tasks_run += 1
                    leadership.append(term)
                    if watchdog.is_parked:
                        watchdog.unpark()
                    slot.running = (task, now)
                    copy_context().run(task.service)
                except BaseException:
                    logger.exception("Exception when servicing %r", task)
                    _fail(task)
                slot.running = None
                now = _now()
                if term.has_resumed:
                    term.has_resumed = False
                    continue
                try:
                    leadership.pop()
                except IndexError:  # taken: another thread leads
                    self._start_term(term)  # or is going to: whoever took it may have failed
                    has_leadership = False
                    if policy.was_rare:
                        count = 0
                    break
            if count:
                policy.weigh((now - started_at) / count, count)
            if has_leadership:
                self._turn(0 if ready else IDLE_WAIT)

    def _run_standby(self, slot: ThreadSlot) -> None:
        """While it leads, run turns and hand tasks off, until an application thread should lead."""
        while not isinstance(term := self._standby_queue.get(), _Message):
            if self._accept(term, slot):
                while not self.has_leadership_ended and not self._hand_off_ready():
                    self._turn(IDLE_WAIT)

    def _hand_off_ready(self) -> bool:
        """Hand ready tasks off; true if leadership has been given away, and with it the tasks that are left."""
        ready = self.ready
        while ready:
            if not self._policy.hands_off(_now()) and self._give_leadership():
                return True  # `ready` is another thread's from now on: do not even read it
            task = ready[0]
            try:
                ready.popleft()
                self._hand_off(task)
            except BaseException:  # of a dispatcher that is not ours; no fault may lose leadership
                logger.exception("Exception when adding %r", task)
                _cancel(task)
        return False

    def _give_leadership(self) -> bool:
        """Give leadership to a free application thread; false if there is none. Thread: the standby, while it leads."""
        if not self._queue.reserve_thread():
            return False
        with self._lock:
            self._term = term = _Term()
        self._queue.put(term)
        return True


def _cancel(task: Task) -> None:
    try:
        task.cancel()
    except BaseException:  # one that fails must not keep the others waiting
        logger.exception("Exception when cancelling %r", task)


def _fail(task: object) -> None:
    """End what a task has left unfinished, which an exception of another thread has interrupted."""
    fail: Any = getattr(task, "fail", None)  # not of a program's own tasks
    if fail is not None:
        try:
            fail()
        except BaseException:  # the thread goes on
            logger.exception("Exception when ending %r", task)


_STOCK_ADD_TASK: Any = vars(Dispatcher)["add_task"]
