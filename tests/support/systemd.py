"""What takes the place of systemd, as a service sees it."""

import contextlib
import socket


class Systemd:
    """The socket of systemd, on which it is told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(getattr(socket, "AF_UNIX", -1), socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        """Return the lines of the next message."""
        return self.socket.recv(4096).decode().split("\n")

    def wait_for(self, line: str) -> list[str]:
        """Return the lines of the next message that has this one."""
        while True:
            lines = self.heard()
            if line in lines:
                return lines

    def has_heard_nothing(self) -> bool:
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            return not self.heard()
        return True
