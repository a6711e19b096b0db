"""The states of a server: a server only ever moves on."""

from waitress_core.connection.context import State
from waitress_core.lifecycle import states
from waitress_core.lifecycle.states import TRANSITIONS


def test_a_server_only_ever_moves_to_a_higher_state() -> None:
    names = ["READY", "SERVING", "LEAVING", "DRAINING", "CLOSING", "CLOSED"]
    assert [state.name for state in State] == names
    assert sorted(State) == list(State)
    assert set(TRANSITIONS) == set(State)
    assert all(after > before for before, targets in TRANSITIONS.items() for after in targets)


def test_every_state_is_explained() -> None:
    assert all(f"    {state.name} " in (states.__doc__ or "") for state in State)
