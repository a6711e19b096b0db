"""The threads of a dispatcher: they go on whatever is raised in them, and are replaced when they have ended."""

import threading

import pytest

from tests.support.faults import NO_THREAD, leave_threads
from waitress_core.threads import pool as module
from waitress_core.threads.pool import CannotStartThread, ThreadPool
from waitress_core.threads.running import ThreadSlot

SOON = 20.0


class Work:
    """What a thread runs: it raises what it is told to, and ends when it may."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.raises: list[BaseException] = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()

    def __call__(self, slot: ThreadSlot) -> None:
        self.runs.append(threading.current_thread().name)
        if self.raises:
            raise self.raises.pop()
        self.started.release()
        assert self.gate.wait(SOON)


@pytest.fixture
def work() -> Work:
    return Work()


def end(pool: ThreadPool, work: Work) -> None:
    pool.stop()
    work.gate.set()
    assert pool.join(SOON) == 0


def test_application_threads_are_numbered_and_the_others_named(work: Work) -> None:
    pool = ThreadPool("tea", lambda slot: None)
    pool.start_application_thread(work)
    pool.start_application_thread(work)
    pool.start("standby", work)
    assert [thread.name for thread in pool.threads] == ["tea-0", "tea-1", "tea-standby"]
    assert len(pool.slots) == 2
    end(pool, work)


@pytest.mark.parametrize("error", [RuntimeError("no tea"), SystemExit(1)], ids=["error", "exit"])
def test_a_thread_in_which_something_raises_goes_on_and_its_slot_is_reported(
    error: BaseException, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAULT_SECONDS", 0.0)
    failed: list[ThreadSlot] = []
    pool = ThreadPool("tea", failed.append)
    work.raises.append(error)
    pool.start_application_thread(work)
    assert work.started.acquire(timeout=SOON)
    assert (work.runs, failed) == (["tea-0", "tea-0"], pool.slots)
    end(pool, work)


def test_a_thread_that_has_ended_is_replaced_by_one_of_its_name(work: Work) -> None:
    failed: list[ThreadSlot] = []
    pool = ThreadPool("tea", failed.append)

    def ends(slot: ThreadSlot) -> None:
        if work.runs:
            work(slot)
        else:
            work.runs.append("first")

    pool.start_application_thread(ends)
    pool.threads[0].join(SOON)
    pool.check()
    assert work.started.acquire(timeout=SOON)
    assert (work.runs, failed) == (["first", "tea-0"], pool.slots)
    end(pool, work)


def test_a_lost_thread_that_has_ended_is_forgotten_and_the_next_has_a_new_number(work: Work) -> None:
    pool = ThreadPool("tea", lambda slot: None)
    pool.start_application_thread(work)
    assert work.started.acquire(timeout=SOON)
    [lost] = pool.slots
    lost.is_lost, lost.running = True, (object(), 0.0)
    assert pool.lost_count == 1
    pool.start_application_thread(work)
    assert work.started.acquire(timeout=SOON)
    lost.running = None
    assert pool.lost_count == 0
    work.gate.set()
    for thread in pool.threads:
        thread.join(SOON)
    work.gate.clear()
    pool.check()
    assert [thread.name for thread in pool.threads] == ["tea-1"]
    assert lost not in pool.slots
    end(pool, work)


def test_a_thread_that_cannot_be_started_leaves_no_slot(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool("tea", lambda slot: None)
    with monkeypatch.context() as patch:
        leave_threads(patch, 0)
        with pytest.raises(CannotStartThread, match=f"Cannot start the thread tea-0: {NO_THREAD}"):
            pool.start_application_thread(work)
    assert (pool.threads, pool.slots) == ([], [])


def test_a_thread_that_still_runs_is_counted_but_not_the_one_that_asks(work: Work) -> None:
    counts: list[int] = []
    pool = ThreadPool("tea", lambda slot: None)
    pool.start_application_thread(work)
    assert work.started.acquire(timeout=SOON)
    pool.start("asks", lambda slot: counts.append(pool.join(0.0)))
    pool.threads[1].join(SOON)
    assert counts == [1]
    end(pool, work)
