"""Writes a Parquet file of an index, in which the bounds of a column hold for all of its values, NaN too."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.index.format.leaves import bounded_leaves, leaves, leaves_below

_TABLE_LEAVES = (".tile_offsets.list.element", ".tile_byte_counts.list.element")
_HEADER_SUFFIXES = (schema.METADATA_SUFFIX, schema.HEADER_SUFFIX)
_NOISE = (f".{schema.PACKED_FIELDS[1]}", f".{schema.PACKED_FIELDS[2]}")
"""Leaves whose values are all different."""


class BoundedWriter:
    """Writes tables of one schema. A column in which NaN came has no bounds: the file is then written once more."""

    def __init__(self, path: Path, columns: pa.Schema) -> None:
        self._path, self._columns = path, columns
        floats = (column.name for column in columns if column.type in (pa.float32(), pa.float64()))
        self._without_nan = set(floats)
        self._has_nan = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = _open(path, columns, self._without_nan)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_table(self, table: pa.Table, row_group_size: int | None = None) -> None:
        """Write row groups of so many rows; None: one."""
        with_nan = {name for name in self._without_nan if pc.any(pc.is_nan(table[name])).as_py()}
        self._without_nan -= with_nan
        self._has_nan |= bool(with_nan)
        self._writer.write_table(table, row_group_size)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
        if not self._has_nan:
            return
        written = self._path.with_name(f"{self._path.name}.written")
        self._path.rename(written)
        with pq.ParquetFile(written) as file, _open(self._path, self._columns, self._without_nan) as again:
            for number in range(file.num_row_groups):
                again.write_table(file.read_row_group(number))
        written.unlink()


def _open(path: Path, columns: pa.Schema, without_nan: Collection[str]) -> pq.ParquetWriter:
    """A writer with the settings of every file of an index: zstd 3, and delta coding for the tile tables."""
    all_leaves = leaves(columns)
    tables = {leaf for leaf, type_ in all_leaves if leaf.endswith(_TABLE_LEAVES) and pa.types.is_int64(type_)}
    # Nobody filters by what lies in a header, and its statistics would be most of a file's footer.
    stored = {
        leaf
        for column in columns
        if column.name.endswith(_HEADER_SUFFIXES)
        for leaf, _ in leaves_below(column.name, column.type)
    }
    noise = {leaf for leaf in stored if leaf.endswith(_NOISE)}
    return pq.ParquetWriter(
        path,
        columns,
        compression="zstd",
        compression_level=3,
        use_dictionary=[leaf for leaf, _ in all_leaves if leaf not in tables and leaf not in noise],
        write_statistics=[leaf for leaf in bounded_leaves(columns, without_nan) if leaf not in stored],
        column_encoding=dict.fromkeys(tables, "DELTA_BINARY_PACKED"),
        write_batch_size=10_000,
        write_page_checksum=True,
        version="2.6",
    )
