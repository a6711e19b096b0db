"""Pages, `--help`, messages and the code are in plain English and the field's words: none has a word of the table."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.repository import PACKAGES, ROOT, project_files
from tests.project.words import words_of
from tests.support.rows import each_row

# The tables of measurements are made from data, with the names that it has.
PAGES = [path for path in project_files() if path.suffix == ".md" and path.name != "tables.md"]
MODULES = [module for package in PACKAGES for module in package.modules]
# Texts of 3.0.2, which programs and operators match, or names that Python or another package has given.
KEPT = frozenset({"tell", "_tell", "_stand_ins", "stand_ins", "on_message_begin"})
FENCED = re.compile(r"^(```|~~~).*?^\1$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}.*$", re.MULTILINE)
FILE_METHODS = re.compile(r"seek (and )?tell")
INLINE = re.compile(r"`[^`]+`")


def prose(page: str) -> str:
    """Return a page with its code blanked out, on the same lines."""
    for code in (FENCED, INDENTED, INLINE):
        page = code.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), page)
    return page


def texts_of(module: Path) -> Iterator[tuple[int, str]]:
    """Return (line, text) of each text of a module that is not a docstring: messages, and the help of settings."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield node.lineno, node.value


@each_row("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_is_in_plain_words(path: Path) -> None:
    text = prose(path.read_text(encoding="utf-8"))
    found = [f"{text.count(chr(10), 0, at) + 1}: {word!r}: write {instead}" for at, word, instead in words_of(text)]
    assert found == []


def test_messages_and_help_are_in_plain_words() -> None:
    found = [
        f"{module.name}:{line}: {word!r} in {text!r}: write {instead}"
        for module in MODULES
        for line, text in texts_of(module)
        if text not in KEPT
        for _, word, instead in words_of(text)
    ]
    assert found == []


def test_a_word_is_found_at_the_start_of_a_sentence_too_and_not_in_code() -> None:
    page = "# Title\n\nBeside it\n\n    begin code\n\n`beside` and beside.\n"
    assert [word for _, word, _ in words_of(prose(page))] == ["Beside", "beside"]


def words_in_code(module: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each comment, docstring and name of a module that has a word of the table anywhere."""
    source = module.read_text(encoding="utf-8")
    if not words_of(source.replace("_", " ")):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, INLINE.sub(" ", node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], INLINE.sub(" ", token.string)
        elif token.type == tokenize.NAME and token.string not in KEPT:
            yield token.start[0], token.string.replace("_", " ")


SHIPPED = frozenset(MODULES)
CODE = {package.name: package.modules for package in PACKAGES}
CODE["tests and tools"] = [
    path
    for path in project_files()
    if path.suffix == ".py" and path not in SHIPPED and path.name not in ("words.py", "test_words.py")
]


@pytest.mark.parametrize("folder", CODE)
def test_comments_docstrings_and_names_are_in_plain_words(folder: str) -> None:
    found = {
        f"{module.relative_to(ROOT)}:{line + text.count(chr(10), 0, at)}: {word!r}: write {instead}"
        for module in CODE[folder]
        for line, text in words_in_code(module)
        for at, word, instead in words_of(FILE_METHODS.sub("", text))
    }
    assert sorted(found) == []
