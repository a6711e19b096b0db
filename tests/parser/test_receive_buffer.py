"""The receive buffer by itself: what is held, in which form, and what is copied."""

import gc
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitress_parser.receive_buffer import ReceiveBuffer

IS_CPYTHON = sys.implementation.name == "cpython"


def held(buffer: ReceiveBuffer) -> bytes:
    """Return what is held, without dropping it."""
    return bytes(buffer.data[buffer.position :] if buffer.view is None else buffer.view)


def is_reset(buffer: ReceiveBuffer) -> bool:
    return (buffer.data, buffer.position, buffer.view) == (b"", 0, None)


def test_a_new_buffer_is_empty() -> None:
    buffer = ReceiveBuffer()
    assert is_reset(buffer)
    assert len(buffer) == 0
    assert buffer.take_at_most(5) == b""


def test_bytes_appended_to_an_empty_buffer_are_kept_as_they_are() -> None:
    data = b"abc"
    buffer = ReceiveBuffer()
    buffer.append(data)
    assert buffer.data is data


def test_a_view_is_copied_by_append() -> None:
    source = bytearray(b"abc")
    buffer = ReceiveBuffer()
    buffer.append(memoryview(source))
    source[:] = b"xyz"
    assert held(buffer) == b"abc"
    buffer.append(memoryview(source))
    source[:] = b"___"
    assert held(buffer) == b"abcxyz"


def test_consuming_everything_resets_the_buffer() -> None:
    buffer = ReceiveBuffer()
    for data in (b"abc", b"de"):
        buffer.append(data)
    buffer.consume(2)
    assert (held(buffer), len(buffer), buffer.position) == (b"cde", 3, 2)
    buffer.consume(5)
    assert is_reset(buffer)


def test_append_drops_what_was_consumed_before() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"abc")
    for data, expected in ((b"de", b"bcde"), (b"f", b"cdef")):
        buffer.consume(1)
        buffer.append(data)
        assert (bytes(buffer.data), buffer.position) == (expected, 0)


def test_appending_keeps_one_bytearray() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"a")
    buffer.append(b"b")
    grown = buffer.data
    buffer.append(b"c")
    assert buffer.data is grown


def test_take_at_most_gives_no_more_than_is_held_or_asked_for() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"abcde")
    assert buffer.take_at_most(2) == b"ab"
    assert buffer.take_at_most(9) == b"cde"
    assert is_reset(buffer)


def test_what_is_taken_is_bytes_and_does_not_change_later() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"ab")
    buffer.append(b"cd")
    taken = buffer.take_at_most(3)
    buffer.append(b"e")
    assert type(taken) is bytes
    assert (taken, held(buffer)) == (b"abc", b"de")


@pytest.mark.skipif(not IS_CPYTHON, reason="elsewhere a slice may be a copy though it is all of the bytes")
def test_taking_all_of_a_bytes_object_copies_nothing() -> None:
    data = b"abc"
    buffer = ReceiveBuffer()
    buffer.append(data)
    assert buffer.take_at_most(3) is data


def test_a_view_is_counted_and_taken_whole() -> None:
    view = memoryview(b"abc")
    buffer = ReceiveBuffer()
    buffer.view = view
    assert len(buffer) == 3
    assert buffer.take_at_most(3) is view
    assert is_reset(buffer)


def test_a_view_that_was_not_taken_is_copied_by_append() -> None:
    source = bytearray(b"abc")
    buffer = ReceiveBuffer()
    buffer.view = memoryview(source)
    buffer.append(b"d")
    gc.collect()  # PyPy
    source.extend(b"grown, which an exported buffer does not allow")
    assert buffer.view is None
    assert held(buffer) == b"abcd"


def test_clear_drops_everything() -> None:
    buffer = ReceiveBuffer()
    buffer.append(b"abc")
    buffer.consume(1)
    buffer.clear()
    assert is_reset(buffer)
    buffer.view = memoryview(b"abc")
    buffer.clear()
    assert is_reset(buffer)


STEPS = st.one_of(
    st.binary(min_size=1, max_size=9).map(lambda data: ("append", data)),
    st.binary(min_size=1, max_size=9).map(lambda data: ("append", memoryview(data))),
    st.integers(0, 9).map(lambda count: ("take", count)),
    st.integers(0, 9).map(lambda count: ("consume", count)),
)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=30))
def test_any_steps_leave_what_a_plain_queue_would_hold(steps: list[tuple[str, int | bytes | memoryview]]) -> None:
    buffer, expected = ReceiveBuffer(), b""
    for verb, value in steps:
        if not isinstance(value, int):
            buffer.append(value)
            expected += bytes(value)
        elif verb == "take":
            assert buffer.take_at_most(value) == expected[:value]
            expected = expected[value:]
        else:
            value = min(value, len(expected))
            buffer.consume(buffer.position + value)
            expected = expected[value:]
        assert held(buffer) == expected
        assert len(buffer) == len(expected)
        assert bool(buffer.data) == bool(expected), "data is empty as soon as nothing is held"
