"""Reading and writing a file at a given offset, whole, in as many system calls as that takes.

With pread and pwrite the descriptor's own position is neither used nor moved; where there are none (Windows) the file
is sought first. Errors are left as the system call raised them.
"""

import errno
import os
import sys
from typing import IO

MAX_CALL_BYTES = 1 << 30  # macOS refuses 2 GiB and more in one call, Linux cuts it short


def read_at_by_seek(file: IO[bytes], size: int, offset: int) -> bytes:
    """Read up to `size` octets: for systems without pread. Moves the file's position."""
    file.seek(offset)
    return file.read(size)


def write_at_by_seek(file: IO[bytes], data: memoryview, offset: int) -> int:
    """Write some of `data` and return how much: for systems without pwrite. Moves the file's position."""
    file.seek(offset)
    return file.write(data)


if sys.platform == "win32":
    read_at = read_at_by_seek
    write_at = write_at_by_seek

else:

    def read_at(file: IO[bytes], size: int, offset: int) -> bytes:
        """Read up to `size` octets from `offset` in one system call."""
        return os.pread(file.fileno(), size, offset)

    def write_at(file: IO[bytes], data: memoryview, offset: int) -> int:
        """Write some of `data` at `offset` in one system call and return how much."""
        return os.pwrite(file.fileno(), data, offset)


def read_fully(file: IO[bytes], size: int, offset: int) -> bytes:
    """Read `size` octets from `offset`; fewer only where the file ends."""
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
    """Write all of `data`, which is C-contiguous and not empty, at `offset`. Copies nothing, keeps no view of it.

    After an OSError any part of it may have been written.
    """
    done = 0
    with memoryview(data) as view, view.cast("B") as octets:
        while done < len(octets):
            with octets[done : done + MAX_CALL_BYTES] as rest:
                written = write_at(file, rest, offset + done)
            if not written:  # no system should; without an error it would be tried for ever
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += written
