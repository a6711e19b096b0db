"""What is said of Windows: the list of the tests that fail there, and the page on portability."""

import ast
import re
from collections import Counter

from tests.project.repository import PACKAGES, ROOT
from tests.support.rows import each_row
from tests.support.windows import listed

IDS = [test.test_id for test in listed()]
DIFFERS = re.compile(r'sys\.platform|(?:hasattr|getattr)\((?:os|select|socket), "')


@each_row("test_id", IDS)
def test_every_test_of_the_list_is_there(test_id: str) -> None:
    path, _, name = test_id.partition("[")[0].partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert not name or name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_none_is_in_the_list_twice_and_each_has_a_cause() -> None:
    assert not [test_id for test_id, count in Counter(IDS).items() if count > 1]
    assert not [test for test in listed() if not re.match("(Wine|Windows)(, not run)?: .", test.cause)]


def test_the_page_on_portability_names_every_source_that_differs_by_system() -> None:
    page = (ROOT / "docs" / "explanation" / "portability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(waitress\w*/[\w/]+\.py)`", page.partition("## Where the source differs")[2]))
    differing = {
        f"{package.import_name}/{module.relative_to(package.source).as_posix()}"
        for package in PACKAGES
        for module in package.modules
        if DIFFERS.search(module.read_text(encoding="utf-8")) and module.parent.name != "processes"
    }
    assert differing | {"waitress_core/net/errors.py"} == named
