"""From the name of an application to the object: imports its module, follows attributes, calls a factory.

What can go wrong here is the user's to mend, so every failure is one `CannotLoadError` that says what and why, and
brings the traceback along where code of the application itself has raised.
"""

import importlib
import os
import sys
import traceback
from types import ModuleType, TracebackType
from typing import Any

# Frames of these files stand between the command and the application's own code, and tell its author nothing.
_OWN_FILES = (__file__, importlib.__file__)
_FROZEN_IMPORTLIB = ("<frozen importlib", "<builtin>/frozen importlib")  # as CPython and as PyPy names it


class CannotLoadError(Exception):
    """There is no application of that name; `details` is the traceback of the application's code, or empty."""

    def __init__(self, name: str, cause: str, details: str = "") -> None:
        super().__init__(f"Cannot import WSGI application {name!r}: {cause}")
        self.details = details


def load_application(name: str, *, calls: bool) -> Any:
    """Return the application of that name, `MODULE:OBJECT` or `MODULE.OBJECT`; with `calls`, what the object returns.

    Raises:
        CannotLoadError: no such module or object, code of the application raised, or the result cannot be called.
    """
    try:
        found = _resolve(name)
    except Exception as error:
        raise CannotLoadError(name, _cause(error, name), _application_traceback(error)) from error
    if isinstance(found, ModuleType):
        raise CannotLoadError(name, f"it is a module; name the object in it, as in {name.rstrip(':')}:application")
    if not callable(found):
        raise CannotLoadError(name, f"it is of type {type(found).__name__}, which cannot be called")
    if not calls:
        return found
    try:
        application = found()
    except Exception as error:
        raise CannotLoadError(
            name, f"calling it raised {_typed_cause(error)}", _application_traceback(error)
        ) from error
    if not callable(application):
        raise CannotLoadError(name, f"calling it gave {application!r}, which cannot be called")
    return application


def _resolve(name: str) -> Any:
    module_name, colon, attributes = name.partition(":")
    if not all(word.isidentifier() for word in [*module_name.split("."), *(attributes or "_").split(".")]):
        raise ValueError("expected MODULE:OBJECT, dotted names as in package.module:application")
    if colon:
        found, names = importlib.import_module(module_name), attributes.split(".") if attributes else []
    else:
        found, names = _import_longest(module_name.split("."))
    for attribute in names:
        found = getattr(found, attribute)
    return found


def _import_longest(words: list[str]) -> tuple[ModuleType, list[str]]:
    """Import the longest beginning of the words that names a module; return it, and the words left."""
    module = importlib.import_module(words[0])
    for count in range(2, len(words) + 1):
        longer = ".".join(words[:count])
        try:
            module = importlib.import_module(longer)
        except ModuleNotFoundError as error:
            if error.name != longer:
                raise  # the module is there; what it imports is not
            return module, words[count - 1 :]
    return module, []


def _cause(error: Exception, name: str) -> str:
    # These say by themselves what is missing; the text is that of earlier versions.
    if isinstance(error, (ImportError, AttributeError, ValueError)) and str(error):
        module_name = name.partition(":")[0]
        hint = ""
        if module_name.endswith(".py"):
            hint = "; name the module, not its file: without .py"
        elif isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            hint = f"; it is neither installed nor in {os.getcwd()}"
        elif isinstance(error, AttributeError):
            hint = _shadow(module_name.partition(".")[0])
        return _one_line(error) + hint
    return _typed_cause(error)


def _shadow(name: str) -> str:
    """Tell of another file that a module of the current folder gives way to: that folder is searched last."""
    found, wanted = getattr(sys.modules.get(name), "__file__", None), os.path.abspath(f"{name}.py")
    if found is None or not os.path.exists(wanted) or not os.path.exists(found) or os.path.samefile(found, wanted):
        return ""
    return f"; that module is {found}, and comes before {wanted}: give yours another name"


def _typed_cause(error: Exception) -> str:
    text = _one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _application_traceback(error: Exception) -> str:
    """Write the traceback from the first line of the application's code on; nothing if none of it has run."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if frames is None and not isinstance(error, SyntaxError):  # which has not run, but names file and line
        return ""
    return "".join(traceback.format_exception(type(error), error, frames))


def _is_machinery(filename: str) -> bool:
    return filename in _OWN_FILES or filename.startswith(_FROZEN_IMPORTLIB)
