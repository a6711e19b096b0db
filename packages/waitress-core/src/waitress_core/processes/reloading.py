"""`--reload`, for development: a worker watches the files of its modules, and is replaced when one changes.

The worker watches, not the supervisor: it knows its modules, and may start a thread. It reports the change and retires;
the supervisor starts another one at once, and clients wait in the backlog until that serves. An application that cannot
be loaded is replaced by a page with its traceback, and the files are watched all the same.

Thread: `CodeWatcher.run` its own.
"""

import fnmatch
import glob
import html
import logging
import os
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..safe_logger import SafeLogger

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = SafeLogger(logging.getLogger("waitress"))

CHECK_MILLISECONDS = 1000  # between two checks for modules that have been imported since


class CodeWatcher:
    """Watches the files of all imported modules but the standard library's, and those that fit a pattern of `extra`.

    `watch` is `watchfiles.watch`. `on_change` is called with the path of the first file that has changed.
    """

    def __init__(
        self, watch: Callable[..., Iterable[Any]], extra: Sequence[str], on_change: Callable[[str], object]
    ) -> None:
        self._watch = watch
        self._extra = [os.path.realpath(pattern) for pattern in extra]
        self._on_change = on_change
        self._loads_since = 0.0  # on the clock of files: one that is younger was perhaps not read
        self._has_failed = False  # the application could not be loaded: any Python file may be the cause

    def load(self, load: "Callable[[], WSGIApplication]") -> "WSGIApplication":
        """Return the application, or one that shows why it cannot be loaded."""
        self._loads_since = time.time()
        try:
            return load()
        except (Exception, SystemExit) as error:
            self._has_failed = True
            details = getattr(error, "details", None) or traceback.format_exc()
            message = f"it ends the process: {error!r}" if isinstance(error, SystemExit) else str(error)
            logger.error("%s; it is loaded again when a file changes\n%s", message, details)
            return ErrorPage(f"{message}\n\n{details}")

    def start(self) -> None:
        """Watch in a thread, which does not keep the process alive."""
        threading.Thread(target=self.run, name="waitress-reload", daemon=True).start()

    def run(self) -> None:
        """Watch until a file changes."""
        while True:
            files = module_files()
            folders = {os.path.dirname(path) for path in files} | {os.getcwd()}
            folders |= {_fixed_folder(pattern) for pattern in self._extra}
            folders = {folder for folder in folders if os.path.isdir(folder)}
            for changes in self._watch(
                *sorted(folders),
                watch_filter=None,
                recursive=bool(self._extra),
                yield_on_timeout=True,
                rust_timeout=CHECK_MILLISECONDS,
                raise_interrupt=False,
            ):
                # What has changed before the watch started is seen by its time.
                paths = sorted(path for _, path in changes) or self._candidates(files, folders)
                for path in paths:
                    if self._is_watched(os.path.realpath(path), files) and (changes or self._is_younger(path)):
                        self._on_change(path)
                        return
                if module_files() != files:
                    break  # more have been imported

    def _candidates(self, files: set[str], folders: set[str]) -> list[str]:
        found = [*files, *(path for pattern in self._extra for path in glob.glob(pattern, recursive=True))]
        if self._has_failed:
            found += [path for folder in folders for path in glob.glob(os.path.join(glob.escape(folder), "*.py"))]
        return found

    def _is_younger(self, path: str) -> bool:
        try:
            return os.stat(path).st_mtime > self._loads_since
        except OSError:  # it is being replaced: the watch sees that
            return False

    def _is_watched(self, path: str, files: set[str]) -> bool:
        if path in files or (self._has_failed and path.endswith(".py")):
            return True
        return any(fnmatch.fnmatch(path, pattern) for pattern in self._extra)


class ErrorPage:
    """A WSGI application that shows a text: as a page to a browser, plain to others."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        kind, text = "text/plain", self._text
        if "text/html" in environ.get("HTTP_ACCEPT", ""):
            kind = "text/html"
            text = (
                "<!DOCTYPE html><title>The application cannot be loaded</title>"
                f"<h1>The application cannot be loaded</h1><pre>{html.escape(text)}</pre>"
            )
        start_response("500 Internal Server Error", [("Content-Type", f"{kind}; charset=utf-8")])
        return [text.encode("utf-8", "backslashreplace")]


def load_and_watch(
    load: "Callable[[], WSGIApplication]", extra: Sequence[str], on_change: Callable[[str], object]
) -> "WSGIApplication":
    """Return the application, and watch its files: see `CodeWatcher`."""
    from watchfiles import watch  # not of the standard library: the settings have refused to go on without it

    watcher = CodeWatcher(watch, extra, on_change)
    application = watcher.load(load)
    watcher.start()
    return application


def module_files() -> set[str]:
    """Return the files of the imported modules, without those of the standard library."""
    libraries = tuple(
        os.path.join(os.path.realpath(path), "")
        for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    )
    packages = os.path.join("", "site-packages", "")
    files = {
        os.path.realpath(path)
        for module in list(sys.modules.values())
        if isinstance(path := getattr(module, "__file__", None), str)
    }
    return {path for path in files if packages in path or not path.startswith(libraries)}


def _fixed_folder(pattern: str) -> str:
    """Return the longest folder of a pattern that has no wildcard."""
    folder = os.path.dirname(pattern)
    while any(mark in folder for mark in "*?["):
        folder = os.path.dirname(folder)
    return folder
