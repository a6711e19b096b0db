"""The bytes of one connection: a non-blocking socket, with three plain answers in place of errors.

A call moves bytes, or says that none can be moved now, or raises `Disconnected`. Nothing above this folder sees an
OSError of a client's socket. `Transport` is what a connection needs; `SocketTransport` is the plain one.
"""

import contextlib
import errno
import os
import select
import socket
import sys
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Protocol

from waitress_buffers import ReadOnlyFileBuffer

from ..reactor.poller import WRITE
from .errors import error_numbers

if TYPE_CHECKING:
    from .tls_info import TlsInfo

# Errors of a client that leaves; any other error is worth a log record. EPROTOTYPE is what macOS says of a socket that
# is just being shut down; EPROTO, ENOPROTOOPT and those of hosts and networks come from routers on the way (ICMP).
# ENOTSOCK is what a task sees of a connection that has been reset under it.
DISCONNECTS: Set[int] = error_numbers(
    "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "EPIPE", "ENOTCONN", "ESHUTDOWN", "EBADF", "ETIMEDOUT",
    "EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "ENETRESET", "ENONET", "ENOLINK", "ENOPROTOOPT", "EPROTO",
    "EPROTOTYPE", "EDISCON", "ENOTSOCK",
)  # fmt: skip

# (socket, file, offset, size) -> bytes taken; not on every system
_sendfile: Callable[[int, int, int, int], int] | None = getattr(os, "sendfile", None)
_poll = getattr(select, "poll", None)  # not on Windows: there select takes any descriptor
# A file system, or a kind of socket, that has no sendfile.
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
READ_BYTES = 256 * 1024  # of a file at once, where it has to be read


class Disconnected(Exception):
    """The connection can move no more bytes. `is_expected` is False for errors other than those of leaving clients."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.is_expected = cause.errno in DISCONNECTS


class HandshakeFailed(Exception):
    """The client and the server have not agreed on TLS; the text is the reason."""


class PlainRequest(Exception):
    """A client has sent a request where the server expected TLS. It can be answered: the transport is plain now."""


class FileFailed(Exception):
    """A file that is being sent does not have the bytes that were promised."""


def close(sock: socket.socket) -> None:
    """Close the descriptor of a client's socket."""
    try:  # for each connection: contextlib.suppress would cost three calls
        sock.close()
    except OSError:
        pass  # the system reports what was lost; the descriptor is free all the same


class Transport(Protocol):
    """What a connection needs to move its bytes.

    What `send` or `send_file` has not taken is offered again, from its first byte, before anything else is sent.

    Thread: `send`, `send_file` and `wait_for_room` the task while nothing is pending, otherwise the leader;
    `has_failed` any, while the descriptor is open; all others only the leader.
    """

    descriptor: int  # set once, read anywhere
    needs_handshake: bool  # set once: whether `handshake` is called, until it returns 0, before anything else
    # Set once: whether a client sends bytes also to end its output. Left unread they would make a close a reset.
    must_linger: bool
    sent_bytes: int  # taken by the system so far; written by whoever sends
    handshake_answers: int  # how often the client has got what its next step of the handshake needs; leader only

    @property
    def socket(self) -> "socket.socket":
        """The socket of the client."""

    @property
    def tls(self) -> "TlsInfo | None":
        """What the handshake has found out; None without one."""

    def handshake(self) -> int:
        """Go on with the handshake; return the readiness that it waits for, READ or WRITE, or 0 at its end.

        Raises:
            Disconnected: the client has left before its first byte.
            HandshakeFailed, PlainRequest: there will be no TLS.
        """

    def receive(self, size: int) -> bytes | None:
        """Return what has arrived, about `size` bytes; empty at the end of input, None when there is nothing now.

        Whatever the transport holds is returned: only the system knows of more, and the poller asks it.
        """

    def receive_into(self, buffer: memoryview, size: int) -> int | None:
        """Like `receive`, into a buffer of at least `size` bytes; return how many bytes came."""

    def send(self, data: bytes | memoryview) -> int:
        """Give bytes to the system; return how many it took, 0 when it takes none now."""

    def send_file(self, file: ReadOnlyFileBuffer, size: int) -> int:
        """Give up to `size` of a file's prepared bytes to the system; return how many it took, 0 when none now.

        Raises:
            Disconnected: the connection has failed.
            FileFailed: the file has become shorter than it was, or cannot be read.
        """

    def wait_for_room(self, seconds: float) -> bool:
        """Wait until `send` can take bytes, or fails; False when neither happens within these seconds."""

    def has_failed(self) -> bool:
        """Whether the connection has failed, as by a reset."""

    def end_output(self) -> bool:
        """End output: the peer sees that nothing more will come. It can still send.

        False when the system has no room for what says so: call it again when it has.
        """

    def end(self, *, is_complete: bool) -> None:
        """End both directions, so that a `send` under way in another thread fails; the descriptor stays taken.

        `is_complete` is False while a task runs, which may never end. After `reset`, a proper end of output would look
        like the end of the response: the reset is then sent at once, or on Windows by `close`.
        """

    def reset(self) -> None:
        """Let `close` end the connection with a reset: the peer sees that the response is not complete."""

    def close(self) -> None:
        """Close the descriptor."""


class SocketTransport:
    """One accepted stream socket."""

    __slots__ = ("_resets", "descriptor", "sent_bytes", "socket")

    needs_handshake = False
    must_linger = False
    handshake_answers = 0

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self.socket = accepted
        self.descriptor = accepted.fileno()
        self._resets = False
        self.sent_bytes = 0  # written by whoever sends

    @property
    def tls(self) -> "TlsInfo | None":
        """None."""
        return None

    def handshake(self) -> int:
        """Return 0: a plain connection has no handshake."""
        return 0

    def receive(self, size: int) -> bytes | None:
        """Return up to `size` bytes."""
        try:
            return self.socket.recv(size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Disconnected(error) from error

    def receive_into(self, buffer: memoryview, size: int) -> int | None:
        """Like `receive`, into a buffer."""
        try:
            return self.socket.recv_into(buffer, size)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Disconnected(error) from error

    def send(self, data: bytes | memoryview) -> int:
        """Give bytes to the system."""
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Disconnected(error) from error
        self.sent_bytes += sent
        return sent

    def wait_for_room(self, seconds: float) -> bool:
        """Wait until `send` can take bytes, or fails."""
        if _poll is None:
            return bool(select.select([], [self.descriptor], [], seconds)[1])
        poll = _poll()
        poll.register(self.descriptor, WRITE)
        return bool(poll.poll(seconds * 1000))

    def has_failed(self) -> bool:
        """Whether the connection has failed."""
        if _poll is not None:
            poll = _poll()
            poll.register(self.descriptor, 0)  # errors are always reported
            return bool(poll.poll(0))
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def send_file(self, file: ReadOnlyFileBuffer, size: int) -> int:
        """Give a part of a file to the system, which reads it itself where it can."""
        size = min(size, len(file))
        descriptor = file.file_descriptor
        if descriptor is None or _sendfile is None:
            return self._send_read(file, size)
        try:
            sent = _sendfile(self.descriptor, descriptor, file.offset, size)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in _NO_SENDFILE:
                return self._send_read(file, size)
            if error.errno == errno.EIO:  # of the file: no socket says that
                raise FileFailed(str(error)) from error
            raise Disconnected(error) from error
        if not sent:
            raise FileFailed("the file has become shorter while it was sent")
        self.sent_bytes += sent
        file.skip(sent)
        return sent

    def _send_read(self, file: ReadOnlyFileBuffer, size: int) -> int:
        try:
            data = file.peek(min(size, READ_BYTES))
        except (OSError, EOFError, ValueError) as error:  # ValueError: the application has closed it
            raise FileFailed(str(error)) from error
        sent = self.send(data)
        file.skip(sent)
        return sent

    def end_output(self) -> bool:
        """End output."""
        with contextlib.suppress(OSError):  # it has left already
            self.socket.shutdown(socket.SHUT_WR)
        return True

    def end(self, *, is_complete: bool) -> None:
        """End both directions."""
        if not self._resets:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has left already
        elif not is_complete and sys.platform != "win32":
            # Another file gets the descriptor, so that it stays taken: that closes the socket.
            with contextlib.suppress(OSError):  # no descriptor is left: `close` does it
                other = os.open(os.devnull, os.O_RDWR)
                try:
                    os.dup2(other, self.descriptor, inheritable=False)
                finally:
                    os.close(other)

    def reset(self) -> None:
        """Let `close` end the connection with a reset."""
        self._resets = True
        with contextlib.suppress(OSError):  # it has left already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def close(self) -> None:
        """Close the descriptor."""
        try:  # as `close` does it, with a call less for each connection
            self.socket.close()
        except OSError:
            pass
