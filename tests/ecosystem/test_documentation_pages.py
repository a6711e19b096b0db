"""The pages of the documentation in Debian's Chromium: nothing is cut, in a window and on a phone, light and dark."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ecosystem import chromium
from tests.project.repository import ROOT

pytestmark = [
    pytest.mark.ecosystem,
    pytest.mark.skipif(chromium.CHROMIUM is None, reason="this host lacks Chromium: apt-get install chromium"),
    pytest.mark.xdist_group("documentation-pages"),
]

WITHOUT_TEXT = {"genindex.html", "search.html", "py-modindex.html"}
# What is wider than its place, or than the window: code that has to be scrolled, tables, pictures, the line at the top.
CUT = """
    [...document.querySelectorAll(".announcement, article :is(pre, .table-wrapper, table, svg, img)")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1
        || e.matches(".announcement") && e.scrollHeight > e.clientHeight + 1)
    .map(e => `${e.tagName} of ${e.scrollWidth}: ${e.textContent.trim().slice(0, 60)}`)
"""
# A text that cannot be told from what is behind it.
TEXT_COLOUR, BACKGROUND = (f"getComputedStyle(document.body).{name}" for name in ("color", "backgroundColor"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documentation")
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--quiet"]
    subprocess.run([*sphinx, str(ROOT / "docs"), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 400])
def test_nothing_is_cut_on_any_page(width: int, scheme: str, folder: Path, browser: chromium.Page) -> None:
    cut: list[str] = []
    pages = [path for path in sorted(folder.rglob("*.html")) if path.name not in WITHOUT_TEXT]
    for path in pages:
        browser.show(path.as_uri(), width, 900, scheme)
        cut += [f"{path.relative_to(folder)}: {text}" for text in browser.value(CUT)]
        assert browser.value(TEXT_COLOUR) != browser.value(BACKGROUND)
    assert len(pages) > 30
    assert cut == []
    assert browser.messages == []
