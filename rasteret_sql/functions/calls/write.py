"""Runs rasteret_write: writes its SQL, and the files of the rows that DuckDB hands over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.relation_sql import (
    count_columns,
    found_column,
    found_columns,
    named_error,
    texts_of,
)
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.chips import WRITE_BEGIN, WRITE_ROW, WRITTEN
from rasteret_sql.functions.registry import chips_sql
from rasteret_sql.library.file_writes import FileWrites, columns_of
from rasteret_sql.quoting import quote_name, quote_text
from rasteret_sql.reading.chip_column import Chip, chips_of
from rasteret_sql.reading.chip_files import CogOptions, cog_of, geotiff_of
from rasteret_sql.reading.chip_pictures import PictureStyle, png_of
from rasteret_sql.reading.options import require_one_of
from rasteret_sql.session.session import Session

FUNCTION = "rasteret_write"
_COLUMNS = ("chip", "file", "picture")
"""Columns that are looked for."""
_FORMATS = ("cog", "geotiff", "png")
_SUFFIXES = {".tif": "cog", ".tiff": "cog", ".png": "png"}


def rasteret_write(
    _session: Session, _cancelled: Cancelled, relations: pa.Array, paths: pa.Array, texts: pa.Array
) -> pa.Array:
    """The SQL of each call."""
    return texts_of(("relation", "path"), _sql, relations, paths, texts)


def _sql(relation: str, path: str, text: str) -> str:
    given = named_arguments(FUNCTION, text)
    form = given.get("format")
    if form is not None:
        require_one_of("format", form, _FORMATS)
    names = (given["chip_column"],) if "chip_column" in given else _COLUMNS
    parts = ", ".join(
        f"CAST({quote_name(name)} AS VARCHAR)" if time is None else f"strftime({quote_name(name)}, {quote_text(time)})"
        for name, time in columns_of(path)
    )
    begin = f"{WRITE_BEGIN.name}({quote_text(path)}, {quote_text(text)})"
    row = f"{WRITE_ROW.name}(token, parts, types, value, file)"
    return f"""WITH
  __begun AS MATERIALIZED (SELECT {begin} AS token),
  __found AS (
    SELECT {found_column(names)} AS value, typeof({found_columns(names)}) AS types,
      CAST([{parts}] AS VARCHAR[]) AS parts
    FROM query_table({quote_text(relation)}), (SELECT NULL AS __rasteret_absent)
  ),
  __given AS (
    SELECT types, parts, {chips_sql("value")} AS value,
      CASE WHEN typeof(value) = 'BLOB' THEN TRY_CAST(value AS BLOB) END AS file FROM __found
  ),
  __written AS (SELECT {row} AS got FROM __given, __begun)
SELECT got.path AS path, got.size AS size FROM __written"""  # noqa: S608 - quoted


def begin(session: Session, _cancelled: Cancelled, paths: pa.Array, texts: pa.Array) -> pa.Array:
    """Begin the files of each call; gives its token."""
    tokens = []
    for path, text in zip(paths.to_pylist(), texts.to_pylist(), strict=True):
        given = named_arguments(FUNCTION, text)
        writes = FileWrites(path, overwrites=given.get("overwrite", True))
        tokens.append(session.file_writes.keep((writes, given)))
    return pa.array(tokens, pa.int64())


def row(  # noqa: PLR0917 - columns
    session: Session,
    cancelled: Cancelled,
    tokens: pa.Array,
    parts: pa.Array,
    types: pa.Array,
    values: pa.StructArray,
    files: pa.Array,
) -> pa.Array:
    """Write the file of each row; gives its path and size, NULL where it has no pixels."""
    chips, kinds = chips_of(values.field("one")), values.field("kind").to_pylist()
    columns = zip(tokens.to_pylist(), parts.to_pylist(), types.to_pylist(), kinds, chips, strict=True)
    rows: list[dict[str, Any] | None] = []
    with named_error(FUNCTION):
        for at, (token, names, found, kind, chip) in enumerate(columns):
            if cancelled():
                break
            writes, given = session.file_writes.get(token)
            _check_column(count_columns(found), given.get("chip_column"), kind)
            data = files[at].as_py()
            if chip is None and data is None:
                rows.append({"path": None, "size": None})
                continue
            path = writes.path(names)
            session.allowed.require(str(path))
            if chip is not None:
                data = _encoded(chip, path, given.get("format"))
            writes.write(path, data)
            rows.append({"path": str(path), "size": len(data)})
    return pa.array(rows, WRITTEN)


def _check_column(count: int, asked: str | None, kind: str) -> None:
    """Raise unless there is one column of chips or files."""
    sought = f'the column "{asked}"' if asked is not None else f"a column {', '.join(_COLUMNS)}"
    if count == 0:
        raise InvalidArgumentError(f"the relation has no such column: looked for {sought}; say chip_column := 'name'")
    if count > 1:
        raise InvalidArgumentError(
            f"the relation has {count} of the columns {', '.join(_COLUMNS)}; say chip_column := 'name'"
        )
    if not (kind in ("BLOB", '"NULL"') or kind.startswith(('STRUCT("data" BLOB', "STRUCT(data BLOB"))):
        shown = kind if len(kind) <= 80 else kind[:77] + "..."
        raise InvalidArgumentError(
            f"expected {sought} of CHIPs, or of BLOBs such as chip_cog gives them; it is of type {shown}"
        )


def _encoded(chip: Chip, path: Path, form: str | None) -> bytes:
    """The file of a chip, in the format that is asked for, else that of the name."""
    form = form or _SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise InvalidArgumentError(
            f"{path} does not tell the format of the file; expected a name that ends in .tif or .png, or format := one "
            f"of {', '.join(_FORMATS)}"
        )
    if form == "png":
        return png_of(chip, PictureStyle())
    return cog_of(chip, CogOptions()) if form == "cog" else geotiff_of(chip)
