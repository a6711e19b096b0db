"""The example of the README runs."""

import re
from pathlib import Path

from tests.buffers.helpers import open_descriptors

README = Path(__file__).parents[2] / "packages" / "waitress-buffers" / "README.md"


def test_the_example_of_the_readme_runs_and_leaves_nothing_open() -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    before = open_descriptors()
    exec(compile(example, str(README), "exec"), {"__name__": "example"})
    assert open_descriptors() == before
