"""The application for the soak: short and long responses, bodies from files, calls that take a while."""

from __future__ import annotations

import gc
import sys
import time
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PIECE = bytes(range(256)) * 40
PIECES = 40
WHOLE = PIECE * PIECES


class Application:
    """Answers by the path: with WHOLE in three ways (`file` has the same bytes), or with the checksum of the body.

    The response to `/blocks` is the number of memory blocks that the interpreter holds for objects; 0 if unknown.
    """

    def __init__(self, file: str) -> None:
        self._file = file

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        start_response("200 OK", [])
        if path == "/pieces":
            return (PIECE for _ in range(PIECES))
        if path == "/whole":
            return [WHOLE]
        if path == "/file":
            return environ["wsgi.file_wrapper"](open(self._file, "rb"))  # type: ignore[no-any-return]
        if path == "/blocks":
            gc.collect()
            return [b"%d" % getattr(sys, "getallocatedblocks", int)()]
        if path == "/sleep":
            time.sleep(0.03)
        checksum = 0
        while piece := environ["wsgi.input"].read(65536):
            checksum = zlib.crc32(piece, checksum)
        return [b"%d" % checksum]
