"""Applications that raise, in each phase of a call: they cost their client the rest of its answer, and leave nothing.

What such a client is answered is in test_start_response and test_iterables.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.applications import post
from tests.support.processes import becomes_true, needs_proc, open_descriptors, serving_program, thread_count

# `GET /PHASE?KIND` raises an exception of that kind in that phase; `/` counts how many bodies are open.
APPLICATION = """
import builtins
import io

open_bodies = 0

class Body:
    def __init__(self, fail):
        global open_bodies
        open_bodies += 1
        self.fail = fail
        self.pieces = [b"x" * 1000, b"y" * 100_000]

    def __len__(self):
        self.fail("len")
        return 3

    def __iter__(self):
        self.fail("iter")
        return self

    def __next__(self):
        self.fail("first-piece" if len(self.pieces) == 2 else "later-piece")
        if not self.pieces:
            raise StopIteration
        return self.pieces.pop()

    def close(self):
        global open_bodies
        open_bodies -= 1
        self.fail("close")

class File(io.BytesIO):
    def __init__(self, fail):
        global open_bodies
        open_bodies += 1
        super().__init__(bytes(100_000))
        self.fail = fail

    def seekable(self):
        self.fail("file-seekable")
        return super().seekable()

    def read(self, size=-1):
        self.fail("file-read")
        return super().read(size)

    def close(self):
        global open_bodies
        if not self.closed:
            open_bodies -= 1
        super().close()
        self.fail("file-close")

def application(environ, start_response):
    phase = environ["PATH_INFO"][1:]
    def fail(now):
        if now == phase:
            raise getattr(builtins, environ["QUERY_STRING"])("in " + phase)
    fail("call")
    environ["wsgi.input"].read(1000)
    fail("read")
    write = start_response("200 OK", [])
    fail("started")
    if phase == "written":
        write(b"written")
        fail("written")
    if phase.startswith("file"):
        return environ["wsgi.file_wrapper"](File(fail))
    return Body(fail) if phase else [b"%d" % open_bodies]

logging.getLogger("waitress").addFilter(lambda record: record.levelno < logging.ERROR)
"""

PHASES = {
    "before any output": ["call", "read", "started", "len", "iter", "first-piece", "file-seekable"],
    "after some output": ["written", "later-piece", "file-read"],
    "after all output": ["close", "file-close"],
}


@needs_proc
@pytest.mark.parametrize("kind", ["ValueError", "OSError", "MemoryError", "SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("moment", PHASES)
def test_applications_that_raise_in_any_phase_leave_nothing(moment: str, kind: str, tmp_path: Path) -> None:
    """Again and again, with a body that lies in a file."""
    body = bytes(20_000)
    with serving_program(APPLICATION, tmp_path, threads=2, inbuf_overflow=1000) as served:
        with served.client() as healthy:
            assert healthy.get().body == b"0"
            before = open_descriptors(served.id)
            threads = thread_count(served.id)
            for phase in PHASES[moment] * 10:
                request = post(f"Content-Length: {len(body)}", body=body)
                with served.client() as client:
                    client.send(request.replace(b"POST /", f"POST /{phase}?{kind}".encode(), 1))
                    if moment == "after some output":
                        assert client.rest().startswith(b"HTTP/1.1 200 OK\r\n")
                    else:
                        assert client.response().status == (500 if moment == "before any output" else 200), phase
            assert becomes_true(lambda: healthy.get().body == b"0")  # a body is closed after its last byte
            assert becomes_true(lambda: open_descriptors(served.id) <= before)
            assert thread_count(served.id) == threads
        served.process.signal()
        assert served.process.wait() == 0
