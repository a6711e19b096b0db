"""The README's example does what it says, and its tables agree with the code."""

import re
from pathlib import Path

from waitress_parser import Limits

README = Path(__file__).parents[2] / "packages" / "waitress-parser" / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_examples_of_the_readme_run() -> None:
    examples = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, str(README), "exec"), {"__name__": "example"})


def test_the_readme_states_every_limit_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(max_\w+)`[^|]*\| (\d+) \|", TEXT, re.MULTILINE))
    assert rows == {name: str(value) for name, value in Limits()._asdict().items()}
