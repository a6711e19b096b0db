"""A file that sets logging up, when the server starts and at SIGHUP."""

import importlib.util
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waitress_cli.log_config import LogConfig
from waitress_core.lifecycle import requested
from waitress_core.lifecycle.requested import reload_logging

shop = logging.getLogger("shop")
waitress = logging.getLogger("waitress")


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A set-up closes and forgets the handlers of all others, those of pytest too; the real list is left alone."""
    root = logging.getLogger()
    monkeypatch.setattr(logging, "_handlerList", [])
    monkeypatch.setattr(logging, "_handlers", {})
    monkeypatch.setattr(requested, "_log_settings", [])
    loggers = [root, shop, waitress, logging.getLogger("waitress.access"), logging.getLogger("other")]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):  # the rest are places for loggers that nobody has asked for yet
            logger.disabled = False
    for logger, handlers, level, propagate in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def json_fault(text: str) -> str:
    """Return what the parser of the standard library says, which each interpreter says in its own words."""
    with pytest.raises(ValueError) as caught:
        json.loads(text)
    assert "line 1 column 2" in str(caught.value)
    return str(caught.value)


def as_json(text: str, path: Path) -> str:
    """Return a configuration that writes to a file, each record as the text before it and its message."""
    return json.dumps(
        {
            "version": 1,
            "formatters": {"plain": {"format": f"{text} %(message)s"}},
            "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "plain"}},
            "root": {"level": "INFO", "handlers": ["file"]},
        }
    )


def as_toml(text: str, path: Path) -> str:
    return f"""
version = 1
formatters.plain.format = "{text} %(message)s"
root = {{ level = "INFO", handlers = ["file"] }}

[handlers.file]
class = "logging.FileHandler"
filename = {json.dumps(str(path))}
formatter = "plain"
"""


def as_ini(text: str, path: Path) -> str:
    return f"""
[loggers]
keys = root

[handlers]
keys = file

[formatters]
keys = plain

[logger_root]
level = INFO
handlers = file

[handler_file]
class = FileHandler
args = ({str(path)!r},)
formatter = plain

[formatter_plain]
format = {text} %(message)s
"""


has_toml = any(map(importlib.util.find_spec, ("tomllib", "tomli")))
needs_toml = pytest.mark.skipif(not has_toml, reason="there is neither tomllib nor tomli")
FORMATS = [
    pytest.param("log.json", as_json, id="json"),
    pytest.param("log.toml", as_toml, id="toml", marks=needs_toml),
    pytest.param("log.ini", as_ini, id="ini"),
    pytest.param("logging.conf", as_ini, id="any-other-name"),
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.log"


def config(path: Path) -> LogConfig:
    return LogConfig(str(path), lambda: None)


@pytest.mark.parametrize(("name", "written_as"), FORMATS)
def test_it_is_what_it_says_at_first_and_again_at_sighup(name: str, written_as: Any, tmp_path: Path, out: Path) -> None:
    path = tmp_path / name
    path.write_text(written_as("first", out))
    config(path).start()
    shop.info("tea")
    path.write_text(written_as("second", out))
    reload_logging("SIGHUP")
    shop.info("tea")
    assert out.read_text().splitlines() == [
        "first tea",
        f"second Logging is configured by {path} now",
        "second SIGHUP: 0 log file(s) reopened",
        "second tea",
    ]


@pytest.mark.parametrize(("name", "written_as"), FORMATS)
@pytest.mark.parametrize("fault", ["broken", "gone", "handler"])
def test_one_that_is_wrong_at_sighup_is_refused_and_the_old_stays(
    name: str, written_as: Any, fault: str, tmp_path: Path, out: Path
) -> None:
    path = tmp_path / name
    path.write_text(written_as("first", out))
    config(path).start()
    if fault == "gone":
        path.unlink()
    else:
        path.write_text("{" if fault == "broken" else written_as("second", tmp_path / "nowhere" / "out.log"))
    reload_logging("SIGHUP")
    shop.info("tea")
    lines = out.read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"first Cannot configure logging by {path}, the previous configuration stays",
        "first SIGHUP",
        "first tea",
    ]
    if fault != "broken":
        assert "No such file or directory" in lines[0]


def test_one_that_has_not_changed_is_left_alone(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(as_json("first", out).replace('"formatter"', '"mode": "w", "formatter"'))
    config(path).start()
    shop.info("tea")
    reload_logging("SIGHUP")
    assert out.read_text().splitlines() == ["first tea", "first SIGHUP: 0 log file(s) reopened"]


def test_a_corrected_one_is_taken_at_the_next_sighup(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(as_json("first", out))
    config(path).start()
    for text in ("{", as_json("first", out), as_json("second", out)):
        path.write_text(text)
        reload_logging("SIGHUP")
    shop.info("tea")
    assert out.read_text().splitlines()[-1] == "second tea"


@pytest.mark.parametrize("says", [None, True, False])
def test_loggers_that_it_does_not_name_go_on_unless_it_says_otherwise(
    says: bool | None, tmp_path: Path, out: Path
) -> None:
    settings = json.loads(as_json("x", out))
    if says is not None:
        settings["disable_existing_loggers"] = says
    (tmp_path / "log.json").write_text(json.dumps(settings))
    config(tmp_path / "log.json").start()
    assert shop.disabled is bool(says)


@pytest.mark.parametrize(("name", "written_as"), FORMATS)
def test_a_check_finds_what_a_start_would_and_makes_no_file(
    name: str, written_as: Any, tmp_path: Path, out: Path
) -> None:
    path = tmp_path / name
    path.write_text(written_as("first", out))
    config(path).check()
    shop.warning("tea")
    assert not out.exists()
    for text in (
        "{",
        written_as("first", out).replace("FileHandler", "NoSuchHandler"),
        written_as("first", out).replace("INFO", "LOUD"),
        written_as("first", tmp_path / "nowhere" / "out.log"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"^Cannot configure logging by {re.escape(str(path))}: ."):
            config(path).check()


@pytest.mark.parametrize(("name", "written_as"), FORMATS)
def test_a_byte_order_mark_is_no_fault(name: str, written_as: Any, tmp_path: Path, out: Path) -> None:
    (tmp_path / name).write_text(written_as("first", out), encoding="utf-8-sig")
    config(tmp_path / name).start()
    shop.info("tea")
    assert out.read_text() == "first tea\n"


def test_the_version_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text('{"loggers": {"shop": {"level": "ERROR"}}}')
    config(tmp_path / "log.json").start()
    assert shop.level == logging.ERROR


def test_what_comes_after_a_set_up_is_called_each_time(tmp_path: Path, out: Path) -> None:
    calls: list[str] = []
    path = tmp_path / "log.json"
    path.write_text(as_json("first", out))
    LogConfig(str(path), lambda: calls.append("then")).start()
    path.write_text(as_json("second", out))
    reload_logging("SIGHUP")
    path.write_text("{")
    reload_logging("SIGHUP")
    assert calls == ["then"] * 2


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("log.json", None, "No such file or directory"),
        ("log.json", "{", json_fault("{")),
        ("log.json", "[]", "expected an object, as logging.config.dictConfig takes it"),
        ("log.json", '{"version": "1"}', "version='1': expected the number 1, or no version"),
        (
            "log.json",
            '{"version": 1, "handlers": {"a": {"class": "Nowhere"}}}',
            "Unable to configure handler 'a': Cannot resolve 'Nowhere': No module named 'Nowhere'",
        ),
        pytest.param(
            "log.toml", "a", "Expected '=' after a key in a key/value pair (at end of document)", marks=needs_toml
        ),
        ("log.ini", "tea", "File contains no section headers. file: "),
        ("log.ini", "[tea]", "there is no 'formatters'"),
        ("log.ini", b"\n\xff", "line 2 is not UTF-8"),
    ],
    ids=["gone", "json", "list", "version", "handler", "toml", "ini", "section", "bytes"],
)
def test_one_that_is_wrong_at_first_is_one_line(name: str, text: Any, cause: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError) as caught:
        config(path).start()
    message = str(caught.value)
    assert message.startswith(f"Cannot configure logging by {path}: {cause}")
    assert "\n" not in message


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="this Python has tomllib")
def test_toml_needs_a_package_on_python_3_10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomli", None)
    (tmp_path / "log.toml").write_text("version = 1")
    with pytest.raises(ValueError, match=r"pip install 'waitress\[toml\]'$"):
        config(tmp_path / "log.toml").start()
