"""From the name of an application to the object: imports its module, follows attributes, calls a factory.

The user has to fix every failure here, so each is a `CannotLoadError` that says what failed and why. If code of the
application raised, the error has the traceback too.
"""

import importlib
import os
import sys
import traceback
from types import ModuleType, TracebackType
from typing import Any

from waitress_core.config.application import application_fault, names_of, signature_of, takes

# Frames of these modules are between the command and the application's code, and do not help its author. Their files
# are no way to know them: with the standard library in a zip, the names in code objects are those of another machine.
_MACHINERY = {__name__, "zipimport", "importlib", "importlib._bootstrap", "importlib._bootstrap_external"}


class CannotLoadError(Exception):
    """The application cannot be loaded; `details` is the traceback of the application's code, or empty."""

    def __init__(self, name: str, cause: str, details: str = "") -> None:
        super().__init__(f"Cannot import WSGI application {name!r}: {cause}")
        self.details = details


def load_application(name: str, *, calls: bool) -> Any:
    """Return the object named `MODULE:OBJECT` or `MODULE.OBJECT`; with `calls`, call it and return its result.

    Raises:
        CannotLoadError: no such module or object, code of the application raised, or the result cannot be called.
    """
    try:
        found = _resolve(name)
    except Exception as error:
        raise CannotLoadError(name, _cause(error, name), _application_traceback(error)) from error
    if isinstance(found, ModuleType):
        raise CannotLoadError(name, f"it is a module; name the object in it, as in {name.rstrip(':')}:application")
    if not calls:
        fault = application_fault(found, name)
        if fault is not None:
            raise CannotLoadError(name, fault)
        return found
    if not callable(found):
        raise CannotLoadError(name, f"it is of type {type(found).__name__}, which cannot be called")
    _check_takes_nothing(name, found)
    try:
        application = found()
    except Exception as error:
        raise CannotLoadError(
            name, f"calling it raised {_typed_cause(error)}", _application_traceback(error)
        ) from error
    fault = "it is None" if application is None else application_fault(application)
    if fault is not None:
        raise CannotLoadError(name, f"what --call got from it is no application: {fault}")
    return application


def _check_takes_nothing(name: str, factory: Any) -> None:
    signature = signature_of(factory)
    if signature is not None and not takes(signature, 0):
        is_application = next(iter(signature.parameters)) == "environ"
        advice = "it is the application itself: leave --call out" if is_application else "name one that needs none"
        raise CannotLoadError(
            name, f"--call gives a factory no arguments, and this one takes {names_of(signature)}; {advice}"
        )


def _resolve(name: str) -> Any:
    module_name, colon, attributes = name.partition(":")
    if name.endswith(")") and "(" in name:
        factory, _, arguments = name[:-1].partition("(")
        advice = f"type --call {factory}, without parentheses"
        if arguments.strip():
            advice = f"--call {factory} gives it none; name a factory that needs none"
        raise ValueError(f"a name has no arguments: {advice}")
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
    """Import the module that as many of the words as possible name; return it and the other words."""
    module = importlib.import_module(words[0])
    for count in range(2, len(words) + 1):
        longer = ".".join(words[:count])
        try:
            module = importlib.import_module(longer)
        except ModuleNotFoundError as error:
            if error.name != longer:
                raise  # the module exists; a module that it imports does not
            return module, words[count - 1 :]
    return module, []


def _cause(error: Exception, name: str) -> str:
    # The messages of these say what is missing; waitress 3.0 prints them too.
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
    """Return a hint if another module hides one of the current folder, which is searched last; otherwise nothing."""
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
    """Return the traceback from the first frame of the application's code on; empty if none of it has run."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in _MACHINERY:
        frames = frames.tb_next
    if frames is None and not isinstance(error, SyntaxError):  # its code has not run, but it names file and line
        return ""
    return "".join(traceback.format_exception(type(error), error, frames))
