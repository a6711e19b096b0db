"""The page on slow requests: its command shows the slow line of the application in each place that the page names."""

import re
import shlex
import sys
from pathlib import Path

from tests.support.client import Client
from tests.support.pages import DOCS, blocks
from tests.support.servers import spawned

PAGE = (DOCS / "how-to/slow-requests.md").read_text("utf-8")
COMMAND = re.findall(r"^    (waitress-serve --listen(?:.*\\\n)*.*)$", PAGE, re.MULTILINE)[0].replace("\\\n", "")
REPORT = 'File ".*shop.py", line 5, in report'


def like(line: str) -> str:
    """Make a pattern of a line of the page, with any id and any numbers for its own."""
    return re.sub(r"[0-9a-f]{8}(?:\\-[0-9a-f]+)+|[\d.\\]*\d", r"[-.0-9a-f]+", re.escape(line))


def test_a_slow_request_is_in_the_log_and_in_threads_and_in_the_access_log(tmp_path: Path) -> None:
    (shop,) = blocks("how-to/slow-requests.md", "python")
    (tmp_path / "shop.py").write_text(shop, encoding="utf-8")
    name, *arguments = shlex.split(re.sub(r":(8080|9180)", ":0", COMMAND))
    (access_line,) = re.findall(r'^    (127\.0\.0\.1 "GET .*)$', PAGE, re.MULTILINE)
    (slow_line,) = re.findall(r"WSGITask (.* has been running .*) waitress-0:$", PAGE, re.MULTILINE)
    with spawned([str(Path(sys.executable).with_name(name)), *arguments], tmp_path) as server:
        address = server.wait_for_address()
        port = int(server.wait_for_line(r"Status on http://127\.0\.0\.1:(\d+)")[1])
        with Client(address) as client, Client(("127.0.0.1", port)) as status:
            client.send(b"GET /report HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.wait_for_line(like(slow_line))
            server.wait_for_line(REPORT)
            threads = status.get("/threads").body.decode()
            assert client.response().body == b"the report\n"
        server.signal()
        assert server.wait() == 0
    assert "GET /report" in threads
    assert re.search(r"shop\.py:5 report\n", threads)
    (line,) = server.output
    assert re.fullmatch(like(access_line), line)
    assert f"GET /report, request {line.split()[-1]}, for" in threads
