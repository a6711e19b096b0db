"""The loop and the dispatcher that waitress 3.0 took over from the standard library's asyncore, by their names.

Servers do not need it: their threads serve their sockets. It is for programs that drive a server by
`server.asyncore.loop(timeout, map=server._map)` (WebTest, plone.testing), close what a map holds, serve sockets of
their own in the loop, or change `_DISCONNECTED`, the errors that are not logged.
"""

import errno
import os
import selectors
import socket
import sys
import time
import traceback
from collections.abc import Callable, MutableMapping, Set
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from waitress_core.net import transport

from ._logs import Logs
from ._replacements import call_when_rebound

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
_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK)

Map = MutableMapping[int, Any]

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
    with selectors.DefaultSelector() as selector:
        for descriptor, entry in list(entries.items()):
            events = selectors.EVENT_READ if entry.readable() else 0
            events |= selectors.EVENT_WRITE if entry.writable() and not entry.accepting else 0
            if events:
                selector.register(descriptor, events)
        if selector.get_map():
            ready = [(key.fd, events) for key, events in selector.select(seconds)]
            for event, call in ((selectors.EVENT_READ, read), (selectors.EVENT_WRITE, write)):
                for descriptor, events in ready:
                    entry = entries.get(descriptor)  # a handler before may have closed it
                    if entry is not None and events & event:
                        call(entry)
            return
    if hosts:
        hosts[0].wait_in_loop(seconds)
    elif entries:
        time.sleep(seconds)


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


def readwrite(obj: Any, flags: int) -> None:
    """Let an entry read or write, by events of `selectors`; close it when its peer has disconnected."""
    try:
        if flags & selectors.EVENT_READ:
            obj.handle_read_event()
        if flags & selectors.EVENT_WRITE:
            obj.handle_write_event()
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

    def handle_error(self) -> None:
        """Log what a handler has raised, and close."""
        _, kind, error, calls = self.compact_traceback()
        try:
            name = repr(self)
        except Exception:  # a program's own, for example of a closed socket
            name = object.__repr__(self)
        self.log_info(f"uncaptured python exception, closing channel {name} ({kind}:{error} {calls})", "error")
        self.handle_close()

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


call_when_rebound(__name__, "_DISCONNECTED", partial(setattr, transport, "DISCONNECTS"))
