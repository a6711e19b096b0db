"""The README's example does what it says, and its tables agree with the code."""

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from waitress_parser import Limits

README = Path(__file__).parents[2] / "packages" / "waitress-parser" / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_examples_of_the_readme_run() -> None:
    examples = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        exec(compile(example, str(README), "exec"), {"__name__": "example"})


SERVER = next(
    block for block in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL) if "recv" in block
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ((b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 2,), [b"/a: 0 bytes"] * 2),
        ((b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n",), [b""]),
        (
            (b"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",),
            [b"/a: 2 bytes"],
        ),
        ((b"GET /a HTTP/1.1\r\n\r\nGET /b",), [b"Host header is missing"]),
        ((b"GET /a HT",), [b"Request ended before it was complete"]),
    ],
    ids=["two-requests", "head", "chunked", "refused", "incomplete"],
)
def test_the_server_of_the_readme_answers(sent: tuple[bytes, ...], answered: list[bytes]) -> None:
    received = conversation(*sent)
    assert len(re.findall(rb"^HTTP/1.1 \d{3}", received, re.MULTILINE)) == len(answered)
    assert re.findall(rb"\r\n\r\n([^\r]*?)\n?(?=HTTP/1.1 |$)", received) == answered


def test_the_server_of_the_readme_sends_100_continue_unless_the_body_is_there() -> None:
    head = b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    assert conversation(head, b"ab").startswith(CONTINUE + b"HTTP/1.1 200 OK")
    assert conversation(head + b"ab").startswith(b"HTTP/1.1 200 OK")


def test_the_server_of_the_readme_has_40_lines() -> None:
    assert len([line for line in SERVER.splitlines() if line.strip()]) <= 40


def conversation(*sent: bytes) -> bytes:
    """Send pieces to the server of the README, the second when it has answered the first; return all that it sends."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(SERVER, str(README), "exec"), names)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        names["serve_client"](theirs)
        theirs.shutdown(socket.SHUT_WR)

    with ours, theirs:
        ours.settimeout(10)
        server = threading.Thread(target=serve)
        ours.sendall(sent[0])
        server.start()
        received = b"" if len(sent) == 1 else ours.recv(65536)
        for piece in sent[1:]:
            ours.sendall(piece)
        ours.shutdown(socket.SHUT_WR)
        while data := ours.recv(65536):
            received += data
        server.join(10)
    return received


def test_the_readme_states_every_limit_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(max_\w+)`[^|]*\| (\d+) \|", TEXT, re.MULTILINE))
    assert rows == {name: str(value) for name, value in Limits()._asdict().items()}
