"""The loop and the dispatcher that waitress 3.0 took over from the standard library's asyncore, by their names.

Servers do not need it: their threads serve their sockets. It is for programs that drive a server by
`server.asyncore.loop(timeout, map=server._map)` (WebTest, plone.testing), close what a map holds, serve sockets of
their own in the loop, or change `_DISCONNECTED`, the errors that are not logged.
"""

import errno
import os
import select
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, MutableMapping, Set
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from waitress_core.net import transport

from ._logs import Logs
from ._modules import call_when_rebound, old_module

if TYPE_CHECKING:
    from ._protocols import LoopHost

__all__ = [
    "ExitNow",
    "close_all",
    "compact_traceback",
    "dispatcher",
    "loop",
    "poll",
    "read",
    "readwrite",
    "socket_map",
    "write",
]

SLICE_SECONDS = 1.0  # the longest wait for a server: other threads may empty its map meanwhile

_DISCONNECTED: Set[int] = transport.DISCONNECTS  # may be rebound: see `_replacements`
# Events, by the values that `select.poll` has where there is one.
READ, URGENT, WRITE = 1, 2, 4

_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK)

Map = MutableMapping[int, Any]
_SocketMap = Map  # of the types that others have written for waitress 3.0
_Socket = socket.socket

socket_map: dict[int, Any] = {}  # of each dispatcher that is given no other


class ExitNow(Exception):  # the old name
    """Raised by a handler to end the loop, which raises it again."""


_reraised_exceptions = (ExitNow, KeyboardInterrupt, SystemExit)


# --- the loop


def loop(
    timeout: float | None = 30.0, use_poll: bool = False, map: Map | None = None, count: int | None = None
) -> None:
    """Serve what a map holds, by default `socket_map`, until it is empty or `count` waits are over.

    Starts the servers in it, and ends them when the map has become empty or an exception ends the loop. `use_poll` has
    no effect.
    """
    entries = socket_map if map is None else map
    hosts: list[LoopHost] = []
    try:
        while entries and (count is None or count > 0):
            hosts += [host for host in _hosts(entries) if host not in hosts]
            poll(timeout, entries)
            if count is not None:
                count -= 1
    except BaseException:
        for host in hosts:
            host.end_in_loop()
        raise
    if not entries:
        for host in hosts:
            host.end_in_loop()


def _hosts(entries: Map) -> "list[LoopHost]":
    """Return the servers that entries of a map belong to."""
    hosts = [getattr(entry, "loop_host", None) for entry in list(entries.values())]
    return [host for host in dict.fromkeys(hosts) if host is not None]


def poll(timeout: float | None = 0.0, map: Map | None = None) -> None:
    """Wait once for the entries of a map that want to read or write, and call them; start the servers in it."""
    entries = socket_map if map is None else map
    hosts = _hosts(entries)
    for host in hosts:
        host.start_in_loop()
    seconds = SLICE_SECONDS if timeout is None else min(timeout, SLICE_SECONDS)
    wanted: dict[int, tuple[int, Any]] = {}
    for descriptor, entry in list(entries.items()):
        events = READ if entry.readable() else 0
        events |= WRITE if entry.writable() and not entry.accepting else 0
        if events:
            wanted[descriptor] = (events, entry)
    if wanted:
        ready = _wait({descriptor: events for descriptor, (events, _) in wanted.items()}, seconds)
        for event, call in ((READ, read), (WRITE, write), (URGENT, _exception)):
            for descriptor, events in ready:
                entry = wanted[descriptor][1]
                # A handler before, or another thread, may have closed it, and the descriptor be another's.
                if events & event and entries.get(descriptor) is entry:
                    call(entry)
    elif hosts:
        hosts[0].wait_in_loop(seconds)
    elif entries:
        time.sleep(seconds)
    for host in hosts:
        host.turn_in_loop()


def _wait(interests: dict[int, int], seconds: float) -> list[tuple[int, int]]:
    """Return (descriptor, events) of those that are ready: of READ and WRITE, and URGENT besides READ."""
    if hasattr(select, "poll"):
        poll = select.poll()
        for descriptor, interest in interests.items():
            poll.register(descriptor, interest | (URGENT if interest & READ else 0))
        return [
            # An error or a hang-up concerns whoever waits: the next call on the socket shows what it is.
            (descriptor, events & (READ | WRITE | URGENT) or interests[descriptor])
            for descriptor, events in poll.poll(seconds * 1000)
        ]
    readers = [descriptor for descriptor, interest in interests.items() if interest & READ]
    writers = [descriptor for descriptor, interest in interests.items() if interest & WRITE]
    ready = select.select(readers, writers, [*interests], seconds)
    return [
        (descriptor, event)
        for event, descriptors in zip((READ, WRITE, URGENT), ready, strict=True)
        for descriptor in descriptors
    ]


poll2 = poll3 = poll


def read(obj: Any) -> None:
    """Let an entry read; its `handle_error` handles what it raises."""
    _call(obj, obj.handle_read_event)


def write(obj: Any) -> None:
    """Let an entry write; its `handle_error` handles what it raises."""
    _call(obj, obj.handle_write_event)


def _call(obj: Any, handle: Callable[[], object]) -> None:
    try:
        handle()
    except _reraised_exceptions:
        raise
    except Exception:
        obj.handle_error()


def _exception(obj: Any) -> None:
    """Let an entry handle urgent data, or an error; its `handle_error` handles what it raises."""
    _call(obj, obj.handle_expt_event)


def _strerror(err: int) -> str:
    """Return the text of the system for an error number."""
    try:
        return os.strerror(err)
    except (OverflowError, TypeError, ValueError):
        return f"Unknown error {err}"


def readwrite(obj: Any, flags: int) -> None:
    """Let an entry handle what `select.poll` has reported; close it when its peer has disconnected."""
    try:
        if flags & READ:
            obj.handle_read_event()
        if flags & WRITE:
            obj.handle_write_event()
        if flags & URGENT:
            obj.handle_expt_event()
        if flags & ~(READ | WRITE | URGENT):
            obj.handle_close()
    except _reraised_exceptions:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISCONNECTED:
            obj.handle_close()
        else:
            obj.handle_error()


def close_all(map: Map | None = None, ignore_all: bool = False) -> None:
    """Close every entry of a map, and empty it.

    Raises what closing raises, except that an entry is closed already; with `ignore_all`, nothing.
    """
    entries = socket_map if map is None else map
    for entry in list(entries.values()):
        try:
            entry.close()
        except _reraised_exceptions:
            raise
        except OSError as error:
            if error.errno != errno.EBADF and not ignore_all:
                raise
        except Exception:
            if not ignore_all:
                raise
    entries.clear()


def compact_traceback() -> tuple[tuple[str, str, str], type[BaseException], BaseException, str]:
    """Return where the exception being handled was raised (file, function, line), its type, itself, all calls."""
    kind, error, trace = sys.exc_info()
    if kind is None or error is None:
        raise AssertionError("no exception is being handled")
    calls = [(call.filename, call.name, str(call.lineno)) for call in traceback.extract_tb(trace)]
    return calls[-1], kind, error, " ".join("[" + "|".join(call) + "]" for call in calls)


# --- entries


class dispatcher(Logs):  # noqa: N801  # the old name
    """A non-blocking socket in a map; a subclass overrides `handle_*`, which are called when it is ready."""

    debug = False
    connected = False
    accepting = False
    connecting = False
    closing = False
    addr: Any = None
    family_and_type: tuple[int, int] = (socket.AF_INET, socket.SOCK_STREAM)  # of a socket made by `create_socket`
    ignore_log_types: ClassVar[Set[str]] = frozenset({"warning"})
    compact_traceback = staticmethod(compact_traceback)

    def __init__(self, sock: socket.socket | None = None, map: Map | None = None) -> None:
        self._map: Map = socket_map if map is None else map
        self._fileno: int | None = None
        self.socket: Any = None
        if sock is not None:
            sock.setblocking(False)
            self.set_socket(sock, map)

    def __repr__(self) -> str:
        words = [f"{type(self).__module__}.{type(self).__qualname__}"]
        if self.accepting and self.addr:
            words.append("listening")
        elif self.connected:
            words.append("connected")
        match self.addr:
            case None:
                pass
            case (host, int(port)):
                words.append(f"{host}:{port}")
            case other:
                words.append(repr(other))
        return f"<{' '.join(words)} at {id(self):#x}>"

    def add_channel(self, map: Map | None = None) -> None:
        """Enter a map."""
        if self._fileno is not None:
            (self._map if map is None else map)[self._fileno] = self

    def del_channel(self, map: Map | None = None) -> None:
        """Leave a map."""
        if self._fileno is not None:
            (self._map if map is None else map).pop(self._fileno, None)
        self._fileno = None

    def create_socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> None:
        """Make a socket and use it."""
        self.family_and_type = family, type
        sock = socket.socket(family, type)
        sock.setblocking(False)
        self.set_socket(sock)

    def set_socket(self, sock: socket.socket, map: Map | None = None) -> None:
        """Use this socket."""
        self.socket = sock
        self._fileno = sock.fileno()
        self.add_channel(map)

    def set_reuse_addr(self) -> None:
        """Let the address be bound again soon after its last use, if the system can."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError:
            pass

    def readable(self) -> bool:
        """Return whether to wait for `handle_read` or `handle_accept`."""
        return True

    def writable(self) -> bool:
        """Return whether to wait for `handle_write`."""
        return True

    def listen(self, num: int) -> None:
        """Become a listening socket."""
        self.accepting = True
        self.socket.listen(num)

    def bind(self, addr: Any) -> None:
        """Bind the socket."""
        self.addr = addr
        self.socket.bind(addr)

    def accept(self) -> tuple[socket.socket, Any] | None:
        """Return a client's socket and address; None when there is none now."""
        try:
            accepted: tuple[socket.socket, Any] = self.socket.accept()
        except OSError as error:
            if error.errno in (*_WOULD_BLOCK, errno.ECONNABORTED):
                return None
            raise
        return accepted

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send bytes; return how many the system took. With `do_close`, close this if the peer has disconnected."""
        try:
            sent: int = self.socket.send(data)
        except OSError as error:
            if error.errno in _WOULD_BLOCK:
                return 0
            if error.errno not in _DISCONNECTED:
                raise
            if do_close:
                self.handle_close()
            return 0
        return sent

    def recv(self, buffer_size: int) -> bytes:
        """Receive bytes; none when the peer has disconnected, which closes this."""
        try:
            data: bytes = self.socket.recv(buffer_size)
        except OSError as error:
            if error.errno not in _DISCONNECTED:
                raise
            data = b""
        if not data:
            self.handle_close()
        return data

    def close(self) -> None:
        """Close the socket, and leave the map."""
        self.connected = self.accepting = self.connecting = False
        self.del_channel()
        sock, self.socket = self.socket, None
        if sock is not None:
            try:
                sock.close()
            except OSError as error:
                if error.errno not in (errno.ENOTCONN, errno.EBADF):
                    raise

    def handle_read_event(self) -> None:
        """Handle that the socket is readable."""
        if self.accepting:
            self.handle_accept()
            return
        if not self.connected and self.connecting:
            self.handle_connect_event()
        self.handle_read()

    def handle_write_event(self) -> None:
        """Handle that the socket is writable."""
        if self.accepting:
            return
        if not self.connected and self.connecting:
            self.handle_connect_event()
        self.handle_write()

    def handle_connect_event(self) -> None:
        """Handle the end of an attempt to connect."""
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        self.handle_connect()
        self.connected, self.connecting = True, False

    def handle_expt_event(self) -> None:
        """Handle an error of the socket, which closes this, or urgent data."""
        if self.socket is None or self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.handle_close()
        else:
            self.handle_expt()

    def handle_error(self) -> None:
        """Log what a handler has raised, and close."""
        _, kind, error, calls = self.compact_traceback()
        try:
            name = repr(self)
        except Exception:  # a program's own, for example of a closed socket
            name = object.__repr__(self)
        self.log_info(f"uncaptured python exception, closing channel {name} ({kind}:{error} {calls})", "error")
        self.handle_close()

    def handle_expt(self) -> None:
        """Handle urgent data: for a subclass."""
        self.log_info("unhandled incoming priority event", "warning")

    def handle_read(self) -> None:
        """Handle data that can be read: for a subclass."""
        self.log_info("unhandled read event", "warning")

    def handle_write(self) -> None:
        """Handle space that can be written to: for a subclass."""
        self.log_info("unhandled write event", "warning")

    def handle_connect(self) -> None:
        """Handle a new connection to a peer: for a subclass."""
        self.log_info("unhandled connect event", "warning")

    def handle_accept(self) -> None:
        """Accept a client that waits."""
        accepted = self.accept()
        if accepted is not None:
            self.handle_accepted(*accepted)

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        """Handle an accepted client: for a subclass."""
        sock.close()
        self.log_info("unhandled accepted event", "warning")

    def handle_close(self) -> None:
        """Close, because the peer has disconnected or the program asks for it."""
        self.log_info("unhandled close event", "warning")
        self.close()


if sys.platform != "win32":

    class file_wrapper:  # noqa: N801  # the old name
        """A copy of a descriptor, with the methods of a socket that a dispatcher calls."""

        def __init__(self, fd: int) -> None:
            self.fd = os.dup(fd)

        def __del__(self) -> None:
            if self.fd >= 0:
                warnings.warn(f"unclosed file {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

        def recv(self, *args: int) -> bytes:
            """Read up to so many bytes."""
            return os.read(self.fd, *args)

        def send(self, *args: bytes) -> int:
            """Write bytes; return how many the system took."""
            return os.write(self.fd, *args)

        read = recv
        write = send

        def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> int:
            """Return that there is no error, which is all that a dispatcher asks; NotImplementedError otherwise."""
            if (level, optname, bool(buflen)) == (socket.SOL_SOCKET, socket.SO_ERROR, False):
                return 0
            raise NotImplementedError(f"a file has no option {optname} of level {level}")

        def fileno(self) -> int:
            """Return the descriptor, or -1 after `close`."""
            return self.fd

        def close(self) -> None:
            """Close the copy; any number of times."""
            descriptor, self.fd = self.fd, -1
            if descriptor >= 0:
                os.close(descriptor)

    class file_dispatcher(dispatcher):  # noqa: N801  # the old name
        """A non-blocking file in a map: a pipe, for example."""

        def __init__(self, fd: Any, map: Map | None = None) -> None:
            super().__init__(None, map)
            self.connected = True
            descriptor = fd if isinstance(fd, int) else fd.fileno()
            self.set_file(descriptor)
            os.set_blocking(descriptor, False)

        def set_file(self, fd: int) -> None:
            """Use a copy of this descriptor."""
            self.socket = file_wrapper(fd)
            self._fileno = self.socket.fileno()
            self.add_channel()

    __all__ += ["file_dispatcher", "file_wrapper"]  # where there are descriptors of files


call_when_rebound(__name__, "_DISCONNECTED", partial(setattr, transport, "DISCONNECTS"))


old_module(
    __name__,
    "EAGAIN EBADF ECONNABORTED ECONNRESET EINTR ENOTCONN EPIPE ESHUTDOWN EWOULDBLOCK logging utilities",
)
