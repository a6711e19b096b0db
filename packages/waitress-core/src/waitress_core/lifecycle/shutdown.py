"""How a server moves to its end: decisions only. `run.ServerRun` asks them once a turn, and acts.

Pure: states and instants in, a state or a bool out. Never reads a clock.
"""

from collections.abc import Sequence

from ..connection.context import State
from .states import StopRequest


def strongest(requests: Sequence[StopRequest]) -> StopRequest:
    """Return what several requests ask for together: the highest state, in the shortest time given for it."""
    state = max(requests).state
    until = min(request.until for request in requests if request.state is state)
    ends_now = next((request.ends_now for request in requests if request.ends_now), "")
    is_signal, retires = any(request.is_signal for request in requests), all(request.retires for request in requests)
    return StopRequest(state, until, is_signal, retires, ends_now)


def next_state(state: State, request: StopRequest, *, now: float, leave_until: float, has_connections: bool) -> State:
    """Return the state to move to; the present one when it is not time for another.

    `leave_until` is the instant at which LEAVING is over at the latest.
    """
    if request.state is State.CLOSING or state >= State.CLOSING:
        return State.CLOSING
    if state < State.LEAVING:
        return State.LEAVING
    if state is State.LEAVING:
        has_left = request.retires and not has_connections  # no new ones come
        return State.DRAINING if has_left or now >= min(leave_until, request.until) else state
    return State.CLOSING if now >= request.until and has_connections else state


def is_over(state: State, request: StopRequest, *, now: float, has_connections: bool) -> bool:
    """Whether the run ends now: nothing is left to answer, or the time for it is up."""
    if state < State.DRAINING:
        return False
    return not has_connections or (state is State.CLOSING and now >= request.until)
