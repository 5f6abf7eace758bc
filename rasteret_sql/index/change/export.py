"""Writes a collection into a directory that can be moved elsewhere, with everything that the index has."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.change.bounded_writer import BoundedWriter
from rasteret_sql.index.change.collection_files import HEADERS_FOLDER, IDS_FOLDER, PART_ROWS
from rasteret_sql.index.format.collection_metadata import now
from rasteret_sql.index.place.atomic_directory import published
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.place.location import is_remote
from rasteret_sql.index.place.mirror import upload
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.index.read.scenes_with_headers import join_headers
from rasteret_sql.io.remote_directory import HasStores
from rasteret_sql.tables.user_columns import plain_column

_BATCH_ROWS = 512
_WIDE_ROWS = 64
"""Scenes of a file of a wide collection: its columns are the bands of these scenes."""
DEFAULT_PARTITIONS = ("year", "month")


def export_collection(
    index: CollectionIndex,
    path: str | Path,
    *,
    ids: Collection[str] | None = None,
    partition_by: Sequence[str] = DEFAULT_PARTITIONS,
    stores: HasStores | None = None,
) -> Path | str:
    """Write a collection to a directory of its own, which appears whole or not at all.

    Rows, headers, masks, overviews, status and the settings of the build are kept; the metadata says the name that the
    collection has now, and when it was exported. Relative asset paths stay relative. Each file holds scenes with their
    headers, in the layout that rasteret reads. With very many bands (`schema.WIDE_BANDS`) a file holds few scenes, and
    only the first has columns for all bands, the others for those of their scenes: the work grows with the scenes.

    Args:
        index: What to export.
        path: A directory that does not exist, is empty, or holds a collection, which is then replaced; or the URL of
            one in an object store, where other Parquet files are removed.
        ids: Scenes to keep; None for all.
        partition_by: Columns whose values make the hive directories.
        stores: By whose stores a URL is reached; None: the process's own.

    Returns:
        The absolute path, or the URL.

    Raises:
        InvalidArgumentError: Something else is there, no scene is left, or a column cannot make directories.
    """
    if is_remote(path):
        with TemporaryDirectory() as folder:
            here = Path(folder) / "export"
            export_collection(index, here, ids=ids, partition_by=partition_by)
            upload(here, os.fspath(path), stores)
        return os.fspath(path)
    target = _target(index, path)
    keys = {
        schema.KEY_NAME: index.name.encode(),
        schema.KEY_CREATED: now().encode(),
        schema.KEY_RASTERET_VERSION: b"1",
    }
    with published(target) as directory:
        written: list[int] = []
        if tuple(partition_by) == DEFAULT_PARTITIONS:
            for place, tables in _files(index):
                # What reads a dataset by its first file, as rasteret does, sees all bands in it.
                for file, rows in _split(directory / place, tables(lambda: not sum(written)), index):
                    written.append(_write(file, rows, keys, ids))
        else:
            written.append(_write_partitioned(directory, index, keys, ids, partition_by))
        if not sum(written):
            msg = f'no scene of "{index.name}" is left to export; choose others'
            raise InvalidArgumentError(msg)
    return target


AllBands = Callable[[], bool]
"""Asked before each table: True where all bands of a wide collection are to have columns, else those that the table's
scenes have."""


def _files(index: CollectionIndex) -> Iterator[tuple[Path, Callable[[AllBands], Iterator[pa.Table]]]]:
    """(relative path, function that gives its rows with their headers, some at a time) of each file, by path."""
    if index.manifest is None:
        for file in sorted(map(Path, index.files), key=str):
            yield (Path(file.name) if index.path == file else file.relative_to(index.path)), partial(_read, index, file)
        return
    stored = StoredHeaders(index)
    for number, part in sorted(enumerate(index.manifest.parts), key=lambda one: one[1].path):
        yield Path(part.path), partial(_join, index, stored, number)


def _split(path: Path, tables: Iterator[pa.Table], index: CollectionIndex) -> Iterator[tuple[Path, Iterable[pa.Table]]]:
    """(path, tables) of each file that is written for one of the collection: several, if that is wide."""
    if not _is_wide(index):
        yield path, tables
        return
    for number, table in enumerate(tables):
        # An underscore comes after the dot: the file of all bands stays the first.
        yield (path.with_name(f"{path.stem}_{number:06d}.parquet") if number else path), [table]


def _read(index: CollectionIndex, file: Path, all_bands: AllBands) -> Iterator[pa.Table]:
    """Rows of a file that has their headers."""
    with pq.ParquetFile(file) as source:
        metadata = source.schema_arrow.metadata
        for batch in source.iter_batches(_rows_of(index)):
            table = _plain(pa.Table.from_batches([batch]))
            if _is_wide(index):
                columns = index.schema if all_bands() else _narrow(table.schema, _bands_there(batch))
                table = _conform(table, columns)
            yield table.replace_schema_metadata(metadata)


def _narrow(columns: pa.Schema, bands: Collection[str]) -> pa.Schema:
    """Columns without the assets and headers of other bands than these."""
    wanted = {name(band) for band in bands for name in (schema.metadata_column, schema.header_column)}
    kept = [
        column
        for column in columns
        if column.name in wanted or not column.name.endswith((schema.METADATA_SUFFIX, schema.HEADER_SUFFIX))
    ]
    assets = pa.struct([child for child in columns.field("assets").type if child.name in bands])
    return pa.schema([column.with_type(assets) if column.name == "assets" else column for column in kept])


def _rows_of(index: CollectionIndex) -> int:
    """Number of rows that are written together."""
    return _WIDE_ROWS if _is_wide(index) else _BATCH_ROWS


def _is_wide(index: CollectionIndex) -> bool:
    return len(index.bands) > schema.WIDE_BANDS


def _plain(table: pa.Table) -> pa.Table:
    """Rows of a file that may be rasteret's, whose addresses may be signed, without the signatures."""
    columns = {name: plain_column(table[name]) for name in table.column_names}
    return pa.table(columns, schema=table.schema)


def _join(index: CollectionIndex, stored: StoredHeaders, number: int, all_bands: AllBands) -> Iterator[pa.Table]:
    """Scenes of a part with `{band}_metadata` and `{band}_header`, in the columns of the whole collection."""
    assert index.manifest is not None
    metadata = {key.encode(): value.encode() for key, value in index.manifest.keys.items()}
    wide, start = _is_wide(index), 0
    with pq.ParquetFile(index.files[number]) as source:
        # Many rows are read together, whose bands are not many beside theirs, and few of them written together.
        for read in source.iter_batches(_BATCH_ROWS if wide else PART_ROWS):
            there = _in_order(index, _bands_there(read)) if wide else index.bands
            headers = stored.of_part(number, there, rows=range(start, start + read.num_rows))
            start += read.num_rows
            for at in range(0, read.num_rows, _rows_of(index)):
                batch, part = (each.slice(at, _rows_of(index)) for each in (read, headers))
                bands, columns = index.bands, index.schema
                if wide and not all_bands():
                    some = _bands_there(batch, there)
                    bands, columns = _in_order(index, some), _narrow(columns, some)
                rows = _conform(pa.Table.from_batches([batch]), columns)
                yield join_headers(rows, part, bands).replace_schema_metadata(metadata)


def _bands_there(batch: pa.RecordBatch, bands: Iterable[str] | None = None) -> set[str]:
    """Those of the bands that some scene of a batch has; of all bands by default."""
    assets = batch.column("assets")
    names = [child.name for child in assets.type] if bands is None else bands
    return {name for name in names if assets.field(name).null_count < len(assets)}


def _in_order(index: CollectionIndex, bands: Collection[str]) -> tuple[str, ...]:
    return tuple(band for band in index.bands if band in bands)


def _conform(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """The columns of the collection, in their order and types; null where a file lacks one."""
    arrays = []
    for column in columns:
        if column.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, column.type))
        elif pa.types.is_struct(column.type):
            arrays.append(_conform_struct(table[column.name].combine_chunks(), column.type))
        else:
            arrays.append(table[column.name].cast(column.type))
    return pa.table(arrays, schema=columns)


def _conform_struct(values: pa.StructArray, type_: pa.StructType) -> pa.StructArray:
    values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
    there = {child.name for child in values.type}
    nothing: dict[pa.DataType, pa.Array] = {}  # thousands of bands may have none
    children = [
        values.field(child.name).cast(child.type)
        if child.name in there
        else nothing.setdefault(child.type, pa.nulls(len(values), child.type))
        for child in type_
    ]
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=values.is_null())


def _kept(table: pa.Table, ids: Collection[str] | None) -> pa.Table:
    if ids is None:
        return table
    return table.filter(pa.array([scene in ids for scene in table["id"].to_pylist()], pa.bool_()))


def _write(path: Path, tables: Iterable[pa.Table], keys: dict[bytes, bytes], ids: Collection[str] | None) -> int:
    """Write one file, unless no row of it is kept; gives the number of rows."""
    writer: BoundedWriter | None = None
    rows = 0
    try:
        for table in tables:
            kept = _kept(table, ids)
            if not kept.num_rows:
                continue
            metadata = {**(kept.schema.metadata or {}), **keys}
            kept = kept.replace_schema_metadata(metadata)
            writer = writer or BoundedWriter(path, kept.schema)
            writer.write_table(kept)
            rows += kept.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows


def _write_partitioned(
    directory: Path, index: CollectionIndex, keys: dict[bytes, bytes], ids: Collection[str] | None, by: Sequence[str]
) -> int:
    """As `_write`, in directories of other columns than year and month."""
    unknown = [name for name in by if name not in index.scene_columns]
    if unknown or not by:
        msg = (
            f"partition_by names columns of the collection, not {list(by)}; there are {', '.join(index.scene_columns)}"
        )
        raise InvalidArgumentError(msg)
    rows = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for _, tables in _files(index):
            for table in tables(lambda: True):
                kept = _with_date_parts(_kept(table, ids), by)
                rows += kept.num_rows
                yield from kept.replace_schema_metadata(columns.metadata).to_batches()

    first = next((table for _, tables in _files(index) for table in tables(lambda: True)), None)
    if first is None:
        return 0
    first = _with_date_parts(first, by)
    columns = first.schema.with_metadata({**(first.schema.metadata or {}), **keys})
    types = [columns.field(name) for name in by]
    ds.write_dataset(
        batches(),
        directory,
        schema=columns,
        format="parquet",
        partitioning=ds.partitioning(pa.schema(types), flavor="hive"),
        basename_template="part-{i}.parquet",
        file_options=ds.ParquetFileFormat().make_write_options(compression="zstd", compression_level=3),
        max_rows_per_group=_BATCH_ROWS,
        max_rows_per_file=PART_ROWS,
    )
    return rows


def _with_date_parts(table: pa.Table, by: Sequence[str]) -> pa.Table:
    for name, part in (("year", pc.year), ("month", pc.month)):
        if name in by and name not in table.column_names:
            table = table.append_column(name, part(table["datetime"]).cast(pa.int32()))
    return table


def _target(index: CollectionIndex, path: str | Path) -> Path:
    target = Path(str(path).removeprefix("file://")).expanduser().resolve()
    source = index.path.resolve()
    if target == source or target in source.parents or source in target.parents:
        msg = f"a collection cannot be exported over itself: {target} and {source} overlap; choose another directory"
        raise InvalidArgumentError(msg)
    if target.exists() and not (target.is_dir() and _may_be_replaced(target)):
        msg = (
            f"{target} exists and is no collection, so it is not replaced;"
            " export to a directory that does not exist or is empty"
        )
        raise InvalidArgumentError(msg)
    return target


def _may_be_replaced(target: Path) -> bool:
    """True for an empty directory, and one with nothing but Parquet files in hive directories."""
    for root, directories, files in os.walk(target):
        if Path(root) == target:
            # The other layout: a collection in a workspace, say.
            directories[:] = [name for name in directories if name not in (HEADERS_FOLDER, IDS_FOLDER)]
        for name in directories:
            if "=" not in name:
                return False
        for name in files:
            if not name.endswith(".parquet") and name not in (
                "_metadata",
                "_common_metadata",
                "_SUCCESS",
                schema.MANIFEST,
            ):
                return False
            if Path(root) == target and name.endswith(".parquet") and not _is_collection_file(target / name):
                return False
    return True


def _is_collection_file(file: Path) -> bool:
    try:
        names = pq.read_schema(file).names
    except (OSError, ValueError):
        return False
    return all(name in names for name in schema.REQUIRED_COLUMNS)
