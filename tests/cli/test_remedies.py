"""What to type instead, after the mistakes that people make most."""

import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.cli.helpers import APPLICATION, run_command
from waitress_cli import remedies
from waitress_cli.remedies import for_attribute, for_file, for_module, for_no_application
from waitress_core.config.sources import Given


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("shop.py:app", "shop:app"),
        ("shop.py", "shop:application"),
        ("./shop.py:site.wsgi", "shop:site.wsgi"),
        ("./shop:app", "shop:app"),
        ("src/shop.py:app", "--app-dir=src shop:app"),
        ("../shop.py:app", "--app-dir=.. shop:app"),
        ("/srv/shop/main.py:app", "--app-dir=/srv/shop main:app"),
    ],
)
@pytest.mark.skipif(os.sep != "/", reason="Windows has other separators")
def test_a_file_is_told_as_its_module(name: str, instead: str) -> None:
    assert for_file(name) == f"; name the module, not its file: {instead}"


@pytest.mark.parametrize("name", ["", ":", "shop:app", "shop.main:app", "shop", ".py", "/:app", "a b:c"])
def test_what_is_no_file_is_not_taken_for_one(name: str) -> None:
    assert for_file(name) == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module, and with modules and packages in folders below it."""
    for path in ("shop.py", "src/store.py", "backend/store.py", "lib/pantry/__init__.py", "not-a-name/cellar.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("pantry/shelf.py:app", "pantry.shelf:app"),
        ("./pantry/jam/__init__.py:app", "pantry.jam:app"),
        ("pantry/jam:app", "pantry.jam:app"),
        ("HERE/pantry/shelf.py:app", "--app-dir=HERE pantry.shelf:app"),
        ("../lib/pantry/shelf.py:app", "--app-dir=../lib pantry.shelf:app"),
    ],
)
@pytest.mark.skipif(os.sep != "/", reason="Windows has other separators")
def test_a_file_in_a_package_is_told_with_the_package(
    name: str, instead: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lib/pantry/jam").mkdir()
    (folder / "lib/pantry/jam/__init__.py").touch()
    monkeypatch.chdir(folder / "lib")
    here = str(folder / "lib")
    assert for_file(name.replace("HERE", here)) == f"; name the module, not its file: {instead.replace('HERE', here)}"


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("shpo", "; did you mean shop?"),
        ("store", "; it is in src: type --app-dir=src, or install the project"),
        ("pantry", "; it is in lib: type --app-dir=lib, or install the project"),
        ("cellar", "; it is neither installed nor in FOLDER"),
        ("xml.sx", "; did you mean xml.sax?"),
        ("xml.zzz", ""),
        ("nowhere.at", ""),
    ],
)
def test_a_module_that_is_missing_is_looked_for_near_by(missing: str, text: str, folder: Path) -> None:
    import xml  # noqa: F401  # the parent of a module has been imported

    assert for_module(missing, str(folder)) == text.replace("FOLDER", str(folder))


def test_a_folder_of_many_folders_is_not_searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "MOST_FOLDERS", 2)
    assert for_module("store", str(folder)) == f"; it is neither installed nor in {folder}"


def test_a_folder_that_is_gone_has_nothing(tmp_path: Path) -> None:
    assert for_module("shop", str(tmp_path / "gone")) == f"; it is neither installed nor in {tmp_path / 'gone'}"


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("aplication", "; did you mean application?"),
        ("Application", "; did you mean application?"),
        ("site", "; it has application and create_app"),
    ],
)
def test_an_attribute_that_is_missing_is_looked_for_among_the_others(missing: str, text: str) -> None:
    module = ModuleType("shop")
    module.__dict__.update(application=print, create_app=print)
    assert for_attribute(module, missing) == text
    assert for_attribute(SimpleNamespace(), missing) == ""


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"port": Given("shop:application", "--port")}, "; --port has taken shop:application as its value"),
        ({"ident": Given("shop.main:site.wsgi", "--ident")}, "; --ident has taken shop.main:site.wsgi as its value"),
        ({"listen": Given("127.0.0.1:80", "--listen")}, ""),
        ({"ident": Given("shop:application", "WAITRESS_IDENT")}, ""),
        ({"threads": Given("4", "--threads")}, ""),
        ({}, ""),
    ],
    ids=["port", "dotted", "address", "variable", "number", "nothing"],
)
def test_an_option_that_took_the_application_is_told_of(given: dict[str, Given], text: str) -> None:
    assert for_no_application(given) == text


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (["shop.py:application"], "; name the module, not its file: shop:application"),
        (["store:application"], "; it is in src: type --app-dir=src, or install the project"),
        (["shop:aplication"], "; did you mean application?"),
        (["--port", "shop:application"], "; --port has taken shop:application as its value"),
    ],
    ids=["file", "src", "attribute", "port"],
)
def test_the_command_says_so_in_one_line(words: list[str], end: str, folder: Path) -> None:
    (folder / "shop.py").write_text(APPLICATION)
    done = run_command(*words, cwd=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(end)
