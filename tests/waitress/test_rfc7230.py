"""The patterns of the grammar."""

import re
import time

import pytest

from tests.support.rows import each_row
from waitress import rfc7230


@pytest.mark.parametrize(
    ("line", "groups"),
    [
        (b"Host: a", (b"Host", b"a")),
        (b"Host:a b\t c \t", (b"Host", b"a b\t c")),
        (b"Host:", (b"Host", b"")),
        (b"Host: \t ", (b"Host", b"")),
        (b"Host : a", None),
        (b"Host: a\x0b", None),
        (b"Host: a\n", None),
        (b"\xe4: a", None),
    ],
)
def test_header_field_re_takes_a_line_apart(line: bytes, groups: tuple[bytes, bytes] | None) -> None:
    match = rfc7230.HEADER_FIELD_RE.match(line)
    assert (match and match.groups()) == groups


@pytest.mark.parametrize(
    ("extensions", "is_right"),
    [
        (b"", True),
        (b";a", True),
        (b";a=b;c", True),
        (b';a="b \\" c"', True),
        (b";a =b", False),
        (b";", False),
        (b";a\n", False),
    ],
)
def test_chunk_ext_re_is_strict(extensions: bytes, is_right: bool) -> None:
    assert bool(rfc7230.CHUNK_EXT_RE.match(extensions)) is is_right


@pytest.mark.parametrize(
    ("name", "data", "is_right"),
    [
        ("ONLY_DIGIT_RE", b"012", True),
        ("ONLY_DIGIT_RE", b"+1", False),
        ("ONLY_DIGIT_RE", b"1\n", False),
        ("ONLY_HEXDIG_RE", b"aF0", True),
        ("ONLY_HEXDIG_RE", b"0x1", False),
    ],
)
def test_numbers_are_digits_and_nothing_else(name: str, data: bytes, is_right: bool) -> None:
    assert bool(getattr(rfc7230, name).match(data)) is is_right


def test_a_quoted_string_and_its_pairs() -> None:
    assert rfc7230.QUOTED_STRING_RE.match(r'"a \" b"')
    assert not rfc7230.QUOTED_STRING_RE.match('"a')
    assert rfc7230.QUOTED_PAIR_RE.sub(r"\1", r"a\"b\\") == 'a"b\\'


@each_row("name", sorted(set(rfc7230.__all__) - {name for name in rfc7230.__all__ if "_RE" in name}))
def test_each_string_is_a_pattern_or_is_in_brackets(name: str) -> None:
    pattern = getattr(rfc7230, name)
    assert isinstance(pattern, str)
    re.compile(f"[{pattern}]" if name in ("VCHAR", "OBS_TEXT") else pattern)


@pytest.mark.parametrize("filling", [b" ", b"x", b"x ", b"  x"])
def test_a_line_that_does_not_match_takes_no_longer_than_its_length(filling: bytes) -> None:
    started_at = time.perf_counter()
    assert not rfc7230.HEADER_FIELD_RE.match(b"a:" + filling * 200_000 + b"\x10")
    assert time.perf_counter() - started_at < 5  # in quadratic time: minutes
