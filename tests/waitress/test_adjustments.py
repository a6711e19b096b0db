"""The settings by their old import path, and `parse_args`."""

import inspect
from typing import Any

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
    ],
)
def test_parse_args_gives_settings_and_the_rest(
    arguments: list[str], settings: dict[str, Any], rest: list[str]
) -> None:
    assert Adjustments.parse_args(arguments) == ({"help": False, "call": False, **settings}, rest)


def test_parse_args_refuses_what_is_no_option() -> None:
    with pytest.raises(ValueError, match="unrecognized arguments: --bogus"):
        Adjustments.parse_args(["--bogus"])


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
