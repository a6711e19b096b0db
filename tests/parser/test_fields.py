"""Field lines: names, values, folds, repetitions; and the quick way compared with the careful one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.parser.helpers import GET, HOST, head_of, parse, refusal_of
from tests.support.rows import each_row
from waitress_parser import (
    BareLineBreak,
    DuplicateField,
    FoldedField,
    FoldWithoutField,
    ForbiddenOctet,
    InvalidFieldLine,
    Limits,
    ProtocolError,
)
from waitress_parser import fields as fields_module
from waitress_parser.fields import IF_REPEATED, parse_fields, parse_trailers, read_known_fields


@each_row(
    ("lines", "expected"),
    [
        pytest.param(b"A: b\r\n", [("a", "b")], id="plain"),
        pytest.param(b"A:b\r\n", [("a", "b")], id="no-space"),
        pytest.param(b"A: \t b c \t \r\n", [("a", "b c")], id="whitespace-at-both-ends"),
        pytest.param(b"A:\tb\r\n", [("a", "b")], id="tab-after-colon"),
        pytest.param(b"A:\r\n", [("a", "")], id="empty-value"),
        pytest.param(b"A: \t\r\n", [("a", "")], id="blank-value"),
        pytest.param(b"A: b:c\r\n", [("a", "b:c")], id="colon-in-value"),
        pytest.param(b"A:: b\r\n", [("a", ": b")], id="value-starts-with-colon"),
        pytest.param(b"A: b\tc\r\n", [("a", "b\tc")], id="tab-in-value"),
        pytest.param(b"A: \xe4\xff\r\n", [("a", "\xe4\xff")], id="obs-text"),
        pytest.param(b"A: \x85b\xa0\r\n", [("a", "\x85b\xa0")], id="space-like-bytes-stay"),
        pytest.param(b"!#$%&'*+-.^_`|~: x\r\n", [("!#$%&'*+-.^_`|~", "x")], id="every-odd-tchar"),
        pytest.param(b"X-A: 1\r\nX_A: 2\r\n", [("x-a", "1"), ("x_a", "2")], id="underscore-is-another-name"),
        pytest.param(b"A: 1\r\nB: 2\r\na: 3\r\n", [("a", "1"), ("b", "2"), ("a", "3")], id="wire-order"),
        pytest.param(b"A: b\r\n c\r\n", [("a", "b c")], id="fold"),
        pytest.param(b"A: b\r\n \t  c\r\n", [("a", "b c")], id="fold-of-many-blanks-is-one-space"),
        pytest.param(b"A: b\r\n  c\r\n\td\r\nE: f\r\n", [("a", "b c d"), ("e", "f")], id="two-folds"),
        pytest.param(b"A:\r\n b\r\n", [("a", "b")], id="fold-before-the-value"),
        pytest.param(b"A: b \t\r\n c \r\n d\r\n", [("a", "b c d")], id="blanks-before-a-fold-belong-to-it"),
        pytest.param(b"A: b\r\n \r\n", [("a", "b")], id="fold-of-blanks-only"),
        pytest.param(b"A: b\r\n \r\n\tc\r\n", [("a", "b  c")], id="two-folds-are-two-spaces"),
        pytest.param(b"A: b\r\n C: d\r\n", [("a", "b C: d")], id="fold-that-looks-like-a-field"),
    ],
)
def test_fields_keep_their_order_and_lose_outer_whitespace(lines: bytes, expected: list[tuple[str, str]]) -> None:
    assert head_of(GET + HOST + lines + b"\r\n").fields == [("host", "a.example"), *expected]
    assert head_of(GET + lines + HOST + b"\r\n").fields == [*expected, ("host", "a.example")]


def test_values_of_a_repeated_field_are_joined_in_wire_order() -> None:
    head = head_of(GET + b"X-A: 1\r\n" + HOST + b"x-a: 2\r\nX-a:\r\nX_A: 3\r\n\r\n")
    assert head.values == {"x-a": "1, 2, ", "host": "a.example", "x_a": "3"}
    assert list(head.values) == ["x-a", "host", "x_a"]


BAD_LINES = [
    pytest.param(b"A : b\r\n", InvalidFieldLine, id="space-before-colon"),
    pytest.param(b"A\t: b\r\n", InvalidFieldLine, id="tab-before-colon"),
    pytest.param(b"Host : b\r\n", InvalidFieldLine, id="space-before-colon-of-known-name"),
    pytest.param(b": b\r\n", InvalidFieldLine, id="empty-name"),
    pytest.param(b":\r\n", InvalidFieldLine, id="colon-only"),
    pytest.param(b"A\r\n", InvalidFieldLine, id="no-colon"),
    pytest.param(b"Accept\r\n", InvalidFieldLine, id="no-colon-after-known-name"),
    pytest.param(b"Accept b\r\n", InvalidFieldLine, id="space-for-colon"),
    pytest.param(b"A B: c\r\n", InvalidFieldLine, id="space-in-name"),
    pytest.param(b"A(B): c\r\n", InvalidFieldLine, id="brackets-in-name"),
    pytest.param(b'"A": c\r\n', InvalidFieldLine, id="quotes-in-name"),
    pytest.param(b"A\xe4: c\r\n", InvalidFieldLine, id="obs-text-in-name"),
    pytest.param(b"\xa0A: c\r\n", InvalidFieldLine, id="no-break-space-before-name"),
    pytest.param(b"A\x00: c\r\n", ForbiddenOctet, id="nul-in-name"),
    pytest.param(b"A: \x00\r\n", ForbiddenOctet, id="nul-in-value"),
    pytest.param(b"A: \x0b\r\n", ForbiddenOctet, id="vertical-tab-in-value"),
    pytest.param(b"A: \x1f\r\n", ForbiddenOctet, id="unit-separator-in-value"),
    pytest.param(b"A: \x7f\r\n", ForbiddenOctet, id="del-in-value"),
    pytest.param(b"A: b\rc\r\n", BareLineBreak, id="bare-cr"),
    pytest.param(b"A: b\nc: d\r\n", BareLineBreak, id="bare-lf"),
    pytest.param(b"A: b\r\r\n", BareLineBreak, id="cr-before-crlf"),
    pytest.param(b"A: b\n\r\n", BareLineBreak, id="lf-before-crlf"),
    pytest.param(b"A: b\r\n\n", BareLineBreak, id="lf-after-crlf"),
    pytest.param(b"\nA: b\r\n", BareLineBreak, id="line-starts-with-lf"),
    pytest.param(b"\rA: b\r\n", BareLineBreak, id="line-starts-with-cr"),
]


@each_row(("lines", "kind"), BAD_LINES)
@each_row("is_first", [True, False], ids=["first", "last"])
def test_a_line_that_is_no_field_is_refused(lines: bytes, kind: type[ProtocolError], is_first: bool) -> None:
    section = lines + HOST if is_first else HOST + lines
    refusal = refusal_of(GET + section + b"\r\n")
    assert (refusal.kind, refusal.status) == (kind, 400)
    assert (refusal.method, refusal.version) == ("GET", "1.0")


@pytest.mark.parametrize("blank", [b" ", b"\t", b"  "], ids=["space", "tab", "two-spaces"])
def test_whitespace_before_the_first_field_is_refused(blank: bytes) -> None:
    refusal = refusal_of(GET + blank + HOST + b"\r\n")
    assert refusal.kind is FoldWithoutField
    assert refusal.detail.startswith("Malformed header line")


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "Expect",
        "Authorization",
        "Forwarded",
        "X-Forwarded-For",
        "x-forwarded-anything",
    ],
)
def test_a_fold_in_a_field_that_frames_or_routes_is_refused(name: str) -> None:
    refusal = refusal_of(GET + name.encode() + b": a\r\n b\r\n\r\n")
    assert (refusal.kind, refusal.status, refusal.detail) == (FoldedField, 400, f"Folded header: {name}")


@pytest.mark.parametrize(
    ("lines", "cookie"),
    [
        pytest.param(b"Cookie: a=1\r\nCookie: b=2\r\n", "a=1; b=2", id="two"),
        pytest.param(b"cookie: a=1; b=2\r\nCOOKIE: c=3\r\nCookie:\td=4 \r\n", "a=1; b=2; c=3; d=4", id="three"),
        pytest.param(b'Cookie: a="1, 2"\r\nX: y\r\nCookie: b=3\r\n', 'a="1, 2"; b=3', id="apart"),
        pytest.param(b"Cookie: a=1\r\n b=2\r\nCookie: c=3\r\n", "a=1 b=2; c=3", id="folded"),
        pytest.param(b"Cookie: a=1\r\n", "a=1", id="one"),
        pytest.param(b"Cookie: a=1\r\nCookie_: b=2\r\n", "a=1", id="another-name"),
    ],
)
def test_several_cookie_lines_are_joined_as_one_would_be_written(lines: bytes, cookie: str) -> None:
    """RFC 9113 8.2.3: `concatenated [...] using the two-octet delimiter of 0x3b, 0x20`."""
    assert head_of(GET + HOST + lines + b"\r\n").values["cookie"] == cookie


@each_row("name", [*IF_REPEATED, "accept", "via", "if-match", "x-anything", "x-forwarded-for"])
def test_what_becomes_of_a_repeated_field_is_what_the_table_says(name: str) -> None:
    lines = b"".join(b"%b: %b\r\n" % (name.title().encode(), value) for value in (b"1", b"2", b"1"))
    separator = IF_REPEATED.get(name, ", ")
    if separator is None:
        host = b"" if name == "host" else HOST
        refusal = refusal_of(GET + host + lines + b"\r\n")
        assert (refusal.kind, refusal.status, refusal.detail) == (
            DuplicateField,
            400,
            f"Duplicate header: {name.title()}",
        )
    else:
        head = head_of(GET + HOST + lines + b"\r\n")
        assert head.values[name] == separator.join("121")
        assert head.fields[1:] == [(name, "1"), (name, "2"), (name, "1")]


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Content-Type", "Authorization", "Proxy-Authorization"])
@pytest.mark.parametrize("second", [b"0", b"1"], ids=["equal", "other"])
def test_a_single_field_that_is_repeated_is_refused_even_when_equal(name: str, second: bytes) -> None:
    line = name.encode() + b": 0\r\n"
    refusal = refusal_of(GET + line + b"A: b\r\n" + name.lower().encode() + b": " + second + b"\r\n\r\n")
    assert (refusal.kind, refusal.status) == (DuplicateField, 400)
    assert refusal.detail == f"Duplicate header: {name.lower()}"


def test_the_first_wrong_line_decides() -> None:
    assert refusal_of(GET + b"A\r\nHost: a\r\nHost: a\r\n\r\n").kind is InvalidFieldLine
    assert refusal_of(GET + b"Host: a\r\n b\r\nA\r\n\r\n").kind is FoldedField


def test_details_quote_the_line_as_printable_text_of_bounded_length() -> None:
    assert refusal_of(GET + b"A: b\xe4\nc: d\r\n\r\n").detail == 'Bare CR or LF found in header line "A: b\\xe4"'
    detail = refusal_of(GET + b"A: " + b"x" * 300 + b"\r!").detail
    assert detail == 'Bare CR or LF found in header line "A: ' + "x" * 77 + '..."'


NAMES = st.sampled_from(["Host", "host", "Accept", "X-New", "x_new", "A", "", "A B", "\xe4", " Host", "\tA", "a" * 70])
SEPARATORS = st.sampled_from([": ", ":", ":  ", ":\t", " : ", " ", "", "::"])
VALUES = st.text(st.sampled_from("ab:, \t\x85\xa0\xff"), max_size=6)
LINES = st.lists(st.builds("{}{}{}".format, NAMES, SEPARATORS, VALUES).filter(bool), max_size=5)


@settings(max_examples=500, derandomize=True)
@given(LINES)
def test_the_quick_way_reads_what_the_careful_one_reads(lines: list[str]) -> None:
    quick = read_known_fields(lines)
    try:
        careful = parse_fields(lines)
    except ProtocolError:
        assert quick is None
    else:
        assert quick in (None, careful)


def test_common_fields_go_the_quick_way_and_new_ones_from_the_second_time_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests before this one may have filled it.
    monkeypatch.setattr(fields_module, "_known_names", {"Host:": "host", "accept:": "accept"})
    assert read_known_fields(["Host: a", "accept: b"]) == (
        [("host", "a"), ("accept", "b")],
        {"host": "a", "accept": "b"},
    )
    lines = ["X-Test-Of-Learning: a"]
    assert read_known_fields(lines) is None
    learned = parse_fields(lines)
    assert read_known_fields(lines) == learned


def test_the_name_cache_is_bounded_and_a_full_one_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields_module, "_known_names", dict(fields_module._known_names))
    for number in range(2 * fields_module.MAX_REMEMBERED_NAMES):
        head_of_one = parse([GET + HOST + b"X-%d: y\r\n\r\n" % number], Limits()).head
        assert head_of_one.values[f"x-{number}"] == "y"
    assert len(fields_module._known_names) == fields_module.MAX_REMEMBERED_NAMES
    assert max(map(len, fields_module._known_names)) <= fields_module.MAX_REMEMBERED_NAME_CHARACTERS + 1
    assert head_of(GET + HOST + b"X-Late: y\r\n\r\n").values["x-late"] == "y"
    assert refusal_of(GET + HOST + b"X Late: y\r\n\r\n").kind is InvalidFieldLine


def test_a_long_name_is_read_and_not_cached() -> None:
    name = "x" * (fields_module.MAX_REMEMBERED_NAME_CHARACTERS + 1)
    assert parse_fields([f"{name}: y"]) == ([(name, "y")], {name: "y"})
    assert f"{name}:" not in fields_module._known_names


def test_trailers_lose_what_would_frame_route_or_authorise() -> None:
    dropped = [
        "Transfer-Encoding",
        "content-length",
        "HOST",
        "Connection",
        "Authorization",
        "X-Forwarded-For",
        "Cookie",
    ]
    lines = [f"{name}: a" for name in [*dropped, "Content_Length", "X_Forwarded_For"]]
    assert parse_trailers([*lines, "X-Sum: 1", "X-Sum: 2"]) == [("x-sum", "1"), ("x-sum", "2")]
    assert parse_trailers(lines) == []
