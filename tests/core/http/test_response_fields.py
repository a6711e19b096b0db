"""Checks of what an application gives as status and headers."""

from typing import Any

import pytest

from tests.support.ids import short_id
from tests.support.rows import each_row
from waitress_core.http.response_fields import (
    HOP_BY_HOP,
    HeaderError,
    checked_name,
    checked_status,
    checked_value,
    parse_content_length,
)

CONTROLS = [chr(code) for code in range(0x20) if code != 0x09] + ["\x7f"]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("etag", "Etag"),
        ("ETag", "Etag"),
        ("content-type", "Content-Type"),
        ("X-REQUEST-ID", "X-Request-Id"),
        ("x_foo-bar", "X_foo-Bar"),
        ("x--y", "X--Y"),
        ("!#$%&'*+.^`|~1", "!#$%&'*+.^`|~1"),
    ],
)
def test_each_part_of_a_name_is_capitalised(name: str, sent: str) -> None:
    assert checked_name(name) == sent


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "\xe4", "\u2603", "a\x00", "a\t", "(a)", "a,b", "a;", "a=b"])
def test_a_name_that_is_not_a_token_is_refused(name: str) -> None:
    with pytest.raises(HeaderError, match="is not a token"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a\r", "a\n", "\r\na"])
def test_a_line_break_in_a_name_has_its_own_message(name: str) -> None:
    with pytest.raises(HeaderError, match=r"^carriage return/line feed character present in header name$"):
        checked_name(name)


@pytest.mark.promise("S58")
@each_row("name", sorted(HOP_BY_HOP))
@each_row("spell", [str.lower, str.upper, str.title])
def test_a_hop_by_hop_field_is_refused(name: str, spell: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        checked_name(spell(name))
    sentence = 'is a "hop-by-hop" header; it cannot be used by a WSGI application (see PEP 3333)'
    assert str(caught.value) == f"{spell(name)} {sentence}"


def test_the_hop_by_hop_fields_are_those_of_pep_3333() -> None:
    assert sorted(HOP_BY_HOP) == [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]


@pytest.mark.parametrize("name", [None, b"a", 5, ["a"]])
def test_a_name_that_is_not_a_str_is_refused(name: Any) -> None:
    with pytest.raises(AssertionError, match="is not a str"):
        checked_name(name)


@pytest.mark.parametrize("value", ["", " a ", "a\tb", "\xa0\xff\x80", "x" * 100_000], ids=short_id)
def test_a_valid_value_is_returned_unchanged(value: str) -> None:
    assert checked_value(value) is value


@pytest.mark.promise("S59")
@each_row("character", CONTROLS, ids=lambda character: f"{ord(character):02x}")
def test_a_control_character_in_a_value_is_refused(character: str) -> None:
    for value in (character, f"a{character}b"):
        with pytest.raises(HeaderError):
            checked_value(value)


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nb", "\u2603\n"])
def test_a_line_break_in_a_value_has_its_own_message(value: str) -> None:
    with pytest.raises(HeaderError, match=r"^carriage return/line feed character present in header value$"):
        checked_value(value)


@pytest.mark.parametrize("value", ["a\rb", "a\x0bb", "\u2603", 5])
def test_an_error_about_a_value_names_the_header(value: Any) -> None:
    with pytest.raises((HeaderError, AssertionError), match=r" of X-Tea( |$)"):
        checked_value(value, "X-Tea")


@pytest.mark.parametrize("value", ["\u0100", "\u2603", "\ud800", "\u2028"])
def test_a_value_outside_latin_1_is_refused(value: str) -> None:
    with pytest.raises(HeaderError, match="cannot be sent"):
        checked_value(value)


@pytest.mark.parametrize("value", [None, b"a", 5])
def test_a_value_that_is_not_a_str_is_refused(value: Any) -> None:
    with pytest.raises(AssertionError, match="is not a str"):
        checked_value(value)


@pytest.mark.parametrize(
    ("status", "sent"),
    [("200 OK", "200 OK"), ("200 ", "200 "), ("200", "200 "), ("599 \xe4", "599 \xe4"), ("404 Not  Found", None)],
)
def test_a_status_is_a_final_code_and_a_reason(status: str, sent: str | None) -> None:
    assert checked_status(status) == (status if sent is None else sent)


@each_row(
    "status",
    [
        *["", "OK", "20", "20 OK", "2000", "200OK", "200\tOK", " 200 OK", "-200 x"],
        *["100 Continue", "199 x", "600 x", "99 x", "\N{ARABIC-INDIC DIGIT TWO}00 OK"],
        *["2\N{ARABIC-INDIC DIGIT ZERO}0 OK", "2ab OK"],
        *["200 \u2603", "200 a\x00", "200 a\x7f"],
    ],
)
def test_a_status_that_cannot_be_sent_is_refused(status: str) -> None:
    with pytest.raises(HeaderError):
        checked_status(status)


@pytest.mark.promise("S60")
@pytest.mark.parametrize("status", ["200 OK\r\n", "200 OK\nX: y", "\r200 OK"])
def test_a_line_break_in_a_status_has_its_own_message(status: str) -> None:
    with pytest.raises(HeaderError, match=r"^carriage return/line feed character present in status$"):
        checked_status(status)


@pytest.mark.parametrize("status", [None, b"200 OK", 200])
def test_a_status_that_is_not_a_str_is_refused(status: Any) -> None:
    with pytest.raises(AssertionError, match="is not a str"):
        checked_status(status)


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("5", 5), ("007", 7), ("9" * 30, int("9" * 30))])
def test_a_content_length_is_a_decimal_number(value: str, number: int) -> None:
    assert parse_content_length(value) == number


@pytest.mark.parametrize("value", ["", "+5", "-5", "5.0", "1_0", "0x5", "5, 5", "\N{SUPERSCRIPT TWO}", "many"])
def test_a_content_length_that_is_not_a_number_is_refused(value: str) -> None:
    with pytest.raises(HeaderError, match="is not a decimal number"):
        parse_content_length(value)
