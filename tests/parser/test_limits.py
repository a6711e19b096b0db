"""Limits are validated; an error names the field."""

from typing import Any

import pytest

from waitress_parser import Limits
from waitress_parser.limits import _MINIMUM


def test_the_defaults_are_those_of_waitress() -> None:
    limits = Limits()
    assert (limits.max_head_bytes, limits.max_body_bytes) == (262144, 1073741824)
    assert (limits.max_request_line_bytes, limits.max_fields) == (65536, 1000)
    assert (limits.max_chunk_line_bytes, limits.max_chunk_extension_bytes) == (4096, 16384)


@pytest.mark.parametrize("name", Limits._fields)
def test_a_value_below_the_minimum_is_refused_by_name(name: str) -> None:
    minimum = _MINIMUM[name]
    assert getattr(Limits(**{name: minimum}), name) == minimum
    for value in (minimum - 1, -1):
        with pytest.raises(ValueError, match=f"^{name} must be an integer of at least {minimum}, not {value}$"):
            Limits(**{name: value})


@pytest.mark.parametrize("value", [True, 100.0, "100", None])
def test_a_value_that_is_no_integer_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="max_fields"):
        Limits(max_fields=value)


def test_limits_cannot_be_changed() -> None:
    limits: Any = Limits()
    with pytest.raises(AttributeError):
        limits.max_fields = 5
