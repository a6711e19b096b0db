"""Tasks that find too many before them are refused, but internal ones."""

from types import SimpleNamespace
from typing import Any, cast

from waitress_core import Dispatcher, Task
from waitress_core.threads.queue_limit import QueueLimit
from waitress_core.threads.tasks import InternalTask


class Internal(InternalTask):
    def service(self) -> None:
        raise AssertionError("no thread runs it")

    cancel = service


def test_what_waits_for_the_leader_and_for_a_thread_counts() -> None:
    refused: list[Any] = []
    dispatcher = SimpleNamespace(ready=[], waiting_count=0)
    limit = QueueLimit(3, cast(Dispatcher, dispatcher), refused.append)
    tasks = [cast(Task, SimpleNamespace(name=index)) for index in range(6)]
    limit.submit(tasks[0])
    dispatcher.waiting_count = 1
    limit.submit(tasks[1])
    limit.submit(tasks[2])
    assert (dispatcher.ready, refused) == (tasks[:2], [tasks[2]])
    dispatcher.waiting_count = 0
    dispatcher.ready.clear()
    limit.submit(tasks[3])
    assert dispatcher.ready == [tasks[3]]


def test_internal_tasks_take_no_place_and_find_one() -> None:
    refused: list[Any] = []
    dispatcher = SimpleNamespace(ready=[], waiting_count=0)
    limit = QueueLimit(2, cast(Dispatcher, dispatcher), refused.append)
    tasks = [cast(Task, SimpleNamespace(name=index)) for index in range(6)]
    internals = [Internal() for _ in range(4)]
    for internal in internals[:3]:
        limit.submit(internal)
    for task in tasks[:3]:
        limit.submit(task)
    assert (dispatcher.ready, refused) == ([*internals[:3], *tasks[:2]], [tasks[2]])
    del dispatcher.ready[:3]  # the leader has taken the internal ones
    limit.submit(internals[3])
    limit.submit(tasks[3])
    assert (dispatcher.ready, refused) == ([*tasks[:2], internals[3]], tasks[2:4])
    del dispatcher.ready[0]
    limit.submit(tasks[4])
    limit.submit(tasks[5])
    assert (dispatcher.ready, refused) == ([tasks[1], internals[3], tasks[4]], [*tasks[2:4], tasks[5]])


def test_internal_tasks_that_have_run_are_forgotten_without_any_request() -> None:
    dispatcher = SimpleNamespace(ready=[], waiting_count=0)
    limit = QueueLimit(2, cast(Dispatcher, dispatcher), lambda task: None)
    for _ in range(10):
        limit.submit(Internal())
        dispatcher.ready.clear()
    assert len(limit._internal) <= 1
