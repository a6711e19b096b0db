"""From the name of an application to the application."""

import code
import importlib
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.rows import each_row
from waitress_cli.app_loader import CannotLoadError, load_application

SHOP = """\
class Site:
    def __call__(self, environ, start_response): ...
    def wsgi(self, environ, start_response): ...
    def make(self): return application
site = Site()
def application(environ, start_response): ...
def make(): return application
def make_none(): return None
def make_fault(): raise RuntimeError("no database\\nanywhere")
number = 3
class Lazy:
    @property
    def wsgi(self): raise KeyError("WSGI")
lazy = Lazy()
text = "shop:app"
async def asgi(scope, receive, send): ...
def short(env, start): ...
def make_for(settings): return application
def make_asgi(): return asgi
def make_text(): return "shop:app"
def make_factory(): return make
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules that can be imported for as long as the test runs."""
    (tmp_path / "loaded_shop.py").write_text(SHOP, encoding="utf-8")
    package = tmp_path / "loaded_package" / "deep"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("", encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "site.py").write_text(SHOP, encoding="utf-8")
    (package / "lacks.py").write_text("import no_such_module\n", encoding="utf-8")
    (tmp_path / "loaded_lacks.py").write_text("import no_such_module\n", encoding="utf-8")
    (tmp_path / "loaded_raises.py").write_text("def f():\n    raise KeyError('HOME')\nf()\n", encoding="utf-8")
    (tmp_path / "loaded_wrong.py").write_text("def\n", encoding="utf-8")
    (tmp_path / "loaded_quits.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.promise("S17")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("loaded_shop:application", "application"),
        ("loaded_shop.application", "application"),
        ("loaded_shop:site.wsgi", "Site.wsgi"),
        ("loaded_shop.site.wsgi", "Site.wsgi"),
        ("loaded_package.deep.site:application", "application"),
        ("loaded_package.deep.site.application", "application"),
        ("loaded_package.deep.site.site.wsgi", "Site.wsgi"),
    ],
)
def test_a_name_is_a_module_and_attributes_with_or_without_a_colon(name: str, found: str) -> None:
    assert load_application(name, calls=False).__qualname__ == found


def test_with_calls_the_application_is_what_the_object_returns() -> None:
    assert load_application("loaded_shop:make", calls=True).__qualname__ == "application"


@pytest.mark.parametrize(
    "name",
    [
        "loaded_shop:make()",
        "loaded_shop.make()",
        "loaded_shop:site.make( )",
        "loaded_shop:make_for('prod')",
        "loaded_shop:make_for(settings=[1, {'a': None}])",
    ],
)
def test_a_name_may_have_the_arguments_of_a_factory(name: str) -> None:
    assert load_application(name, calls=False).__qualname__ == "application"


def test_parentheses_and_call_are_one_too_many() -> None:
    with pytest.raises(CannotLoadError, match="its parentheses call it already: leave --call out"):
        load_application("loaded_shop:make()", calls=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="loaded_shop:make(){}[]'\"\\ ,=*1.#\n\0", max_size=40))
def test_any_name_is_loaded_or_refused(rest: str) -> None:
    try:
        load_application(f"loaded_shop:make_for({rest}", calls=False)
    except CannotLoadError:
        pass


@pytest.mark.parametrize("opening", ["(", "[", "-", "{1:"])
def test_arguments_that_are_nested_too_deeply_are_refused(opening: str) -> None:
    with pytest.raises(CannotLoadError, match="with literals, as in"):
        load_application(f"loaded_shop:make_for({opening * 100_000}", calls=False)


def test_an_object_with_a_call_method_is_an_application() -> None:
    assert type(load_application("loaded_shop:site", calls=False)).__qualname__ == "Site"


TWO = "where an application takes (environ, start_response). If it makes the application,"
A2WSGI = (
    "it is an ASGI application, and this is a WSGI server: serve a2wsgi.ASGIMiddleware(app) in its place (pip install "
    "a2wsgi), or run it by an ASGI server"
)
GAVE = "what --call got from it is not an application:"
NO_ARGUMENTS = "--call gives a factory no arguments, and this one takes"
NO_LITERALS = "expected MODULE:FACTORY(ARGUMENTS) with literals, as in shop:make('test', 2, debug=True)"
NOT_ITS_FILE = "; name the module, not its file:"
NOT_HERE = f"; it is neither installed nor in {os.getcwd()}"
EXPECTED_WORDS = "expected MODULE:OBJECT, dotted names as in package.module:application"


@each_row(
    ("name", "cause"),
    [
        ("loaded_nowhere:application", f"No module named 'loaded_nowhere'{NOT_HERE}"),
        ("loaded_nowhere", f"No module named 'loaded_nowhere'{NOT_HERE}"),
        ("loaded_package.nowhere:app", "No module named 'loaded_package.nowhere'"),
        ("loaded_shop:nothing", "module 'loaded_shop' has no attribute 'nothing'; it has application"),
        ("loaded_shop.aplication", "module 'loaded_shop' has no attribute 'aplication'; did you mean application?"),
        ("loaded_shop:number", "it is of type int, which cannot be called"),
        ("loaded_shop", "it is a module; name the object in it, as in loaded_shop:application"),
        ("loaded_shop:", "it is a module; name the object in it, as in loaded_shop:application"),
        ("os:path", "it is a module; name the object in it, as in os:path.application"),
        ("loaded_shop.py", f"module 'loaded_shop' has no attribute 'py'{NOT_ITS_FILE} loaded_shop:application"),
        (
            "loaded_shop.py:app",
            f"No module named 'loaded_shop.py'; 'loaded_shop' is not a package{NOT_ITS_FILE} loaded_shop:app",
        ),
        ("./loaded_shop.py", f"{EXPECTED_WORDS}{NOT_ITS_FILE} loaded_shop:application"),
        ("src/shop.py:app", f"{EXPECTED_WORDS}{NOT_ITS_FILE} --app-dir=src shop:app"),
        ("/srv/shop:app", f"{EXPECTED_WORDS}{NOT_ITS_FILE} --app-dir={os.path.normpath('/srv')} shop:app"),
        ("", EXPECTED_WORDS),
        (":", EXPECTED_WORDS),
        (":application", EXPECTED_WORDS),
        (".loaded_shop:application", EXPECTED_WORDS),
        ("loaded_shop:application.", EXPECTED_WORDS),
        ("loaded_shop make", EXPECTED_WORDS),
        ("loaded_shop:make(a)", NO_LITERALS),
        ("loaded_shop:make(", NO_LITERALS),
        ("loaded_shop:make)", EXPECTED_WORDS),
        ("loaded_shop:make()()", NO_LITERALS),
        ("loaded_shop:make() + 1", NO_LITERALS),
        ("loaded_shop:make(__import__('os'))", NO_LITERALS),
        ("loaded_shop:make(*[1])", NO_LITERALS),
        ("loaded_shop:make(**{'a': 1})", NO_LITERALS),
        ("loaded_shop:make(\0)", NO_LITERALS),
        ("(1)", EXPECTED_WORDS),
        ("loaded_shop:make(1)", "it takes (); write them as these are called"),
        ("loaded_shop:make_for()", "it takes (settings); write them as literals: loaded_shop:make_for(...)"),
        ("loaded_shop:make_for(name=1)", "it takes (settings); write them as these are called"),
        (
            "loaded_shop:application()",
            "it takes (environ, start_response); it is the application itself: leave the parentheses out",
        ),
        ("loaded_shop:make_none()", "what it returned is not an application: it is None"),
        (
            "loaded_shop:text",
            "it is the string 'shop:app': give the object itself, or type waitress-serve shop:app",
        ),
        (
            "loaded_shop:make",
            f"it takes (), {TWO} type waitress-serve --call loaded_shop:make, or give make()",
        ),
        (
            "loaded_shop:Site",
            f"it is a class and takes (), {TWO} type waitress-serve --call loaded_shop:Site, or give Site()",
        ),
        ("loaded_shop:make_for", f"it takes (settings), {TWO} give what it returns: make_for(...)"),
        ("loaded_shop:asgi", A2WSGI),
    ],
)
def test_what_is_not_there_is_told_in_one_line_without_a_traceback(name: str, cause: str) -> None:
    with pytest.raises(CannotLoadError) as caught:
        load_application(name, calls=False)
    assert str(caught.value) == f"Cannot import WSGI application {name!r}: {cause}"
    assert caught.value.details == ""


def test_a_file_that_gives_way_to_another_module_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code.py").write_text("application = None", encoding="utf-8")
    with pytest.raises(CannotLoadError) as caught:
        load_application("code:application", calls=False)
    assert str(caught.value) == (
        "Cannot import WSGI application 'code:application': module 'code' has no attribute 'application'; "
        f"that module is {code.__file__}, and comes before {tmp_path / 'code.py'}: give yours another name"
    )


def test_a_file_that_gives_way_to_a_module_in_a_zip_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the standard library is where Python for Windows is shipped with a program."""
    with zipfile.ZipFile(tmp_path / "library.zip", "w") as archive:
        archive.writestr("loaded_hidden.py", "")
    monkeypatch.syspath_prepend(tmp_path / "library.zip")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loaded_hidden.py").write_text("application = None", encoding="utf-8")
    hider = re.escape(str(tmp_path / "library.zip" / "loaded_hidden.py"))
    with pytest.raises(CannotLoadError, match=rf"that module is {hider}, and comes before "):
        load_application("loaded_hidden:application", calls=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few make links")
def test_a_file_that_is_reached_in_two_ways_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "release")
    (tmp_path / "release" / "loaded_release.py").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "release")
    monkeypatch.syspath_prepend(tmp_path / "current")
    with pytest.raises(CannotLoadError, match=r"has no attribute 'app'$"):
        load_application("loaded_release:app", calls=False)


@pytest.mark.parametrize(
    ("name", "cause", "first"),
    [
        ("loaded_lacks:app", "No module named 'no_such_module'", 'loaded_lacks.py", line 1'),
        ("loaded_package.deep.lacks:app", "No module named 'no_such_module'", 'lacks.py", line 1'),
        ("loaded_package.deep.lacks.app", "No module named 'no_such_module'", 'lacks.py", line 1'),
        ("loaded_raises:app", "KeyError: 'HOME'", 'loaded_raises.py", line 3'),
        ("loaded_wrong:app", "SyntaxError: invalid syntax (loaded_wrong.py, line 1)", 'loaded_wrong.py", line 1'),
        ("loaded_shop:lazy.wsgi", "KeyError: 'WSGI'", 'loaded_shop.py", line 13'),
    ],
)
def test_where_the_applications_own_code_raises_the_traceback_starts_there(name: str, cause: str, first: str) -> None:
    with pytest.raises(CannotLoadError) as caught:
        load_application(name, calls=False)
    assert str(caught.value) == f"Cannot import WSGI application {name!r}: {cause}"
    frames = [line for line in caught.value.details.splitlines() if line.startswith("  File ")]
    assert first in frames[0]


@pytest.mark.parametrize("name", ["no_such_module:app", "loaded_zipped:app"], ids=["missing", "application-in-a-zip"])
def test_a_library_or_an_application_in_a_zip_has_no_frames_of_importlib(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code objects of a zipped library name the files of the machine that compiled them."""
    code_elsewhere = importlib.import_module.__code__.replace(co_filename=r"D:\lib\importlib\__init__.py")
    elsewhere = FunctionType(code_elsewhere, vars(importlib), argdefs=(None,))
    monkeypatch.setattr(importlib, "import_module", elsewhere)
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        archive.writestr("loaded_zipped.py", "import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path / "zipped.zip")
    with pytest.raises(CannotLoadError, match="No module named 'no_such_module'") as caught:
        load_application(name, calls=False)
    frames = [line for line in caught.value.details.splitlines() if line.startswith("  File ")]
    assert ["loaded_zipped.py" in frame for frame in frames] == [True] * (name == "loaded_zipped:app")


@pytest.mark.parametrize(
    ("name", "cause", "has_traceback"),
    [
        ("loaded_shop:make_none", f"{GAVE} it is None", False),
        (
            "loaded_shop:make_text",
            f"{GAVE} it is the string 'shop:app': give the object itself, or type waitress-serve shop:app",
            False,
        ),
        ("loaded_shop:make_asgi", f"{GAVE} {A2WSGI}", False),
        (
            "loaded_shop:make_factory",
            f"{GAVE} it takes (), {TWO} type waitress-serve --call loaded_shop:make, or give make()",
            False,
        ),
        (
            "loaded_shop:make_for",
            f"{NO_ARGUMENTS} (settings); write them as literals, without --call: loaded_shop:make_for(...)",
            False,
        ),
        (
            "loaded_shop:application",
            f"{NO_ARGUMENTS} (environ, start_response); it is the application itself: leave --call out",
            False,
        ),
        ("loaded_shop:asgi", f"{NO_ARGUMENTS} (scope, receive, send); {A2WSGI}", False),
        (
            "loaded_shop:short",
            (
                f"{NO_ARGUMENTS} (env, start); if it is the application itself, leave --call out; otherwise write them "
                "as literals, without --call: loaded_shop:short(...)"
            ),
            False,
        ),
        ("loaded_shop:make_fault", "calling it raised RuntimeError: no database anywhere", True),
        ("loaded_shop:number", "it is of type int, which cannot be called", False),
    ],
)
def test_a_factory_that_gives_no_application_is_told_of(name: str, cause: str, has_traceback: bool) -> None:
    with pytest.raises(CannotLoadError) as caught:
        load_application(name, calls=True)
    assert str(caught.value) == f"Cannot import WSGI application {name!r}: {cause}"
    assert ("make_fault" in caught.value.details) == has_traceback


def test_a_module_that_ends_the_process_does_so() -> None:
    with pytest.raises(SystemExit, match="3"):
        load_application("loaded_quits:app", calls=False)
