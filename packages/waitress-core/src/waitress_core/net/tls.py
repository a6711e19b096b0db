"""TLS over one accepted socket, by the standard library's `ssl`. Imported only by servers that speak TLS.

OpenSSL does not touch the socket. Between the two are buffers in memory: `_incoming` has what has arrived,
`_outgoing` what is to be sent. So one system call reads many records, every byte that is read from the socket is
decrypted before the poller is asked again, and it is this file that decides when something is sent, and what of it.

    socket -> _incoming -> OpenSSL -> plain bytes       OpenSSL never waits to write: `_outgoing` takes everything,
    plain bytes -> OpenSSL -> _outgoing -> socket       also the records that are no data (tickets, key updates)

Guarantees
- One session of OpenSSL is never used by two threads at once: `_lock` is held over each use. Without it a task that
  sends while the reactor reads ahead would break OpenSSL's state, because `ssl` releases the GIL. It is also held over
  the `send` to the socket, which never waits: records must leave in the order in which they are made.
- Bytes count as sent when the socket has taken them. The others of a record that it has taken in part count as
  pending: they are offered again (see `Transport`), and not encrypted again.
- A response that is not complete ends without close_notify, so no client can take it for complete (RFC 8446 6.1).

Renegotiation and compression are refused by the context; see `tls_contexts`.
"""

import errno
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any

from waitress_buffers import ReadOnlyFileBuffer

from ..reactor.poller import READ, WRITE
from .tls_info import TlsInfo, read_session
from .transport import Disconnected, HandshakeFailed, PlainRequest, SocketTransport

RECORD_BYTES = 16 * 1024  # of data in one record at most (RFC 8446 5.1)
# Of data encrypted for one call of the socket: a client that reads nothing holds so much. Halved: a large response is a
# tenth slower.
BATCH_BYTES = 16 * RECORD_BYTES
# Of data encrypted before `_outgoing` is emptied, which keeps the memory that it has grown to.
RUN_BYTES = 4 * RECORD_BYTES
# Of what the socket gives, put into `_incoming` at once; a connection that has received a body keeps so much memory.
PIECE_BYTES = 64 * 1024
HELLO_BYTES = 16 * 1024  # read in one step of a handshake
# Of records that are no data, for a client that asks for them and reads none.
MAX_UNSENT_BYTES = 256 * 1024
UNFINISHED_BYTES = 2 * RECORD_BYTES  # read at once although they hold no data yet
# Of the buffer that all connections of a server read into. A receiver's buffer has room for the rest of a record more.
READ_BYTES = 512 * 1024 - 2 * RECORD_BYTES


class Session(ssl.SSLObject):
    """A session that knows which name its client has asked for; `tls_contexts` sets it."""

    server_name = ""


class TlsTransport(SocketTransport):
    """One accepted stream socket of a client that speaks TLS."""

    __slots__ = (
        "_arrived",
        "_has_ended",
        "_has_more",
        "_has_started",
        "_has_told_end",
        "_incoming",
        "_info",
        "_is_established",
        "_is_lost",
        "_is_raw",
        "_lock",
        "_outgoing",
        "_session",
        "_taken",
        "_unsent",
        "handshake_answers",
    )

    needs_handshake = True
    must_linger = True  # close_notify

    def __init__(self, accepted: socket.socket, context: ssl.SSLContext, arrived: memoryview) -> None:
        """`arrived` is a buffer of READ_BYTES that the leader uses within one call."""
        super().__init__(accepted)
        self._arrived = arrived
        self._lock = threading.Lock()
        # Guarded by self._lock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unsent: bytes = b""  # records that the socket has not taken
        self._taken = 0  # bytes of data in them, which have not been counted as sent
        self._has_told_end = False  # by close_notify
        self._is_lost = False  # the socket has failed; written once, by whichever thread has seen it
        # Leader only
        self._has_started = False  # a byte has arrived
        self.handshake_answers = 0
        self._is_established = False
        # What arrives is not decrypted: the client has sent a plain request, or output has ended, and it is discarded.
        self._is_raw = False
        self._has_ended = False  # the client has reported that nothing more comes
        self._has_more = False  # records have come with the end of the handshake
        # Made by whoever asks first, the leader or a task, which find the same
        self._info: TlsInfo | None = None

    @property
    def tls(self) -> TlsInfo | None:
        """What the handshake has found out."""
        if self._info is None and self._is_established:
            session = self._session
            with self._lock:
                self._info = read_session(
                    session,
                    getattr(session, "server_name", ""),
                    asks_client=session.context.verify_mode is not ssl.CERT_NONE,
                )
        return self._info

    # --- the handshake

    def handshake(self) -> int:
        """Go on with the handshake."""
        if not self._is_established:
            try:
                data = self.socket.recv(HELLO_BYTES)
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._lost(error) from error
            else:
                if not self._has_started:
                    self._check_first_byte(data)
                if not data:
                    raise HandshakeFailed("the client has left")
                self._incoming.write(data)
                self._shake_hands()
        with self._lock:
            if not self._flush_locked():
                return WRITE
        return 0 if self._is_established else READ

    def _check_first_byte(self, data: bytes) -> None:
        """Raise PlainRequest if the first byte is one of a request: a method, or an empty line before it."""
        if not data:  # a check whether the port is open, or a connection made in advance
            raise Disconnected(ConnectionResetError(errno.ECONNRESET, "no TLS handshake"))
        self._has_started = True
        # A record of TLS starts with its type (RFC 8446 5.1), which is below 32.
        if data[:1].isalpha():
            self._is_raw = True
            raise PlainRequest

    def _shake_hands(self) -> None:
        with self._lock:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                self.handshake_answers += self._outgoing.pending > 0
            except (OSError, ValueError) as error:  # SSLError is an OSError
                self._try_to_flush_locked()  # the alert that names the reason
                raise HandshakeFailed(_reason(error)) from error
            else:
                self._is_established = True
                self._has_more = self._incoming.pending > 0

    # --- input

    def receive(self, size: int) -> bytes | None:
        """Return what has arrived: of about `size` bytes on the wire, and of a record that they complete."""
        if self._is_raw:
            return SocketTransport.receive(self, size)
        if self._has_ended:
            return b""
        if self._has_more:
            self._has_more = False
            return self._decrypt(b"")
        # A deadline reads once more before it gives up on a client: a record that is there is read to its end.
        left = UNFINISHED_BYTES
        while left > 0:
            try:  # here, not by `SocketTransport.receive`, which would cost each request a call more
                arrived = self.socket.recv(size)
            except BlockingIOError:
                return None
            except OSError as error:
                raise self._lost(error) from error
            if not arrived:
                self._has_ended = True
                return arrived
            data = self._decrypt(arrived)
            if data is not None:
                return data
            left -= len(arrived)
        return None

    def _decrypt(self, arrived: bytes) -> bytes | None:
        """Return the data in what has arrived; empty at the end of input, None without any."""
        incoming, pieces = self._incoming, []
        with self._lock:
            incoming.write(arrived)
            try:
                while piece := self._session.read(RECORD_BYTES):
                    pieces.append(piece)
                    if not incoming.pending:
                        break
                else:
                    self._note_end(after_data=bool(pieces))
            except ssl.SSLWantReadError:
                pass
            except OSError as error:
                raise _failed(error) from error
            if self._outgoing.pending:
                self._answer_locked()
        return b"".join(pieces) if pieces else b"" if self._has_ended else None

    def receive_into(self, buffer: memoryview, size: int) -> int | None:
        """Like `receive`, into a buffer, with room for RECORD_BYTES more than `size` or READ_BYTES."""
        if self._is_raw:
            return SocketTransport.receive_into(self, buffer, size)
        if self._has_ended:
            return 0
        left = UNFINISHED_BYTES
        while left > 0:
            try:
                arrived = self.socket.recv_into(self._arrived, min(size, READ_BYTES))
            except BlockingIOError:
                return None
            except OSError as error:
                raise self._lost(error) from error
            if not arrived:
                self._has_ended = True
                return arrived
            received = self._decrypt_into(buffer, arrived)
            if received or self._has_ended:
                return received
            left -= arrived
        return None

    def _decrypt_into(self, buffer: memoryview, arrived: int) -> int:
        """Put the data in what has arrived into the buffer; return how much it is."""
        received = 0
        for start in range(0, arrived, PIECE_BYTES):
            piece = self._arrived[start : min(start + PIECE_BYTES, arrived)]
            with self._lock:
                received += self._decrypt_locked(piece, buffer[received:])
            if self._has_ended:
                break
        return received

    def _decrypt_locked(self, arrived: memoryview, buffer: memoryview) -> int:
        received = 0
        # With a buffer it returns how many bytes came, which typeshed does not know.
        read: Callable[[int, Any], Any] = self._session.read
        self._incoming.write(arrived)
        try:
            while self._incoming.pending:
                size: int = read(RECORD_BYTES, buffer[received:])
                if not size:
                    self._note_end(after_data=True)  # perhaps after data of an earlier piece
                    break
                received += size
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            raise _failed(error) from error
        if self._outgoing.pending:
            self._answer_locked()
        return received

    def _note_end(self, *, after_data: bool) -> None:
        """The client has sent close_notify, after data that have not been returned yet, or alone.

        After data the socket must look as after the end of a plain client: readable, or nobody would ask for the end.
        """
        self._has_ended = True
        if after_data:
            try:
                self.socket.shutdown(socket.SHUT_RD)
            except OSError:  # it has left already, which is as readable
                pass

    def _answer_locked(self) -> None:
        """Send records that OpenSSL has made while it read: the answer to a key update."""
        if not self._flush_locked() and len(self._unsent) > MAX_UNSENT_BYTES:
            raise Disconnected(ConnectionAbortedError(errno.ECONNABORTED, "the client reads no TLS records"))

    # --- output

    def send(self, data: bytes | memoryview) -> int:
        """Encrypt bytes and give them to the system."""
        if self._is_raw:
            return SocketTransport.send(self, data)
        sent, size = 0, len(data)
        while sent < size:
            with self._lock:
                if self._unsent or self._taken:
                    self._flush_locked()
                    sent += self._count_locked(size - sent)
                    if self._unsent:
                        break
                    continue
                piece = data if size <= BATCH_BYTES and not sent else memoryview(data)[sent : sent + BATCH_BYTES]
                try:
                    if len(piece) <= RUN_BYTES:  # nearly always: no further call for that
                        self._session.write(piece)  # all of it: `_outgoing` grows as it must
                        is_sent = self._flush_locked()
                    else:
                        is_sent = self._send_runs_locked(piece)
                except OSError as error:
                    raise _failed(error) from error
                if not is_sent:
                    self._taken = len(piece)
                    sent += self._count_locked(len(piece))
                    break
            sent += len(piece)
        self.sent_bytes += sent
        return sent

    def _count_locked(self, size: int) -> int:
        """Return how many of `size` bytes that were encrypted before the socket has taken since.

        A client that reads slowly takes a batch over minutes, and each of its bytes must count against its deadlines.
        """
        # A record is longer than its data, so no more data is left than there are bytes.
        taken = min(max(0, self._taken - len(self._unsent)), size)
        self._taken -= taken
        return taken

    def _send_runs_locked(self, data: bytes | memoryview) -> bool:
        """Encrypt bytes in runs, and give all of their records to the socket; whether it has taken them."""
        records = []
        for start in range(0, len(data), RUN_BYTES):
            self._session.write(data[start : start + RUN_BYTES])
            records.append(self._outgoing.read())
        try:
            sent = _send_together(self.socket, records)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._lost(error) from error
        if sent < sum(map(len, records)):
            self._unsent = b"".join(records)[sent:]
        return not self._unsent

    def _flush_locked(self) -> bool:
        """Give records to the socket; whether it has taken all of them."""
        unsent = self._unsent + self._outgoing.read()
        if not unsent:
            return True
        try:
            sent = self.socket.send(unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise self._lost(error) from error
        self._unsent = unsent[sent:]
        return not self._unsent

    def _try_to_flush_locked(self) -> bool:
        """Give records to the socket, of a connection that ends anyway; whether none is left to send."""
        try:
            return self._flush_locked()
        except Disconnected:
            return True

    def send_file(self, file: ReadOnlyFileBuffer, size: int) -> int:
        """Read a part of a file, and send it."""
        size = min(size, len(file))
        with self._lock:
            self._flush_locked()
            if self._unsent:  # what is read now would be read again
                sent = self._count_locked(size)
                self.sent_bytes += sent
                file.skip(sent)
                return sent
        return self._send_read(file, size)

    # --- the end

    def _lost(self, error: OSError) -> Disconnected:
        """Return what to raise when the socket has failed, mostly because its client has reset it.

        `end` does nothing then: close_notify would be encrypted for nobody. Thread: whoever uses the socket.
        """
        self._is_lost = True
        return Disconnected(error)

    def end_output(self) -> bool:
        """Send close_notify, and end output."""
        if not self._is_raw:
            with self._lock:
                if not self._send_end_locked():
                    return False
            self._is_raw = True
        return super().end_output()

    def _send_end_locked(self) -> bool:
        """Send close_notify; whether the socket has taken it."""
        if not self._has_told_end:
            self._has_told_end = True
            try:
                self._session.unwrap()
            except (OSError, ValueError):  # it waits for the client's, or there was no handshake
                pass
        return self._try_to_flush_locked()

    def end(self, *, is_complete: bool) -> None:
        """End both directions; with close_notify if nothing is missing."""
        if is_complete and self._is_lost:
            return
        if is_complete and not self._resets and not self._is_raw:
            with self._lock:
                self._send_end_locked()
        super().end(is_complete=is_complete)


if sys.platform == "win32":  # which has no sendmsg

    def _send_together(sock: socket.socket, records: list[bytes]) -> int:
        return sock.send(b"".join(records))

else:

    def _send_together(sock: socket.socket, records: list[bytes]) -> int:
        return sock.sendmsg(records)


def _reason(error: Exception) -> str:
    """Return why a handshake has failed, in words: `unknown ca`."""
    reason = getattr(error, "reason", None) or str(error)
    detail = getattr(error, "verify_message", "")
    text = str(reason).replace("_", " ").lower()
    return f"{text} ({detail})" if detail else text


def _failed(error: OSError) -> Disconnected:
    """Return what a session that has failed means: the client does not speak TLS any more."""
    return Disconnected(ConnectionAbortedError(errno.ECONNABORTED, f"TLS: {_reason(error)}"))
