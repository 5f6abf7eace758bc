"""Writes what is made of the declarations: `python -m rasteret_sql.functions.document` in a checkout.

These are the macros in `sql/`, the page `docs/functions.md`, and the arguments in docstrings of Python (`TWINS`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rasteret_sql.functions.docstrings import Twin, with_arguments
from rasteret_sql.functions.macro import macro_text
from rasteret_sql.functions.registry import DECLARED, FUNCTIONS
from rasteret_sql.functions.spec import Argument, Function

CHECKOUT = Path(__file__).resolve().parents[2]


def _twin(sql: str, *own: str, **names: str) -> Twin:
    """`sql` without its prefix; a backend is an object in Python, and its words are written by hand."""
    return Twin(DECLARED[f"rasteret_{sql}"], frozenset({"backend", *own}), names)


TWINS: Mapping[str, Mapping[str, Twin]] = {
    "api.py": {
        "build": _twin("build", "dataset", "name"),
        "build_from_stac": _twin("build_from_stac", "name", "static_catalog"),
        "build_from_files": _twin("build_from_files", "name"),
        "build_from_table": _twin("build_from_table", "name", "enrich_cog"),
        "load": _twin("load"),
    },
    "collection.py": {"append": _twin("append"), "refresh": _twin("refresh")},
    "catalog/register.py": {"register": _twin("register")},
    "library/register.py": {"register_local": _twin("register_local", dataset_id="id")},
    "library/create_backend.py": {"create_backend": _twin("create_backend", "credential_provider")},
}
"""File of the package → its functions that do what a function of SQL does."""

_TITLES = {
    "catalog": "Datasets and functions",
    "collections": "Collections",
    "pixels": "Pixels",
    "chips": "Chips",
    "access": "Access, settings and failures",
}
_HEAD = """# SQL functions

This page is made from the declarations in `rasteret_sql/functions`; `FROM rasteret_functions()` shows the same in SQL.

Arguments without a default are positional or named, the others are named: `read_chip(id, 'B04', geom, overview := 1)`.
NULL in a named argument means that it is not given. Every function can also be called as `rasteret.<name>`, on every
cursor. In examples, `${DATA}` stands for `examples/data`, `${TMP}` and `${EXPORT}` for any folder.

Functions that read are pure. DuckDB skips calls whose results are not used, and makes equal calls once. A call whose
arguments are all constants may be made while DuckDB plans, also for EXPLAIN. If such a call fails because of a server
or disk, it is made once per statement, although DuckDB repeats it up to eleven times. Run the statement again to try
again.

Select the scenes before you read them. `WHERE` is always applied before the reads. `ORDER BY ... LIMIT` is sure to be
applied first only in a query of its own: `SELECT id, read_chip(id, 'B04') FROM (FROM rasteret.bay ORDER BY
"eo:cloud_cover" LIMIT 100)`. In one query with the reads, DuckDB applies it first up to
`late_materialization_max_rows` (50) rows, if the query uses a column that the sorting does not need. Several fields of
one call are then as many calls, but each tile is still read once.

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
    yield f"{'FROM ' if function.table else ''}`{function.signature}` → {_short(function.result)}\n"
    yield f"{function.doc}\n"
    if function.arguments:
        yield "| argument | takes | default | meaning |"
        yield "|---|---|---|---|"
        yield from (_row(argument) for argument in function.arguments)
        yield ""
    yield f"```sql\n{function.example}\n```\n"


def _row(argument: Argument) -> str:
    default = "" if argument.required else f"`{argument.default}`"
    cells = (f"`{argument.name}`", argument.kind.sql, default, argument.doc)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _short(result: str) -> str:
    return f"`{result}`" if result.isupper() or "(" in result else result


def generated(root: Path = CHECKOUT) -> Mapping[Path, str]:
    """Each file that is made of the declarations, with what should stand in it.

    Args:
        root: The checkout, where macros that are written by hand stand.
    """
    texts = {root / "docs" / "functions.md": markdown()}
    for file, twins in TWINS.items():
        path = root / "rasteret_sql" / file
        texts[path] = with_arguments(path.read_text("utf-8"), twins)
    for function in FUNCTIONS:
        path = root / "sql" / function.family / f"{function.name}.sql"
        texts[path] = macro_text(function, path.read_text("utf-8") if function.body == "written" else "")
    return texts


def write(root: Path = CHECKOUT) -> list[Path]:
    """Bring the files of a checkout in step; gives those that were changed."""
    changed = [path for path, text in generated(root).items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        path.write_text(generated(root)[path], "utf-8")
    return changed


if __name__ == "__main__":
    for path in write():
        sys.stdout.write(f"{path}\n")
