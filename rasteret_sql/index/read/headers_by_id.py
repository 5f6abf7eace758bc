"""Reads headers of a built collection from its header files by scene id, without a look at other scenes."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Container, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.index.format.id_hashes import IdFile, find_places, split_place
from rasteret_sql.index.format.manifest import Manifest
from rasteret_sql.index.format.scene_status import problems_column, problems_in, read_status
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.read.band_source import HeaderRows, crs_of
from rasteret_sql.schema import header_column

_OPEN_FILES = 64
"""Header files whose footers are kept."""


class _HeaderFile:
    """An open file, and where its row groups start."""

    def __init__(self, path: str, bands: Sequence[str]) -> None:
        self._path = path
        self._bands = bands
        self._file = pq.ParquetFile(path, memory_map=True, pre_buffer=False, page_checksum_verification=True)
        self._lock = threading.Lock()  # a reader is for one thread at a time
        groups = [self._file.metadata.row_group(n).num_rows for n in range(self._file.metadata.num_row_groups)]
        self.starts = np.cumsum([0, *groups])

    def read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Some columns of some row groups, `problems` among them.

        Raises:
            IndexFormatError: The file is damaged.
        """
        there = self._file.schema_arrow.names
        wanted = [*columns, "problems" if "problems" in there else "status"]
        try:
            with self._lock:
                table = self._file.read_row_groups(list(groups), columns=wanted, use_threads=False)
            if "problems" in there:
                return table
            # Index version 2 kept the text alone.
            problems = problems_column(read_status(text, self._bands) for text in table["status"].to_pylist())
            return table.drop_columns("status").append_column("problems", problems)
        except (pa.ArrowException, OSError, ValueError) as error:
            msg = f"{self._path} is damaged ({error}); build the collection again with force"
            raise IndexFormatError(msg) from error


class StoredHeaders:
    """The headers of one built collection as it was when opened.

    Args:
        index: The collection; it has a manifest.
    """

    def __init__(self, index: CollectionIndex) -> None:
        assert index.manifest is not None
        self._index = index
        self._manifest: Manifest = index.manifest
        self._paths = {file.number: str(index.path / file.path) for file in self._manifest.headers}
        self._files: OrderedDict[int, _HeaderFile] = OrderedDict()
        self._lock = threading.Lock()
        try:
            self._ids = [IdFile(index.path / path) for path in self._manifest.ids]
        except IndexFormatError:
            self._check_same()  # that tells more, if it is why
            raise
        self._check_same()

    def rows(self, scenes: Sequence[str], bands: Sequence[str]) -> HeaderRows:
        """Rows of those of the scenes that there are."""
        return self._of(self.table(scenes, bands), bands)

    def table(self, scenes: Sequence[str], bands: Sequence[str]) -> pa.Table | None:
        """The same as stored, in the order of the scenes; None where there is none of them."""
        candidates = [
            [[split_place(place) for place in places] for places in found] for found in find_places(self._ids, scenes)
        ]
        wanted: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for file, row in {
            place for found in candidates for places in found for place in places if place[0] in self._paths
        }:
            group = int(np.searchsorted(self._open(file).starts, row, "right")) - 1
            wanted[file][group].append(row)
        tables = []
        at: dict[tuple[int, int], int] = {}
        total = 0
        for file, groups in wanted.items():
            opened = self._open(file)
            for group, wanted_rows in groups.items():
                table = opened.read([group], self._columns(bands))
                tables.append(table.take(pa.array(np.array(wanted_rows) - opened.starts[group])))
                at.update({(file, row): total + n for n, row in enumerate(wanted_rows)})
                total += len(wanted_rows)
        if not tables:
            return None
        joined = pa.concat_tables(tables, promote_options="permissive")
        names = joined["id"].to_pylist()
        picked = []
        for scene, found in zip(scenes, candidates, strict=True):
            for places in found:
                # Of several that share a hash the row says whose it is.
                rows = [at[place] for place in places if place in at and names[at[place]] == scene]
                picked += rows
                if rows:
                    break  # older files know older headers
        return joined.take(pa.array(picked, pa.int64()))

    def all(self, bands: Sequence[str]) -> HeaderRows:
        """All rows, in the order of the parts."""
        tables = [table for _, table in self.parts(bands)]
        return self._of(pa.concat_tables(tables, promote_options="permissive") if tables else None, bands)

    def parts(
        self, bands: Sequence[str], fields: Sequence[str] = (), only: Container[int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """(number of the part, its rows of the header file) of each part.

        Args:
            bands: Whose headers to read.
            fields: Of `{band}_header`; all by default.
            only: Numbers of parts; all by default.
        """
        for number, part in enumerate(self._manifest.parts):
            if only is None or number in only:
                yield number, self.of_part(number, bands, fields, rows=range(part.rows))

    def of_part(self, number: int, bands: Sequence[str], fields: Sequence[str] = (), *, rows: range) -> pa.Table:
        """Some rows of the header file that lie together.

        Args:
            number: Of the part.
            bands: Whose headers to read.
            fields: Of `{band}_header`; all by default.
            rows: Of the part, counted from its first.
        """
        part = self._manifest.parts[number]
        opened = self._open(part.headers)
        start, stop = part.start + rows.start, part.start + rows.stop
        first = int(np.searchsorted(opened.starts, start, "right")) - 1
        last = int(np.searchsorted(opened.starts, stop, "left"))
        table = opened.read(range(first, last), self._columns(bands, fields))
        return table.slice(start - int(opened.starts[first]), len(rows))

    def parts_of(self, scenes: Sequence[str]) -> set[int]:
        """Numbers of the parts that have some scenes; perhaps some more, where ids share a hash."""
        newest = [places[0] for places in find_places(self._ids, scenes) if places]
        found = {split_place(place) for places in newest for place in places}
        return {
            number
            for number, part in enumerate(self._manifest.parts)
            if any(file == part.headers and 0 <= row - part.start < part.rows for file, row in found)
        }

    def has(self, scenes: Sequence[str]) -> set[str]:
        """Those of the scenes that there are."""
        return set(self.rows(scenes, ()).ids)

    def _columns(self, bands: Sequence[str], fields: Sequence[str] = ()) -> list[str]:
        names = ["id", "proj:epsg", "crs", *(f"assets.{band}" for band in bands)]
        headers = [header_column(band) for band in bands]
        return names + ([f"{name}.{field}" for name in headers for field in fields] if fields else headers)

    def _of(self, table: pa.Table | None, bands: Sequence[str]) -> HeaderRows:
        where = f'collection "{self._index.name}"'
        if table is None:
            return HeaderRows(where, [], [], [], {band: [] for band in bands}, {band: [] for band in bands})
        assets = table["assets"].to_pylist() if bands else []
        there = set(table.column_names)
        nothing = [None] * table.num_rows
        return HeaderRows(
            where,
            table["id"].to_pylist(),
            crs_of(table["crs"].to_pylist(), table["proj:epsg"].to_pylist()),
            problems_in(table["problems"]),
            {band: [None if row is None else row.get(band) for row in assets] for band in bands},
            {
                band: table[header_column(band)].to_pylist() if header_column(band) in there else nothing
                for band in bands
            },
        )

    def _check_same(self) -> None:
        """Files were opened by name: make sure that they are still those that the manifest meant.

        A collection that was only added to keeps its files. One that was built anew has others under the same names.
        """
        if self._index.is_current():
            return
        now = open_collection(self._index.path)
        kept = now.manifest is not None and set(self._manifest.headers) <= set(now.manifest.headers)
        if not kept or now.created != self._index.created:
            msg = f'collection "{self._index.name}" at {self._index.path} was changed meanwhile: open it again'
            raise IndexFormatError(msg)

    def _open(self, number: int) -> _HeaderFile:
        with self._lock:
            opened = self._files.pop(number, None)
            if opened is None:
                try:
                    opened = _HeaderFile(self._paths[number], self._index.bands)
                except (pa.ArrowException, OSError, ValueError) as error:
                    self._check_same()
                    msg = (
                        f'collection "{self._index.name}" has no readable headers in {self._paths[number]}: {error}; '
                        "build it again with force"
                    )
                    raise IndexFormatError(msg) from error
                self._check_same()
            self._files[number] = opened
            while len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)
            return opened
