"""A request: its body, as it arrives and as the application gets it; and its pace."""

from pathlib import Path

import pytest

from tests.core.heads import head
from waitress_buffers import BufferStorageError
from waitress_core.request import Request


def request(now: float = 1000.0) -> Request:
    return Request(head(), now)


def test_a_request_without_a_body_has_an_empty_file() -> None:
    one = request()
    assert one.head.method == "GET"
    assert one.body_bytes == 0
    assert one.open_body().read() == b""
    one.close()


@pytest.mark.parametrize("overflow", [1, 5, 1000], ids=["on disk", "from memory to disk", "in memory"])
def test_the_body_is_a_seekable_file_at_its_start(overflow: int) -> None:
    one = request()
    for piece in (b"one,", memoryview(bytearray(b"two,")), b"three"):
        one.append(piece, overflow)
    assert one.body_bytes == 13
    body = one.open_body()
    assert body.tell() == 0
    assert body.read() == b"one,two,three"
    body.seek(4)
    assert body.readline() == b"two,three"
    assert body.read() == b""
    one.close()


def test_a_piece_may_be_written_over_once_it_is_appended() -> None:
    one = request()
    buffer = bytearray(b"abc")
    one.append(memoryview(buffer), 1000)
    buffer[:] = b"xyz"
    assert one.open_body().read() == b"abc"
    one.close()


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    one = request()
    with pytest.raises(BufferStorageError):
        one.append(b"12345", 5)
    one.close()


@pytest.mark.parametrize(
    ("seconds", "received", "is_too_slow"),
    [
        (0, 0, False),
        (29.9, 0, False),
        (30, 0, True),
        (30, 1, False),
        (30, 500, False),
        (31, 499, True),
        (31, 500, True),
        (31, 501, False),
        (1000, 485_000, True),
        (1000, 485_500, False),
    ],
)
def test_a_body_is_too_slow_after_the_grace_and_a_second_for_each_piece_of_the_rate(
    seconds: float, received: int, is_too_slow: bool
) -> None:
    one = request(1000.0)
    if received:
        one.append(bytes(received), 10_000_000)
    assert one.is_too_slow(1000.0 + seconds, 30, 500) is is_too_slow
    one.close()
