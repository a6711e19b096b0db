"""The facts about every queue, compared with a plain bytearray."""

import io
import random
from collections.abc import Callable
from typing import BinaryIO, ClassVar, TypeAlias

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from waitress_buffers import ByteQueue, FileBuffer, MemoryBuffer, OverflowBuffer, file_backed, memory, positioned

Maker: TypeAlias = Callable[[], ByteQueue]

MAKERS: dict[str, Maker] = {
    "memory": MemoryBuffer,
    "file": FileBuffer,
    "overflow": lambda: OverflowBuffer(300),
    "overflow_at_once": lambda: OverflowBuffer(0),
}

every_queue = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)

SIZES = st.integers(0, 40) | st.sampled_from([99, 250, 1023, 1024, 1025, 3000, 9000])
KINDS: dict[str, Callable[[bytes], bytes | bytearray | memoryview]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "view": lambda data: memoryview(bytearray(data)),
    "strided view": lambda data: memoryview(b"".join(bytes([byte, 0]) for byte in data))[::2],
}


class AgainstABytearray(RuleBasedStateMachine):
    """Do the same to a queue and to a bytearray, and compare them after each step."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.queue = MAKERS[self.kind]()
        self.model = bytearray()
        self.random = random.Random(3333)
        self.peeked: list[tuple[bytes | memoryview, bytes]] = []
        self.files: list[tuple[BinaryIO, bytes]] = []

    @rule(size=SIZES, kind=st.sampled_from(sorted(KINDS)))
    def append(self, size: int, kind: str) -> None:
        content = self.random.randbytes(size)
        data = KINDS[kind](content)
        self.queue.append(data)
        self.model += content
        if isinstance(data, bytearray):
            data[:] = bytes(size + 1)  # also proves that no view of it is held
        elif isinstance(data, memoryview) and not data.readonly:
            data[:] = bytes(size)

    @rule(size=st.just(-1) | SIZES)
    def peek(self, size: int) -> None:
        peeked = self.queue.peek(size)
        assert isinstance(peeked, bytes) or peeked.readonly
        expected = bytes(self.model if size < 0 else self.model[:size])
        assert peeked == expected
        self.peeked = [*self.peeked[-3:], (peeked, expected)]

    @rule(share=st.sampled_from([0, 0.1, 0.5, 0.9, 1]), extra=st.integers(-1, 1))
    def skip(self, share: float, extra: int) -> None:
        size = max(0, min(len(self.model), int(len(self.model) * share) + extra))
        self.queue.skip(size)
        del self.model[:size]

    @rule(excess=st.integers(1, 2000))
    def skip_too_much(self, excess: int) -> None:
        held = len(self.model)
        with pytest.raises(ValueError, match=rf"^Can't skip {held + excess} bytes in buffer of {held} bytes$"):
            self.queue.skip(held + excess)

    @rule()
    def prune(self) -> None:
        self.queue.prune()

    @precondition(lambda self: len(self.files) < 2)
    @rule()
    def open_file(self) -> None:
        file = self.queue.open_file()
        assert file.tell() == 0
        self.files.append((file, bytes(self.model)))

    @invariant()
    def the_length_is_that_of_the_model(self) -> None:
        assert len(self.queue) == len(self.model)
        assert bool(self.queue) is bool(self.model)

    @invariant()
    def what_was_given_out_has_not_changed(self) -> None:
        for peeked, expected in self.peeked:
            assert peeked == expected
        for file, expected in self.files:
            assert file.seek(0, io.SEEK_END) == len(expected)
            position = file.seek(len(expected) // 3)
            assert file.read() == expected[position:]

    def teardown(self) -> None:
        assert self.queue.peek() == bytes(self.model)
        for file, _ in self.files:
            file.close()
        assert self.queue.peek() == bytes(self.model)
        self.queue.close()
        for peeked, expected in self.peeked:
            assert peeked == expected


@pytest.fixture(params=["by-position", "by-seeking"])
def _both_ways_of_access(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by-seeking":
        monkeypatch.setattr(positioned, "read_at", positioned.read_at_by_seek)
        monkeypatch.setattr(positioned, "read_into_at", positioned.read_into_at_by_copy)
        monkeypatch.setattr(positioned, "write_at", positioned.write_at_by_seek)


@pytest.fixture
def _small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_backed, "MOVED_BYTES", 700)
    monkeypatch.setattr(file_backed, "RECLAIMED_BYTES", 2000)
    monkeypatch.setattr(memory, "GATHERED_BYTES", 60)
    monkeypatch.setattr(memory, "SLICED_BYTES", 10)
    monkeypatch.setattr(positioned, "MAX_CALL_BYTES", 1000)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.usefixtures("_both_ways_of_access", "_small_thresholds")
def test_a_queue_behaves_like_a_bytearray(kind: str) -> None:
    machine = type("Machine", (AgainstABytearray,), {"kind": kind})
    modest = settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=30)
    run_state_machine_as_test(machine, settings=modest)


@every_queue
def test_a_new_queue_is_empty_and_false(make: Maker) -> None:
    queue = make()
    assert len(queue) == 0
    assert not queue
    assert queue.peek() == queue.peek(5) == b""
    queue.skip(0)
    queue.prune()
    queue.close()


@every_queue
def test_a_negative_skip_is_refused(make: Maker) -> None:
    queue = make()
    queue.append(b"abc")
    with pytest.raises(ValueError, match="Can't skip -1 bytes in buffer of 3 bytes"):
        queue.skip(-1)
    assert queue.peek() == b"abc"
    queue.close()


@every_queue
@pytest.mark.parametrize("data", ["text", 5, None, [1, 2]], ids=["str", "int", "none", "list"])
def test_an_object_that_is_not_bytes_is_refused_and_changes_nothing(make: Maker, data: object) -> None:
    queue = make()
    queue.append(b"abc")
    with pytest.raises(TypeError):
        queue.append(data)  # type: ignore[arg-type]  # the test is about the refusal
    assert queue.peek() == b"abc"
    queue.close()


@every_queue
def test_a_view_of_wider_items_is_counted_in_bytes(make: Maker) -> None:
    queue = make()
    wide = memoryview(bytearray(range(16))).cast("I")
    queue.append(wide)
    assert len(queue) == 16
    assert queue.peek() == bytes(range(16))
    queue.close()


@every_queue
def test_appending_nothing_leaves_a_queue_empty(make: Maker) -> None:
    queue = make()
    for nothing in (b"", bytearray(), memoryview(b""), memoryview(bytearray(4))[2:2]):
        queue.append(nothing)
    assert not queue
    assert queue.open_file().read() == b""
    queue.close()


@every_queue
def test_a_closed_queue_is_empty_and_takes_nothing(make: Maker) -> None:
    queue = make()
    queue.append(b"abc")
    queue.close()
    queue.close()
    assert len(queue) == 0
    assert not queue
    assert queue.peek() == b""
    queue.prune()
    queue.skip(0)
    with pytest.raises(ValueError, match="closed"):
        queue.append(b"late")
    with pytest.raises(ValueError, match="closed"):
        queue.open_file()
    queue.close()


@every_queue
def test_an_opened_file_reads_lines_like_any_file(make: Maker) -> None:
    queue = make()
    queue.append(b"consumed")
    queue.append(b"first line\nsecond\n" + b"x" * 400)
    queue.skip(8)
    with queue.open_file() as file:
        assert file.readable()
        assert file.seekable()
        assert file.readline() == b"first line\n"
        assert file.readline(3) == b"sec"
        assert file.tell() == 14
        file.seek(0)
        assert [len(line) for line in file] == [11, 7, 400]
    assert len(queue) == 418
    queue.close()


def test_every_queue_satisfies_the_protocol_for_a_type_checker() -> None:
    queues: list[ByteQueue] = [MemoryBuffer(), FileBuffer(), OverflowBuffer(1)]
    assert not any(queues)
