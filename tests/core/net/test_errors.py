"""Numbers of errors: those that a system has, with their twins of Windows."""

import errno

import pytest

from tests.support.rows import each_row
from waitress_core.net.errors import error_numbers
from waitress_core.net.transport import DISCONNECTS


def test_names_become_numbers() -> None:
    assert error_numbers("EPIPE", "ECONNRESET") == {errno.EPIPE, errno.ECONNRESET}


def test_a_name_that_the_system_does_not_have_has_no_number() -> None:
    assert error_numbers("ENOSUCHERROR") == set()


def test_the_twins_of_windows_belong_to_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errno, "WSAECONNRESET", 10054, raising=False)
    assert error_numbers("ECONNRESET") == {errno.ECONNRESET, 10054}


LEAVING = "ECONNRESET ECONNABORTED ECONNREFUSED EPIPE ENOTCONN ESHUTDOWN EBADF ETIMEDOUT EPROTO EPROTOTYPE ENOPROTOOPT"
NETWORK = "EHOSTUNREACH EHOSTDOWN ENETUNREACH ENETDOWN ENETRESET ENONET"


@each_row("name", f"{LEAVING} {NETWORK}".split())
def test_errors_of_leaving_clients_and_of_the_network_are_no_news(name: str) -> None:
    assert getattr(errno, name, errno.EPIPE) in DISCONNECTS


@pytest.mark.parametrize("name", ["EIO", "EFAULT", "EINVAL", "ENOMEM", "ENOBUFS", "EMFILE", "EACCES"])
def test_errors_of_the_system_are_news(name: str) -> None:
    assert getattr(errno, name) not in DISCONNECTS
