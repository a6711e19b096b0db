"""Figures that all workers share: one slot for each, in memory that is mapped before the fork.

A slot is a row of 64-bit words, each written by one side only, and two payloads. An aligned word is read and written in
one step, so a reader sees the word of before or of after, never half of both. A payload is longer: its writer writes
the one that nobody reads, and then adds one to the version: if it is even, the first payload is read, else the second.
A reader that finds the version changed meanwhile, or a wrong checksum, tries again. Nobody takes a lock, so a worker
that is stopped or killed at any moment leaves the others unharmed, and its last payload readable.

When a worker has ended, the supervisor moves its counters from its slot to a sum. Who reads both must find them in one
of them: the supervisor adds one to the number of moves before and after, and a reader that finds it odd, or changed
meanwhile, tries again.

    word          written by   meaning
    PID           supervisor   process of the worker; 0 while the slot is free
    COMMAND       supervisor   what the worker is to do: a `Command`
    STATE         worker       `State` of its server (see `connection.context`)
    BEAT          worker       instant of its last tick, in nanoseconds of the monotonic clock
    CONNECTIONS   worker       its open connections
    ACCEPTING     worker       1 while it accepts, or steps aside for a moment
    REQUESTS      worker       requests that have ended
    REPLACE       worker       1 when it asks to be replaced
    VERSION       worker       number of snapshots that it has published
    LENGTH        worker       bytes of the payload of an even version; the next word is that of an odd one
    CHECKSUM      worker       CRC-32 of these payloads, likewise

Row 0 has no worker: its first word is the number of rows to read, the next one the number of moves.

Thread: a slot's worker words are written by the leader of that worker, and by its main thread when it starts to serve
and at its end; all may be read by any thread and process.
"""

import contextlib
import enum
import json
import mmap
import time
from binascii import crc32
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..config.casts import MOST_WORKERS

WORD_BYTES = 8
WORDS = 16  # of a slot, a few of them unused: two cache lines, which no other slot shares
PAYLOAD_BYTES = 32 * 1024  # a snapshot has 1 KiB; with histograms of the status page some 10 KiB
# Workers and those that they replace; memory that nobody has written to costs nothing.
SLOTS = 2 * MOST_WORKERS
READS = 20  # of a payload; only a worker that publishes two further ones during each of them makes them all fail
MOVE_SECONDS = 0.005  # between two attempts to read amid a move, which takes a part of a millisecond
# Seconds without a tick after which a worker does not count as one that accepts. A tick is due once a second.
# Doubled: new clients wait twice as long for a worker that hangs. Halved: a worker under load would be passed over.
FRESH_SECONDS = 2.5
FRESH_NANOSECONDS = int(FRESH_SECONDS * 1e9)


class Word(enum.IntEnum):
    """The words of a slot."""

    PID = 0
    COMMAND = 1
    STATE = 2
    BEAT = 3
    CONNECTIONS = 4
    ACCEPTING = 5
    REQUESTS = 6
    REPLACE = 7
    VERSION = 8
    LENGTH = 9
    CHECKSUM = 11


class Command(enum.IntEnum):
    """What a worker is to do; it checks that at each tick, and before it accepts."""

    SERVE = 0
    RETIRE = 1  # another serves in its place: accept no more, answer what is there, end
    STOP = 2  # drain: for an application that keeps SIGTERM from the server


ROWS, MOVES = 0, 1  # words of row 0

Found = TypeVar("Found")

# Enumerations are slow to look up, and accepting reads these.
_BEAT, _CONNECTIONS, _ACCEPTING = map(int, (Word.BEAT, Word.CONNECTIONS, Word.ACCEPTING))


class Scoreboard:
    """The slots of all workers."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._payloads_at = (1 + slots) * WORDS * WORD_BYTES
        self.memory = mmap.mmap(-1, self._payloads_at + slots * 2 * PAYLOAD_BYTES)  # anonymous: no file, no name
        self.words = memoryview(self.memory)[: self._payloads_at].cast("Q")

    def take(self) -> "Slot":
        """Return the first free slot, all of its words 0. Thread: the supervisor.

        Raises:
            LookupError: all slots are in use.
        """
        for number in range(1, self._slots + 1):
            slot = Slot(self, number)
            if slot.is_free:
                slot.clear()
                self.words[ROWS] = max(self.words[ROWS], number)
                return slot
        raise LookupError(f"no more than {self._slots} workers can run at once")

    def payload_at(self, number: int, version: int) -> int:
        """Return where a payload of a slot starts in `memory`."""
        return self._payloads_at + ((number - 1) * 2 + version % 2) * PAYLOAD_BYTES

    def slots(self) -> "list[Slot]":
        """Return the slots in use. Thread: any."""
        slots = [Slot(self, number) for number in range(1, self.words[ROWS] + 1)]
        return [slot for slot in slots if not slot.is_free]

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """Move counters out of a slot, in this context. Thread: the supervisor."""
        self.words[MOVES] += 1
        try:
            yield
        finally:
            self.words[MOVES] += 1

    def read_between_moves(self, read: Callable[[], Found]) -> Found:
        """Return what `read` returns: all of it before a move, or all of it after that.

        A supervisor that is stopped amid a move holds up nobody for long. Thread: any, of any process.
        """
        for _attempt in range(READS):
            moves = self.words[MOVES]
            found = read()
            if moves % 2 == 0 and self.words[MOVES] == moves:
                break
            time.sleep(MOVE_SECONDS)
        return found


class Slot:
    """The row of one worker."""

    __slots__ = ("_base", "_board", "_words", "number")

    def __init__(self, board: Scoreboard, number: int) -> None:
        self._board = board
        self._words = board.words
        self._base = number * WORDS
        self.number = number

    def __getitem__(self, word: int) -> int:
        return self._words[self._base + word]

    def __setitem__(self, word: int, value: int) -> None:
        self._words[self._base + word] = value

    @property
    def is_free(self) -> bool:
        """Whether no worker has this slot."""
        return self[Word.PID] == 0

    def clear(self) -> None:
        """Set all words to 0: the slot is free."""
        for word in range(WORDS):
            self._words[self._base + word] = 0

    # --- written by the worker

    def beat(self) -> None:
        """Note the instant of a tick."""
        self[Word.BEAT] = time.monotonic_ns()

    def note_connections(self, connections: int, *, accepts: bool) -> None:
        """Report to the others how many connections are open here, and whether this worker accepts."""
        self[Word.CONNECTIONS] = connections
        self[Word.ACCEPTING] = accepts

    def publish(self, snapshot: object) -> None:
        """Make a snapshot readable: what JSON can express, in up to PAYLOAD_BYTES; a larger one leaves the last."""
        payload = json.dumps(snapshot, separators=(",", ":")).encode("ascii")
        if len(payload) > PAYLOAD_BYTES:
            return
        version = self[Word.VERSION] + 1
        start = self._board.payload_at(self.number, version)
        self._board.memory[start : start + len(payload)] = payload
        self[Word.LENGTH + version % 2] = len(payload)
        self[Word.CHECKSUM + version % 2] = crc32(payload)
        self[Word.VERSION] = version

    def has_more_than_others(self) -> bool:
        """Whether another worker accepts, ticks, and has fewer connections: so few that clients should go there.

        The one with the fewest connections never has: so there is always one that does not step aside.
        Up to a quarter more than another, and one, is no reason: with every client that leaves somebody would be ahead.
        """
        words, own = self._words, self._base
        mine = words[own + _CONNECTIONS]
        if mine < 2:
            return False
        fresh_since = 0
        for base in range(WORDS, (words[ROWS] + 1) * WORDS, WORDS):
            theirs = words[base + _CONNECTIONS]
            if theirs + (theirs >> 2) + 1 < mine and words[base + _ACCEPTING] and base != own:
                fresh_since = fresh_since or time.monotonic_ns() - FRESH_NANOSECONDS
                if words[base + _BEAT] > fresh_since:
                    return True
        return False

    # --- read by anyone

    @property
    def beat_age(self) -> float:
        """Seconds since the last tick."""
        return (time.monotonic_ns() - self[Word.BEAT]) / 1e9

    def snapshot(self) -> Any:
        """Return what the worker has published last; None before that."""
        for _attempt in range(READS):
            version = self[Word.VERSION]
            start = self._board.payload_at(self.number, version)
            payload = self._board.memory[start : start + self[Word.LENGTH + version % 2]]
            if self[Word.VERSION] == version and crc32(payload) == self[Word.CHECKSUM + version % 2]:
                return json.loads(payload) if payload else None
        return None
