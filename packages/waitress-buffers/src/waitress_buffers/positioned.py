"""Reading and writing at an offset of a file.

pread, preadv and pwrite neither use nor move the descriptor's own position. Windows has none of them: there seek comes
first. Where only preadv is missing (PyPy, macOS before 11), what pread has read is copied. Errors are those of the
system calls.
"""

import errno
import os
import sys
from typing import IO

MAX_CALL_BYTES = 1 << 30  # macOS refuses 2 GiB and more in one call, Linux cuts it short


def read_at_by_seek(file: IO[bytes], size: int, offset: int) -> bytes:
    """Read up to `size` bytes, for systems without pread; move the file's position."""
    file.seek(offset)
    return file.read(size)


def read_into_at_by_copy(file: IO[bytes], target: memoryview, offset: int) -> int:
    """Read some bytes into `target` and return how many, for systems without preadv."""
    data = read_at(file, target.nbytes, offset)
    with target.cast("B") as as_bytes:
        as_bytes[: len(data)] = data
    return len(data)


def write_at_by_seek(file: IO[bytes], data: memoryview, offset: int) -> int:
    """Write some of `data` and return how much, for systems without pwrite; move the file's position."""
    file.seek(offset)
    return file.write(data)


if sys.platform == "win32":
    read_at = read_at_by_seek
    read_into_at = read_into_at_by_copy
    write_at = write_at_by_seek

else:

    def read_at(file: IO[bytes], size: int, offset: int) -> bytes:
        """Read up to `size` bytes from `offset` in one system call."""
        return os.pread(file.fileno(), size, offset)

    def write_at(file: IO[bytes], data: memoryview, offset: int) -> int:
        """Write some of `data` at `offset` in one system call and return how much."""
        return os.pwrite(file.fileno(), data, offset)

    if hasattr(os, "preadv"):

        def read_into_at(file: IO[bytes], target: memoryview, offset: int) -> int:
            """Read some bytes from `offset` into `target` in one system call and return how many."""
            return os.preadv(file.fileno(), [target], offset)

    else:
        read_into_at = read_into_at_by_copy


def read_fully(file: IO[bytes], size: int, offset: int) -> bytes:
    """Read `size` bytes from `offset`; fewer only at the end of the file."""
    data = read_at(file, min(size, MAX_CALL_BYTES), offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    done = len(data)
    while done < size and (data := read_at(file, min(size - done, MAX_CALL_BYTES), offset + done)):
        parts.append(data)
        done += len(data)
    return b"".join(parts)


def write_fully(file: IO[bytes], data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data`, which is C-contiguous and not empty, at `offset`; copy nothing and keep no view of it.

    After an OSError any part of `data` may have been written.
    """
    done = 0
    with memoryview(data) as view, view.cast("B") as as_bytes:
        while done < len(as_bytes):
            with as_bytes[done : done + MAX_CALL_BYTES] as rest:
                written = write_at(file, rest, offset + done)
            if not written:  # no system should do that; without an error the loop would never end
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += written
