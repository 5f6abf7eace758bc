"""Tables in boxes, as DuckDB's own shell draws them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
from prompt_toolkit.utils import get_cwidth

from rasteret_sql.cli.result import Column, Formatter, Result

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NAMED_CONTROL = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MIN_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Box:
    """Lines and corners of a table: horizontal, vertical, then left, middle and right of top, separator and bottom."""

    horizontal: str
    vertical: str
    corners: tuple[str, str, str]
    ellipsis: str

    def rule(self, row: int, widths: list[int]) -> str:
        """A horizontal line: row 0 on top, 1 below the header, 2 at the bottom."""
        corners = self.corners[row]
        return corners[0] + corners[1].join(self.horizontal * (width + 2) for width in widths) + corners[2]


UNICODE = Box("─", "│", ("┌┬┐", "├┼┤", "└┴┘"), "…")
ASCII = Box("-", "|", ("+++", "+++", "+++"), "~")


def box_for(encoding: str | None) -> Box:
    """The nicest box that an output encoding can hold."""
    try:
        "─│┌┼┘…×".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


@dataclass(slots=True)
class Shown:
    """The rows of a result that fit a screen: its first and its last."""

    columns: list[Column]
    head: list[tuple[str | None, ...]]
    tail: list[tuple[str | None, ...]]
    count: int
    """Rows in all."""


def collect(result: Result, formatter: Formatter, max_rows: int) -> Shown:
    """Read a result to its end, keeping the text of its first and last rows only."""
    half = max(1, max_rows // 2)
    head: list[tuple[str | None, ...]] = []
    last: deque[pa.RecordBatch] = deque()
    count = 0
    for batch in result.batches():
        count += batch.num_rows
        rest = batch
        if len(head) < max_rows:
            first = batch.slice(0, max_rows - len(head))
            head += formatter.rows(result.columns, first, shorten=True)
            rest = batch.slice(first.num_rows)
        if rest.num_rows:
            last.append(rest.slice(max(0, rest.num_rows - half)))
            while sum(b.num_rows for b in last) - last[0].num_rows >= half:
                last.popleft()
    after = [row for b in last for row in formatter.rows(result.columns, b, shorten=True)]
    if not after:
        return Shown(result.columns, head, [], count)
    return Shown(result.columns, head[:half], [*head[half:], *after][-half:], count)


def draw(shown: Shown, width: int, box: Box = UNICODE) -> str:
    """The table as text of lines no wider than `width` where that is possible."""
    names = [visible(c.name) for c in shown.columns]
    types = [type_name(c) for c in shown.columns]
    rows = [[("NULL" if v is None else visible(v)) for v in row] for row in (*shown.head, *shown.tail)]
    wanted = [
        max(get_cwidth(text) for text in (names[i], types[i], *(row[i] for row in rows))) for i in range(len(names))
    ]
    kept, widths = fit([max(1, w) for w in wanted], [min(_MIN_WIDTH, max(1, w)) for w in wanted], width)
    lines = [box.rule(0, widths)]

    def line(texts: Iterable[str], places: Iterable[str]) -> str:
        cells = (_cell(text, w, place, box) for text, w, place in zip(texts, widths, places, strict=True))
        return f"{box.vertical} " + f" {box.vertical} ".join(cells) + f" {box.vertical}"

    def pick(texts: list[str], gap: str) -> list[str]:
        return [gap if i is None else texts[i] for i in kept]

    centred = ["^"] * len(kept)
    aligned = ["^" if i is None else (">" if shown.columns[i].is_number else "<") for i in kept]
    lines += [line(pick(names, box.ellipsis), centred), line(pick(types, ""), centred), box.rule(1, widths)]
    for number, row in enumerate(rows):
        if shown.tail and number == len(shown.head):
            dots = "·" if box is UNICODE else "."
            lines += [line([dots] * len(kept), centred)] * 3
        lines.append(line(pick(row, box.ellipsis), aligned))
    lines.append(box.rule(2, widths))
    note = _footer(shown, len(kept) - (None in kept), len(rows))
    return "\n".join([*lines, note] if note else lines)


def visible(text: str) -> str:
    """Text without characters that move a terminal's cursor or change its colours."""
    return _CONTROL.sub(lambda m: _NAMED_CONTROL.get(m[0], f"\\x{ord(m[0]):02x}"), text)


def type_name(column: Column) -> str:
    """A type in a few letters: nested ones are not spelled out."""
    if column.is_chip:
        return "chip"
    kind = column.type.lower().replace("timestamp with time zone", "timestamptz")
    outer = re.match(r"(struct|map|union|enum|tuple)\b", kind)
    if outer is None:
        return kind
    return outer[1] + (re.search(r"(\[\d*\])*$", kind) or [""])[0]


def fit(wanted: list[int], least: list[int], width: int) -> tuple[list[int | None], list[int]]:
    """Choose columns and their widths.

    Args:
        wanted: Width of each column's longest text.
        least: Width below which a column is not worth showing.
        width: Width of the screen, with borders.

    Returns:
        Positions of the columns that are shown, None where some in the middle are left out; and their widths.
    """
    count = len(wanted)
    floor = dict(enumerate(least))

    def taken(widths: Iterable[int]) -> int:
        sizes = list(widths)
        return sum(sizes) + 3 * len(sizes) + 1

    kept: list[int | None] = list(range(count))
    for shown in range(count, min(2, count) - 1, -1):
        left, right = (shown + 1) // 2, shown // 2
        gap = [] if shown == count else [None]
        kept = [*range(left), *gap, *range(count - right, count)]
        if taken(floor[i] if i is not None else 1 for i in kept) <= width:
            break
    # The largest width that all columns can have; those that need less leave the rest to the others.
    for cap in range(max(wanted), 0, -1):
        widths = [1 if i is None else max(floor[i], min(wanted[i], cap)) for i in kept]
        if taken(widths) <= width or cap <= min(least):
            break
    return kept, widths


def _cell(text: str, width: int, place: str, box: Box) -> str:
    if get_cwidth(text) > width:
        text = _cut(text, width - 1) + box.ellipsis
    room = width - get_cwidth(text)
    if place == ">":
        return " " * room + text
    if place == "^":
        return " " * (room // 2) + text + " " * (room - room // 2)
    return text + " " * room


def _cut(text: str, width: int) -> str:
    """The longest beginning of a text that is at most so wide."""
    used = 0
    for position, character in enumerate(text):
        used += get_cwidth(character)
        if used > width:
            return text[:position]
    return text


def _footer(shown: Shown, columns: int, rows: int) -> str:
    """How much there is, where the table does not show it by itself."""
    hidden_rows, hidden_columns = shown.count > rows, len(shown.columns) > columns
    if not hidden_rows and not hidden_columns and 0 < shown.count < 10:
        return ""
    counted = f"{shown.count:,} row{'' if shown.count == 1 else 's'}"
    if hidden_rows:
        counted += f" ({rows} shown)"
    if hidden_columns:
        counted += f", {len(shown.columns)} columns ({columns} shown)"
    return counted
