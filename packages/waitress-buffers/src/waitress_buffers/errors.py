"""Failures of the temporary storage behind a queue, as one small tree of exceptions.

errno alone decides the leaf: full, where waiting or a larger disk helps, or not usable at all. Each is an OSError, and
its `__cause__` is the error of the system call; each can be pickled.
"""

import errno

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # disk, quota, and the limit on a file's size


class BufferStorageError(OSError):
    """Temporary storage failed; the queue still holds what it held before the call that raised.

    `errno` is that of the system call, or EIO if it gave none.
    """

    @property
    def directory(self) -> str:
        """Path of the temporary folder; `''` if the system has no usable one."""
        return str(self.filename)


class StorageFullError(BufferStorageError):
    """There is no room left: ENOSPC, EDQUOT or EFBIG."""


class StorageUnavailableError(BufferStorageError):
    """The temporary folder or file cannot be used: ENOENT, EACCES, EROFS, EIO, EMFILE and all other reasons."""


def storage_error(cause: OSError, directory: str | None) -> BufferStorageError:
    """Return the error to raise `from cause`, the OSError of a system call; `directory` is as for `FileBuffer`."""
    code = errno.EIO if cause.errno is None else cause.errno
    reason = cause.strerror or str(cause)
    folder = _default_folder() if directory is None else directory
    if code in FULL_ERRNOS:
        return StorageFullError(code, f"no room for buffered data in the temporary folder ({reason})", folder)
    return StorageUnavailableError(code, f"buffered data cannot be kept in the temporary folder ({reason})", folder)


def _default_folder() -> str:
    try:
        import tempfile  # lazy import: see FileBuffer._open

        return tempfile.gettempdir()
    except OSError:  # No candidate is writable; the message already has the reason, which lists them.
        return ""
