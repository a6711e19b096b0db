"""Casts: given and resulting values, and values that are refused."""

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.ids import short_id
from tests.support.rows import each_row
from waitress_core.config import casts

GIVEN: list[tuple[Callable[[Any], object], object, object]] = [
    *[(casts.asbool, word, True) for word in ("t", "true", "y", "yes", "on", "1", " TRUE ", "Yes", 1, True)],
    *[(casts.asbool, word, False) for word in ("", "f", "false", "no", "off", "0", "2", "truth", 0, 2, None, False)],
    *[(casts.as_boolean_or_text, word, True) for word in ("t", "true", "y", "YES", " on ", "1", 1, True)],
    *[
        (casts.as_boolean_or_text, word, False)
        for word in ("f", "False", "n", "no", "off", "0", "", " ", 0, False, None)
    ],
    *[(casts.as_boolean_or_text, word, word) for word in ("json", "treu", "/var/log/x", "{status}")],
    (casts.as_boolean_or_text, " json ", "json"),
    (casts.as_boolean_or_text, 2, "2"),
    (casts.as_boolean_or_text, Path("x.log"), "x.log"),
    (casts.asoctal, "600", 0o600),
    (casts.asoctal, "0o660", 0o660),
    (casts.asoctal, "0", 0),
    (casts.aslist, "", []),
    (casts.aslist, " a:1\tb:2\n c ", ["a:1", "b:2", "c"]),
    (casts.aslist, ["a b", "c"], ["a", "b", "c"]),
    (casts.aslist, ("a", 1), ["a", "1"]),
    (casts.aslist, dict.fromkeys(["a b", "c"]), ["a", "b", "c"]),
    (casts.asset, "b a b", {"a", "b"}),
    (casts.asset, ["a b", "a"], {"a", "b"}),
    (casts.as_words, "a, b,c  d\n,e,,", ["a", "b", "c", "d", "e"]),
    (casts.as_words, ["a,b", "c d"], ["a", "b", "c", "d"]),
    (casts.as_words, " , ", []),
    (casts.as_word_set, "b, a,b", {"a", "b"}),
    (casts.str_iftruthy, None, None),
    (casts.str_iftruthy, "", None),
    (casts.str_iftruthy, "x", "x"),
    (casts.str_iftruthy, 5, "5"),
    (casts.slash_fixed_str, "", ""),
    (casts.slash_fixed_str, None, ""),
    (casts.slash_fixed_str, "/", ""),
    (casts.slash_fixed_str, " / ", ""),
    (casts.slash_fixed_str, "foo", "/foo"),
    (casts.slash_fixed_str, "/foo", "/foo"),
    (casts.slash_fixed_str, " //foo// ", "/foo"),
    (casts.slash_fixed_str, "/foo//bar/", "/foo//bar"),
    (casts.as_socket_list, "", []),
    (casts.as_socket_list, " ", []),
    (casts.as_socket_list, [], []),
    (casts.as_address_words, None, None),
    (casts.as_address_words, "", None),
    (casts.as_address_words, "10.0.0.1, 10.0.0.2\n::1", "10.0.0.1 10.0.0.2 ::1"),
    (casts.as_address_words, ["10.0.0.1,10.0.0.2"], "10.0.0.1 10.0.0.2"),
    (casts.as_address_words, ["10.0.0.1", "10.0.0.0/8"], "10.0.0.1 10.0.0.0/8"),
    (casts.as_address_words, {"10.0.0.1": 1, "::1": 2}.keys(), "10.0.0.1 ::1"),
    (casts.as_address_words, ipaddress.ip_address("::1"), "::1"),
    (casts.as_address_words, ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
    (casts.as_address_words, (ipaddress.ip_network("10.0.0.0/30"), "::1"), "10.0.0.0/30 ::1"),
    (casts.as_whole_number, "5", 5),
    (casts.as_whole_number, 5, 5),
    (casts.as_whole_number, 5.0, 5),
    (casts.as_whole_number, "-5", -5),
    (casts.as_seconds, 5, 5),
    (casts.as_seconds, "5", 5),
    (casts.as_seconds, 5.0, 5),
    (casts.as_seconds, 0.4, 0.4),
    (casts.as_seconds, " 0.4 ", 0.4),
    (casts.as_seconds, "1e-3", 0.001),
    (casts.as_seconds, -0.5, -0.5),
    (casts.as_bytes, "5", 5),
    (casts.as_bytes, 5.0, 5),
    (casts.as_bytes, " 64k ", 65536),
    (casts.as_bytes, "10m", 10485760),
    (casts.as_bytes, "10M", 10485760),
    (casts.as_bytes, "10MiB", 10485760),
    (casts.as_bytes, "0g", 0),
    (casts.as_bytes, "2gib", 2147483648),
    (casts.as_seconds, "500ms", 0.5),
    (casts.as_seconds, " 2s ", 2),
    (casts.as_seconds, "2min", 120),
    (casts.as_seconds, "1.5h", 5400),
    (casts.as_seconds, "1d", 86400),
    (casts.as_port_or_service, "80", 80),
    (casts.as_port_or_service, 80, 80),
    (casts.as_port_or_service, " 80 ", 80),
    (casts.as_port_or_service, "-1", -1),
    (casts.as_port_or_service, " http ", "http"),
]

REFUSED: list[tuple[Callable[[Any], object], object]] = [
    (casts.asoctal, 600),
    (casts.asoctal, 0o600),
    (casts.asoctal, "888"),
    (casts.asoctal, ""),
    (casts.asoctal, None),
    (casts.aslist, None),
    (casts.aslist, 5),
    (casts.aslist, b"127.0.0.1:80"),
    (casts.asset, None),
    (casts.as_words, None),
    (casts.as_words, 5),
    (casts.as_word_set, None),
    (casts.as_socket_list, "x"),
    (casts.as_socket_list, None),
    (casts.as_socket_list, 5),
    (casts.as_socket_list, ["x"]),
    (casts.as_whole_number, "x"),
    (casts.as_whole_number, ""),
    (casts.as_whole_number, None),
    (casts.as_whole_number, 1.5),
    (casts.as_whole_number, float("inf")),
    (casts.as_whole_number, float("nan")),
    (casts.as_whole_number, []),
    (casts.as_bytes, "m"),
    (casts.as_bytes, "10mb"),  # a million or 1048576, as one likes
    (casts.as_bytes, "1.5m"),
    (casts.as_bytes, "-1m"),
    (casts.as_bytes, "10 m"),
    (casts.as_bytes, "10min"),
    (casts.as_bytes, "\u0661m"),
    (casts.as_seconds, "2m"),  # minutes, or a size
    (casts.as_seconds, "2S"),
    (casts.as_seconds, "-2s"),
    (casts.as_seconds, "1h30min"),
    (casts.as_seconds, "9" * 400 + "d"),
    (casts.as_seconds, "x"),
    (casts.as_seconds, ""),
    (casts.as_seconds, None),
    (casts.as_seconds, []),
    (casts.as_seconds, float("inf")),
    (casts.as_seconds, "-inf"),
    (casts.as_seconds, "nan"),
    (casts.as_seconds, "1e999"),
    (casts.as_port_or_service, ""),
    (casts.as_port_or_service, " "),
    (casts.as_port_or_service, None),
    (casts.as_port_or_service, 1.5),
]


def case_id(value: object) -> str:
    if isinstance(value, set):
        return repr(sorted(value))  # the repr of a set differs from process to process
    return getattr(value, "__name__", None) or short_id(value)


@pytest.mark.promise("S14", "S26", "S27")
@each_row(("cast", "given", "expected"), GIVEN, ids=case_id)
def test_a_value_is_cast(cast: Callable[[object], object], given: object, expected: object) -> None:
    value = cast(given)
    assert value == expected
    assert type(value) is type(expected)


@each_row(("cast", "given"), REFUSED, ids=case_id)
def test_a_value_that_cannot_be_read_is_refused(cast: Callable[[object], object], given: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        cast(given)


def test_sockets_stay_the_objects_that_were_given() -> None:
    with socket.socket() as one, socket.socket() as other:
        assert casts.as_socket_list((one, other)) == [one, other]
