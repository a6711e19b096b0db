"""A request: its body, as it arrives and as the application reads it."""

from pathlib import Path

import pytest

from tests.core.heads import head
from waitress_buffers import BufferStorageError
from waitress_core.http.request import Request


def request() -> Request:
    return Request(head())


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


def test_a_piece_may_be_overwritten_after_it_is_appended() -> None:
    one = request()
    buffer = bytearray(b"abc")
    one.append(memoryview(buffer), 1000)
    buffer[:] = b"xyz"
    assert one.open_body().read() == b"abc"
    one.close()


def test_a_body_that_cannot_be_stored_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    one = request()
    with pytest.raises(BufferStorageError):
        one.append(b"12345", 5)
    one.close()
