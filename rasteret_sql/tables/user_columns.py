"""Keeps the table's own columns beside ours: gives them names that are free, types that Parquet can hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.geo.geoarrow import is_text
from rasteret_sql.io.redact import plain_text, plain_values
from rasteret_sql.scenes.scene import SceneItem
from rasteret_sql.schema import RESERVED_COLUMNS, STATUS_OK, header_column, metadata_column
from rasteret_sql.tables.columns import free_name


def kept_columns(
    table: pa.Table, kept: Mapping[str, str], scenes: Sequence[SceneItem], bands: Iterable[str]
) -> pa.Table:
    """The columns that stay, with their types.

    A column named as one of ours stays under a name with `_property`, unless it says just what ours says, as a column
    `year` of the scenes' years does.

    Args:
        table: a row for each scene.
        kept: column of the table → name it is to have.
        scenes: what was made of the rows.
        bands: of the collection.
    """
    used = {name.lower() for name in RESERVED_COLUMNS}
    used |= {name.lower() for band in bands for name in (metadata_column(band), header_column(band))}
    ours = _facts(scenes)
    columns: dict[str, pa.ChunkedArray] = {}
    for source, wanted in kept.items():
        column = table.column(source)
        fact = ours.get(wanted.lower())
        if fact is not None and _same(column.to_pylist(), fact):
            continue
        name = free_name(wanted, used)
        used.add(name.lower())
        columns[name] = plain_column(storable(column))
    return pa.table(columns) if columns else pa.table({}).slice(0, 0)


def _facts(scenes: Sequence[SceneItem]) -> dict[str, list[Any]]:
    """The values that columns of ours will have."""
    return {
        "year": [scene.datetime and scene.datetime.year for scene in scenes],
        "month": [scene.datetime and scene.datetime.month for scene in scenes],
        "status": [STATUS_OK] * len(scenes),  # a collection's own: the files are read anew
        "crs": [None if scene.epsg is None else f"EPSG:{scene.epsg}" for scene in scenes],
    }


def _same(given: Sequence[Any], fact: Sequence[Any]) -> bool:
    return all(str(one).upper() == str(other).upper() for one, other in zip(given, fact, strict=True))


def storable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in a type that Parquet can hold, the same wherever it can be."""
    kind = column.type
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_interval(kind) or pa.types.is_union(kind) or _has_empty_struct(kind):
        texts = [None if value is None else json.dumps(value, default=str) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return column


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with the addresses in its texts made plain, however deep they lie."""
    if not any(_may_be_secret(chunk) for chunk in column.chunks):
        return column
    if is_text(column.type):
        texts = column.combine_chunks().dictionary_encode()
        texts = texts if isinstance(texts, pa.Array) else texts.combine_chunks()
        words = pa.array([plain_text(text) for text in texts.dictionary.to_pylist()], column.type)
        return pa.chunked_array([words.take(texts.indices)])
    if pa.types.is_map(column.type):
        values = [
            None if one is None else [(key, plain_values(part)) for key, part in one] for one in column.to_pylist()
        ]
        return pa.chunked_array([pa.array(values, column.type)])
    return pa.chunked_array([pa.array(plain_values(column.to_pylist()), column.type)])


def _may_be_secret(values: pa.Array) -> bool:
    """False for nearly all columns, which are then left as they are."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _may_be_secret(values.dictionary)
    if is_text(kind):
        return bool(pc.any(pc.match_substring_regex(values, "[=@]")).as_py())
    if pa.types.is_struct(kind):
        return any(_may_be_secret(part) for part in values.flatten())
    if pa.types.is_map(kind):
        return _may_be_secret(values.items)
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return _may_be_secret(values.flatten())
    return False


def _has_empty_struct(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and kind.num_fields == 0:
        return True
    return any(_has_empty_struct(kind.field(n).type) for n in range(kind.num_fields))
