"""What the tests of the command line share: small applications in files, the command run to its end, and settings."""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from waitress_core import Adjustments

APPLICATION = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    keys = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "SERVER_NAME", "wsgi.url_scheme")
    return ["".join(f"{key}={environ[key]}\\n" for key in keys).encode()]
"""


def command() -> str:
    """Return the path of the console script that belongs to this interpreter."""
    found = shutil.which("waitress-serve", path=sysconfig.get_path("scripts"))
    assert found is not None, "waitress-serve is not installed for this interpreter"
    return found


def run_command(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the console script, which is to end by itself."""
    return subprocess.run([command(), *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


class Recorder:
    """Makes a server that only remembers its settings."""

    def __call__(self, application: Any, **settings: Any) -> "Recorder":
        self.application = application
        self.adjustments = Adjustments(**settings)
        return self

    def run(self) -> None:
        pass

    def print_listen(self, text: str) -> None:
        pass
