"""The bytes of a connection that were received and are not returned as events yet.

Theory. The parser searches what is held and cuts events out of it, in place: a copy for every search would make the
time quadratic in the bytes received. So `data` and `position` are open to read. The methods change them, with the one
exception that the class names. Three forms of `data` avoid copies:

- bytes, as received, when nothing else was held: nearly every request is one such object, and is never copied;
- bytearray, once more arrives while something is held: it grows at its end and loses its front in amortised constant
  time per byte;
- b"" while `view` is held instead: a memoryview of the caller's buffer, all of it content of a fixed-length body.

Rules: knows no HTTP, never raises. Used by one parser, in the thread that uses that parser.
"""


class ReceiveBuffer:
    """A queue of bytes: appended to at its end, read from `data[position]` on.

    Only while nothing is held may `data` (bytes, not empty) or `view` be assigned directly, and only while `position`
    is 0 `data = b""`. A request that arrives whole takes these two steps; each call would cost 1.7 % of its parsing.
    """

    __slots__ = ("data", "position", "view")

    def __init__(self) -> None:
        # Nothing is held: b"", 0 and None.
        self.data: bytes | bytearray = b""  # b"" as soon as all of it is consumed
        self.position = 0  # less than len(data), or 0
        self.view: memoryview | None = None  # only while data is b""

    def __len__(self) -> int:
        return len(self.data) - self.position + (0 if self.view is None else self.view.nbytes)

    def append(self, data: bytes | memoryview) -> None:
        """Add a copy of `data` at the end; a bytes object is kept as it is when nothing is held."""
        held = self.data
        if self.view is not None:
            held = bytearray(self.view)
            self.view = None
        elif not held:
            self.data = bytes(data)  # a bytes object is itself
            return
        elif isinstance(held, bytearray):
            del held[: self.position]
        else:
            held = bytearray(held[self.position :])
        held += data
        self.data = held
        self.position = 0

    def consume(self, stop: int) -> None:
        """Drop the bytes before index `stop` of `data`, which is at least `position`."""
        if stop == len(self.data):
            self.data = b""
            self.position = 0
        else:
            self.position = stop

    def take_at_most(self, count: int) -> bytes | memoryview:
        """Return the first `count` bytes and drop them: fewer when fewer are held, and b"" when none is.

        A view is returned whole: whoever assigned it has made sure that it is not longer.
        """
        view = self.view
        if view is not None:
            self.view = None
            return view
        data, start = self.data, self.position
        stop = min(len(data), start + count)
        self.consume(stop)
        return bytes(data[start:stop])  # all of a bytes object is that object: no copy

    def clear(self) -> None:
        """Drop everything."""
        self.data = b""
        self.position = 0
        self.view = None
