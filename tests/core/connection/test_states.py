"""The table of moves: closed, connected, and what is said of it."""

import pytest

from waitress_core.connection import states
from waitress_core.connection.states import TRANSITIONS, Ending, Phase


def test_every_phase_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Phase)


def test_no_phase_moves_to_itself() -> None:
    assert all(phase not in targets for phase, targets in TRANSITIONS.items())


def test_every_phase_is_reached_from_idle_and_leads_to_closed() -> None:
    def reachable(start: Phase) -> set[Phase]:
        reached: set[Phase] = set()
        new = {start}
        while new:
            reached |= new
            new = {target for phase in new for target in TRANSITIONS[phase]} - reached
        return reached

    assert reachable(Phase.IDLE) == set(Phase)
    assert all(Phase.CLOSED in reachable(phase) for phase in Phase)


def test_closed_is_the_only_end() -> None:
    assert {phase for phase, targets in TRANSITIONS.items() if not targets} == {Phase.CLOSED}


def test_only_a_complete_response_leads_back_to_idle() -> None:
    assert {phase for phase, targets in TRANSITIONS.items() if Phase.IDLE in targets} == {Phase.FLUSH}


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
def test_every_phase_is_explained(phase: Phase) -> None:
    assert f"    {phase.name} " in (states.__doc__ or "")


def test_the_endings_are_four() -> None:
    assert {ending.name for ending in Ending} == {"PERSIST", "CLOSE", "LINGER", "RESET"}
