"""What can be served: a callable that takes environ and start_response (PEP 3333). What programs give instead is named.

Nothing of the application is called. If it cannot be seen what a call takes, the application is accepted.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NO_APPLICATION = (
    'The "app" passed to ``create_server`` was ``None``.  You forgot to return a WSGI app within your application.'
)

_MAKERS = ("__new__", "__init__")
_ASYNC = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR
_NAME = r"[\w.]+:[\w.]+"  # MODULE:OBJECT


class DeferredApplication:
    """An application that each worker process loads by itself, so that a worker that is started later has new code.

    `load` returns the application, or raises; an attribute `details` of the exception is a traceback for the log.
    """

    def __init__(
        self,
        load: "Callable[[], WSGIApplication]",
        folder: str = "",
        watched: Sequence[str] | None = None,
    ) -> None:
        self.load = load
        self.watched = watched  # patterns of files to watch besides those of modules; None: a change replaces no worker
        self.folder = folder  # in which the command was started: its successor is started there, too

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        return self.load()(environ, start_response)


class CannotStartWorker(RuntimeError):
    """A worker process could not start, at the first start; `details` is the traceback of the application, or empty."""

    def __init__(self, message: str, details: str) -> None:
        super().__init__(message)
        self.details = details


def check_application(application: object) -> None:
    """Raise a ValueError that says what this is, and what to give or type instead, unless it can be an application."""
    if application is None:
        raise ValueError(NO_APPLICATION)
    fault = application_fault(application)
    if fault is not None:
        raise ValueError(f"The application cannot be served: {fault}")


def application_fault(application: object, name: str = "") -> str | None:
    """Return why this is no WSGI application and what to do, None if it can be one; `name` is its MODULE:OBJECT."""
    try:
        return None if _takes_two_plainly(application) else _fault_of(application, name)
    except Exception:  # an object may answer for another one, for example werkzeug's LocalProxy, and raise anything
        return None


def _takes_two_plainly(application: object) -> bool:
    """Whether it takes two arguments, seen without the module inspect: importing that takes as long as all else."""
    call = application.__func__ if isinstance(application, MethodType) else application
    if not isinstance(call, FunctionType):
        call = getattr(type(application), "__call__", None)  # noqa: B004  # not whether, but which
        if not isinstance(call, FunctionType):
            return False
    code = call.__code__
    own = code.co_argcount - (call is not application)
    return own == 2 and not code.co_kwonlyargcount and not code.co_flags & _ASYNC


def _fault_of(application: object, name: str) -> str | None:
    if isinstance(application, str):
        word = application if re.fullmatch(_NAME, application) else "MODULE:OBJECT"
        return f"it is the string {application[:100]!r}: give the object itself, or type waitress-serve {word}"
    if isinstance(application, ModuleType):
        return f"it is a module; name the object in it, as in {application.__name__}:application"
    if not callable(application):
        return f"it is of type {type(application).__name__}, which cannot be called"
    signature = signature_of(application)
    if signature is not None and [*signature.parameters][:1] == ["scope"]:
        return (
            "it is an ASGI application, and this is a WSGI server: serve a2wsgi.ASGIMiddleware(app) in its place (pip "
            "install a2wsgi), or run it by an ASGI server"
        )
    if _is_async(application):
        return "it is a coroutine function, for which WSGI cannot wait: write it without async"
    if signature is None or takes(signature, 2):
        return None
    fault = f"{'it is a class and' if isinstance(application, type) else 'it'} takes {names_of(signature)}, where an "
    fault += "application takes (environ, start_response). If it makes the application, "
    name = name or _name_of(application)
    short = name.rpartition(":")[2]
    if takes(signature, 0):
        return f"{fault}type waitress-serve --call {name}, or give {short}()"
    return f"{fault}give what it returns: {short}(...)"


def _name_of(application: object) -> str:
    """Return MODULE:OBJECT, with those very words for what has no name, or none that can be imported."""
    if not isinstance(application, (FunctionType, MethodType, type)):
        return "MODULE:OBJECT"
    module, name = application.__module__, application.__qualname__.rpartition("<locals>.")[2]
    if module == "__main__" or name != application.__qualname__:
        module = "MODULE"
    return f"{module}:{'OBJECT' if name == '<lambda>' else name}"


def signature_of(called: Any) -> "Signature | None":
    """Return the parameters of a call, None if they are not known; any object may be given."""
    import inspect  # lazy import: it takes long, and most applications do not need it

    try:
        if isinstance(called, type) and all(getattr(called, one) is getattr(object, one) for one in _MAKERS):
            return inspect.Signature()  # a Python without docstrings does not know it
        if not isinstance(called, (FunctionType, MethodType, type, partial)):
            called = called.__call__  # before Python 3.13 inspect has one parameter too few where this is static
        return inspect.signature(called, follow_wrapped=False)
    except Exception:  # as above
        return None


def takes(signature: "Signature", count: int) -> bool:
    """Whether so many positional arguments fit."""
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def names_of(signature: "Signature") -> str:
    """Return the names of the parameters in parentheses."""
    return f"({', '.join(signature.parameters)})"


def _is_async(application: object) -> bool:
    import inspect  # lazy import: as above

    return any(
        inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
        for call in (application, getattr(type(application), "__call__", None))  # noqa: B004
    )
