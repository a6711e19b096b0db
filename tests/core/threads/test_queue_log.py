"""Which queues are logged, and with which figures: `QueueLog` by itself."""

from waitress_core.threads.queue_log import QUIET_SECONDS, QueueLog

LATE = 0.5


def test_a_request_that_waits_while_a_thread_is_free_counts_in_the_greatest_depth() -> None:
    """On a machine under load, the thread that is free for it may wake up late: the queue has never grown."""
    log = QueueLog(0.1)
    assert log.note_wait(LATE, 1, 10.0) == 1
    assert log.end_if_quiet(0, 10.0 + QUIET_SECONDS) == (1, LATE)


def test_the_figures_of_an_episode_are_not_those_of_an_earlier_one() -> None:
    log = QueueLog(0.1)
    for depth in (1, 2, 3):
        log.grow(depth, 0.0)
    assert log.note_wait(9.0, 3, 9.0) == 3
    assert log.end_if_quiet(0, 9.0 + QUIET_SECONDS) == (3, 9.0)
    assert log.note_wait(LATE, 1, 20.0) == 1
    assert log.end_if_quiet(0, 20.0 + QUIET_SECONDS) == (1, LATE)
