"""Draw the result of `bench.py --output`: `python -m tests.benchmarks.chart RESULT.json CHART.svg`."""

from __future__ import annotations

import json
import statistics
import sys
from html import escape
from pathlib import Path
from typing import Any

from tests.benchmarks.cases import OURS
from tests.benchmarks.measures import REQUESTS
from tests.benchmarks.servers import HANDED_OFF, LIMIT

# The cases, by what a reader calls them.
SHOWN = {
    "hello16": "Small response, 16 connections",
    "hello100": "Small response, 100 connections",
    "browser16": "Typical browser request, 16 connections",
}
LEFT_OUT = {LIMIT.name, HANDED_OFF.name}  # the first is not a server, the second is this one again
WIDTH, BAR, GAP, TITLE, LINE = 480, 18, 6, 38, 20  # readable on a phone
CHARACTER = 9  # of the widest font that a system may have here
SPACE = 6  # between a bar and the texts next to it
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #222 }
.title { font-weight: 600 }
.bar { fill: #9aa5b1 }
.own { fill: #1f7a4d }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .bar { fill: #5b6673 } .own { fill: #3fae79 } }
"""


def draw(result: dict[str, Any]) -> str:
    """Return the SVG: a group of bars for each case, requests per second, medians of the rounds."""
    servers = {server for name in SHOWN for server in result["cases"].get(name, ())} - LEFT_OUT
    label = CHARACTER * max(map(len, servers), default=0) + SPACE
    parts: list[str] = []
    y = LINE
    parts.append(f'<text x="0" y="{y - 5}">Requests per second; more is better</text>')
    for name, title in SHOWN.items():
        if name not in result["cases"]:
            continue
        y += TITLE
        parts.append(f'<text class="title" x="0" y="{y - 10}">{escape(title)}</text>')
        rates = {
            server: statistics.median(figures[REQUESTS.name] for figures in rounds)
            for server, rounds in result["cases"][name].items()
            if server not in LEFT_OUT
        }
        most = max(rates.values())
        scale = (WIDTH - label - SPACE - CHARACTER * len(f"{most:,.0f}")) / most
        for server, rate in rates.items():
            kind = "own" if server == OURS.name else "bar"
            width = rate * scale
            parts.append(f'<text x="{label - SPACE}" y="{y + 14}" text-anchor="end">{escape(server)}</text>')
            parts.append(f'<rect class="{kind}" x="{label}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
            parts.append(f'<text x="{label + width + SPACE:.1f}" y="{y + 14}">{rate:,.0f}</text>')
            y += BAR + GAP
    machine = result["machine"]
    y += GAP
    for line in (
        f"{machine['python']}, {machine['system']}, {machine['processors']} processors",
        "Each server: one process, 4 threads. Load: wrk",
    ):
        y += LINE
        parts.append(f'<text x="0" y="{y - 5}">{escape(line)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
        f'aria-label="Requests per second of this server and its peers">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(draw(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
