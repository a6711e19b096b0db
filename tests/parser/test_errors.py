"""Errors: one tree, a status and a reason for each, details that are safe to print."""

import http
import inspect

import pytest

import waitress_parser
from tests.support.rows import each_row
from waitress_parser import LimitExceeded, ProtocolError, errors
from waitress_parser.errors import MAX_SHOWN_CHARACTERS, InvalidHost, shown

ALL = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ProtocolError)]


@each_row("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_its_reason_and_is_public(kind: type[ProtocolError]) -> None:
    phrase = "Request Entity Too Large" if kind.status == 413 else "URI Too Long" if kind.status == 414 else None
    assert kind.reason == (phrase or http.HTTPStatus(kind.status).phrase)
    assert kind.__name__ in waitress_parser.__all__
    assert kind.__doc__


def test_every_public_name_is_there_once() -> None:
    assert len(waitress_parser.__all__) == len(set(waitress_parser.__all__))
    for name in waitress_parser.__all__:
        assert hasattr(waitress_parser, name)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in ALL if issubclass(kind, LimitExceeded) and kind is not LimitExceeded],
    ids=lambda kind: kind.__name__,
)
def test_a_limit_error_names_the_limit(kind: type[LimitExceeded]) -> None:
    error = kind(7)
    assert error.limit == 7
    assert error.detail == str(error) == f"exceeds {kind.name} of 7"


def test_what_is_shown_is_printable_and_bounded() -> None:
    everything = "".join(map(chr, range(256))) * 10
    for start in range(256):
        text = shown(everything[start:])
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= 4 * MAX_SHOWN_CHARACTERS + len("...")
    assert shown("a\r\n\x00\xe4\x7f\\") == "a\\r\\n\\x00\\xe4\\x7f\\\\"
    assert shown("x" * MAX_SHOWN_CHARACTERS) == "x" * MAX_SHOWN_CHARACTERS


def test_an_error_raised_again_has_equal_attributes() -> None:
    error = InvalidHost("/")
    error.method, error.version = "GET", "1.1"
    twin = error.again()
    assert type(twin) is InvalidHost
    assert vars(twin) == vars(error)
    assert twin.args == error.args
    assert twin.__traceback__ is None
