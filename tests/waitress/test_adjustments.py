"""The settings by their old import path, and `parse_args`."""

import getopt
import inspect
import socket
from typing import Any, ClassVar

import pytest

import waitress_core
from waitress import adjustments
from waitress.adjustments import Adjustments


@pytest.mark.parametrize(
    ("arguments", "settings", "rest"),
    [
        pytest.param([], {}, [], id="nothing"),
        pytest.param(["--help"], {"help": True}, [], id="help"),
        pytest.param(["--call", "shop:make"], {"call": True}, ["shop:make"], id="call"),
        pytest.param(["--threads=2", "--ident", "x"], {"threads": "2", "ident": "x"}, [], id="strings"),
        pytest.param(["--ipv4", "--no-ipv6"], {"ipv4": "true", "ipv6": "false"}, [], id="booleans"),
        pytest.param(["--listen=a:1", "--listen=b:2"], {"listen": "a:1 b:2"}, [], id="listen-joined"),
        pytest.param(["--sockets="], {"sockets": ""}, [], id="sockets"),
        pytest.param(["a:b", "c:d", "--port=1"], {}, ["a:b", "c:d", "--port=1"], id="rest-from-the-first-other-word"),
        pytest.param(["--ident=x", "--", "--port=1"], {"ident": "x"}, ["--port=1"], id="rest-from-two-hyphens"),
    ],
)
def test_parse_args_gives_settings_and_the_rest(
    arguments: list[str], settings: dict[str, Any], rest: list[str]
) -> None:
    assert Adjustments.parse_args(arguments) == ({"help": False, "call": False, **settings}, rest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--bogus"], "unrecognized arguments: --bogus"), (["--threads"], "--threads: a value is missing")],
)
def test_what_is_no_option_is_refused_with_the_error_that_programs_catch(arguments: list[str], message: str) -> None:
    with pytest.raises(getopt.GetoptError, match=message):
        Adjustments.parse_args(arguments)


def test_the_settings_are_those_of_the_core() -> None:
    given = Adjustments(listen="127.0.0.1:0", threads="2")
    assert isinstance(given, waitress_core.Adjustments)
    assert (given.threads, Adjustments.threads) == (2, 4)


@pytest.mark.parametrize(
    ("cast", "given", "value"),
    [
        ("asbool", " YES ", True),
        ("asoctal", "660", 0o660),
        ("aslist", "a b\nc", ["a", "b", "c"]),
        ("asset", "a b a", {"a", "b"}),
        ("slash_fixed_str", "//shop/", "/shop"),
        ("str_iftruthy", "", None),
        ("as_socket_list", [], []),
    ],
)
def test_the_casts_have_their_old_names_and_one_argument(cast: str, given: object, value: object) -> None:
    function = getattr(adjustments, cast)
    assert function(given) == value
    assert len(inspect.signature(function).parameters) == 1


def test_every_setting_is_a_pair_of_name_and_cast_and_a_default_on_the_class() -> None:
    for name, cast in Adjustments._params:
        assert Adjustments._param_map[name] is cast
        assert hasattr(Adjustments, name)
    assert dict(Adjustments._params)["port"]("80") == 80


def test_a_subclass_may_have_another_default() -> None:
    class Own(Adjustments):
        socket_options: ClassVar[list[tuple[int, int, int]]] = []

    assert Own(listen="127.0.0.1:0").socket_options == []


@pytest.mark.parametrize(("value", "lines"), [("a b\n c \n\n", ["a b", "c"]), (["a\nb"], ["a\nb"])])
def test_lines_are_split_at_their_ends_only(value: object, lines: list[str]) -> None:
    assert adjustments.aslist_cronly(value) == lines


def test_the_proxy_headers_have_both_spellings() -> None:
    assert "x-forwarded-for" in adjustments.KNOWN_PROXY_HEADERS
    assert "X_FORWARDED_FOR" in adjustments.PROXY_HEADERS
    assert "yes" in adjustments.truthy


def test_sockets_that_are_not_of_one_kind_are_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="Only Internet or UNIX stream sockets may be used"):
            Adjustments.check_sockets([sock])
