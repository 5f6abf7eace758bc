"""Draws the rows of a result in DuckDB's own box.

A relation's `show()` would run the statement itself, up to its 10,000th row and without its count. So the result is
read once, as a stream; its first and last rows are put before a DuckDB of the shell's own, which draws them.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections import deque

import pyarrow as pa

from rasteret_sql.cli.result import Column, Formatter, Result

# DuckDB escapes the controls of ASCII. These move a cursor too (U+009B begins an escape), or turn text around; DuckDB
# counts them as no width, so that lines stay straight without them.
_UNSEEN = re.compile(r"[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ASCII = str.maketrans("─│┌┬┐├┼┤└┴┘…·×", "-|+++++++++~.x")
_GAP = 3
"""Rows of dots that stand for those left out: with so many more than asked for, DuckDB shows all."""


def draw(result: Result, formatter: Formatter, *, max_rows: int, width: int, encoding: str | None) -> tuple[str, int]:
    """Read a result to its end and draw it.

    Args:
        result: Rows; only the first and last are held.
        formatter: The DuckDB that draws.
        max_rows: Rows to show where there are more.
        width: Columns of the screen.
        encoding: Of the output: lines are drawn with what it can hold.

    Returns:
        The lines, and the number of rows in all.
    """
    rows, count = _ends(result, formatter, max_rows)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):  # show() is the only form that takes a width, and it prints
        formatter.relation(result, rows).show(max_rows=max_rows, max_width=width)
    box, end, footer = text.getvalue().rstrip().rpartition("┘")
    drawn = _with_chips(box + end, result.columns)
    if footer.strip():
        drawn += _counted(footer, rows.num_rows, count, len(box) - box.rfind("\n"))
    elif count > rows.num_rows:  # DuckDB counts from ten rows on, and was given fewer
        drawn += f"\n{count} rows, {max_rows} shown"
    drawn = _UNSEEN.sub("", drawn)
    return (drawn if _holds_lines(encoding) else drawn.translate(_ASCII)), count


def _ends(result: Result, formatter: Formatter, max_rows: int) -> tuple[pa.Table, int]:
    """The first and last rows, enough for DuckDB to leave some out where there are more; and the number of all."""
    first: list[pa.Table] = []
    last: deque[pa.RecordBatch] = deque()
    missing, count = max_rows + _GAP, 0
    for batch in result.batches():
        count += batch.num_rows
        head, rest = batch.slice(0, missing), batch.slice(missing)
        if head.num_rows:
            first.append(formatter.shortened(result.columns, head))
            missing -= head.num_rows
        if rest.num_rows:
            last.append(rest.slice(max(0, rest.num_rows - max_rows)))
            while sum(b.num_rows for b in last) - last[0].num_rows >= max_rows:
                last.popleft()
    shown = [*first, *(formatter.shortened(result.columns, batch) for batch in last)]
    if not shown:
        return formatter.shortened(result.columns, result.nothing()), 0
    return pa.concat_tables(shown), count


def _counted(footer: str, given: int, count: int, width: int) -> str:
    """The lines below a box with the number of all rows in place of those that DuckDB was given."""
    lines = []
    for line in footer.strip("\n").split("\n"):
        counted = re.sub(rf"\b{given} rows\b", f"{count} rows", line)
        sides = re.fullmatch(r" *(\S.*?) {2,}(\S.*?) *", counted)
        if sides is not None:
            counted = f"  {sides[1]}{sides[2]:>{max(len(sides[2]) + 2, width - 4 - len(sides[1]))}}"
        elif counted != line:
            counted = counted.strip().center(width)
        lines.append(counted.rstrip())
    return "\n".join(["", *lines])


def _with_chips(box: str, columns: list[Column]) -> str:
    """The box with `chip` as the type of columns whose chips are told in words, which DuckDB calls varchar."""
    if not any(c.is_chip for c in columns):
        return box
    top, names, types, rest = box.split("\n", 3)
    _, *cells, _ = types.split("│")
    gap = next((n for n, cell in enumerate(cells) if cell.strip() == "…"), len(cells))
    for number, cell in enumerate(cells):
        if number != gap and columns[number if number < gap else number - len(cells)].is_chip:
            cells[number] = "chip".center(len(cell))
    return "\n".join([top, names, "│".join(["", *cells, ""]), rest])


def _holds_lines(encoding: str | None) -> bool:
    try:
        "─│┌┼┘…×".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
