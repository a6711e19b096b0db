"""The page of log records names each call of a logger in the packages, and no other."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.project.repository import PACKAGES, ROOT

pytestmark = pytest.mark.xdist_group("log-records")  # one process reads the packages

PAGE = (ROOT / "docs" / "reference" / "log-records.md").read_text(encoding="utf-8")
LEVELS = {name: name.upper() for name in ("debug", "info", "warning", "error", "critical", "log")}
LEVELS["exception"] = "ERROR"

# Calls with a text that is made elsewhere: the text on the page.
MADE_ELSEWHERE = {
    ("waitress/server.py", "text"): "Serving on http://{}:{}",
    ("waitress_cli/serve.py", "'Serving on %s'"): "Serving on http://{}:{}",
    ("waitress_cli/serve.py", "'%s'"): "waitress-core %s on %s with %s serves %s",
}
# Calls with a text from the program, or from the caller of a ThrottledLogger.
OF_THE_CALLER = {
    ("waitress_core/throttled_logger.py", "level"),
    ("waitress_core/safe_logger.py", "level"),
    ("waitress/_logs.py", "message"),
    ("waitress/_logs.py", "getattr(logging, type.upper(), logging.INFO)"),
}

Record = tuple[str, str, str]  # logger, level, text


def records_of_the_page() -> list[Record]:
    found: list[Record] = []
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        logger = section.split("`")[1]
        rows = re.findall(r"^\| ([A-Z]+) \| `(.*?)` \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
        assert len(rows) == len(re.findall(r"^\| [A-Z]", section, re.MULTILINE)), "a row is not of four cells"
        found += [(logger, level, text.replace("\\n", "\n")) for level, text, _, _ in rows]
    return found


def loggers_in(tree: ast.Module) -> dict[str, str]:
    """Return the name of each logger by the variable that holds it, of the module or of a class."""
    return {
        target.id: match[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and (match := re.fullmatch(r"(?:SafeLogger\()?logging\.getLogger\('([\w.]+)'\)\)?", ast.unparse(node.value)))
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def throttled_in(tree: ast.Module) -> dict[str, str]:
    """Return, by the attribute that holds it, the variable of the logger that each ThrottledLogger logs to."""
    return {
        ast.unparse(target): ast.unparse(node.value.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "ThrottledLogger"
        for target in node.targets
    }


def records_in(module: Path, name: str) -> Iterator[Record]:
    """Return what a module logs."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    loggers = {"logger": "waitress", **loggers_in(tree)}  # a class may have it from one of another module
    throttled = throttled_in(tree)
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
            continue
        if call.func.attr == "log" and ast.unparse(call.func.value) in throttled:
            level, _, text = call.args[:3]
            assert isinstance(level, ast.Attribute)
            assert isinstance(text, ast.Constant)
            yield loggers[throttled[ast.unparse(call.func.value)]], level.attr, str(text.value)
            continue
        receiver = ast.unparse(call.func.value).removeprefix("self.").lstrip("_")
        if receiver not in loggers or call.func.attr not in LEVELS:
            continue
        text = call.args[0]
        if (name, ast.unparse(text)) in OF_THE_CALLER:
            continue
        known = MADE_ELSEWHERE.get((name, ast.unparse(text)))
        if known is None:
            assert isinstance(text, ast.Constant), f"{name}:{call.lineno}: the page cannot be compared with this text"
            known = str(text.value)
        yield loggers[receiver], LEVELS[call.func.attr], known


@cache
def records_of_the_packages() -> frozenset[Record]:
    return frozenset(
        record
        for package in PACKAGES
        for module in package.modules
        for record in records_in(module, f"{package.import_name}/{module.relative_to(package.source).as_posix()}")
    )


def unsafe_calls_in(module: Path) -> Iterator[str]:
    """Return the calls of loggers that may raise: not of a SafeLogger, and not within `with contained`."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    safe = {
        parameter.arg
        for parameter in ast.walk(tree)
        if isinstance(parameter, ast.arg) and parameter.annotation and ast.unparse(parameter.annotation) == "SafeLogger"
    }
    safe |= {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and (ast.unparse(node.value).startswith("SafeLogger(") or ast.unparse(node.value) in safe)
        for target in node.targets
    }
    contained = {
        id(call)
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and ast.unparse(node.items[0].context_expr) == "contained"
        for call in ast.walk(node)
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in {*LEVELS, "warn"}:
            receiver = ast.unparse(call.func.value)
            if "logg" in receiver and receiver not in safe and id(call) not in contained:
                yield f"{module.name}:{call.lineno}: {receiver}.{call.func.attr}"


def test_no_call_of_a_logger_can_raise() -> None:
    assert [call for package in PACKAGES for module in package.modules for call in unsafe_calls_in(module)] == []


@pytest.mark.parametrize(
    "source",
    [
        'logging.info("new")',
        'logging.getLogger("waitress").info("new")',
        'logger = logging.getLogger("waitress")\nlogger.error("new")',
        'class New:\n    def f(self):\n        self.logger.exception("new")',
    ],
    ids=["module", "unnamed", "variable", "attribute"],
)
def test_a_call_of_a_logger_that_can_raise_would_be_found(tmp_path: Path, source: str) -> None:
    module = tmp_path / "new.py"
    module.write_text(source, encoding="utf-8")
    assert len(list(unsafe_calls_in(module))) == 1


def test_the_page_names_every_record_that_the_packages_write() -> None:
    assert sorted(records_of_the_packages() - set(records_of_the_page())) == []


def test_the_page_names_each_record_once_and_no_other() -> None:
    page = records_of_the_page()
    assert sorted(set(page) - records_of_the_packages()) == []
    assert len(set(page)) == len(page)
    assert len(page) > 30


def test_a_record_that_is_not_on_the_page_would_be_found(tmp_path: Path) -> None:
    module = tmp_path / "new.py"
    module.write_text(
        'import logging\nlogger = logging.getLogger("waitress")\n\n'
        'class New:\n    logger = logger\n    def f(self):\n        self.logger.error("new %s", 1)\n',
        encoding="utf-8",
    )
    assert list(records_in(module, "waitress_core/new.py")) == [("waitress", "ERROR", "new %s")]


def test_a_throttled_record_that_is_not_on_the_page_would_be_seen(tmp_path: Path) -> None:
    module = tmp_path / "new.py"
    module.write_text(
        'import logging\nqueue_logger = logging.getLogger("waitress.queue")\n\n'
        "class New:\n    def __init__(self):\n        self._new = ThrottledLogger(queue_logger, 1.0)\n"
        '    def f(self):\n        self._new.log(logging.WARNING, 0.0, "new %s", 1)\n',
        encoding="utf-8",
    )
    assert list(records_in(module, "waitress_core/new.py")) == [("waitress.queue", "WARNING", "new %s")]
