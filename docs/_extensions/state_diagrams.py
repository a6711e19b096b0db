"""Draws the state machines of the code: a line `% states MODULE:TABLE` becomes a table and an inline SVG.

The table `dict[State, set of State]` in the code is the only source, so a diagram cannot show a move that the code does
not make. The states are in a column, in the order of the table; a move down is an arc on the right, one back up an
arc on the left. No script, no picture file, no network.
"""

import html
import re
from collections.abc import Collection, Mapping
from enum import Enum
from importlib import import_module
from typing import Any

from sphinx.application import Sphinx

PLACEHOLDER = re.compile(r"^% states ([\w.]+):(\w+)$", re.MULTILINE)

# Pixels
BOX_WIDTH, BOX_HEIGHT, ROW_HEIGHT = 150, 28, 52
ARC_STEP = 14  # how much further out an arc goes for every row that it spans
MARGIN = 10
STROKE = 2

Moves = Mapping[Any, Collection[Enum]]  # from a member of an enumeration to others of it


def fill_in_states(app: Sphinx, document: str, source: list[str]) -> None:
    """Answer Sphinx's event `source-read`: replace each placeholder in the one string of `source`."""
    source[0] = PLACEHOLDER.sub(
        lambda found: machine_as_markdown(getattr(import_module(found[1]), found[2])), source[0]
    )


def machine_as_markdown(moves: Moves) -> str:
    """Write a diagram of the moves, and the same as a table for anyone who cannot see it."""
    rows = [f"| `{state.name}` | {_names(moves, state) or 'nothing: the end'} |" for state in moves]
    table = "\n".join(["| from | to |", "|---|---|", *rows])
    return f"```{{raw}} html\n{machine_as_svg(moves)}\n```\n\n{table}\n"


def machine_as_svg(moves: Moves) -> str:
    """Draw the states as boxes in a column and the moves as arcs next to them."""
    places = {state: row for row, state in enumerate(moves)}
    longest = max((abs(places[end] - places[start]) for start in moves for end in moves[start]), default=1)
    side = _reach(longest) + STROKE
    width, height = BOX_WIDTH + 2 * side, ROW_HEIGHT * len(places)
    head = f"arrow-{type(next(iter(places))).__name__}"  # one page may hold several machines
    arcs = [_arc(places[start], places[end], side, head) for start in moves for end in _in_order(moves, start)]
    boxes = [_box(state.name, row, side) for state, row in places.items()]
    title = html.escape(f"States: {', '.join(state.name for state in moves)}")
    svg = f'<svg class="states" role="img" aria-label="{title}" viewBox="0 0 {width} {height}" width="{width}">'
    marker = f'<marker id="{head}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    tip = '<path d="M0 0L8 4L0 8z" fill="currentColor"/>'
    return "\n".join([svg, f"<defs>{marker}{tip}</marker></defs>", *arcs, *boxes, "</svg>"])


def _names(moves: Moves, start: Enum) -> str:
    return ", ".join(f"`{end.name}`" for end in _in_order(moves, start))


def _in_order(moves: Moves, start: Enum) -> list[Enum]:
    """The ends of the moves in the order of the table: a set has no order."""
    return [state for state in moves if state in moves[start]]


def _arc(start: int, end: int, side: int, head: str) -> str:
    """A move, as a curve between the edges of two boxes; arrows leave low in a box and arrive high, or the reverse."""
    is_down = end > start
    edge = side + BOX_WIDTH if is_down else side
    out = edge + (1 if is_down else -1) * _reach(abs(end - start)) * 4 // 3  # a cubic goes 3/4 of the way there
    shift = BOX_HEIGHT // 4 if is_down else -BOX_HEIGHT // 4
    middle = ROW_HEIGHT // 2
    leaves, arrives = start * ROW_HEIGHT + middle + shift, end * ROW_HEIGHT + middle - shift
    curve = f"M{edge} {leaves}C{out} {leaves} {out} {arrives} {edge} {arrives}"
    return f'<path d="{curve}" fill="none" stroke="currentColor" marker-end="url(#{head})"/>'


def _reach(rows: int) -> int:
    """How far out the arc over so many rows goes."""
    return MARGIN + ARC_STEP * (rows + 1)


def _box(name: str, row: int, side: int) -> str:
    top = row * ROW_HEIGHT + (ROW_HEIGHT - BOX_HEIGHT) // 2
    middle = side + BOX_WIDTH // 2
    return (
        f'<rect x="{side}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" fill="none" '
        f'stroke="currentColor"/><text x="{middle}" y="{top + 19}" text-anchor="middle" font-size="13" '
        f'fill="currentColor">{html.escape(name)}</text>'
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", fill_in_states)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
