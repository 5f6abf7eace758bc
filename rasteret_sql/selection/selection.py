"""`Selection`: chooses scenes of an index; immutable, and reads nothing until rows are asked for."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from rasteret_sql.geo.geoparquet import lonlat_metadata
from rasteret_sql.index.format.leaves import bounded_leaves
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.scene_scan import column, scan_sql, shown
from rasteret_sql.selection.arrow_rows import conform, row_schema
from rasteret_sql.selection.private_reader import Reader

Keep = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Gives the rows of a batch that are kept."""
_DIALECT = "duckdb"


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Scenes of an index that meet all conditions; all scenes where there are none."""

    index: CollectionIndex
    reader: Reader
    conditions: tuple[exp.Expression, ...] = ()
    """In SQL over the columns of the scenes."""
    sifted: Sifted | None = None
    """The scenes that are chosen from, where a test came before that is not SQL."""

    @property
    def is_whole(self) -> bool:
        """True where all scenes of the index are meant."""
        return not self.conditions and self.sifted is None

    def where(self, *conditions: exp.Expression) -> Selection:
        """The scenes among these that also meet SQL conditions."""
        return dataclasses.replace(self, conditions=(*self.conditions, *conditions))

    def sift(self, keep: Keep, *, only: exp.Expression | None = None) -> Selection:
        """The scenes among these that a test keeps; carried out once, when rows are first asked for.

        Args:
            keep: the test.
            only: in SQL, the scenes that it may drop; where there are none among these, nothing is tested.
        """
        return Selection(self.index, self.reader, sifted=Sifted(self, keep, only))

    def sql(self, columns: Sequence[str] | None = None, *, scan: str | None = None) -> str:
        """A SELECT of the scenes.

        Args:
            columns: which; by default all that describe scenes.
            scan: another SELECT of all scenes of the index to choose from.
        """
        names = self.index.scene_columns if columns is None else columns
        stored = set(self.index.scene_columns)
        if self.sifted is not None and not stored.issuperset(names):
            return self._with_headers(names)
        if self.sifted is not None:
            scan = self.sifted.sql()
        elif scan is None:
            scan = scan_sql(self.index, None if stored.issuperset(names) else self.index.columns)
        return self._from(scan, names)

    def shown_sql(self) -> str:
        """A SELECT of the scenes as SQL shows them, see `scan.shown_sql`."""
        wanted = ", ".join(shown(self.index, name).sql(_DIALECT) for name in self.index.scene_columns)
        return f"SELECT {wanted} FROM ({self.sql()}) AS scenes"  # noqa: S608

    def _from(self, scan: str, names: Sequence[str]) -> str:
        """Parts that sqlglot wrote, put together: a scan names each file, and to parse it again takes seconds."""
        wanted = ", ".join(column(name).sql(_DIALECT) for name in names)
        text = f"SELECT {wanted} FROM ({scan}) AS scenes"  # noqa: S608
        if not self.conditions:
            return text
        return f"{text} WHERE {exp.and_(*self.conditions).sql(_DIALECT)}"

    def _with_headers(self, names: Sequence[str]) -> str:
        """Columns that the sifted scenes were kept without, in the order of those."""
        chosen = self.sql(["id"])
        wanted = ", ".join(f"stored.{column(name).sql(_DIALECT)}" for name in names)
        scan = scan_sql(self.index, self.index.columns)
        return (
            f"SELECT {wanted} FROM (SELECT id, row_number() OVER () AS place FROM ({chosen})) AS chosen "  # noqa: S608
            f"JOIN ({scan}) AS stored ON stored.id = chosen.id ORDER BY chosen.place"
        )

    def count(self) -> int:
        """Number of scenes."""
        if self.is_whole:
            return self.index.count_rows()
        return int(self.one("count(*)")[0])

    def one(self, *aggregates: str) -> tuple[Any, ...]:
        """Aggregates in SQL over the scenes."""
        return self.reader.rows(f"SELECT {', '.join(aggregates)} FROM ({self.sql()})")[0]  # noqa: S608

    def values(self, name: str, *, distinct: bool = False) -> list[Any]:
        """Values of a column, in the order of the index."""
        sql = self.sql([name])
        return [value for (value,) in self.reader.rows(f"SELECT DISTINCT * FROM ({sql})" if distinct else sql)]  # noqa: S608

    def batches(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pa.RecordBatchReader:
        """The scenes as Arrow, in the order of the index; columns as `row_schema` has them."""
        schema = row_schema(self.index, columns)
        return pa.RecordBatchReader.from_batches(schema, self._read(schema, limit))

    def _read(self, schema: pa.Schema, limit: int | None) -> Iterator[pa.RecordBatch]:
        sql = self.sql(schema.names)
        yield from conform(self.reader.batches(sql if limit is None else f"{sql} LIMIT {limit}"), schema)


class Sifted:
    """Scenes that a test kept which is not SQL, in a file of their own, written when it is first asked for.

    Args:
        chosen: what is tested.
        keep: the test.
        only: in SQL, the scenes that it may drop; None: any.
    """

    def __init__(self, chosen: Selection, keep: Keep, only: exp.Expression | None = None) -> None:
        self._chosen = chosen
        self._keep = keep
        self._only = only
        self._needless: bool | None = None if only is not None else False
        self._file: Path | None = None
        self._lock = threading.Lock()

    def sql(self) -> str:
        """A SELECT of the scenes that were kept."""
        with self._lock:
            if self._needless is None and self._only is not None:
                self._needless = self._chosen.where(self._only).count() == 0
            if self._needless:
                return self._chosen.sql()
            if self._file is None:
                self._file = self._write()
        path = exp.Literal.string(str(self._file))
        return str(exp.select("*").from_(exp.Anonymous(this="read_parquet", expressions=[path])).sql(_DIALECT))

    def _write(self) -> Path:
        directory = Path(tempfile.mkdtemp(prefix="rasteret-sql-"))
        weakref.finalize(self, rmtree, directory, ignore_errors=True)
        file = directory / "scenes.parquet"
        rows = self._chosen.batches()
        # With this key DuckDB reads the column geometry as what it is in the index.
        schema = rows.schema.with_metadata(lonlat_metadata([]))
        with pq.ParquetWriter(file, schema, compression="zstd", write_statistics=bounded_leaves(schema)) as writer:
            for batch in rows:
                kept = self._keep(batch)
                if kept.num_rows:
                    writer.write_batch(kept.replace_schema_metadata(schema.metadata))
        return file
