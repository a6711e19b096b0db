"""The tree of storage errors."""

import errno
import pickle
import tempfile

import pytest

from waitress_buffers import BufferStorageError, StorageFullError, StorageUnavailableError
from waitress_buffers.errors import storage_error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
def test_no_room_is_a_full_storage(code: int) -> None:
    assert type(storage_error(OSError(code, "no room"), "/folder")) is StorageFullError


@pytest.mark.parametrize(
    "code", [errno.EACCES, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENOENT], ids=errno.errorcode.get
)
def test_anything_else_is_an_unavailable_storage(code: int) -> None:
    assert type(storage_error(OSError(code, "why"), "/folder")) is StorageUnavailableError


def test_the_error_names_the_folder_the_number_and_the_cause() -> None:
    error = storage_error(OSError(errno.ENOSPC, "No space left on device"), "/folder")
    assert error.directory == "/folder"
    assert error.errno == errno.ENOSPC
    assert str(error) == (
        f"[Errno {errno.ENOSPC}] no room for buffered data in the temporary folder (No space left on device): '/folder'"
    )


def test_a_cause_without_a_number_counts_as_an_input_output_error() -> None:
    error = storage_error(OSError("something odd"), "/folder")
    assert error.errno == errno.EIO
    assert "(something odd)" in str(error)


def test_the_default_folder_is_that_of_the_system() -> None:
    assert storage_error(OSError(errno.EIO, "broken"), None).directory == tempfile.gettempdir()


def test_without_a_usable_temporary_folder_the_directory_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_is_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none_is_usable)
    error = storage_error(OSError(errno.ENOENT, "none"), None)
    assert error.directory == ""


def test_an_error_survives_pickling() -> None:
    error = storage_error(OSError(errno.EDQUOT, "quota"), "/folder")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is StorageFullError
    assert isinstance(copy, BufferStorageError)
    assert (copy.errno, copy.directory, str(copy)) == (error.errno, error.directory, str(error))
