"""The report of a result: medians, ratios, and whether a target is met, as text or as the Markdown of a page.

python -m tests.benchmarks.report RESULT.json TABLES.md

A result that says nothing, because the machine had something else to do, is refused.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.cases import CASES, OURS, Case, Target
from tests.benchmarks.measures import Figures

Rounds = list[Figures]  # of one contender, in the order in which they were measured
Table = dict[str, Rounds]  # the contenders of one case
BY_NAME = {case.name: case for case in CASES}
MOST_NOISE = 0.1


def median(rounds: Rounds, quantity: str) -> float:
    return statistics.median(figures[quantity] for figures in rounds)


def spread(case: Case, table: Table) -> float:
    """Return by which part of the median the middle half of a contender's rounds differs: of the contender in the
    middle. What is published is the median, which a few odd rounds do not move.
    """
    name = case.quantities[0].name
    ranges = [interquartile_range([figures[name] for figures in rounds]) for rounds in table.values()]
    return statistics.median(ranges) if ranges else 0.0


def interquartile_range(values: list[float]) -> float:
    """Return the interquartile range, as a part of the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / (middle or 1)


def noisy_cases(result: dict[str, Any]) -> Iterator[str]:
    """Return a line for each case with rounds, or on a machine, that varied too much."""
    for name, table in result["cases"].items():
        differs, steal = spread(BY_NAME[name], table) if name in BY_NAME else 0, result["steal"].get(name, 0)
        if max(differs, steal) > MOST_NOISE:
            yield f"{name}: the rounds differ by {differs:.0%}, steal time {steal:.0%}"


def ratio(table: Table, target: Target) -> float | None:
    """Return how many times better than the best peer it was, the median of the rounds; None where one is missing."""
    name, is_less = target.quantity.name, target.quantity.is_less_better
    there = [table[peer] for peer in target.peers if table.get(peer)]
    if not there or not table.get(target.of):
        return None
    best = (min if is_less else max)(there, key=lambda rounds: median(rounds, name))
    pairs = [(ours[name], theirs[name]) for ours, theirs in zip(table[target.of], best, strict=True)]
    return statistics.median(theirs / ours if is_less else ours / theirs for ours, theirs in pairs)


def lines_of(case: Case, table: Table) -> Iterator[tuple[str, ...]]:
    """Return a table's head and a line for each contender."""
    yield ("", *(quantity.name for quantity in case.quantities))
    for name, rounds in table.items():
        yield (name, *(f"{median(rounds, q.name):,.{q.decimals}f}" for q in case.quantities))


def judgements(case: Case, table: Table) -> Iterator[tuple[str, ...]]:
    """Return a row for each target of a case: quantity, peers, ratio, target, whether it is met."""
    for target in case.targets:
        reached = ratio(table, target)
        if reached is not None:
            aim, is_met = "", ""
            if target.at_least is not None:
                aim, is_met = f"{target.at_least:g}", "yes" if reached >= target.at_least else "no"
            of = target.of.removeprefix(OURS.name).strip(", ")
            what = ", ".join(filter(None, (of, target.quantity.name)))
            yield (what, target.whom, f"{reached:.2f}", aim, is_met)


def as_text(case: Case, table: Table) -> str:
    """Return one case as text for a terminal."""
    rows = list(lines_of(case, table))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = [f"\n{case.name}: {case.title}"]
    text += ["  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    for what, whom, reached, aim, is_met in judgements(case, table):
        text.append(f"  {what}: {reached} x {whom}" + (f", aimed at {aim}: {is_met}" if aim else ""))
    return "\n".join(text)


def as_markdown(result: dict[str, Any]) -> str:
    """Return all cases as Markdown for a page: the targets, then the figures."""
    tables: dict[str, Table] = result["cases"]
    cases = [(BY_NAME[name], table) for name, table in tables.items() if name in BY_NAME]
    aims = [(case.title, *line) for case, table in cases for line in judgements(case, table) if line[3]]
    settings = [(name, f"`{command}`") for name, command in result["servers"].items()]
    parts = [
        *(machine_of(result), markdown_table(("case", "figure", "compared with", "times", "target", "met"), aims, 3)),
        *("### The servers and their settings", markdown_table(("", "command"), settings, 2)),
    ]
    for case, table in cases:
        head, *rows = lines_of(case, table)
        parts.append(f"### {case.title[0].upper()}{case.title[1:]}")
        parts.append(markdown_table(head, rows, 1))
        lines = [f"{what}: {reached} times {whom}" for what, whom, reached, aim, _ in judgements(case, table)]
        if lines:
            parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """Return a table; the first `words` columns are words, the others figures."""
    rule = ["---"] * words + ["--:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def machine_of(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"Measured on {machine['date']}, this server at {machine['version']}, medians of {machine['rounds']} rounds: "
        f"{machine['python']}, {machine['system']}, {machine['processor']}, {machine['processors']} processors."
    )


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    read = json.loads(source.read_text(encoding="utf-8"))
    if noisy := list(noisy_cases(read)):
        sys.exit("\n".join([f"Not published: the noise is above {MOST_NOISE:.0%} in", *noisy]))
    target.write_text(as_markdown(read), encoding="utf-8")
