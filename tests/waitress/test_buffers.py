"""The byte queues by their old names and methods."""

import io
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

import waitress_buffers
from waitress.buffers import (
    BytesIOBasedBuffer,
    FileBasedBuffer,
    OverflowableBuffer,
    ReadOnlyFileBasedBuffer,
    TempfileBasedBuffer,
)

makers = pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: FileBasedBuffer(io.BytesIO()), id="file"),
        pytest.param(BytesIOBasedBuffer, id="memory"),
        pytest.param(TempfileBasedBuffer, id="tempfile"),
        pytest.param(lambda: OverflowableBuffer(4), id="overflowed"),
        pytest.param(lambda: OverflowableBuffer(100), id="not overflowed"),
    ],
)


@makers
def test_what_is_appended_is_got_in_order_and_consumed_only_when_told(make: Callable[[], Any]) -> None:
    with closing(make()) as buffer:
        buffer.append(b"abc")
        buffer.append(b"def")
        assert (len(buffer), buffer.get(2), buffer.get()) == (6, b"ab", b"abcdef")
        assert (buffer.get(2, True), len(buffer), buffer.get(skip=True), len(buffer)) == (b"ab", 4, b"cdef", 0)


@makers
def test_skip_consumes_what_there_is_and_no_more(make: Callable[[], Any]) -> None:
    with closing(make()) as buffer:
        buffer.append(b"abc")
        buffer.skip(1, True)
        assert buffer.getfile().read() == b"bc"
        with pytest.raises(ValueError, match="Can't skip 3 bytes in buffer of 2 bytes"):
            buffer.skip(3)


@pytest.mark.parametrize("make", [BytesIOBasedBuffer, TempfileBasedBuffer])
def test_a_copy_has_what_is_unread_and_leaves_the_original(make: Any) -> None:
    with closing(make()) as original:
        original.append(b"abcdef")
        original.skip(2)
        with closing(make(original)) as copy:
            copy.append(b"g")
            assert (copy.get(), original.get()) == (b"cdefg", b"cdef")


def read_only(data: bytes) -> ReadOnlyFileBasedBuffer:
    return ReadOnlyFileBasedBuffer(io.BytesIO(data))


@pytest.mark.parametrize("make", [BytesIOBasedBuffer, TempfileBasedBuffer])
def test_a_copy_of_a_wrapped_file_has_all_of_it(make: Any) -> None:
    with closing(make(read_only(b"hello"))) as copy:
        assert (copy.get(), len(copy)) == (b"hello", 5)


@pytest.mark.parametrize("overflow", [4, 100])
def test_a_copy_of_an_overflowable_buffer_has_what_is_unread(overflow: int) -> None:
    with closing(OverflowableBuffer(overflow)) as original:
        original.append(b"abcdef")
        original.skip(2)
        with closing(BytesIOBasedBuffer(original)) as copy:
            assert (copy.get(), len(copy), original.get()) == (b"cdef", 4, b"cdef")


@pytest.mark.parametrize("make", [BytesIOBasedBuffer, TempfileBasedBuffer])
def test_prune_forgets_what_is_consumed(make: Any) -> None:
    with closing(make()) as buffer:
        buffer.append(b"abcdef")
        buffer.skip(4)
        buffer.prune()
        assert (buffer.get(), buffer.getfile().seek(0, io.SEEK_END)) == (b"ef", 2)


def test_a_buffer_on_a_file_has_no_other_file_to_prune_into() -> None:
    buffer = FileBasedBuffer(io.BytesIO())
    buffer.prune()  # there is nothing to prune yet
    buffer.append(b"ab")
    buffer.skip(1)
    with pytest.raises(NotImplementedError):
        buffer.prune()


def test_a_file_that_can_not_be_closed_is_let_go() -> None:
    class Unclosable:
        def read(self, size: int = -1) -> bytes:
            return b""

    buffer = FileBasedBuffer(Unclosable())  # type: ignore[arg-type]  # less than a file
    buffer.remain = 3
    buffer.close()
    assert not len(buffer)


def test_a_buffer_on_a_file_is_true_and_another_only_while_it_holds_something() -> None:
    assert FileBasedBuffer(io.BytesIO())
    assert not OverflowableBuffer(1)


def test_it_overflows_at_its_setting() -> None:
    with closing(OverflowableBuffer(4)) as buffer:
        buffer.append(b"abc")
        assert not buffer.overflowed
        buffer.append(b"d")
        assert buffer.overflowed
        buffer.prune()
        assert buffer.get() == b"abcd"


def test_the_file_wrapper_is_that_of_the_server() -> None:
    wrapper = ReadOnlyFileBasedBuffer(io.BytesIO(b"abcdef"), 2)
    assert isinstance(wrapper, waitress_buffers.ReadOnlyFileBuffer)
    assert (wrapper.prepare(4), wrapper.remain, len(wrapper)) == (4, 4, 4)
    assert (wrapper.get(2), wrapper.get(2, True), wrapper.get(), wrapper.remain) == (b"ab", b"ab", b"cd", 2)
    wrapper.skip(2)
    assert not wrapper.remain
    with pytest.raises(NotImplementedError):
        wrapper.append(b"")


def test_what_remains_of_a_wrapped_file_can_be_set() -> None:
    class Half(ReadOnlyFileBasedBuffer):
        def prepare(self, size: int | None = None) -> int:
            self.remain = 4
            return self.remain

    wrapper = Half(io.BytesIO(b"abcdef"))
    assert (wrapper.prepare(), wrapper.get(2), wrapper.get(2, True), wrapper.get()) == (4, b"ab", b"ab", b"cd")
    wrapper.remain = 1
    assert (wrapper.get(skip=True), len(wrapper)) == (b"c", 0)


def test_the_file_wrapper_is_iterated_in_blocks_and_shows_its_file() -> None:
    file = io.BytesIO(b"abcde")
    wrapper = ReadOnlyFileBasedBuffer(file, 2)
    assert [wrapper.next(), *wrapper] == [b"ab", b"cd", b"e"]
    assert wrapper.file is wrapper.getfile() is file
    wrapper.close()
    assert file.closed
