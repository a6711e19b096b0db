"""Counters of rare events."""

from waitress_core.observability.stats import LabelledCounter


def test_a_signal_handler_may_read_a_counter_while_its_thread_adds_to_it() -> None:
    counter = LabelledCounter(["late"])
    counter.add("late")
    with counter._lock:
        assert counter.counts() == {"late": 1}
