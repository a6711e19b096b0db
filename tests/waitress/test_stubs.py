"""Every name in the stubs of `types-waitress` exists, and takes the arguments that they have."""

import ast
import inspect
import os
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from waitress._left_out import LeftOut


class Name(NamedTuple):
    """A name of the stubs: of a module, or of a class of it. `arguments` are those of a function, by name."""

    module: str
    owner: str
    name: str
    arguments: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"{self.module} {self.owner}.{self.name}".replace(" .", " ")


def stubs() -> list[Path]:
    try:
        files = metadata.files("types-waitress") or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.suffix == ".pyi"]


def is_here(test: ast.expr) -> bool:
    """Evaluate `sys.platform != "win32"` and the like."""
    return bool(eval(ast.unparse(test), {"sys": sys, "os": os}))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If):
            yield from statements(statement.body if is_here(statement.test) else statement.orelse)
        else:
            yield statement


def names_of(module: str, body: list[ast.stmt], owner: str = "") -> Iterator[Name]:
    for statement in statements(body):
        if isinstance(statement, ast.FunctionDef):
            is_property = any(ast.unparse(decorator) == "property" for decorator in statement.decorator_list)
            taken = statement.args
            arguments = [argument.arg for argument in (*taken.args, *taken.kwonlyargs)]
            if owner and arguments[:1] in (["self"], ["cls"]):
                del arguments[0]
            yield Name(module, owner, statement.name, None if is_property else tuple(arguments))
        elif isinstance(statement, ast.ClassDef):
            yield Name(module, owner, statement.name)
            yield from names_of(module, statement.body, statement.name)
        elif isinstance(statement, ast.AnnAssign):
            yield Name(module, owner, ast.unparse(statement.target))
        elif isinstance(statement, ast.Assign):
            yield from (Name(module, owner, ast.unparse(target)) for target in statement.targets)


def all_names() -> list[Name]:
    found: list[Name] = []
    for path in stubs():
        module = "waitress" if path.stem == "__init__" else f"waitress.{path.stem}"
        found += names_of(module, ast.parse(path.read_text(encoding="utf-8")).body)
    return [name for name in found if name.name != "_T"]  # a type variable of the stubs


NAMES = all_names()
# Set by a constructor, and not an attribute of the class in 3.0.2 either: an object has them (test_compatibility).
OF_OBJECTS = {
    f"{owner}.{name}"
    for owner, names in {
        "ThreadedTaskDispatcher": "threads queue lock queue_cv thread_exit_cv",
        "Task": "channel request response_headers version",
        "WSGITask": "response_headers",
        "HTTPRequestParser": "headers adj",
        "Error": "body",
        "MalformedProxyHeader": "header reason value",
        "FileBasedBuffer": "file",
        "BytesIOBasedBuffer": "file",
        "ReadOnlyFileBasedBuffer": "block_size",
        "OverflowableBuffer": "overflow",
        "FixedStreamReceiver": "buf remain",
        "ChunkedReceiver": "buf",
        "BaseWSGIServer": "application adj trigger task_dispatcher server_name",
        "MultiSocketServer": "adj map effective_listen task_dispatcher",
        "_triggerbase": "lock thunks",
        "dispatcher": "socket",
        "file_dispatcher": "socket",
        "file_wrapper": "fd",
    }.items()
    for name in names.split()
}

needs_stubs = pytest.mark.skipif(not NAMES, reason="needs types-waitress: `make typecheck` installs it")


@needs_stubs
def test_the_stubs_are_read() -> None:
    assert len(NAMES) > 400
    assert {name.module for name in NAMES} >= {"waitress", "waitress.server", "waitress.wasyncore"}


@needs_stubs
def test_everything_in_the_stubs_exists() -> None:
    missing = []
    for name in NAMES:
        owner: Any = import_module(name.module)
        if name.owner:
            owner = getattr(owner, name.owner)
            is_declared = name.name in {key for kind in owner.__mro__ for key in vars(kind).get("__annotations__", {})}
        else:
            is_declared = False
        if not (hasattr(owner, name.name) or is_declared or f"{name.owner}.{name.name}" in OF_OBJECTS):
            missing.append(str(name))
    assert missing == []


@needs_stubs
def test_functions_take_the_arguments_of_the_stubs_by_name_and_in_their_order() -> None:
    other = []
    for name in NAMES:
        if name.arguments is None:
            continue
        owner: Any = import_module(name.module)
        function = getattr(getattr(owner, name.owner), name.name) if name.owner else getattr(owner, name.name)
        if isinstance(function, LeftOut):
            continue
        parameters = list(inspect.signature(function).parameters.values())
        if name.owner and parameters and parameters[0].name == "self":
            del parameters[0]
        taken = [parameter.name for parameter in parameters]
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
        positions = [taken.index(argument) for argument in name.arguments if argument in taken]
        unknown = [argument for argument in name.arguments if argument not in taken and not takes_any]
        required = [
            parameter.name
            for parameter in parameters
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            and parameter.name not in name.arguments
        ]
        if unknown or required or positions != sorted(positions):
            other.append((str(name), name.arguments, taken))
    assert other == []
