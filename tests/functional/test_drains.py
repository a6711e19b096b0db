"""A server that is told to end at any moment under load breaks off no response. `make soak` does this 100 times."""

import sys
from pathlib import Path

import pytest

from tests.soak.drains import drain, serving_in_turn
from tests.support.processes import needs_proc

TIMES = 5


@needs_proc
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send SIGTERM to one process")
@pytest.mark.parametrize("first_seed", [1000, 2000, 3000, 4000])
def test_sigterm_at_a_random_moment_under_load_breaks_off_no_response(first_seed: int, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    with serving_in_turn(TIMES, tmp_path / "temporary") as server:
        for seed in range(first_seed, first_seed + TIMES):
            load = drain(server, seed)
            assert load.wrong == []
        assert server.wait() == 0
    assert not [line for line in server.log if "ERROR" in line or "Traceback" in line or "cut off" in line]
    assert list((tmp_path / "temporary").iterdir()) == []
