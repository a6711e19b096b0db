"""Compiled wheels: what is listed can be compiled, and a wheel with extension modules is still a wheel."""

import ast
import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiled import GROUPS, PURE_TAG, SUBCLASSED, add_to_wheel, allow_subclasses, compile_wheels
from tests.project.repository import PACKAGES, ROOT

SOURCES = {package.import_name: package.source for package in PACKAGES}
MODULES = {
    f"{package}/{module}.py": SOURCES[package] / f"{module}.py"
    for package, groups in GROUPS.items()
    for modules in groups.values()
    for module in modules
}


def test_every_listed_module_and_class_exists() -> None:
    assert [name for name, path in MODULES.items() if not path.is_file()] == []
    for name, classes in SUBCLASSED.items():
        tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
        assert {*classes} <= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def test_a_module_is_in_one_group() -> None:
    listed = [
        f"{package}/{module}.py" for package, groups in GROUPS.items() for one in groups.values() for module in one
    ]
    assert len(listed) == len(set(listed))


def names_with_two_types(source: str) -> Iterator[tuple[str, str]]:
    """Yield (function, name) where two `except` clauses give one name to exceptions of different types."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            types: dict[str, set[str]] = {}
            for handler in ast.walk(function):
                if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type:
                    types.setdefault(handler.name, set()).add(ast.unparse(handler.type))
            yield from ((function.name, name) for name, several in types.items() if len(several) > 1)


# Of exceptions of interpreted modules, and BaseException: mypyc checks nothing of these.
UNCHECKED = {("_parse", "error"), ("_append", "error"), ("service", "error")}


def test_each_exception_has_its_own_name() -> None:
    """A variable of compiled code has one type: the second exception of that name would be a TypeError."""
    found = {each for path in MODULES.values() for each in names_with_two_types(path.read_text(encoding="utf-8"))}
    assert found <= UNCHECKED
    assert [*names_with_two_types("def f():\n try: g()\n except A as e: h(e)\n except B as e: h(e)")] == [("f", "e")]


@pytest.mark.parametrize("name", SUBCLASSED, ids=lambda name: Path(name).stem)
def test_subclasses_are_allowed_without_moving_a_line(name: str) -> None:
    source = MODULES[name].read_text(encoding="utf-8")
    changed = allow_subclasses(source, SUBCLASSED[name])
    before, after = source.split("\n"), changed.split("\n")
    assert len(before) == len(after)
    assert all(not old for old, new in zip(before, after, strict=True) if old != new)
    decorated = {
        node.name
        for node in ast.parse(changed).body
        if isinstance(node, ast.ClassDef) and "mypyc_attr" in "".join(map(ast.unparse, node.decorator_list))
    }
    assert decorated == {*SUBCLASSED[name]}


def test_a_wheel_with_extension_modules_keeps_all_that_the_pure_one_has(tmp_path: Path) -> None:
    contents = {
        "kettle/__init__.py": b"",
        "kettle-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "kettle-1.0.dist-info/RECORD": b"kettle/__init__.py,,\n",
    }
    pure = tmp_path / f"kettle-1.0-{PURE_TAG}.whl"
    with zipfile.ZipFile(pure, "w") as wheel:
        for name, data in contents.items():
            wheel.writestr(name, data)
    made = add_to_wheel(pure, {"kettle/spout.so": b"\x7fELF"}, "cp311-cp311-linux_x86_64")
    assert made.name == "kettle-1.0-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(made) as wheel:
        assert {*wheel.namelist()} == {*contents, "kettle/spout.so"}
        text = wheel.read("kettle-1.0.dist-info/WHEEL").decode()
        assert text == "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64\n"
        *records, own = wheel.read("kettle-1.0.dist-info/RECORD").decode().splitlines()
        assert own == "kettle-1.0.dist-info/RECORD,,"
        for record in records:
            name, digest, size = record.split(",")
            data = wheel.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, int(size)) == (f"sha256={expected}", len(data))
        assert len(records) == len(contents)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs the command make")
def test_the_compiled_parser_is_not_asked_of_an_interpreter_without_mypyc(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho PyPy\n", encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "pyvenv.cfg").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "test-compiled-parser", f"VENV={tmp_path}"],
        cwd=ROOT,
        env={**environment, "CC": "sh"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "PyPy takes the pure wheel: the compiled parser is not tested\n"


def test_wheels_are_compiled_for_no_other_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    with pytest.raises(SystemExit, match="for CPython: pypy takes the pure ones"):
        compile_wheels(tmp_path)
