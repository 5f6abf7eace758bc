"""Says what of a scene could not be read: as pairs inside, and as text in the column `status` that users see."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa

from rasteret_sql.schema import PROBLEMS_TYPE, STATUS_OK

Problem = tuple[str, str]
"""A band or column, and why it could not be read."""

GONE: Problem = ("gone", "its source does not list this scene any more")
"""Of such a scene. Its row and headers stay, for its files may still be there."""


def status_text(problems: Iterable[Problem]) -> str:
    """`ok`, else `band: reason` of each, joined by `; `."""
    return "; ".join(f"{where}: {why}" for where, why in problems) or STATUS_OK


def read_status(text: str | None, bands: Collection[str]) -> list[Problem]:
    """The problems that a text says, of a file that has nothing else: an export, or one of index version 2.

    Args:
        text: As `status_text` gives it; a reason may have semicolons of its own.
        bands: Of the collection; what begins otherwise, and is not the first, belongs to the reason before it.
    """
    out: list[Problem] = []
    for piece in [] if text in (None, STATUS_OK) else str(text).split("; "):
        name, colon, why = piece.partition(": ")
        if out and not (colon and name in bands):
            before, reason = out[-1]
            out[-1] = before, f"{reason}; {piece}"
        else:
            out.append((name, why))
    return out


def problems_column(problems: Iterable[Sequence[Problem]]) -> pa.Array:
    """The column `problems` of a header file."""
    return pa.array([[{"of": where, "reason": why} for where, why in row] for row in problems], PROBLEMS_TYPE)


def problems_in(column: pa.Array | pa.ChunkedArray) -> list[list[Problem]]:
    """The problems of each row of such a column."""
    return [[(one["of"], one["reason"]) for one in row or ()] for row in column.to_pylist()]
