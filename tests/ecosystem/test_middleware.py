"""The examples of the page on middleware do what it says."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.pages import blocks
from tests.support.servers import running

STATIC, COMPRESSED, CORS, FETCH, HINTS = blocks("how-to/middleware.md", "python")
PAGE = b"Hello from the shop\n" * 100
SHOP = f"""
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{PAGE!r}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the application, and with a static file in two forms."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "app.css").write_bytes(b"p {}\n" * 100)
    (tmp_path / "static" / "app.css.gz").write_bytes(gzip.compress(b"p {}\n" * 100))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    return tmp_path


def serving(program: str, package: str = "") -> Any:
    """Serve the application of an example, which needs a package."""
    if package:
        pytest.importorskip(package, reason=f"this environment lacks {package}: `make test-ecosystem` has it")
    names: dict[str, Any] = {}
    exec(compile(program, "middleware.md", "exec"), names)
    return running(names["application"])


@pytest.fixture
def files() -> Iterator[Client]:
    with serving(STATIC, "whitenoise") as server, server.client() as client:
        yield client


def test_whitenoise_sends_files_and_the_application_all_else(files: Client) -> None:
    response = files.get("/static/app.css")
    assert (response.status, response.body) == (200, b"p {}\n" * 100)
    assert response.header("Cache-Control") == "max-age=3600, public"
    assert files.get("/").body == PAGE


def test_whitenoise_sends_the_compressed_form_to_those_who_take_it(files: Client) -> None:
    response = files.get("/static/app.css", "Accept-Encoding: gzip")
    assert response.header("Content-Encoding") == "gzip"
    assert gzip.decompress(response.body) == b"p {}\n" * 100


def test_paste_compresses_pages_for_those_who_take_it() -> None:
    with serving(COMPRESSED, "paste.gzipper") as server, server.client() as client:
        response = client.get("/", "Accept-Encoding: gzip")
        assert response.header("Content-Encoding") == "gzip"
        assert gzip.decompress(response.body) == PAGE
        assert client.get("/").body == PAGE


def test_wsgicors_lets_the_named_site_in_and_no_other() -> None:
    with serving(CORS, "wsgicors") as server, server.client() as client:
        response = client.get("/", "Origin: https://www.example.com")
        assert response.header("Access-Control-Allow-Origin") == "https://www.example.com"
        assert client.get("/", "Origin: https://evil.example").header("Access-Control-Allow-Origin") is None
        client.send(
            b"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://www.example.com\r\n"
            b"Access-Control-Request-Method: POST\r\n\r\n"
        )
        preflight = client.response()
        assert preflight.status in (200, 204)
        assert "POST" in str(preflight.header("Access-Control-Allow-Methods"))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([], 200),
        (["Sec-Fetch-Site: same-origin"], 200),
        (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"], 200),
        (["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"], 403),
    ],
    ids=["no-browser", "own-page", "link", "other-site"],
)
def test_what_another_sites_page_asks_for_is_refused(fields: list[str], status: int) -> None:
    with serving(FETCH) as server, server.client() as client:
        assert client.get("/", *fields).status == status


def test_early_hints_come_before_the_page() -> None:
    with serving(HINTS) as server, server.client() as client:
        hints = client.get()
        assert (hints.status, hints.header("Link")) == (103, "</static/app.css>; rel=preload; as=style")
        assert client.response().body == PAGE
