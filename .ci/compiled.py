"""Compile wheels: next to each pure wheel of a folder, one with the same files and extension modules by mypyc.

    python .ci/compiled.py DIRECTORY

The pure wheel is complete without them: an extension module next to `connection.py` is what Python imports in its
place. What is compiled is in `GROUPS`, and nowhere else. mypy, setuptools and a C compiler are needed, here only.

A group is compiled on its own, and becomes one shared library. Within a group, classes are structures in C, calls are
those of C, and the type of each argument is checked. Between groups everything is looked up as Python does it, so
an object of any class with the right attributes will do. Two packages can therefore be updated one by one, and what a
program puts in the place of a connection (waitress._stand_ins) reaches a compiled task.
"""

import argparse
import ast
import base64
import hashlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

# Package -> groups of modules, by their files. Not in them, although every request uses them:
# - errors, limits of the parser: an error copies itself by its `__dict__`, and equal limits are equal by theirs
# - threads/dispatcher: programs put something in its place
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "waitress_parser": {
        "waitress_parser": (
            "authority", "body", "events", "fields", "framing", "grammar", "head", "lines", "machine",
            "persistence", "receive_buffer", "request_line", "target",
        ),
    },
    "waitress_core": {
        "waitress_core": (
            "connection/connection", "connection/context", "connection/receiver", "connection/sender",
            "connection/states", "http/request", "net/transport", "reactor/deadlines", "reactor/reactor",
        ),
        "waitress_core_wsgi": (
            "http/response", "http/response_fields", "http/response_head", "wsgi/environ", "wsgi/task",
        ),
    },
}  # fmt: skip

# Classes that interpreted ones derive from: file -> their names.
SUBCLASSED: dict[str, tuple[str, ...]] = {
    "waitress_parser/machine.py": ("RequestParser",),  # waitress._parsing
    "waitress_core/net/transport.py": ("SocketTransport",),  # net/tls
    "waitress_core/wsgi/task.py": ("WSGITask",),  # the kinds of tasks, waitress.task
    # Tests watch the transitions of these.
    "waitress_core/connection/connection.py": ("Connection",),
    "waitress_core/connection/receiver.py": ("Receiver",),
    "waitress_core/connection/sender.py": ("Sender",),
    "waitress_core/reactor/reactor.py": ("Reactor",),
}

MYPY_SETTINGS = """\
[mypy]
strict = True
[mypy-setproctitle.*,tomli.*,watchfiles.*]
ignore_missing_imports = True
"""

# What a separate process runs for each group: mypyc ends its process at the first error.
COMPILE = """\
import sys
from setuptools import setup
from mypyc.build import mypycify

name, *files = sys.argv[1:]
extensions = mypycify(["--config-file=mypy.ini", *files], only_compile_paths=files, group_name=name, debug_level="0")
setup(name=name, packages=[], ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"])
"""

PURE_TAG = "py3-none-any"
_SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")


def platform_tag() -> str:
    """Return the tag of wheels for this interpreter and platform: `cp311-cp311-linux_x86_64`."""
    if sys.implementation.name != "cpython":
        raise SystemExit(f"compiled wheels are for CPython: {sys.implementation.name} takes the pure ones")
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    flags = sysconfig.get_config_var("ABIFLAGS") or ""
    return f"{python}-{python}{flags}-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def compile_wheels(directory: Path, packages: Sequence[str] = tuple(GROUPS)) -> list[Path]:
    """Make a wheel for this interpreter of each pure wheel in a folder that has modules to compile; return them."""
    tag = platform_tag()
    with tempfile.TemporaryDirectory() as work:
        sources = Path(work)
        wheels = {wheel.name.partition("-")[0]: wheel for wheel in directory.glob(f"*-{PURE_TAG}.whl")}
        for wheel in wheels.values():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(sources)
        (sources / "mypy.ini").write_text(MYPY_SETTINGS, encoding="utf-8")
        for path, names in SUBCLASSED.items():
            source = sources / path
            source.write_text(allow_subclasses(source.read_text(encoding="utf-8"), names), encoding="utf-8")
        made = []
        for package in packages:
            for group, modules in GROUPS[package].items():
                _compile(group, [f"{package}/{module}.py" for module in modules], sources)
            # A shared library for each group, and for each module what loads it from there.
            extensions = [*sources.glob(f"{package}_*{_SUFFIX}"), *(sources / package).rglob(f"*{_SUFFIX}")]
            files = {path.relative_to(sources).as_posix(): path.read_bytes() for path in sorted(extensions)}
            made.append(add_to_wheel(wheels[package], files, tag))
        return made


def _compile(group: str, files: list[str], sources: Path) -> None:
    done = subprocess.run([sys.executable, "-c", COMPILE, group, *files], cwd=sources, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{group}: mypyc failed\n{done.stdout}{done.stderr}")


def allow_subclasses(source: str, names: Sequence[str]) -> str:
    """Return a module with mypyc's decorator on these classes.

    Its lines take the place of empty ones, so that tracebacks have the line numbers of the file in the wheel.
    """
    lines = source.split("\n")
    statements = ast.parse(source).body
    classes = [statement for statement in statements if isinstance(statement, ast.ClassDef) and statement.name in names]
    imports = [statement for statement in statements if isinstance(statement, ast.Import | ast.ImportFrom)]
    empty = [number for number in range(imports[0].lineno, classes[0].lineno) if not lines[number - 1]]
    # An import that mypyc takes for one of types only, because mypy_extensions is not there when the module runs.
    lines[empty[0] - 1] = "import typing"
    lines[empty[1] - 1] = "if typing.TYPE_CHECKING: from mypy_extensions import mypyc_attr"
    for each in classes:
        first = min([each.lineno, *(decorator.lineno for decorator in each.decorator_list)])
        assert not lines[first - 2]  # two lines before each class are empty
        lines[first - 2] = "@mypyc_attr(allow_interpreted_subclasses=True)"
    return "\n".join(lines)


def add_to_wheel(wheel: Path, files: dict[str, bytes], tag: str) -> Path:
    """Write a copy of a pure wheel with more files, for the platform of `tag`, next to it; return its path."""
    made = wheel.with_name(wheel.name.replace(PURE_TAG, tag))
    record = ""
    with zipfile.ZipFile(wheel) as pure, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as platform:
        *kept, old_record = pure.infolist()  # RECORD is the last, as the standard of wheels asks for
        contents = {info.filename: pure.read(info) for info in kept}
        for name in contents:
            if name.endswith(".dist-info/WHEEL"):
                text = contents[name].decode("utf-8").replace(f"Tag: {PURE_TAG}", f"Tag: {tag}")
                contents[name] = text.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false").encode("utf-8")
        for name, data in {**files, **contents}.items():
            info = zipfile.ZipInfo(name, old_record.date_time)
            info.external_attr = (0o755 if name in files else 0o644) << 16
            platform.writestr(info, data, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
            record += f"{name},sha256={digest},{len(data)}\n"
        info = zipfile.ZipInfo(old_record.filename, old_record.date_time)
        info.external_attr = 0o644 << 16
        platform.writestr(info, f"{record}{old_record.filename},,\n", zipfile.ZIP_DEFLATED)
    return made


def main(arguments: list[str]) -> None:
    """Run the command line: see the docstring of the module."""
    parser = argparse.ArgumentParser(prog="compiled.py", description="Compile the pure wheels of a folder by mypyc.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("packages", nargs="*", choices=(*GROUPS, []), help="only these")  # []: none given
    options = parser.parse_args(arguments)
    for made in compile_wheels(options.directory, options.packages or tuple(GROUPS)):
        print(made)


if __name__ == "__main__":
    main(sys.argv[1:])
