"""docs/functions.md out of the declarations: `python -m rasteret_sql.functions.document > docs/functions.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.functions.spec import Argument, Function

_TITLES = {
    "catalog": "Datasets and functions",
    "collections": "Collections",
    "pixels": "Pixels",
    "chips": "Chips",
    "access": "Access, settings and failures",
}
_HEAD = """# SQL functions

Made from the declarations in `rasteret_sql/functions`; `FROM rasteret_functions()` shows the same in SQL.

Arguments without a default are positional or named, the others are named: `read_chip(id, 'B04', geom, overview := 1)`.
NULL in a named argument means that it is not given. Every function also answers as `rasteret.<name>` on every cursor.
In examples `${DATA}` stands for `examples/data`, `${TMP}` and `${EXPORT}` for any folder.
Functions that read are pure: DuckDB leaves out calls that nobody asks for, makes one call of two that are the same, and
may make one whose arguments are all constants while it plans, also for EXPLAIN.

Choose the scenes before you read them. `WHERE` always comes first; `ORDER BY ... LIMIT` does for sure in a query of its
own: `SELECT id, read_chip(id, 'B04') FROM (FROM rasteret.bay ORDER BY "eo:cloud_cover" LIMIT 100)`. In one query with
the reads DuckDB does so up to `late_materialization_max_rows` (50) rows, if the query uses a column that the sorting
does not need; several fields of one call are then as many calls, which read each tile once all the same.

`CHIP` is `STRUCT(data BLOB, mask BLOB, dtype VARCHAR, bands VARCHAR[], height INTEGER, width INTEGER,
transform DOUBLE[6], crs VARCHAR, nodata DOUBLE)`: `data` is in the order (band, row, column), little-endian, in the
file's own dtype; `mask` is NULL where every pixel is valid, else of the same shape with one byte a pixel, 1 = valid;
`transform` is the affine (a, b, c, d, e, f) from pixel corners to `crs`.
"""


def markdown(functions: Sequence[Function] = FUNCTIONS) -> str:
    """The page."""
    lines = [_HEAD]
    for family, title in _TITLES.items():
        lines.append(f"## {title}\n")
        for function in sorted((f for f in functions if f.family == family), key=lambda f: f.name):
            lines.extend(_section(function))
    return "\n".join(lines)


def _section(function: Function) -> Iterator[str]:
    yield f"### {function.name}\n"
    yield f"{'FROM ' if function.table else ''}`{function.signature}` → {_short(function.returns)}\n"
    yield f"{function.doc}\n"
    if function.arguments:
        yield "| argument | takes | default | meaning |"
        yield "|---|---|---|---|"
        yield from (_row(argument) for argument in function.arguments)
        yield ""
    yield f"```sql\n{function.example}\n```\n"


def _row(argument: Argument) -> str:
    default = "" if argument.required else f"`{argument.default}`"
    cells = (f"`{argument.name}`", argument.type, default, argument.doc)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _short(returns: str) -> str:
    return f"`{returns}`" if returns.isupper() or "(" in returns else returns


if __name__ == "__main__":
    sys.stdout.write(markdown())
