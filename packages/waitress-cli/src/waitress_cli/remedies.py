"""What to type instead, after the mistakes that people make most: texts to put after the message of an error.

Each starts with "; ", or is empty where nothing better is known. Imported only after a mistake.
"""

import os
import pkgutil
import re
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from waitress_core.config.sources import Given

_USUAL_NAMES = ("application", "app", "wsgi", "create_app", "make_app")  # of applications, and what makes them
_PARTS = re.compile(r"(?P<folder>(?:.*[/\\])?)(?P<module>[^/\\]+?)(?P<suffix>\.py)?", re.DOTALL)
_NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")  # MODULE:OBJECT
MOST_FOLDERS = 100  # to look for a module in; a current folder with more, such as /usr/lib, is no project


def for_file(name: str) -> str:
    """Return what to type if a name is that of a file, as in `src/shop.py:application`."""
    module, _, attributes = name.partition(":")
    found = _PARTS.fullmatch(module)
    if found is None or not (found["folder"] or found["suffix"]):
        return ""
    folder, words = os.path.normpath(found["folder"] or "."), [found["module"]]
    while os.path.basename(folder) not in ("", ".", "..") and os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)  # of the module's name in its package, this is a part
        words = [package, *(word for word in words if word != "__init__")]
        folder = folder or "."
    option = "" if folder == "." else f"--app-dir={folder} "
    return f"; name the module, not its file: {option}{'.'.join(words)}:{attributes or 'application'}"


def for_module(missing: str, folder: str) -> str:
    """Return where the module `missing` may be found, which cannot be imported in this current folder."""
    package, _, last = missing.rpartition(".")
    if package:
        paths: Iterable[str] = getattr(sys.modules.get(package), "__path__", ())
        near = get_close_matches(last, _modules_in(paths), 1)
        return f"; did you mean {package}.{near[0]}?" if near else ""
    for name in _subfolders(folder):
        if missing in _modules_in([os.path.join(folder, name)]):
            return f"; it is in {name}: type --app-dir={name}, or install the project"
    near = get_close_matches(missing, _modules_in([folder]), 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; it is neither installed nor in {folder}"


def for_attribute(owner: object, missing: str) -> str:
    """Return which attribute of a module, or of an object in it, may be meant."""
    names = [name for name in dir(owner) if not name.startswith("_")]
    near = get_close_matches(missing, names, 1)
    if near:
        return f"; did you mean {near[0]}?"
    usual = [name for name in _USUAL_NAMES if name in names]
    return f"; it has {' and '.join(usual)}" if usual else ""


def for_no_application(given: Mapping[str, Given]) -> str:
    """Return the option that may have taken the name of the application for its value: `--port shop:application`."""
    for option in given.values():
        if option.source.startswith("--") and _NAME.fullmatch(str(option.value)):
            return f"; {option.source} has taken {option.value} as its value"
    return ""


def _modules_in(paths: Iterable[str]) -> list[str]:
    return [module.name for module in pkgutil.iter_modules(list(paths))]


def _subfolders(folder: str) -> list[str]:
    """Return the names of folders in which a project may have its modules, `src` first."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.isidentifier() and entry.is_dir()]
    except OSError:
        return []
    return sorted(names, key=lambda name: (name != "src", name)) if len(names) <= MOST_FOLDERS else []
