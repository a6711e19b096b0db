"""How a server moves to its end: the decisions, without a server."""

import pytest

from waitress_core.connection.context import State
from waitress_core.lifecycle.shutdown import is_over, next_state, strongest
from waitress_core.lifecycle.states import StopRequest

READY, SERVING, LEAVING, DRAINING, CLOSING, _ = State


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        pytest.param([(LEAVING, 25.0)], (LEAVING, 25.0), id="one"),
        pytest.param([(CLOSING, 5.0), (LEAVING, 1.0)], (CLOSING, 5.0), id="the-highest-state"),
        pytest.param([(LEAVING, 1.0), (CLOSING, 5.0)], (CLOSING, 5.0), id="in-any-order"),
        pytest.param([(CLOSING, 5.0), (CLOSING, 2.0), (CLOSING, 9.0)], (CLOSING, 2.0), id="the-shortest-time"),
    ],
)
def test_the_strongest_of_several_requests(requests: list[tuple[State, float]], expected: tuple[State, float]) -> None:
    found = strongest([StopRequest(state, until) for state, until in requests])
    assert (found.state, found.until, found.is_signal) == (*expected, False)


def test_a_signal_among_several_requests_is_remembered() -> None:
    assert strongest([StopRequest(LEAVING, 1.0, is_signal=True), StopRequest(CLOSING, 1.0)]).is_signal


# now, until, leave_until: instants; the request is LEAVING until 10 unless a row says CLOSING
@pytest.mark.parametrize(
    ("state", "wanted", "now", "leave_until", "has_connections", "expected"),
    [
        pytest.param(READY, LEAVING, 1, 0, False, LEAVING, id="leaves-before-it-serves"),
        pytest.param(SERVING, LEAVING, 1, 0, True, LEAVING, id="leaves"),
        pytest.param(LEAVING, LEAVING, 1, 5, True, LEAVING, id="waits-for-the-delay"),
        pytest.param(LEAVING, LEAVING, 5, 5, True, DRAINING, id="drains-after-the-delay"),
        pytest.param(LEAVING, LEAVING, 10, 50, True, DRAINING, id="drains-when-the-time-is-up"),
        pytest.param(DRAINING, LEAVING, 9, 5, True, DRAINING, id="waits-for-connections"),
        pytest.param(DRAINING, LEAVING, 10, 5, True, CLOSING, id="cuts-off-when-the-time-is-up"),
        pytest.param(DRAINING, LEAVING, 10, 5, False, DRAINING, id="has-nothing-to-cut-off"),
        pytest.param(SERVING, CLOSING, 1, 0, True, CLOSING, id="closes"),
        pytest.param(LEAVING, CLOSING, 1, 5, True, CLOSING, id="closes-while-it-leaves"),
        pytest.param(DRAINING, CLOSING, 1, 0, False, CLOSING, id="closes-while-it-drains"),
        pytest.param(CLOSING, LEAVING, 1, 0, True, CLOSING, id="goes-on-closing"),
    ],
)
def test_the_next_state(
    state: State, wanted: State, now: float, leave_until: float, has_connections: bool, expected: State
) -> None:
    request = StopRequest(wanted, 10.0)
    found = next_state(state, request, now=now, leave_until=leave_until, has_connections=has_connections)
    assert found is expected


@pytest.mark.parametrize(
    ("state", "now", "has_connections", "expected"),
    [
        pytest.param(LEAVING, 20, False, False, id="leaving-is-not-the-end"),
        pytest.param(DRAINING, 1, True, False, id="draining-with-connections"),
        pytest.param(DRAINING, 1, False, True, id="drained"),
        pytest.param(CLOSING, 1, True, False, id="closing-with-connections"),
        pytest.param(CLOSING, 1, False, True, id="closed"),
        pytest.param(CLOSING, 10, True, True, id="closing-whose-time-is-up"),
    ],
)
def test_when_a_run_is_over(state: State, now: float, has_connections: bool, expected: bool) -> None:
    assert is_over(state, StopRequest(CLOSING, 10.0), now=now, has_connections=has_connections) is expected
