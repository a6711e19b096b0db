"""The modules as modules: what they only imported, and what is put into them."""

import io
import logging
import os
import re
import socket
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import waitress
from tests.support.rows import each_row
from tests.waitress.serving import address_of, answer, application, running
from waitress import adjustments, runner, server, task, utilities
from waitress._modules import old_module

# Where programs have imported names that are at home elsewhere.
ELSEWHERE = [
    ("waitress", "logging", "logging"),
    ("waitress.adjustments", "getopt", "getopt"),
    ("waitress.channel", "HTTPRequestParser", "waitress.parser"),
    ("waitress.channel", "wasyncore", "waitress.wasyncore"),
    ("waitress.parser", "BadRequest", "waitress.utilities"),
    ("waitress.parser", "ChunkedReceiver", "waitress.receiver"),
    ("waitress.parser", "OverflowableBuffer", "waitress.buffers"),
    ("waitress.parser", "unquote_to_bytes", "urllib.parse"),
    ("waitress.proxy_headers", "undquote", "waitress.utilities"),
    ("waitress.receiver", "ONLY_HEXDIG_RE", "waitress.rfc7230"),
    ("waitress.runner", "Adjustments", "waitress.adjustments"),
    ("waitress.runner", "serve", "waitress"),
    ("waitress.server", "IPV6_V6ONLY", "waitress.compat"),
    ("waitress.server", "ThreadedTaskDispatcher", "waitress.task"),
    ("waitress.server", "cleanup_unix_socket", "waitress.utilities"),
    ("waitress.server", "proxy_headers_middleware", "waitress.proxy_headers"),
    ("waitress.server", "trigger", "waitress.trigger"),
    ("waitress.server", "wasyncore", "waitress.wasyncore"),
    ("waitress.task", "build_http_date", "waitress.utilities"),
    ("waitress.task", "sys", "sys"),
    ("waitress.wasyncore", "EWOULDBLOCK", "errno"),
]


@each_row(("module", "name", "home"), ELSEWHERE, ids=lambda word: word.rpartition(".")[2])
def test_a_name_can_be_imported_from_where_it_was_only_imported(module: str, name: str, home: str) -> None:
    found = getattr(import_module(module), name)
    if home.rpartition(".")[2] == name:
        assert found is import_module(home)
    else:
        assert found is getattr(import_module(home), name)
    assert name in dir(import_module(module))


def test_a_name_that_no_module_had_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'waitress\.task' has no attribute 'kettle'$"):
        task.kettle  # type: ignore[attr-defined]  # noqa: B018  # looking is what is tested


def test_replacing_what_nothing_here_uses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does it, mostly a test, would go on with an answer that it does not expect."""
    said = "waitress.task.build_http_date can be read, but not replaced: .* which is waitress.utilities.build_http_date"
    with pytest.raises(AttributeError, match=said):
        monkeypatch.setattr(task, "build_http_date", lambda when: "today")
    with pytest.raises(AttributeError, match=r"waitress\.wasyncore\.utilities can be read"):
        monkeypatch.setattr("waitress.wasyncore.utilities", None)
    task.own_name = 1  # type: ignore[attr-defined]  # a program may have its own names
    del task.own_name  # type: ignore[attr-defined]


def test_names_of_a_module_are_those_that_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tests.kettle")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    old_module(module.__name__, "os parse", boiling=lambda: 100)
    found: Any = module
    assert (found.os, found.boiling) == (os, 100)
    assert {"os", "parse", "boiling"} <= set(dir(module))


def test_the_logging_of_the_package_is_that_of_the_standard_library() -> None:
    assert waitress.logging is logging


# --- the command


def test_the_help_is_a_text_in_which_the_name_of_the_program_is_put(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    runner.show_help(stream, "teapot")
    text = stream.getvalue()
    assert text.startswith("Usage: teapot [OPTIONS] MODULE:OBJECT\n")
    assert "{remote_addr}" in text or "{" not in runner.HELP.replace("{0}", "")  # type: ignore[attr-defined]
    assert text == runner.HELP.format("teapot") + "\n"  # type: ignore[attr-defined]  # made when it is asked for
    monkeypatch.setattr(runner, "HELP", "Pour into {0}.", raising=False)
    stream = io.StringIO()
    runner.show_help(stream, "a cup", "it is empty")
    assert stream.getvalue() == "Error: it is empty\n\nPour into a cup.\n"


def test_an_exception_is_shown_with_its_arguments() -> None:
    stream = io.StringIO()
    try:
        raise ImportError("no tea", 7)
    except ImportError:
        runner.show_exception(stream)
    assert stream.getvalue() == "The application could not be imported: ImportError\n1. no tea\n2. 7\n"


# --- serve


def test_serve_paste_calls_the_serve_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(waitress, "serve", lambda app, **settings: calls.append((app, settings)))
    assert waitress.serve_paste(application, {"here": "/"}, port="1") == 0
    assert calls == [(application, {"port": "1"})]


# --- settings


def test_the_casts_of_settings_are_those_that_programs_know() -> None:
    known = {str, int} | {
        getattr(adjustments, name)
        for name in ("asbool", "aslist", "asset", "asoctal", "slash_fixed_str", "str_iftruthy", "as_socket_list")
    }
    casts = dict(adjustments.Adjustments._params)
    assert set(casts.values()) <= known
    assert {name: casts[name] for name in ("port", "threads", "channel_timeout", "unix_socket", "trusted_proxy")} == {
        "port": int,
        "threads": int,
        "channel_timeout": int,
        "unix_socket": str,
        "trusted_proxy": adjustments.str_iftruthy,
    }
    assert casts == adjustments.Adjustments._param_map


def test_host_and_port_say_whether_a_program_has_given_them() -> None:
    default = adjustments.Adjustments()
    assert (default.host, default.port) == ("0.0.0.0", 8080)
    assert isinstance(default.host, adjustments._str_marker)
    assert isinstance(default.port, adjustments._int_marker)
    given = adjustments.Adjustments(host="127.0.0.1", port="8081")
    assert not isinstance(given.host, adjustments._str_marker)
    assert not isinstance(given.port, adjustments._int_marker)


def test_a_program_may_have_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(adjustments.Adjustments._param_map, "kettles", int)
    assert adjustments.Adjustments(kettles="7", threads="2").kettles == 7  # type: ignore[attr-defined]


# --- what was for dates and the environ


@pytest.mark.parametrize(
    ("pattern", "unpack", "text", "parts"),
    [
        ("rfc822_reg", "unpack_rfc822", "sun, 06 nov 1994 08:49:37 gmt", (1994, 11, 6, 8, 49, 37, 0, 0, 0)),
        ("rfc850_reg", "unpack_rfc850", "sunday, 06-nov-94 08:49:37 gmt", (1994, 11, 6, 8, 49, 37, 0, 0, 0)),
        ("rfc850_reg", "unpack_rfc850", "monday, 7-feb-2000 00:00:01 gmt", (2000, 2, 7, 0, 0, 1, 0, 0, 0)),
    ],
)
def test_dates_can_be_parsed_by_the_old_expressions(pattern: str, unpack: str, text: str, parts: Any) -> None:
    names: Any = utilities
    match = getattr(names, pattern).fullmatch(text)
    assert getattr(names, unpack)(match) == parts
    assert names.daymap[match[1]] == (0 if match[1].startswith("sun") else 1)


def test_the_helpers_of_the_old_expressions_are_there() -> None:
    names: Any = utilities
    assert (names.concat("a", "b"), names.join(["a", "b"]), names.join("ab", "|"), names.group("a")) == (
        "ab",
        "a b",
        "a|b",
        "(a)",
    )
    assert names.monthname[names.monmap["nov"]] == "Nov"
    assert [re.fullmatch(names.short_day_reg, day.lower()) for day in names.weekdayname].count(None) == 0


def test_what_an_environ_renames_can_be_read_and_not_changed() -> None:
    renamed: Any = task.rename_headers  # type: ignore[attr-defined]  # it was imported
    assert dict(renamed) == {"CONTENT_LENGTH": "CONTENT_LENGTH", "CONTENT_TYPE": "CONTENT_TYPE"}
    with pytest.raises(TypeError, match="does not support item assignment"):
        renamed["AUTHORIZATION"] = "AUTHORIZATION"


def test_the_dispatcher_that_a_program_puts_into_the_module_runs_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    class Own(task.ThreadedTaskDispatcher):
        def start_new_thread(self, target: Any, thread_no: int) -> None:
            names.append(f"own-{thread_no}")
            super().start_new_thread(target, thread_no)

    monkeypatch.setattr(server, "ThreadedTaskDispatcher", Own, raising=False)
    made = waitress.create_server(application, listen="127.0.0.1:0", threads=2)
    assert isinstance(made.task_dispatcher, Own)
    with running(made):
        assert answer(address_of(made), "/tea") == b"/tea"
    assert names == ["own-0", "own-1"]
    assert made.task_dispatcher.threads == set()  # they end with the server


@pytest.mark.parametrize("end", ["address in use", "closed before it runs"], ids=["address-in-use", "never-runs"])
def test_threads_of_a_dispatcher_of_a_program_end_with_a_server_that_never_runs(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[task.ThreadedTaskDispatcher] = []

    class Own(task.ThreadedTaskDispatcher):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(server, "ThreadedTaskDispatcher", Own, raising=False)
    if end == "address in use":
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            with pytest.raises(OSError):
                waitress.create_server(application, listen=f"127.0.0.1:{other.getsockname()[1]}", threads=2)
    else:
        waitress.create_server(application, listen="127.0.0.1:0", threads=2).close()
    (dispatcher,) = made
    assert dispatcher.threads == set()


def test_threads_start_as_a_program_has_patched_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    stock = task.ThreadedTaskDispatcher.start_new_thread

    def start(self: Any, target: Any, thread_no: int) -> None:
        started.append(thread_no)
        stock(self, target, thread_no)

    monkeypatch.setattr(task.ThreadedTaskDispatcher, "start_new_thread", start)
    made = waitress.create_server(application, listen="127.0.0.1:0", threads=3)
    with running(made):
        assert answer(address_of(made), "/tea") == b"/tea"
    assert started == [0, 1, 2]
