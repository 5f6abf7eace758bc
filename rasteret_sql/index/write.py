"""Scenes → a directory of Parquet files: hive partitions by month, GeoParquet, rasteret's layout and ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from rasteret_sql import schema
from rasteret_sql.index.publish import published
from rasteret_sql.index.rows import SceneRow, scene_batches

_BATCH_ROWS = 512
"""Rows of a row group. Small, because finding one scene decodes the tile tables of a whole group."""
_TABLE_LEAVES = (".tile_offsets.list.element", ".tile_byte_counts.list.element")
_HEADER_SUFFIXES = (schema.METADATA_SUFFIX, schema.HEADER_SUFFIX)
_NO_MONTH = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class CollectionMetadata:
    """What the files say about the collection as a whole."""

    name: str
    """The user's own name."""
    bands: tuple[str, ...]
    data_source: str = ""
    """Dataset id or other key of where the scenes come from."""
    description: str = ""
    date_range: tuple[str, str] | None = None
    """ISO (start, end) that was asked for."""
    request: Mapping[str, Any] | None = None
    """All that shaped the build, as JSON values without secrets."""

    def key_values(self, geo: Mapping[str, Any]) -> dict[bytes, bytes]:
        """The Parquet key/value metadata."""
        values = {
            schema.KEY_NAME: self.name,
            schema.KEY_DESCRIPTION: self.description,
            schema.KEY_DATA_SOURCE: self.data_source,
            schema.KEY_CREATED: datetime.now(UTC).replace(tzinfo=None).isoformat(),
            schema.KEY_DATE_RANGE: ",".join(self.date_range or ()),
            schema.KEY_RASTERET_VERSION: "1",
            schema.KEY_GEO: _json(geo),
            schema.KEY_INDEX_VERSION: str(schema.INDEX_VERSION),
            schema.KEY_REQUEST: _json(self.request or {}),
        }
        return {key: value.encode() for key, value in values.items()}


def write_collection(
    rows: Sequence[SceneRow],
    metadata: CollectionMetadata,
    target: Path,
    *,
    check: Callable[[], None] | None = None,
) -> None:
    """Write the scenes as the collection at `target`, which appears whole or not at all; what stood there is replaced.

    Args:
        rows: At least one scene.
        metadata: What holds for all of them.
        target: The collection's directory.
        check: Called between row groups; raises to stop the write.
    """
    key_values = metadata.key_values(_geo(rows))
    with published(target) as directory:
        writer: pq.ParquetWriter | None = None
        current: object = object()
        try:
            for month, batch in scene_batches(rows, metadata.bands, _BATCH_ROWS):
                if check is not None:
                    check()
                table = batch.replace_schema_metadata(key_values)
                if writer is None or month != current:
                    if writer is not None:
                        writer.close()
                    writer = open_writer(directory / partition_path(month) / "part-0.parquet", table.schema)
                    current = month
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()


def partition_path(month: tuple[int, int] | None) -> Path:
    """Relative hive directory of a month; None for scenes without datetime."""
    year, number = month or (_NO_MONTH, _NO_MONTH)
    return Path(f"year={year}", f"month={number}")


def open_writer(path: Path, arrow_schema: pa.Schema) -> pq.ParquetWriter:
    """A writer with the settings of every file of an index: zstd 3, and delta coding for the tile tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    leaves = [leaf for field in arrow_schema for leaf in _leaves(field.name, field.type)]
    tables = [leaf for leaf, type_ in leaves if leaf.endswith(_TABLE_LEAVES) and pa.types.is_int64(type_)]
    # Nobody filters by what lies in a header, and its statistics would be most of a file's footer.
    stored = tuple(f"{name}." for name in arrow_schema.names if name.endswith(_HEADER_SUFFIXES))
    return pq.ParquetWriter(
        path,
        arrow_schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=[leaf for leaf, _ in leaves if leaf not in tables and not leaf.endswith(".packed")],
        write_statistics=[leaf for leaf, _ in leaves if not leaf.startswith(stored)],
        column_encoding=dict.fromkeys(tables, "DELTA_BINARY_PACKED"),
        write_batch_size=10_000,
        version="2.6",
    )


def _leaves(path: str, type_: pa.DataType) -> list[tuple[str, pa.DataType]]:
    """Parquet paths of the primitive columns below a field."""
    if pa.types.is_struct(type_):
        return [leaf for child in type_ for leaf in _leaves(f"{path}.{child.name}", child.type)]
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _leaves(f"{path}.list.element", type_.value_type)
    return [(path, type_)]


def _geo(rows: Sequence[SceneRow]) -> dict[str, Any]:
    """GeoParquet 1.1: lon/lat WKB (no `crs` member says OGC:CRS84), covered by the column bbox."""
    shapes = shapely.from_wkb([row.item.geometry for row in rows if row.item.geometry is not None])
    kinds = sorted({shape.geom_type + (" Z" if shape.has_z else "") for shape in shapes})
    sides = ("xmin", "ymin", "xmax", "ymax")
    return {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": kinds,
                "covering": {"bbox": {side: ["bbox", side] for side in sides}},
            }
        },
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
