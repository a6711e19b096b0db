"""Failures of the temporary storage behind a queue, as one small tree of exceptions.

The leaf is chosen by errno alone: full, where waiting or a larger disk helps, or not usable at all. Each is an OSError
whose `__cause__` is what the system call raised; each can be pickled.
"""

import errno

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # disk, quota, and the limit on a file's size


class BufferStorageError(OSError):
    """Temporary storage failed; the queue still holds what it held before the call that raised.

    `errno` is that of the system call (EIO where it gave none).
    """

    @property
    def directory(self) -> str:
        """Path of the temporary folder; `''` when the system has no usable one."""
        return str(self.filename)


class StorageFullError(BufferStorageError):
    """There is no room left: ENOSPC, EDQUOT or EFBIG."""


class StorageUnavailableError(BufferStorageError):
    """The temporary folder or file cannot be used: ENOENT, EACCES, EROFS, EIO, EMFILE and all other reasons."""


def storage_error(cause: OSError, directory: str | None) -> BufferStorageError:
    """Translate the OSError of a system call; `directory` is as for `FileBuffer`. To be raised `from cause`."""
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
    except OSError:  # No candidate is writable: the reason, which lists them, is in the message already.
        return ""
