"""The pool of threads by its old name, alone and as that of a server."""

import logging
import threading
from typing import Any

import pytest

from tests.support.processes import becomes_true
from tests.waitress.serving import PATIENCE, address_of, answer, application, running
from waitress.server import create_server
from waitress.task import ThreadedTaskDispatcher


class Held:
    """A task that runs until it is let go."""

    def __init__(self) -> None:
        self.runs, self.may_end = threading.Event(), threading.Event()
        self.is_cancelled = False

    def service(self) -> None:
        self.runs.set()
        self.may_end.wait(PATIENCE)

    def cancel(self) -> None:
        self.is_cancelled = True


def test_tasks_run_in_so_many_threads_and_wait_in_a_queue(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadedTaskDispatcher()
    pool.set_thread_count(2)
    assert pool.threads == {0, 1}
    tasks = [Held() for _ in range(3)]
    for task in tasks:
        pool.add_task(task)
    assert tasks[0].runs.wait(PATIENCE)
    assert tasks[1].runs.wait(PATIENCE)
    assert (pool.active_count, len(pool.queue)) == (2, 1)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("waitress.queue", "Task queue depth is 1")
    ]
    for task in tasks:
        task.may_end.set()
    assert tasks[2].runs.wait(PATIENCE)
    assert pool.shutdown(cancel_pending=False) is False
    assert (pool.threads, pool.active_count, pool.stop_count) == (set(), 0, 0)


def test_shutdown_cancels_what_waits_and_logs_what_runs(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadedTaskDispatcher()
    pool.set_thread_count(1)
    runs, waits = Held(), Held()
    pool.add_task(runs)
    assert runs.runs.wait(PATIENCE)
    pool.add_task(waits)
    caplog.clear()
    assert pool.shutdown(timeout=0) is True
    assert waits.is_cancelled
    assert [record.getMessage() for record in caplog.records] == [
        "1 thread(s) still running",
        "Canceling 1 pending task(s)",
    ]
    runs.may_end.set()
    assert becomes_true(lambda: not pool.threads)


def test_shutdown_logs_what_runs_without_holding_the_lock_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadedTaskDispatcher()
    pool.set_thread_count(1)
    runs = Held()
    pool.add_task(runs)
    assert runs.runs.wait(PATIENCE)
    free: list[bool] = []
    monkeypatch.setattr(pool.logger, "warning", lambda *said: free.append(not pool.lock.locked()))
    pool.shutdown(timeout=0)
    assert free == [True]
    runs.may_end.set()
    assert becomes_true(lambda: not pool.threads)


def test_the_number_of_threads_may_change(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadedTaskDispatcher()
    pool.set_thread_count(3)
    pool.set_thread_count(1)
    assert becomes_true(lambda: len(pool.threads) == 1)
    pool.set_thread_count(2)
    assert len(pool.threads) == 2
    pool.shutdown()


def test_a_task_that_fails_costs_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadedTaskDispatcher()
    pool.set_thread_count(1)

    class Failing(Held):
        def service(self) -> None:
            raise SystemExit

    pool.add_task(Failing())
    task = Held()
    task.may_end.set()
    pool.add_task(task)
    assert task.runs.wait(PATIENCE)
    pool.shutdown()
    assert "Exception when servicing" in caplog.text


def test_a_subclass_says_what_its_threads_do() -> None:
    class Own(ThreadedTaskDispatcher):
        def handler_thread(self, thread_no: int) -> None:
            with self.lock:
                while not self.queue:
                    self.queue_cv.wait()
                task = self.queue.popleft()
                self.active_count += 1
            task.service()
            with self.lock:
                self.active_count -= 1
                self.threads.discard(thread_no)
                self.thread_exit_cv.notify()

    pool = Own()
    pool.set_thread_count(1)
    task = Held()
    task.may_end.set()
    pool.add_task(task)
    assert becomes_true(lambda: not pool.threads)
    assert task.runs.is_set()


def test_a_pool_of_the_program_runs_the_requests_of_a_server() -> None:
    names: list[str] = []

    def named(environ: Any, start_response: Any) -> list[bytes]:
        names.append(threading.current_thread().name)
        return application(environ, start_response)

    pool = ThreadedTaskDispatcher()
    pool.set_thread_count(1)
    server = create_server(named, listen="127.0.0.1:0", _dispatcher=pool)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.task_dispatcher is pool
    assert answer(address_of(server), "/tea") == b"/tea"
    server.close()
    thread.join(PATIENCE)
    pool.shutdown()
    assert names == ["waitress-0"]


# --- that of a server


def test_it_shows_the_threads_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    server = create_server(application, listen="127.0.0.1:0", threads=3)
    pool = server.task_dispatcher
    assert isinstance(pool, ThreadedTaskDispatcher)
    assert (pool.threads, len(pool.queue), pool.stop_count, pool.active_count) == (set(), 0, 0, 0)
    pool.set_thread_count(2)
    assert pool.shutdown() is True  # it does not run
    with running(server):
        answer(address_of(server))
        assert pool.threads == {0, 1}
        assert not pool.queue
        names = {thread.name for thread in threading.enumerate()}
        assert {name for name in names if name.startswith("waitress-") and name[-1].isdigit()} == {
            "waitress-0",
            "waitress-1",
        }
        pool.set_thread_count(5)
        assert pool.threads == {0, 1}


@pytest.mark.parametrize("where", ["object", "class", "server", "server object", "subclass"])
def test_a_patched_add_task_sees_every_request(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    stock = ThreadedTaskDispatcher.add_task

    def add_task(self: Any, task: Any) -> None:
        seen.append((task.addr, [request.path for request in task.requests]))
        stock(self, task)

    server = create_server(application, listen="127.0.0.1:0")
    if where == "class":
        monkeypatch.setattr(ThreadedTaskDispatcher, "add_task", add_task)
    elif where == "object":
        server.task_dispatcher.add_task = lambda task: add_task(server.task_dispatcher, task)
    elif where == "server object":
        server.add_task = lambda task: add_task(server.task_dispatcher, task)  # type: ignore[method-assign]  # as programs do
    elif where == "server":
        pool = ThreadedTaskDispatcher()
        pool.set_thread_count(1)
        pool.add_task = lambda task: add_task(pool, task)  # type: ignore[method-assign]  # as programs do
        server.task_dispatcher = pool
    else:
        kind = type(server)

        class Own(kind):  # type: ignore[misc,valid-type]  # the class is known only here
            def add_task(self, task: Any) -> None:
                add_task(self.task_dispatcher, task)

        server.close()
        server = Own(application, listen="127.0.0.1:0")
    thread = threading.Thread(target=server.run)
    thread.start()
    for number in range(5):
        assert answer(address_of(server), f"/{number}") == f"/{number}".encode()
    server.close()
    thread.join(PATIENCE)
    if where == "server":
        pool.shutdown()
    assert [paths for _, paths in seen] == [[f"/{number}"] for number in range(5)]
    assert all(host == "127.0.0.1" for (host, _), _ in seen)


def test_tasks_of_a_program_run_on_the_threads_of_the_server() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    task = Held()
    task.may_end.set()
    with running(server):
        server.add_task(task)
        assert task.runs.wait(PATIENCE)


def test_the_queue_of_a_busy_server_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server = create_server(application, listen="127.0.0.1:0", threads=1, queue_warning_seconds=0)
    tasks = [Held() for _ in range(2)]
    with running(server):
        for task in tasks:
            server.add_task(task)
            if task is tasks[0]:
                assert task.runs.wait(PATIENCE)
        assert becomes_true(lambda: len(server.task_dispatcher.queue) == 1)
        assert server.task_dispatcher.active_count == 1
        for task in tasks:
            task.may_end.set()
        assert tasks[1].runs.wait(PATIENCE)
    assert [record.name for record in caplog.records] == ["waitress.queue"]
