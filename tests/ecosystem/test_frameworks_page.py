"""The page on Flask, Django, Pyramid and FastAPI: its programs are served by the commands that it gives."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ecosystem.programs.commands import served
from tests.support.client import Client
from tests.support.pages import DOCS, blocks

PAGE = "how-to/serve-frameworks.md"
FLASK, DJANGO_SETTINGS, PYRAMID, FASTAPI, WHITENOISE = blocks(PAGE, "python")
COMMANDS = re.findall(r"^    waitress-serve (--listen=127\.0\.0\.1:8080 .*)$", (DOCS / PAGE).read_text("utf-8"), re.M)


def answer(folder: Path, arguments: str, path: str = "/") -> bytes:
    """Serve by the arguments of a command on the page, on another port; return the body of one response."""
    assert arguments in COMMANDS
    words = [word.replace(":8080", ":0") for word in shlex.split(arguments)]
    with served("waitress-serve", *words, cwd=folder) as server, Client(server.wait_for_address()) as client:
        response = client.get(path)
        assert response.status == 200
        return response.body


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def needs(package: str) -> None:
    pytest.importorskip(package, reason=f"this environment lacks {package}: `make test-ecosystem` has it")


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ("shop:app", b"Hello from the shop\n"),
        ("--call shop:create_app", b"Hello from the shop\n"),
        ("""'shop:create_app("another shop")'""", b"Hello from another shop\n"),
    ],
    ids=["application", "factory", "factory-with-arguments"],
)
def test_flask(arguments: str, body: bytes, tmp_path: Path) -> None:
    write(tmp_path, "shop.py", FLASK)
    assert answer(tmp_path, f"--listen=127.0.0.1:8080 {arguments}") == body


def test_flask_in_a_src_folder(tmp_path: Path) -> None:
    write(tmp_path / "src", "shop.py", FLASK)
    assert answer(tmp_path, "--listen=127.0.0.1:8080 --app-dir=src shop:app") == b"Hello from the shop\n"


def test_flask_with_static_files(tmp_path: Path) -> None:
    needs("whitenoise")
    write(tmp_path / "static", "app.css", "p {}\n")
    write(tmp_path, "shop.py", FLASK + WHITENOISE.replace("from shop import app\n", ""))
    assert answer(tmp_path, "--listen=127.0.0.1:8080 shop:app", "/static/app.css") == b"p {}\n"
    assert answer(tmp_path, "--listen=127.0.0.1:8080 shop:app") == b"Hello from the shop\n"


def test_django_with_static_files(tmp_path: Path) -> None:
    needs("whitenoise")
    make = [sys.executable, "-m", "django", "startproject", "mysite", "."]
    subprocess.run(make, cwd=tmp_path, check=True)
    settings = tmp_path / "mysite" / "settings.py"
    text = settings.read_text(encoding="utf-8").replace("DEBUG = True", "DEBUG = False")
    text = text.replace("ALLOWED_HOSTS = []", 'ALLOWED_HOSTS = ["*"]')
    settings.write_text(text + DJANGO_SETTINGS, encoding="utf-8")
    (collect,) = re.findall(r"^    python (manage\.py collectstatic .*)$", (DOCS / PAGE).read_text("utf-8"), re.M)
    subprocess.run([sys.executable, *collect.split()], cwd=tmp_path, check=True, capture_output=True)
    css = answer(tmp_path, "--listen=127.0.0.1:8080 mysite.wsgi:application", "/static/admin/css/base.css")
    assert css == (tmp_path / "static" / "admin" / "css" / "base.css").read_bytes()


def test_pyramid(tmp_path: Path) -> None:
    write(tmp_path, "pyramid_shop.py", PYRAMID)
    assert answer(tmp_path, "--listen=127.0.0.1:8080 'pyramid_shop:main({})'") == b"Hello from Pyramid\n"


def test_fastapi(tmp_path: Path) -> None:
    needs("a2wsgi")
    needs("fastapi")
    write(tmp_path, "api.py", FASTAPI)
    assert answer(tmp_path, "--listen=127.0.0.1:8080 api:app") == b'{"hello":"FastAPI"}'
