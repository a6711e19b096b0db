"""Request ids: what a proxy may give, and what is made."""

import re
import time
import uuid

import pytest

from waitress_core.http.request_id import is_request_id, new_request_id


def test_a_new_id_is_a_uuid_of_version_7_with_the_time_of_now() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_request_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == 1000
    for text in ids:
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
        made = uuid.UUID(text)
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert before <= made.int >> 80 <= after


@pytest.mark.parametrize("text", ["a", "x" * 128, "!~", "0190-ab/c=="], ids=["one", "128", "ends", "signs"])
def test_visible_ascii_is_an_id(text: str) -> None:
    assert is_request_id(text)


@pytest.mark.parametrize(
    "text",
    ["", "x" * 129, "a b", "a\tb", "a\r\nb", "\xe4", "a\x7f", " a"],
    ids=["empty", "129", "space", "tab", "line-break", "latin-1", "delete", "blank-first"],
)
def test_anything_else_is_no_id(text: str) -> None:
    assert not is_request_id(text)
