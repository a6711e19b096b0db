"""Look for bytes that a target does not hold for: `make fuzz SECONDS=60`.

Each target runs for its part of the time. What makes one fail is written to its corpus as `crash-*`, with the trace on
standard error; inputs that reach new code are kept outside the repository, in `.fuzz`, for the next run.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def main(seconds: int) -> int:
    sys.path.insert(0, str(ROOT))
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in TARGETS:
        kept = HERE / "corpus" / name
        found = ROOT / ".fuzz" / name
        found.mkdir(parents=True, exist_ok=True)
        print(f"== {name}", flush=True)
        command = [sys.executable, __file__, "--target", name, str(found), str(kept), f"-artifact_prefix={kept}/"]
        options = [f"-max_total_time={max(1, seconds // len(TARGETS))}", "-max_len=4096", "-timeout=10", "-verbosity=0"]
        if subprocess.run([*command, *options], cwd=ROOT).returncode:
            failed.append(name)
    print(verdict(failed, list(TARGETS), seconds))
    return 1 if failed else 0


def verdict(failed: list[str], targets: list[str], seconds: int) -> str:
    """Return the last line: whether anything was found."""
    if failed:
        return f"FOUND: {', '.join(failed)} failed; the inputs are in {HERE.relative_to(ROOT)}/corpus, named crash-*"
    return f"Nothing found: {len(targets)} targets in {seconds} seconds"


def fuzz(name: str, arguments: list[str]) -> None:
    """Run one target until the time is up; does not return."""
    import atheris  # type: ignore[import-untyped]  # it has no types; installed for `make fuzz` alone

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["waitress_parser", "waitress_buffers", "waitress_core"]):
        from tests.fuzz.targets import TARGETS
    logger = logging.getLogger("waitress")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False  # nobody reads what is logged of millions of malformed requests
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--target":
        fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(main(int(sys.argv[1])))
