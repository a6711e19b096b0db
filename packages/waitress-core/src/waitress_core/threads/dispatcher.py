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
2. While the leader runs a task, leadership is in a slot (`_leadership`). If a task runs from one check of the watchdog
   to the next, the watchdog takes leadership from the slot and gives it to the standby, which is always free. After the
   task the thread finds the slot empty, and is a plain application thread again.
3. The standby hands every task off to the queue. When the application has been quick (`LeadershipPolicy`), it gives
   leadership to an application thread, if one is free. `_outstanding` says whether one is. It must be exact: otherwise
   leadership could be queued behind tasks while every thread is busy, and all I/O would stop.
4. `ready` belongs to leadership, not to a thread: the leader alone may touch it. The leader runs tasks for a QUANTUM,
   then it asks the poller again, without waiting if tasks are left. The mean time of the tasks is updated once for all
   of them, and checked before the next.
5. A task that is about to block gives leadership away first (`yield_leadership`). A task that ends takes it back from
   the slot, if it is still there (`resume_leadership`): what is left to do at its end is then done at once, in place of
   a notification that the next turn would handle.
6. With another dispatcher (`delegate`) the standby keeps leadership, and that dispatcher gets every task.

Guarantees, each with its test in tests/core/threads
- One thread leads at any time: `deque.append` and `deque.pop` are atomic with and without a GIL, and whoever pops has
  leadership (test_one_thread_leads_whatever_races).
- I/O goes on whatever tasks do (test_a_slow_task_loses_leadership_to_the_standby_and_io_goes_on).
- Each task is serviced or cancelled, and only once (test_one_thread_leads_whatever_races,
  test_cancelling_counts_the_tasks_that_have_not_started).
- No thread is lost to a task (test_a_thread_is_never_lost_to_a_task).
- No lock is held over a task, a turn or a log record (test_no_lock_is_held_over_a_task_a_turn_or_a_log_record).

Races, each with its test
- A task ends while the watchdog takes leadership from it: one pop succeeds (test_one_thread_leads_whatever_races).
- A thread that has lost leadership ends its task, and finds in the slot the leadership of a later leader. It takes it,
  which is right too, so no thread remembers across a task whether it led
  (test_a_thread_takes_the_leadership_that_a_later_leader_has_put_down).
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
each one off, and a third of its p99; with tasks that sleep, the same as handing off.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from queue import Empty

from .leadership import QUANTUM, LeadershipPolicy
from .message_queue import MessageQueue, message_queue
from .queue_log import QueueLog
from .running import RunningTask, ThreadSlot, running_tasks
from .tasks import InternalTask, Task, TaskSink
from .watchdog import IDLE_WAIT, Watchdog

logger = logging.getLogger("waitress")
queue_logger = logging.getLogger("waitress.queue")

_now = time.perf_counter


class CannotStartThread(RuntimeError):
    """The system has no thread left."""


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that does not keep the process alive.

    Raises:
        CannotStartThread: the system has none left.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise CannotStartThread(f"Cannot start the thread {name}: {error}") from error
    return thread


class _Message(Enum):
    LEAD = "be the reactor"
    STOP = "end the thread"


class Dispatcher:
    """Runs tasks on `threads` application threads, and turns of I/O on the leader."""

    def __init__(self, threads: int, delegate: TaskSink | None = None) -> None:
        # Set before `start`, read anywhere
        self.thread_count = threads if delegate is None else 0
        self._turn: Callable[[float], None] = time.sleep  # given by `start`
        self._delegate = delegate
        self._hand_off: Callable[[Task], None] = self._queue_task if delegate is None else delegate.add_task
        self._leadership: deque[_Message] = deque()  # holds one item while the leader runs a task
        # For the application threads: leadership, or a task and when it was queued
        self._queue: MessageQueue[tuple[Task, float] | _Message] = message_queue()
        self._standby_queue: MessageQueue[_Message] = message_queue()
        self._policy = LeadershipPolicy()  # each of its attributes says who writes it
        self._watchdog = Watchdog(self._policy, self._leadership, self.yield_leadership)
        self.threads: list[threading.Thread] = []
        self._thread_slots: list[ThreadSlot] = []  # of the application threads
        # Leader only
        self.ready: deque[Task] = deque()
        self.has_leadership_ended = False  # read by every thread after a turn or a task
        self._leader_id = 0  # the application thread that leads, as `threading.get_ident` gives it; read by any
        self._has_resumed = False  # a task has taken leadership back from the slot
        # Guarded by self._lock: without it two threads could count one item once, and rule 3 would not hold
        self._lock = threading.Lock()
        self._outstanding = 0  # items of `_queue` that are waiting, or that an application thread works on
        self._queue_log = QueueLog()

    # --- starting and ending

    def start(self, turn: Callable[[float], None]) -> None:
        """Start the threads; the standby leads.

        `turn(timeout)` waits up to `timeout` seconds for I/O, puts tasks into `ready`, and raises nothing.

        Raises:
            CannotStartThread: the system has none left; those that were started have ended again.
        """
        self._turn = turn
        is_ours = type(self) is Dispatcher and not is_replaced(self.add_task, _STOCK_ADD_TASK)
        if self._delegate is None and not is_ours:
            # A subclass, or a patch, that wants to see every task.
            self.hand_off_all_to(self.add_task)
        self._thread_slots = [ThreadSlot() for _ in range(self.thread_count)]
        targets: list[tuple[Callable[[], None], str]] = [
            (partial(self._run_application_thread, slot), f"waitress-{number}")
            for number, slot in enumerate(self._thread_slots)
        ]
        for target, name in [
            *targets,
            (self._run_standby, "waitress-standby"),
            (self._watchdog.run, "waitress-watchdog"),
        ]:
            try:
                self.threads.append(start_thread(target, name))
            except CannotStartThread:
                self.stop_threads(timeout=1.0)
                raise
        self._standby_queue.put(_Message.LEAD)

    def hand_off_all_to(self, add_task: Callable[[Task], None]) -> None:
        """Give every request to `add_task`, and run none without it; call this before `start`."""

        def hand_off(task: Task) -> None:
            # A program that wants to see each request does not know the other tasks.
            if isinstance(task, InternalTask) and self._delegate is None:
                self._queue_task(task)
            else:
                add_task(task)

        self._hand_off = hand_off
        self._policy.hand_off_always()

    @property
    def waiting_count(self) -> int:
        """Tasks in the queue that no thread has taken yet. Thread: any."""
        return max(0, self._outstanding - self.thread_count)

    @property
    def busy_count(self) -> int:
        """Application threads that run a task, or lead. Thread: any."""
        return min(self._outstanding, self.thread_count)

    def end_leadership(self) -> None:
        """End leadership for good, after the turn that calls this. Thread: the leader."""
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
        kept = []
        with suppress(Empty):
            while True:
                item = self._queue.get_nowait()
                if isinstance(item, _Message) or stays(item[0]):
                    kept.append(item)
                    continue
                tasks.append(item[0])
                with self._lock:
                    self._outstanding -= 1
        for item in kept:  # for the threads that still run a task
            self._queue.put(item)
        for task in tasks:
            try:
                task.cancel()
            except Exception:  # one that fails must not keep the others waiting
                logger.exception("Exception when cancelling %r", task)
        return len(tasks)

    def stop_threads(self, timeout: float) -> int:
        """End all threads once leadership has ended; wait up to `timeout` seconds, and return how many still run.

        A thread that calls this from within a task is neither waited for nor counted.
        """
        self.end_leadership()
        for _ in self.threads:
            self._queue.put(_Message.STOP)
        self._standby_queue.put(_Message.STOP)
        until = _now() + timeout
        others = [thread for thread in self.threads if thread is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, until - _now()))
        return sum(thread.is_alive() for thread in others)

    def abandon_after_fork(self) -> None:
        """Void leadership and the queues in a forked child, which has only the thread that forked."""
        self.has_leadership_ended = True
        self._lock = threading.Lock()  # another thread may have held it
        self._leadership.clear()
        self._queue = message_queue()
        self._queue.put(_Message.STOP)

    # --- tasks

    def add_task(self, task: Task) -> None:
        """Queue a task for the application threads. Thread: any."""
        self._queue_task(task)

    def _queue_task(self, task: Task) -> None:
        now = _now()
        with self._lock:
            self._outstanding += 1
            depth = self._outstanding - self.thread_count
            is_logged = depth > 0 and self._queue_log.grow(depth, now)
        self._queue.put((task, now))
        if is_logged:
            queue_logger.warning("Task queue depth is %d", depth)

    def tick(self) -> None:
        """Log that the queue is empty again, if it is. Called once a second. Thread: any."""
        if self._queue_log.logged_depth:
            with self._lock:
                episode = self._queue_log.end_if_quiet(self._outstanding - self.thread_count, _now())
            if episode is not None:
                queue_logger.info(
                    "Task queue is empty again: its greatest depth was %d, the longest wait %.3f seconds", *episode
                )

    def running(self) -> list[RunningTask]:
        """Return what the application threads run. Thread: any."""
        return running_tasks(self._thread_slots, _now())

    def yield_leadership(self) -> None:
        """Give leadership to the standby, if it is in the slot; a task calls this before it blocks. Thread: any.

        Another thread's task may have put it there; the standby may just as well lead in place of that thread.
        """
        with suppress(IndexError):
            self._leadership.pop()
            self._policy.on_take(_now())
            self._standby_queue.put(_Message.LEAD)

    def resume_leadership(self) -> bool:
        """Take back the leadership that was put down for this task: its last act may then be that of the leader.

        False if this thread has not led, or leads no more. Thread: the one that runs the task.
        """
        if threading.get_ident() != self._leader_id:
            return False
        try:
            self._leadership.pop()
        except IndexError:
            return False
        self._has_resumed = True
        return True

    # --- the threads

    def _run_application_thread(self, slot: ThreadSlot) -> None:
        """Run tasks from the queue, or lead, until told to stop. Thread: an application thread."""
        slot.thread_id = threading.get_ident()
        while (item := self._queue.get()) is not _Message.STOP:
            if isinstance(item, _Message):
                self._leader_id = slot.thread_id
                self._run_as_leader(slot)
                # Before this thread takes a task from the queue: at its end that one must not take leadership from the
                # slot, because this thread would not know. A later leader that has set it meanwhile loses nothing else.
                self._leader_id = 0
            else:
                task, queued_at = item
                started_at = _now()
                if self._queue_log.logged_depth:
                    with self._lock:
                        self._queue_log.end_wait(started_at - queued_at)
                slot.running = (task, started_at)
                self._service(task)
                slot.running = None
                self._policy.weigh(_now() - started_at)
            with self._lock:
                self._outstanding -= 1

    def _service(self, task: Task) -> None:
        try:
            task.service()
        except BaseException:  # a thread is never lost to a task
            logger.exception("Exception when servicing %r", task)

    def _run_as_leader(self, slot: ThreadSlot) -> None:
        """Run turns and tasks until leadership is taken, or tasks are slow. Thread: an application thread."""
        ready, leadership, policy, watchdog = self.ready, self._leadership, self._policy, self._watchdog
        lead = _Message.LEAD
        has_leadership = True
        while has_leadership and not self.has_leadership_ended:
            started_at = now = _now()
            if ready and policy.hands_off(now):
                self._standby_queue.put(lead)
                return
            count = 0
            while ready and now - started_at <= QUANTUM:
                count += 1
                task = ready.popleft()
                policy.tasks_run += 1
                leadership.append(lead)
                if watchdog.is_parked:
                    watchdog.unpark()
                slot.running = (task, now)
                self._service(task)
                slot.running = None
                now = _now()
                if self._has_resumed:
                    self._has_resumed = False
                    continue
                try:
                    leadership.pop()
                except IndexError:  # taken: another thread leads
                    has_leadership = False
                    break
            if count:
                policy.weigh((now - started_at) / count, count)
            if has_leadership:
                policy.led_seconds += now - started_at
                self._turn(0 if ready else IDLE_WAIT)

    def _run_standby(self) -> None:
        """While it leads, run turns and hand tasks off, until an application thread should lead."""
        while self._standby_queue.get() is not _Message.STOP:
            while not self.has_leadership_ended and not self._hand_off_ready():
                self._turn(IDLE_WAIT)

    def _hand_off_ready(self) -> bool:
        """Hand ready tasks off; true if leadership has been given away, and with it the tasks that are left."""
        ready = self.ready
        while ready:
            if not self._policy.hands_off(_now()) and self._give_leadership():
                return True  # `ready` is another thread's from now on: do not even read it
            task = ready.popleft()
            try:
                self._hand_off(task)
            except Exception:  # of a dispatcher that is not ours; no fault may lose leadership
                logger.exception("Exception when adding %r", task)
                task.cancel()
        return False

    def _give_leadership(self) -> bool:
        """Give leadership to a free application thread; false if there is none. Thread: the standby, while it leads."""
        with self._lock:
            if self._outstanding >= self.thread_count:
                return False
            self._outstanding += 1
        self._queue.put(_Message.LEAD)
        return True


def is_replaced(method: object, stock: object) -> bool:
    """Whether a program has replaced the method `stock` by its own, on the object or its class."""
    return getattr(method, "__func__", None) is not stock


_STOCK_ADD_TASK = Dispatcher.add_task  # programs that measure queues replace it, also on the class
