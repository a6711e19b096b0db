"""The documents are correct: they build without a warning, name every setting, and their Python runs."""

import doctest
import html.parser
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tests.project.repository import ROOT, project_files
from waitress_core import SETTINGS, Adjustments

PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = [path for path in project_files() if path.suffix == ".md"]
# Their programs run in their own tests: one sets up logging for the whole process, the other needs packages.
ELSEWHERE = ("logging.md", "middleware.md", "serve-frameworks.md")
WITH_PYTHON = [
    path for path in DOCUMENTS if PYTHON_BLOCK.search(path.read_text(encoding="utf-8")) and path.name not in ELSEWHERE
]


class Anchors(html.parser.HTMLParser):
    """Collects the ids of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids.update(value for name, value in attrs if name == "id" and value)


@pytest.mark.promise("S89")
def test_the_documentation_builds_without_a_warning_and_names_every_setting(tmp_path: Path) -> None:
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "--quiet"]
    built = subprocess.run([*sphinx, ROOT / "docs", tmp_path], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    page, text = Anchors(), (tmp_path / "reference" / "settings.html").read_text(encoding="utf-8")
    page.feed(text)
    assert {f"confval-{setting.name}" for setting in SETTINGS} <= page.ids
    entries = dict(re.findall(r'id="confval-(\w+)">(.*?)</dd></dl>', text, re.DOTALL))
    marked = {name for name, entry in entries.items() if "Accepted, without effect" in entry}
    assert marked == {setting.name for setting in SETTINGS if not setting.has_effect}
    api = (tmp_path / "reference" / "python-api.html").read_text(encoding="utf-8")
    assert ">Type<" not in api  # napoleon takes the text before a colon in the first line of an attribute for its type


WORDS_THAT_PEOPLE_SEARCH_FOR = [
    "metrics",
    "ASGI",
    "static files",
    "workers",
    "reload",
    "HTTPS",
    "certificate",
    "graceful",
    "Docker",
    "Kubernetes",
    "PROXY protocol",
    "slow",
    "memory",
    "timeout",
    "X-Forwarded-For",
    "systemd",
]


@pytest.mark.parametrize("word", WORDS_THAT_PEOPLE_SEARCH_FOR)
def test_a_word_that_people_search_for_leads_somewhere_from_the_home_page(word: str) -> None:
    rows = re.findall(r"^\| (.*?) \| .*\]\(.*\) \|$", (ROOT / "docs" / "index.md").read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if word in row]


BROKEN_LINKS = {  # link: what its warning names
    "[gone](no-such-page.md)": "no-such-page.md",
    "[gone](other.md#no-such-heading)": "no-such-heading",
    "{confval}`no_such_setting`": "no_such_setting",
    "{py:func}`waitress.no_such_function`": "waitress.no_such_function",
}


def test_each_broken_link_fails_the_documentation_with_its_own_warning(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "other.md").write_text("# Other\n", encoding="utf-8")
    (source / "index.md").write_text("# Index\n\n```{toctree}\n:glob:\n*\n```\n", encoding="utf-8")
    for number, link in enumerate(BROKEN_LINKS):
        (source / f"page{number}.md").write_text(f"# Page\n\n{link}\n", encoding="utf-8")
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "--quiet", "-c", str(ROOT / "docs")]
    built = subprocess.run([*sphinx, source, tmp_path / "html"], capture_output=True, text=True)
    assert built.returncode != 0
    warnings = sorted(line for line in built.stderr.splitlines() if "WARNING" in line)
    assert len(warnings) == len(BROKEN_LINKS), built.stderr
    for number, (line, named) in enumerate(zip(warnings, BROKEN_LINKS.values(), strict=True)):
        assert f"page{number}.md" in line
        assert named in line


def serve_one_page(application: Callable[..., Iterable[bytes]], **settings: Any) -> None:
    """Replace `waitress.serve` in the examples: check the settings, and ask the application for one page."""
    Adjustments(**settings)
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ.update(REMOTE_ADDR="127.0.0.1", QUERY_STRING="")
    answers: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> Callable[[bytes], object]:
        answers.append(status)
        return lambda data: None

    result = validator(application)(environ, start_response)
    try:
        assert b"".join(result)
    finally:
        result.close()  # type: ignore[attr-defined]  # the validator's iterator has one
    assert answers


def say_hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from the shop\n"]


def module_with(name: str, application: Callable[..., Any]) -> ModuleType:
    module = ModuleType(name)
    module.application = application  # type: ignore[attr-defined]  # no module has it by its type
    return module


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_python_of_a_document_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a document are one program, in their order; one with prompts shows what comes out."""
    monkeypatch.setattr("waitress.serve", serve_one_page)
    for name in ("shop", "hello"):  # that of many examples, and that of the tutorial
        monkeypatch.setitem(sys.modules, name, module_with(name, say_hello))
    monkeypatch.setenv("LISTEN_FDS", "0")  # systemd's
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "example"}
    for block in PYTHON_BLOCK.finditer(text):
        code, line = block[1], text.count("\n", 0, block.start(1))
        if code.startswith(">>> "):
            example = doctest.DocTestParser().get_doctest(code, names, path.name, str(path), line)
            report: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            runner.run(example, out=report.append, clear_globs=False)
            assert not runner.summarize(verbose=False).failed, "".join(report)
            names.update(example.globs)
        else:
            exec(compile("\n" * line + code, str(path), "exec"), names)
