"""What differs between systems."""

import socket
import sys

from waitress import compat


def test_it_says_what_the_system_has() -> None:
    assert (sys.platform == "win32") == compat.WIN
    assert socket.has_ipv6 == compat.HAS_IPV6
    assert sys.maxsize == compat.MAXINT


def test_the_numbers_of_ipv6_are_those_of_the_system() -> None:
    if hasattr(socket, "IPV6_V6ONLY"):
        assert (compat.IPPROTO_IPV6, compat.IPV6_V6ONLY) == (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
