"""Gives rows of scenes as Arrow: the types of the index, and geometry that says what it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.geo.geoarrow import wkb_field
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.schema import HEADER_SUFFIX, METADATA_SUFFIX, PARTITION_COLUMNS


def row_schema(index: CollectionIndex, columns: Sequence[str] | None = None) -> pa.Schema:
    """Schema of scenes as Arrow; known without a look at any row.

    Args:
        index: the collection.
        columns: which of `index.columns`, in that order; by default those that describe scenes.

    Raises:
        InvalidArgumentError: there is no such column, or one is named twice.
    """
    names = list(index.scene_columns if columns is None else columns)
    _check_names(index, names)
    return pa.schema([_field(index, name) for name in names])


def _check_names(index: CollectionIndex, names: Sequence[str]) -> None:
    if not names:
        raise InvalidArgumentError(f"columns is empty; expected names out of {', '.join(index.scene_columns)}")
    known = index.columns
    for name in names:
        if not isinstance(name, str) or name not in known:
            apart = isinstance(name, str) and name.endswith((METADATA_SUFFIX, HEADER_SUFFIX))
            hint = ". Headers of a built collection are kept apart; an export has them as columns" if apart else ""
            raise InvalidArgumentError(
                f'collection "{index.name}" has no column {name!r}; {did_you_mean(str(name), known, 40)}{hint}'
            )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidArgumentError(f'columns names "{twice}" twice; name each column once')


def _field(index: CollectionIndex, name: str) -> pa.Field:
    if name in PARTITION_COLUMNS and name not in index.schema.names:
        return pa.field(name, pa.int32())
    if name == "geometry":
        return wkb_field(name)
    if name == "datetime":
        return pa.field(name, pa.timestamp("us"))
    if name not in index.schema.names:
        return pa.field(name, pa.string())  # in the paths of the files only
    kind = index.schema.field(name).type
    return pa.field(name, kind.value_type if pa.types.is_dictionary(kind) else kind)


def conform(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches of DuckDB, which has types of its own, in those of the index."""
    for batch in batches:
        if batch.num_rows:
            columns = [_cast(batch.column(at), field.type) for at, field in enumerate(schema)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    # Instants finer than microseconds lose what DuckDB and rasteret do not keep either.
    return column if column.type == kind else column.cast(kind, safe=not pa.types.is_timestamp(kind))
