"""The top level of the repository stays small, and its text files are plain text."""

import unicodedata
from pathlib import Path

from tests.project.repository import PACKAGES, ROOT, project_files

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "packages",
    "pyproject.toml",
    "tests",
}
CORPUS = ROOT / "tests" / "fuzz" / "corpus"  # bytes, not text


def test_the_top_level_holds_nothing_else() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in project_files()} == TOP_LEVEL


def test_the_folder_packages_holds_the_packages_only() -> None:
    """`pip install packages/*` installs them all."""
    packages = ROOT / "packages"
    entries = {path.relative_to(packages).parts[0] for path in project_files() if packages in path.parents}
    assert entries == {package.name for package in PACKAGES}


def test_every_license_is_the_same() -> None:
    licenses = [ROOT / "LICENSE", *(package.folder / "LICENSE.txt" for package in PACKAGES)]
    assert len({" ".join(path.read_text(encoding="utf-8").split()) for path in licenses}) == 1


def test_every_file_is_utf_8_with_unix_line_ends_and_without_invisible_characters() -> None:
    texts = [path for path in project_files() if CORPUS not in path.parents and path.suffix != ".png"]
    wrong = {str(path.relative_to(ROOT)): fault for path in texts if (fault := _fault(path))}
    assert not wrong


def _fault(path: Path) -> str:
    """Return what is wrong with the text of a file, or nothing."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        return str(error)
    # Cc are the control characters; Cf includes the bidirectional overrides, which can make code look like other code.
    allowed = "\n\t" if path.name == "Makefile" else "\n"
    if invisible := {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf")} - set(allowed):
        return f"holds {invisible}"
    if any(line != line.rstrip() for line in text.split("\n")):
        return "has white space at the end of a line"
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        return "does not end with one line end"
    return ""
