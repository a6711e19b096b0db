"""The README's example does what it says."""

import re
from pathlib import Path

from tests.support.client import Client
from tests.support.servers import spawned_script

README = Path(__file__).parents[2] / "packages" / "waitress" / "README.md"


def test_the_example_of_the_readme_serves(tmp_path: Path) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    loud = "import logging\nlogging.basicConfig(level=logging.INFO)\n"
    program = loud + source.replace(":8080", ":0")
    with spawned_script(program, tmp_path) as server, Client(server.wait_for_address()) as client:
        assert client.get().body == b"Hello, world!\n"
