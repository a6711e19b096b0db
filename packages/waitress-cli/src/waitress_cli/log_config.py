"""`--log-config`: a file that sets logging up, and is read again at SIGHUP; one that is wrong then is refused.

Thread: the main thread before the server runs; later the one that waits for it.
"""

import configparser
import contextlib
import json
import logging
import logging.config
import os
from collections.abc import Callable, Iterator
from typing import TextIO

from waitress_core.config import toml_file
from waitress_core.config.faults import SettingsFault
from waitress_core.config.sources import read_utf_8
from waitress_core.lifecycle.requested import read_at_reload
from waitress_core.safe_logger import SafeLogger

from .access_log import check_writable

logger = SafeLogger(logging.getLogger("waitress"))


class LogConfig:
    """The file that sets logging up: JSON or TOML for `logging.config.dictConfig`, by its name, otherwise ini.

    Other than there, loggers that it does not name go on, unless it says otherwise. `then` is called after each set-up,
    which takes the handlers of loggers away.
    """

    def __init__(self, path: str, then: Callable[[], None]) -> None:
        self._path = path
        self._absolute = os.path.abspath(path)  # an application may change the working directory
        self._then = then
        self._text = ""  # the last one that was right

    def check(self) -> None:
        """Set logging up in a process that ends soon, but make no log file: another user may be meant to own it.

        Raises:
            SettingsFault: see `start`.
        """
        try:
            with _without_files():
                self._parse(self._read())()
        except Exception as error:
            raise self._fault(error) from error

    def start(self) -> None:
        """Set logging up, and again at each SIGHUP.

        Raises:
            SettingsFault: the file cannot be read, or is wrong.
        """
        try:
            text = self._read()
            self._set_up(self._parse(text))
        except Exception as error:
            raise self._fault(error) from error
        self._text = text
        read_at_reload(self.read_again)

    def read_again(self) -> None:
        """Set logging up if the file has changed; if it is wrong now, as it was before."""
        try:
            text = self._read()
            if text == self._text:
                return
            configure = self._parse(text)
        except Exception as error:
            self._report(error)
            return
        try:
            self._set_up(configure)
        except Exception as error:
            self._set_up(self._parse(self._text))  # what was right before may have been taken apart
            self._report(error)
            return
        self._text = text
        logger.info("Logging is configured by %s now", self._path)

    def _fault(self, error: Exception) -> SettingsFault:
        text = "Cannot configure logging by {path}: {cause}"
        return SettingsFault(text, about=["log_config"], path=self._path, cause=_cause(error))

    def _report(self, error: Exception) -> None:
        logger.error("Cannot configure logging by %s, the previous configuration stays: %s", self._path, _cause(error))

    def _read(self) -> str:
        try:
            return read_utf_8(self._absolute)
        except OSError as error:
            raise ValueError(error.strerror or str(error)) from None  # without the path, which the message has

    def _parse(self, text: str) -> Callable[[], None]:
        """Return what sets logging up as the text says."""
        suffix = os.path.splitext(self._path)[1].lower()
        if suffix not in (".json", ".toml"):
            parser = configparser.ConfigParser()
            parser.read_string(text, self._path)
            return lambda: logging.config.fileConfig(parser, disable_existing_loggers=False)
        settings = json.loads(text) if suffix == ".json" else toml_file.parse(text)
        if not isinstance(settings, dict):
            raise ValueError("expected an object, as logging.config.dictConfig takes it")
        version = settings.setdefault("version", 1)
        if version != 1:
            raise ValueError(f"version={version!r}: expected the number 1, or no version")
        return lambda: logging.config.dictConfig({"disable_existing_loggers": False, **settings})

    def _set_up(self, configure: Callable[[], None]) -> None:
        configure()
        self._then()


@contextlib.contextmanager
def _without_files() -> Iterator[None]:
    """Let handlers only check whether they could write their files."""

    streams = []

    def check(handler: logging.FileHandler) -> TextIO:
        check_writable(handler.baseFilename)
        streams.append(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # the handler closes it
        return streams[-1]

    opens = logging.FileHandler._open
    logging.FileHandler._open = check  # type: ignore[assignment,method-assign]  # no handler has an option for it
    try:
        yield
    except BaseException:
        for stream in streams:
            stream.close()
        raise
    finally:
        logging.FileHandler._open = opens  # type: ignore[method-assign]  # puts back what it was


def _cause(error: BaseException) -> str:
    """Return what is wrong, in one line: `logging.config` names the part, and its cause the fault."""
    said = []
    current: BaseException | None = error
    while current is not None:
        text = " ".join(_words(current).split())
        missing = f"there is no {text}" if isinstance(current, KeyError) else text
        if missing and missing not in said:
            said.append(missing)
        current = current.__cause__
    return ": ".join(said) or type(error).__name__


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    line = getattr(error, "line", None)
    return f"line {line}: {error}" if isinstance(error, toml_file.TomlFault) and line else str(error)
