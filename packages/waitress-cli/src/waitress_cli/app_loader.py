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


Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class CannotLoadError(Exception):
    """The application cannot be loaded; `details` is the traceback of the application's code, or empty."""

    def __init__(self, name: str, cause: str, details: str = "") -> None:
        super().__init__(f"Cannot import WSGI application {name!r}: {cause}")
        self.details = details


def load_application(name: str, *, calls: bool) -> Any:
    """Return the object named `MODULE:OBJECT` or `MODULE.OBJECT`, or what it returns when it is called.

    It is called without arguments if `calls` is true, or with the literals of a name such as
    `MODULE:OBJECT("test", debug=True)`.

    Raises:
        CannotLoadError: no such module or object, code of the application raised, or the result cannot be called.
    """
    arguments: Arguments = ((), {})
    try:
        path, parenthesis, _ = name.partition("(")
        if parenthesis:
            arguments = _read_arguments(name[len(path) :])
        found = _resolve(path)
    except Exception as error:
        raise CannotLoadError(name, _cause(error, name), _application_traceback(error)) from error
    if parenthesis and calls:
        raise CannotLoadError(name, "its parentheses call it already: leave --call out")
    if isinstance(found, ModuleType):
        mark = "." if ":" in name.rstrip(":") else ":"
        raise CannotLoadError(name, f"it is a module; name the object in it, as in {name.rstrip(':')}{mark}application")
    if not calls and not parenthesis:
        fault = application_fault(found, name)
        if fault is not None:
            raise CannotLoadError(name, fault)
        return found
    if not callable(found):
        raise CannotLoadError(name, f"it is of type {type(found).__name__}, which cannot be called")
    _check_takes(name, found, arguments, calls=calls)
    try:
        application = found(*arguments[0], **arguments[1])
    except Exception as error:
        raise CannotLoadError(
            name, f"calling it raised {_typed_cause(error)}", _application_traceback(error)
        ) from error
    fault = "it is None" if application is None else application_fault(application)
    if fault is not None:
        called = "what --call got from it" if calls else "what it returned"
        raise CannotLoadError(name, f"{called} is not an application: {fault}")
    return application


def _read_arguments(text: str) -> Arguments:
    """Return the literals of `(...)`.

    Raises:
        ValueError: it is not that.
    """
    import ast  # lazy import: most names have no arguments

    try:
        call = ast.parse(f"_{text}", mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and all(word.arg for word in call.keywords):
            keywords = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
            return tuple(map(ast.literal_eval, call.args)), keywords
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    raise ValueError("expected MODULE:FACTORY(ARGUMENTS) with literals, as in shop:make('test', 2, debug=True)")


def _check_takes(name: str, factory: Any, arguments: Arguments, *, calls: bool) -> None:
    signature = signature_of(factory)
    if signature is None:
        return
    try:
        signature.bind(*arguments[0], **arguments[1])
    except TypeError:
        gives = "--call gives a factory no arguments, and this one" if calls else "it"
        advice = f"write them as literals{', without --call' * calls}: {name.partition('(')[0]}(...)"
        first = next(iter(signature.parameters), "")
        leave_out = f"leave {'--call' if calls else 'the parentheses'} out"
        if first == "environ":
            advice = f"it is the application itself: {leave_out}"
        elif first == "scope":
            advice = application_fault(factory) or advice
        elif any(arguments):
            advice = "write them as these are called"
        elif takes(signature, 2):
            advice = f"if it is the application itself, {leave_out}; otherwise {advice}"
        raise CannotLoadError(name, f"{gives} takes {names_of(signature)}; {advice}") from None


def _resolve(name: str) -> Any:
    module_name, colon, attributes = name.partition(":")
    if not all(word.isidentifier() for word in [*module_name.split("."), *(attributes or "_").split(".")]):
        raise ValueError("expected MODULE:OBJECT, dotted names as in package.module:application")
    if colon:
        found, names = importlib.import_module(module_name), attributes.split(".") if attributes else []
    else:
        found, names = _import_longest(module_name.split("."))
    for attribute in names:
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            error.name, error.obj = attribute, found  # PyPy says neither if it is missing in a module
            raise
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
        return _one_line(error) + _remedy(error, name.partition(":")[0], name)
    return _typed_cause(error)


def _remedy(error: Exception, module_name: str, name: str) -> str:
    from .remedies import for_attribute, for_file, for_module  # lazy import: only after a mistake

    file = for_file(name)
    if file:
        return file
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
        return for_module(error.name, os.getcwd())
    if isinstance(error, AttributeError) and not _application_traceback(error):
        return _shadow(module_name.partition(".")[0]) or for_attribute(error.obj, error.name or "")
    return ""


def _shadow(name: str) -> str:
    """Return a hint if another module hides one of the current folder, which is searched last; otherwise nothing."""
    found, wanted = getattr(sys.modules.get(name), "__file__", None), os.path.abspath(f"{name}.py")
    if found is None or not os.path.exists(wanted):
        return ""
    if os.path.exists(found) and os.path.samefile(found, wanted):  # a module in a zip file has a path, but no file
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
