"""The example application of `make run`, served by the command that `make run` gives; and the tests of a page."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.project.repository import ROOT
from tests.support.client import Client
from tests.support.servers import spawned

Ask = Callable[..., requests.Response]

EXAMPLES = ROOT / "docs" / "examples"
# One process runs them all: the server is started once.
pytestmark = pytest.mark.xdist_group("examples")


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """A client of the example: `ask(method, path, ...)`."""
    command = Path(sys.executable).with_name("waitress-serve")
    arguments = ["--listen=127.0.0.1:0", "tour:application"]
    server = subprocess.Popen([command, *arguments], cwd=EXAMPLES, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        line = server.stderr.readline()
        address = re.search(r"Serving on (http://127\.0\.0\.1:\d+)", line)
        assert address is not None, line
        with requests.Session() as session:
            session.trust_env = False  # no proxy, whatever the machine has set
            yield lambda method, path, **options: session.request(method, address[1] + path, **options)
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_the_page_shows_the_environ_escaped(ask: Ask) -> None:
    answer = ask("GET", "/?q=1", headers={"X-Harm": "<script>"})
    assert answer.status_code == 200
    assert "<th>QUERY_STRING<td>&#x27;q=1&#x27;" in answer.text
    assert "<th>HTTP_X_HARM<td>&#x27;&lt;script&gt;&#x27;" in answer.text


def test_an_upload_is_answered_with_its_size_and_digest(ask: Ask) -> None:
    body = bytes(range(256)) * 4000
    answer = ask("PUT", "/upload", data=body)
    assert answer.text == f"{len(body)} bytes, sha256 {hashlib.sha256(body).hexdigest()}\n"


def test_the_stream_arrives_piece_by_piece(ask: Ask) -> None:
    with ask("GET", "/stream", stream=True) as answer:
        pieces = [piece for piece in answer.raw.stream(1024) if piece]
    assert pieces == [f"line {number} of 10\n".encode() for number in range(1, 11)]


def test_the_file_is_the_source_of_the_example(ask: Ask) -> None:
    answer = ask("GET", "/file")
    assert answer.content == (EXAMPLES / "tour.py").read_bytes()
    assert answer.headers["Content-Length"] == str(len(answer.content))


def test_other_paths_and_methods_get_404_and_405(ask: Ask) -> None:
    assert ask("GET", "/nowhere").status_code == 404
    refused = ask("DELETE", "/upload")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST, PUT")


def test_the_fixture_of_the_page_on_testing_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "testing.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    (tmp_path / "test_page.py").write_text(program, encoding="utf-8")
    pytest_alone = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "test_page.py"]
    done = subprocess.run(pytest_alone, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_files_of_the_page_on_paste_deploy_serve(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / "paste-deploy.md").read_text(encoding="utf-8")
    whole, listening = re.findall(r"^```ini\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "shop.py").write_text(program, encoding="utf-8")
    app = whole.partition("[server:main]")[0]
    logging = "[loggers]\nkeys = root\n[handlers]\nkeys = all\n[formatters]\nkeys =\n"
    logging += "[logger_root]\nlevel = INFO\nhandlers = all\n[handler_all]\nclass = StreamHandler\nargs = ()\n"
    pserve = Path(sys.executable).with_name("pserve")
    for server in (whole.removeprefix(app), listening):
        here = server.replace("[::1]", "127.0.0.1").replace(":8080", ":0")
        (tmp_path / "shop.ini").write_text(app + here + logging, encoding="utf-8")
        with spawned([str(pserve), "shop.ini"], tmp_path, {"PYTHONPATH": str(tmp_path)}) as process:
            with Client(process.wait_for_address()) as client:
                assert client.get().body == b"Hello from the shop\n"
