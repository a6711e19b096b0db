"""What is recognised as no WSGI application, and what the message says to do."""

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from tests.support.rows import each_row
from waitress_core import create_server
from waitress_core.config.application import application_fault, check_application


def application(environ: Any, start_response: Any) -> Any: ...


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        return function(*arguments, **keywords)

    return wrapper


class Site:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...

    def wsgi(self, environ: Any, start_response: Any) -> Any: ...

    @classmethod
    def of_class(cls, environ: Any, start_response: Any) -> Any: ...

    @staticmethod
    def static(environ: Any, start_response: Any) -> Any: ...


class StaticCall:
    @staticmethod
    def __call__(environ: Any, start_response: Any) -> Any: ...


class PerRequest:
    """PEP 3333: an application may be a class."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Any: ...


class Proxy:
    """Answers for an object that is there within a request only, as LocalProxy of werkzeug."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("working outside of request context")

    def __call__(self, *arguments: Any) -> Any: ...


def with_defaults(environ: Any, start_response: Any, cache: Any = None) -> Any: ...


def with_keywords(environ: Any, start_response: Any, *, cache: Any = None) -> Any: ...


def for_database(database: Any, environ: Any, start_response: Any) -> Any: ...


APPLICATIONS = {
    "function": application,
    "lambda": lambda environ, start_response: [],
    "instance": Site(),
    "method": Site().wsgi,
    "class-method": Site.of_class,
    "static-method": Site.static,
    "static-call": StaticCall(),
    "class": PerRequest,
    "defaults": with_defaults,
    "keywords": with_keywords,
    "any-arguments": lambda *arguments: [],
    "wrapped": wrapped(application),
    "wrapped-factory": wrapped(lambda: application),  # the wrapper may do what it likes
    "partial": functools.partial(for_database, "db"),
    "builtin": print,
    "mock": Mock(),
    "proxy": Proxy(),
    "two-of-another-name": lambda request, reply: [],
}


@each_row("name", APPLICATIONS)
def test_an_application_may_be_any_callable_of_two_arguments(name: str) -> None:
    assert application_fault(APPLICATIONS[name]) is None
    check_application(APPLICATIONS[name])


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


class AsgiSite:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiTwo:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


async def coroutine(environ: Any, start_response: Any) -> Any: ...


async def async_generator(environ: Any, start_response: Any) -> Any:
    yield b""


def make() -> Any: ...


def make_for(settings: Any) -> Any: ...


def make_maybe_for(settings: Any = None) -> Any: ...


def make_paste(global_conf: Any, **settings: Any) -> Any: ...


def needs_three(environ: Any, start_response: Any, database: Any) -> Any: ...


def needs_keyword(environ: Any, start_response: Any, *, database: Any) -> Any: ...


def local_factory() -> Any:
    def make_local() -> Any: ...

    return make_local


class Maker:
    def make(self) -> Any: ...


A2WSGI = "it is an ASGI application, and this is a WSGI server: serve a2wsgi.ASGIMiddleware(app) in its place"
NOT_ASYNC = "it is a coroutine function, for which WSGI cannot wait: write it without async"
TWO = "where an application takes (environ, start_response). If it makes the application,"
HERE = __name__

FAULTS: dict[str, tuple[Any, str]] = {
    "name": ("shop:app", "it is the string 'shop:app': give the object itself, or type waitress-serve shop:app"),
    "string": ("app", "it is the string 'app': give the object itself, or type waitress-serve MODULE:OBJECT"),
    "bytes": (b"shop:app", "it is of type bytes, which cannot be called"),
    "number": (8080, "it is of type int, which cannot be called"),
    "list": ([application], "it is of type list, which cannot be called"),
    "module": (functools, "it is a module; name the object in it, as in functools:application"),
    "instance": (object(), "it is of type object, which cannot be called"),
    "asgi-function": (asgi, A2WSGI),
    "asgi-instance": (AsgiSite(), A2WSGI),
    "asgi-method": (AsgiSite().method, A2WSGI),
    "asgi-partial": (functools.partial(asgi), A2WSGI),
    "asgi-2": (AsgiTwo, A2WSGI),
    "asgi-without-async": (lambda scope, receive, send: None, A2WSGI),
    "coroutine": (coroutine, NOT_ASYNC),
    "coroutine-partial": (functools.partial(coroutine), NOT_ASYNC),
    "async-generator": (async_generator, NOT_ASYNC),
    "factory": (make, f"it takes (), {TWO} type waitress-serve --call {HERE}:make, or give make()"),
    "factory-with-default": (
        make_maybe_for,
        f"it takes (settings), {TWO} type waitress-serve --call {HERE}:make_maybe_for, or give make_maybe_for()",
    ),
    "factory-with-argument": (make_for, f"it takes (settings), {TWO} give what it returns: make_for(...)"),
    "factory-of-paste": (
        make_paste,
        f"it takes (global_conf, settings), {TWO} give what it returns: make_paste(...)",
    ),
    "method-factory": (
        Maker().make,
        f"it takes (), {TWO} type waitress-serve --call {HERE}:Maker.make, or give Maker.make()",
    ),
    "local-factory": (
        local_factory(),
        f"it takes (), {TWO} type waitress-serve --call MODULE:make_local, or give make_local()",
    ),
    "lambda-factory": (
        lambda: application,
        f"it takes (), {TWO} type waitress-serve --call {HERE}:OBJECT, or give OBJECT()",
    ),
    "partial-factory": (
        functools.partial(make),
        f"it takes (), {TWO} type waitress-serve --call MODULE:OBJECT, or give OBJECT()",
    ),
    "class-of-applications": (
        Site,
        f"it is a class and takes (), {TWO} type waitress-serve --call {HERE}:Site, or give Site()",
    ),
    "three": (
        needs_three,
        f"it takes (environ, start_response, database), {TWO} give what it returns: needs_three(...)",
    ),
    "keyword": (
        needs_keyword,
        f"it takes (environ, start_response, database), {TWO} give what it returns: needs_keyword(...)",
    ),
}


@each_row("name", FAULTS)
def test_what_is_invalid_is_named_and_what_to_do_too(name: str) -> None:
    given, fault = FAULTS[name]
    found = application_fault(given)
    assert found is not None
    assert found.startswith(fault) if fault is A2WSGI else found == fault
    for serve in (check_application, lambda given: create_server(given, listen="127.0.0.1:0")):
        with pytest.raises(ValueError) as caught:
            serve(given)
        assert str(caught.value) == f"The application cannot be served: {found}"


@pytest.mark.promise("S72")
def test_none_has_the_message_of_3_0_2() -> None:
    with pytest.raises(ValueError, match=r"^The \"app\" passed to ``create_server`` was ``None``\.  You forgot to "):
        check_application(None)


def test_the_name_may_be_given() -> None:
    fault = application_fault(make, "shop.main:make")
    assert fault is not None
    assert fault.endswith("type waitress-serve --call shop.main:make, or give make()")


def test_a_function_of_the_main_module_has_no_name_that_can_be_imported() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def make(): pass", namespace)
    assert "waitress-serve --call MODULE:make, or give make()" in str(application_fault(namespace["make"]))


def test_the_message_for_a_long_string_is_short() -> None:
    assert len(str(application_fault("x" * 100_000))) < 300


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there `logging` imports it")
def test_a_usual_application_is_checked_without_the_module_inspect() -> None:
    program = """
import sys
from waitress_core.config.application import check_application
class Site:
    def __call__(self, environ, start_response): ...
    def wsgi(self, environ, start_response): ...
check_application(lambda environ, start_response: [])
check_application(Site())
check_application(Site().wsgi)
assert "inspect" not in sys.modules
"""
    path = f"import sys; sys.path[:] = {sys.path!r}"
    subprocess.run([sys.executable, "-S", "-c", path + program], check=True)
