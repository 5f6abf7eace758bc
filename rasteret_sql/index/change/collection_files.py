"""Writes the files of a collection: parts by month, header files, ids (docs/format.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.geo.grid import Bounds
from rasteret_sql.index.change.bounded_writer import BoundedWriter
from rasteret_sql.index.format.id_hashes import Words, hash_ids, places, write_ids
from rasteret_sql.index.format.manifest import HeaderFile, Manifest, Part

PART_ROWS = 65_536
"""Most scenes of one file, of either kind: a footer stays small enough to be read for one scene."""
HEADER_GROUP_ROWS = 512
"""Rows of a row group of headers. Small, because finding one scene decodes a whole group."""
SCENE_GROUP_ROWS = 16_384
_NO_MONTH = "__HIVE_DEFAULT_PARTITION__"
HEADERS_FOLDER = "_headers"
IDS_FOLDER = "_ids"
HEADER_FILE_COLUMNS = ("id", "proj:epsg", "crs", "assets")
"""Columns of scenes that a header file has beside `problems` and the headers: one look into it tells all that a read
needs."""

Month = tuple[int, int] | None
"""(year, month) of a partition, None for scenes without datetime."""


@dataclass(slots=True)
class _Open:
    """A file that is being written."""

    path: str
    writer: BoundedWriter
    group_rows: int
    rows: int = 0
    pending: list[pa.Table] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        """Write whole row groups, however few rows come at a time."""
        self.pending.append(table)
        self.rows += table.num_rows
        waiting = sum(one.num_rows for one in self.pending)
        if waiting >= self.group_rows:
            joined = pa.concat_tables(self.pending)
            whole = waiting - waiting % self.group_rows
            self.writer.write_table(joined.slice(0, whole), self.group_rows)
            self.pending = [joined.slice(whole)] if whole < waiting else []

    def close(self) -> None:
        """Write the rest."""
        if self.pending:
            self.writer.write_table(pa.concat_tables(self.pending), self.group_rows)
        self.writer.close()


@dataclass(slots=True)
class _PartSoFar:
    month: Month
    file: _Open
    headers: int
    start: int
    limits: list[str] = field(default_factory=list)
    boxes: list[Bounds] = field(default_factory=list)

    def part(self, size: int) -> Part:
        box = (
            None
            if not self.boxes
            else (
                min(box[0] for box in self.boxes),
                min(box[1] for box in self.boxes),
                max(box[2] for box in self.boxes),
                max(box[3] for box in self.boxes),
            )
        )
        first, last = (min(self.limits), max(self.limits)) if self.limits else (None, None)
        return Part(self.file.path, self.file.rows, self.headers, self.start, size, first, last, box)


class CollectionWriter:
    """Writes files into a directory, beside those that a manifest names already.

    Args:
        directory: Where to; not yet seen by any reader.
        key_values: Key/value metadata of the parts.
        base: What the directory holds already.
        check: Called between row groups; raises to stop the write.
    """

    def __init__(
        self,
        directory: Path,
        key_values: dict[bytes, bytes],
        base: Manifest | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._directory = directory
        self._key_values = key_values
        self._base = base
        self._check = check or (lambda: None)
        self._generation = base.generation + 1 if base else 1
        self._number = max((file.number for file in base.headers), default=-1) + 1 if base else 0
        self._taken = {part.path for part in base.parts} if base else set()
        self._parts: list[Part] = []
        self._headers: list[HeaderFile] = []
        self._hashes: list[Words] = []
        self._places: list[Words] = []
        self._part: _PartSoFar | None = None
        self._header: _Open | None = None
        self._schema: pa.Schema | None = None

    def write(self, month: Month, scenes: pa.Table, headers: pa.Table) -> None:
        """Add scenes of one month.

        Args:
            month: Their partition.
            scenes: In order, with the columns of all other calls.
            headers: `problems` and `{band}_header` of the same rows.
        """
        self._schema = self._schema or scenes.schema.remove_metadata()
        start = 0
        while start < scenes.num_rows:
            self._check()
            part = self._part_for(month, scenes.schema)
            header = self._header_for(scenes, headers)
            room = min(PART_ROWS - part.file.rows, PART_ROWS - header.rows)
            rows = scenes.slice(start, room)
            self._hashes.append(hash_ids(rows["id"].to_pylist()))
            self._places.append(places(self._number, header.rows, rows.num_rows))
            part.file.add(rows.replace_schema_metadata(self._key_values))
            header.add(_header_rows(rows, headers.slice(start, room)))
            part.limits += _limits(rows["datetime"])
            part.boxes += _box(rows["bbox"])
            start += rows.num_rows

    def give_headers(self, part: Part, rows: pa.Table, headers: pa.Table) -> None:
        """Give a part of the collection other headers; its own file stays as it is.

        Args:
            part: As the manifest has it.
            rows: What stands beside the headers: `HEADER_FILE_COLUMNS` of all its rows.
            headers: `problems` and `{band}_header` of the same rows.
        """
        self._check()
        self._close_part()  # the rows of a part lie together
        if self._header is not None and self._header.rows + part.rows > PART_ROWS:
            self._close_header()
        header = self._header_for(rows, headers)
        self._hashes.append(hash_ids(rows["id"].to_pylist()))
        self._places.append(places(self._number, header.rows, part.rows))
        self._parts.append(replace(part, headers=self._number, start=header.rows))
        header.add(_header_rows(rows, headers))

    def finish(self, manifest: Manifest) -> Manifest:
        """Close the files, write the ids, and give the manifest with all files that the directory has now."""
        self._close_part()
        self._close_header()
        ids = tuple(manifest.ids)
        if self._hashes:
            path = f"{IDS_FOLDER}/{self._generation}.ids"
            write_ids(self._directory / path, np.concatenate(self._hashes), np.concatenate(self._places))
            ids = (*ids, path)
        columns, uniform = manifest.columns, manifest.uniform
        if self._schema is not None and not self._schema.equals(columns):
            columns = unite([columns, self._schema]) if manifest.parts else self._schema
            uniform = not manifest.parts
        return replace(
            manifest,
            parts=(*manifest.parts, *self._parts),
            headers=(*manifest.headers, *self._headers),
            ids=ids,
            columns=columns,
            uniform=uniform,
            generation=self._generation,
        )

    def abandon(self) -> None:
        """Close the files of a write that failed."""
        for file in (self._part.file if self._part else None, self._header):
            if file is not None:
                file.writer.close()
        self._part = self._header = None

    def _part_for(self, month: Month, columns: pa.Schema) -> _PartSoFar:
        part = self._part
        if part is None or part.month != month or part.file.rows >= PART_ROWS or self._header_is_full():
            self._close_part()
            if self._header_is_full():
                self._close_header()
            folder = partition_path(month).as_posix()
            number = 0
            # No file ever gets a name that another had: a copy of the collection may hold that one.
            prefix = f"{folder}/part-" + (f"{self._generation}-" if self._base else "")
            while (path := f"{prefix}{number}.parquet") in self._taken:
                number += 1
            self._taken.add(path)
            writer = BoundedWriter(self._directory / path, columns.with_metadata(self._key_values))
            start = self._header.rows if self._header else 0
            self._part = part = _PartSoFar(month, _Open(path, writer, SCENE_GROUP_ROWS), self._number, start)
        return part

    def _header_is_full(self) -> bool:
        return self._header is not None and self._header.rows >= PART_ROWS

    def _header_for(self, scenes: pa.Table, headers: pa.Table) -> _Open:
        if self._header is None:
            path = f"{HEADERS_FOLDER}/{self._number}.parquet"
            columns = _header_rows(scenes.slice(0, 0), headers.slice(0, 0)).schema
            self._header = _Open(path, BoundedWriter(self._directory / path, columns), HEADER_GROUP_ROWS)
        return self._header

    def _close_part(self) -> None:
        if self._part is not None:
            self._part.file.close()
            self._parts.append(self._part.part(self._size(self._part.file)))
            self._part = None

    def _close_header(self) -> None:
        if self._header is not None:
            self._header.close()
            self._headers.append(
                HeaderFile(self._header.path, self._number, self._header.rows, self._size(self._header))
            )
            self._header = None
            self._number += 1

    def _size(self, file: _Open) -> int:
        return (self._directory / file.path).stat().st_size


def unite(schemas: list[pa.Schema]) -> pa.Schema:
    """Columns of all, in order of appearance; a column of types that have no common one is text."""
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        columns: dict[str, pa.Field] = {}
        for column in (column for one in schemas for column in one):
            known = columns.setdefault(column.name, column)
            try:
                both = [pa.schema([known]), pa.schema([column])]
                columns[column.name] = pa.unify_schemas(both, promote_options="permissive").field(0)
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                columns[column.name] = pa.field(column.name, pa.string())
        return pa.schema(list(columns.values()))


def partition_path(month: Month) -> Path:
    """Relative hive directory of a month."""
    year, number = month or (_NO_MONTH, _NO_MONTH)
    return Path(f"year={year}", f"month={number}")


def _header_rows(scenes: pa.Table, headers: pa.Table) -> pa.Table:
    rows = scenes.select(list(HEADER_FILE_COLUMNS)).replace_schema_metadata(None)
    for name in ("problems", *(name for name in headers.column_names if name != "problems")):
        rows = rows.append_column(name, headers[name])
    return rows


def _limits(datetimes: pa.ChunkedArray) -> list[str]:
    limits = pc.min_max(datetimes).as_py()
    return [limit.isoformat() for limit in limits.values() if limit is not None]


def _box(boxes: pa.ChunkedArray) -> list[Bounds]:
    sides = [pc.struct_field(boxes, name) for name in ("xmin", "ymin", "xmax", "ymax")]
    west, south, east, north = (
        pick(side).as_py() for pick, side in zip((pc.min, pc.min, pc.max, pc.max), sides, strict=True)
    )
    return [] if west is None else [(west, south, east, north)]
