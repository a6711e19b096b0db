"""FIFO byte queues for servers: in memory, in a temporary file, or both; and the read-only file of a WSGI response.

Every queue is appended to at its end and read at its front, by one thread at a time: none of them locks. Nothing here
knows about sockets, threads, HTTP or logs.
"""

from .errors import BufferStorageError, StorageFullError, StorageUnavailableError
from .file_backed import FileBuffer
from .memory import MemoryBuffer
from .overflow import OverflowBuffer
from .protocol import ByteQueue, ReadableFile
from .readonly import ReadOnlyFileBuffer

__all__ = [
    "BufferStorageError",
    "ByteQueue",
    "FileBuffer",
    "MemoryBuffer",
    "OverflowBuffer",
    "ReadOnlyFileBuffer",
    "ReadableFile",
    "StorageFullError",
    "StorageUnavailableError",
]

__version__ = "1.1.0"
