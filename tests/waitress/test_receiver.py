"""The receivers of bodies by their old names."""

from contextlib import closing

import pytest

from waitress.buffers import OverflowableBuffer
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.utilities import BadRequest

CHUNKED = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n"


def test_a_fixed_stream_takes_what_is_its_own() -> None:
    receiver = FixedStreamReceiver(3, OverflowableBuffer(10))
    assert (receiver.received(b"ab"), receiver.completed, receiver.remain) == (2, False, 1)
    assert (receiver.received(b"cde"), receiver.completed, receiver.received(b"f")) == (1, True, 0)
    assert (len(receiver), receiver.getfile().read(), receiver.getbuf().get()) == (3, b"abc", b"abc")


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_chunks_are_decoded_however_they_come(size: int) -> None:
    with closing(OverflowableBuffer(2)) as buffer:
        receiver = ChunkedReceiver(buffer)
        data = CHUNKED + b"GET"
        taken = sum(receiver.received(data[start : start + size]) for start in range(0, len(data), size))
        assert (taken, receiver.completed, receiver.error) == (len(CHUNKED), True, None)
        assert (len(receiver), receiver.getfile().read()) == (4, b"abcd")


def test_a_fault_ends_it() -> None:
    receiver = ChunkedReceiver(OverflowableBuffer(2))
    assert receiver.received(b"x\r\n") == 3
    assert isinstance(receiver.error, BadRequest)
    assert (receiver.error.body, receiver.completed) == ("Invalid chunk size", False)
    assert receiver.received(b"1\r\na\r\n") == 6
    assert len(receiver) == 0
