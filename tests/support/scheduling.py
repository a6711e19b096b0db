"""How the tests are shared out among the processes of pytest-xdist."""

from xdist.scheduler import LoadGroupScheduling

QUICK = ("tests/buffers/", "tests/core/", "tests/http/", "tests/parser/")  # folders with tests that take milliseconds


class CasesTogether(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives all cases of one quick test to one process at once; everything else as `--dist=loadgroup` does.

    At every test the scheduler counts the units that it has given to a process: with a unit for each of thousands of
    cases it took a millisecond for each of them, and quick processes waited for it.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return nodeid.partition("[")[0] if scope == nodeid and nodeid.startswith(QUICK) else scope
