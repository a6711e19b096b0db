"""How the tests are shared out among the processes of pytest-xdist."""

from typing import Any

from xdist.scheduler import LoadGroupScheduling

QUICK = ("tests/buffers/", "tests/core/", "tests/http/", "tests/parser/")  # folders with tests that take milliseconds


class FromBothEnds(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives every second process tests from the end of the list, which `conftest.py` has ordered: those that wait.

    So the processors have something to do while the others wait for a deadline of a server.

    All cases of one quick test go to one process at once. At every test the scheduler counts the units that it has
    given to a process: with a unit for each of thousands of cases it took a millisecond for each of them, and quick
    processes waited for it. Everything else is as with `--dist=loadgroup`.
    """

    def _assign_work_unit(self, node: Any) -> None:
        if self.nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return nodeid.partition("[")[0] if scope == nodeid and nodeid.startswith(QUICK) else scope
