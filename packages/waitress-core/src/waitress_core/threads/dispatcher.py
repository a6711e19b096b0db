"""The threads: application threads, a spare, a watchdog, and the one lead that makes one of them the reactor.

Knows tasks (`service`, `cancel`) and a `turn` of I/O; knows no HTTP and no socket.

Who there is
    N application threads   the only ones that ever run the application; threads=1 is one thread, always the same
    the spare               never runs the application; is the reactor when no application thread should be
    the watchdog            looks now and then whether a task keeps the lead from the I/O

The rules
1. Whoever holds the lead is the reactor. While the application is quick an application thread holds it and runs each
   task itself, between two turns: a task never changes threads. That hand-over is most of what a threaded server in
   Python spends on a small request.
2. While it runs a task the lead lies in `_lead_slot`. From a task that runs from one look of the watchdog to the next
   it takes the lead and gives it to the spare, who is always free. The thread finds the slot empty afterwards and
   becomes a plain worker. It may also find a lead that a later reactor laid down: taking that is right too, so no
   thread remembers across a task whether it was the reactor.
3. The spare hands every task to the queue. When the application has been quick (`lead_policy`) it gives the lead to an
   application thread, if one is free: `_outstanding`, exact and guarded, says so. Were it a guess, the lead could lie
   in the queue behind tasks with every thread busy, and the I/O would stand still.
4. What is ready but not run belongs to the lead, not to a thread. Tasks run between turns, and after a QUANTUM of them
   the poller is asked again. How long tasks take is weighed after each such burst, as if all of it were
   equally long, and whether they are quick is asked before the next.
5. `deque.append` and `deque.pop` are atomic with and without a GIL: the one who pops has the lead.
6. A task that is about to block gives the lead away first (`yield_leadership`).
7. With another dispatcher (`delegate`) the spare keeps the lead and that one gets every task.

Measured when this was chosen (CPython 3.11, two cores, small requests on 16 connections): 2x the requests of handing
each one over, and a third of its p99; with tasks that sleep, the same as handing over.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue

from .leadership import QUANTUM, LeadershipPolicy
from .queue_log import QueueDepth
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
    """Runs tasks on `threads` application threads, and turns of I/O on whoever holds the lead."""

    def __init__(self, threads: int, delegate: TaskSink | None = None) -> None:
        # Set before `start`, read anywhere
        self.thread_count = threads if delegate is None else 0
        self._turn: Callable[[float], None] = time.sleep  # given by `start`
        self._delegate = delegate
        self._hand_off: Callable[[Task], None] = self._queue_task if delegate is None else delegate.add_task
        self._lead_slot: deque[_Message] = deque()  # the lead, while its holder runs a task
        # For the application threads: the lead, or a task and when it was queued
        self._queue: SimpleQueue[tuple[Task, float] | _Message] = SimpleQueue()
        self._standby_queue: SimpleQueue[_Message] = SimpleQueue()
        self._policy = LeadershipPolicy()  # which says who owns what of it
        self._watchdog = Watchdog(self._policy, self._lead_slot, self.yield_leadership)
        self.threads: list[threading.Thread] = []
        self._thread_slots: list[ThreadSlot] = []  # of the application threads
        # The holder of the lead only
        self.ready: deque[Task] = deque()
        self.has_leadership_ended = False  # read by every thread after a turn or a task
        # Guarded by self._lock
        self._lock = threading.Lock()
        self._outstanding = 0  # what the application threads have taken or will take from the queue
        self._depth = QueueDepth()

    # --- starting and ending

    def start(self, turn: Callable[[float], None]) -> None:
        """Start the threads; the spare has the lead.

        `turn(timeout)` waits up to so many seconds for I/O, puts tasks into `ready`, and raises nothing.

        Raises:
            CannotStartThread: the system has none left; those that were started have ended again.
        """
        self._turn = turn
        is_ours = type(self) is Dispatcher and not is_replaced(self.add_task, _STOCK_ADD_TASK)
        if self._delegate is None and not is_ours:
            # A subclass, or a patch: it wants to see every task.
            self.hand_off_all_to(self.add_task)
        self._thread_slots = [ThreadSlot() for _ in range(self.thread_count)]
        targets: list[tuple[Callable[[], None], str]] = [
            (partial(self._work, slot), f"waitress-{number}") for number, slot in enumerate(self._thread_slots)
        ]
        for target, name in [*targets, (self._standby, "waitress-standby"), (self._watchdog.run, "waitress-watchdog")]:
            try:
                self.threads.append(start_thread(target, name))
            except CannotStartThread:
                self.stop_threads(timeout=1.0)
                raise
        self._standby_queue.put(_Message.LEAD)

    def hand_off_all_to(self, add_task: Callable[[Task], None]) -> None:
        """Have every request given to this, and none run without it; before `start`."""

        def hand_off(task: Task) -> None:
            # A program that wants to see each request knows no other tasks.
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
        """Application threads that run a task, or are the reactor. Thread: any."""
        return min(self._outstanding, self.thread_count)

    def end_leadership(self) -> None:
        """End the reactor role for good, after the turn that this is called in. The holder of the lead only."""
        self.has_leadership_ended = True
        self._watchdog.stop()

    def cancel_pending(self) -> int:
        """Cancel all tasks that have not begun; return how many.

        Chores stay while there is a lead, and threads to run them: to close a file may run code of the application.

        Thread: the holder of the lead, or after its end whoever ends the threads.
        """

        def stays(task: Task) -> bool:
            return isinstance(task, InternalTask) and not self.has_leadership_ended

        tasks = [task for task in self.ready if not stays(task)]
        chores = [task for task in self.ready if stays(task)]
        self.ready.clear()
        self.ready.extend(chores)
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
        """End all threads once the lead has ended; wait up to `timeout` seconds, and return how many still run.

        A thread that calls this from within a task is not waited for, nor counted.
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
        """Void the lead and the queues in a forked child, which has only the thread that forked."""
        self.has_leadership_ended = True
        self._lock = threading.Lock()  # another thread may have held it
        self._lead_slot.clear()
        self._queue = SimpleQueue()
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
            is_news = depth > 0 and self._depth.grow(depth, now)
        self._queue.put((task, now))
        if is_news:
            queue_logger.warning("Task queue depth is %d", depth)

    def tick(self) -> None:
        """Say that a queue is empty again, when it is. To be called once a second. Thread: any."""
        if self._depth.told:
            with self._lock:
                episode = self._depth.end_if_quiet(self._outstanding - self.thread_count, _now())
            if episode is not None:
                queue_logger.info(
                    "Task queue is empty again: its greatest depth was %d, the longest wait %.3f seconds", *episode
                )

    def running(self) -> list[RunningTask]:
        """Return what the application threads run. Thread: any."""
        return running_tasks(self._thread_slots, _now())

    def yield_leadership(self) -> None:
        """Give the lead, if a task keeps it from the I/O, to the spare; before a wait that blocks.

        It may be another thread's task that keeps it: the spare is as good a reactor for that one.
        """
        with suppress(IndexError):
            self._lead_slot.pop()
            self._policy.on_take(_now())
            self._standby_queue.put(_Message.LEAD)

    # --- the threads

    def _work(self, slot: ThreadSlot) -> None:
        """An application thread: tasks, or the lead, from the queue."""
        slot.thread_id = threading.get_ident()
        while (item := self._queue.get()) is not _Message.STOP:
            if isinstance(item, _Message):
                self._lead(slot)
            else:
                task, queued_at = item
                began = _now()
                if self._depth.told:
                    with self._lock:
                        self._depth.end_wait(began - queued_at)
                slot.running = (task, began)
                self._service(task)
                slot.running = None
                self._policy.weigh(_now() - began)
            with self._lock:
                self._outstanding -= 1

    def _service(self, task: Task) -> None:
        try:
            task.service()
        except BaseException:  # a thread is never lost to a task
            logger.exception("Exception when servicing %r", task)

    def _lead(self, slot: ThreadSlot) -> None:
        """An application thread with the lead: turns and tasks, until the lead is taken or the tasks are slow."""
        ready, lead_slot, policy, lead = self.ready, self._lead_slot, self._policy, _Message.LEAD
        watchdog = self._watchdog
        has_leadership = True
        while has_leadership and not self.has_leadership_ended:
            began = now = _now()
            if ready and policy.hands_off(now):
                self._standby_queue.put(lead)
                return
            count = 0
            while ready and now - began <= QUANTUM:
                count += 1
                task = ready.popleft()
                policy.tasks_run += 1
                lead_slot.append(lead)
                if watchdog.is_parked:
                    watchdog.unpark()
                slot.running = (task, now)
                self._service(task)
                slot.running = None
                now = _now()
                try:
                    lead_slot.pop()
                except IndexError:  # taken: another thread is the reactor
                    has_leadership = False
                    break
            if count:
                policy.weigh((now - began) / count, count)
            if has_leadership:
                policy.led_seconds += now - began
                self._turn(0 if ready else IDLE_WAIT)

    def _standby(self) -> None:
        """The spare: with the lead it turns and hands over, until an application thread should have the lead."""
        while self._standby_queue.get() is not _Message.STOP:
            while not self.has_leadership_ended and not self._hand_off_ready():
                self._turn(IDLE_WAIT)

    def _hand_off_ready(self) -> bool:
        """Hand over what is ready; true when the lead has been given away, and with it what is still ready."""
        ready = self.ready
        while ready:
            if not self._policy.hands_off(_now()) and self._give_leadership():
                return True  # `ready` is another thread's from now on: not even to be looked at
            task = ready.popleft()
            try:
                self._hand_off(task)
            except Exception:  # of a dispatcher that is not ours; no fault may lose the lead
                logger.exception("Exception when adding %r", task)
                task.cancel()
        return False

    def _give_leadership(self) -> bool:
        """Give the lead to a free application thread; false when there is none.

        Only the holder of the lead gives: nobody else can take the free thread meanwhile.
        """
        with self._lock:
            if self._outstanding >= self.thread_count:
                return False
            self._outstanding += 1
        self._queue.put(_Message.LEAD)
        return True


def is_replaced(method: object, stock: object) -> bool:
    """Whether a program has put a method of its own, on the object or its class, in the place of `stock`."""
    return getattr(method, "__func__", None) is not stock


_STOCK_ADD_TASK = Dispatcher.add_task  # programs that measure queues replace it, on the class too
