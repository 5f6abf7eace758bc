"""Shows scenes chosen from one index, in Python: facts of all, a choice of them, their rows as Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.scenes.dates import DateLike
from rasteret_sql.selection import collection_names, conditions
from rasteret_sql.selection import describe as describing
from rasteret_sql.selection.arrow_rows import row_schema
from rasteret_sql.selection.filters import subset_of
from rasteret_sql.selection.footprint_map import footprint_map
from rasteret_sql.selection.scenes_with_headers import with_headers
from rasteret_sql.selection.selection import Selection


class SceneView:
    """A collection without pixels, SQL and its life on disk.

    Args:
        selection: the scenes.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def _part(self, selection: Selection) -> Self:
        """The same view of fewer scenes."""
        return type(self)(selection)

    create_name = staticmethod(collection_names.create_name)
    parse_name = staticmethod(collection_names.parse_name)

    # What it is

    @property
    def _index(self) -> CollectionIndex:
        return self._selection.index

    @property
    def name(self) -> str:
        """Name given when it was built."""
        return self._index.name

    @property
    def bands(self) -> list[str]:
        """Names of the bands, in order."""
        return list(self._index.bands)

    @property
    def path(self) -> Path:
        """Directory or file of the index."""
        return Path(self._index.path)

    @property
    def description(self) -> str:
        """Free text; empty where the index has none."""
        return self._index.description

    @cached_property
    def data_source(self) -> str:
        """Dataset or STAC collection of the scenes; empty where nothing says."""
        return describing.source_of(self._selection)

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """(west, south, east, north) of all scenes in lon/lat; None without scenes."""
        return describing.bounds_of(self._selection)

    @property
    def epsg(self) -> list[int]:
        """EPSG codes of the images, sorted."""
        return describing.epsg_of(self._selection)

    @property
    def crs(self) -> list[str]:
        """CRS of the images as `EPSG:n`, sorted by n."""
        return [f"EPSG:{code}" for code in self.epsg]

    @property
    def start_date(self) -> datetime | None:
        """Start of the time that the build asked for; of a part, or where the index does not say, the first scene's."""
        return describing.asked_dates(self._selection)[0]

    @property
    def end_date(self) -> datetime | None:
        """As `start_date`, the end."""
        return describing.asked_dates(self._selection)[1]

    def __len__(self) -> int:
        """Number of scenes."""
        return self._selection.count()

    def __repr__(self) -> str:
        source = f", source={self.data_source!r}" if self.data_source else ""
        crs = ", ".join(map(str, self.epsg)) or "none"
        return f"Collection({self.name!r}{source}, bands={len(self.bands)}, records={len(self)}, crs={crs})"

    def _repr_html_(self) -> str:
        facts = describing.facts_of(self._selection)
        drawn = "" if facts.bounds is None else footprint_map(self._selection, facts.bounds)
        return describing.html_table(f"Collection {self.name}", facts.rows()) + drawn

    def describe(self) -> describing.DescribeResult:
        """name, records, bands, bounds, crs, dates and source: printed as a table, each found by its name."""
        facts = describing.facts_of(self._selection)
        return describing.DescribeResult(facts.rows(), f"Collection {self.name}", facts.data())

    def compare_to_catalog(self) -> describing.DescribeResult:
        """The collection beside the registered dataset that it was built of; ValueError where there is none."""
        return describing.compare(describing.facts_of(self._selection))

    # Which scenes

    def subset(
        self,
        *,
        cloud_cover_lt: float | None = None,
        date_range: Sequence[DateLike] | str | None = None,
        bbox: Sequence[float] | None = None,
        geometries: Any = None,
        split: str | Sequence[str] | None = None,
        split_column: str = "split",
    ) -> Self:
        """The scenes that meet all conditions.

        Args:
            cloud_cover_lt: percent, below which `eo:cloud_cover` is; scenes that do not say are left out.
            date_range: (start, end), both included; a bare date as the end includes that whole day.
            bbox: (west, south, east, north) in lon/lat, which the scenes' boxes meet or touch.
            geometries: areas in any form that `get_numpy` takes, and points and lines; the scenes' footprints meet or
                touch one of them.
            split: name or names, of which `split_column` holds one.
            split_column: column of the splits.

        Raises:
            ValueError: nothing is given, a value cannot be used, or the scenes have no such column.
        """
        return self._part(
            subset_of(
                self._selection,
                cloud_cover_lt=cloud_cover_lt,
                date_range=date_range,
                bbox=bbox,
                geometries=geometries,
                split=split,
                split_column=split_column,
            )
        )

    def select_split(self, split: str | Sequence[str], *, split_column: str = "split") -> Self:
        """The scenes of one or more splits."""
        return self._part(self._selection.where(conditions.split_condition(self._index, split, split_column)))

    def where(self, expr: pc.Expression | str) -> Self:
        """The scenes that meet a condition.

        Args:
            expr: a `pyarrow.dataset` expression over the columns of `to_table()`, or SQL text, such as
                `'"eo:cloud_cover" < 20 AND month IN (6, 7)'`, in which names with a colon stand in double quotes.

        Raises:
            ValueError: it is no condition, or names a column that is not there.
        """
        conditions.require_expression(expr)
        if isinstance(expr, pc.Expression):
            return self._part(self._selection.sift(conditions.arrow_test(expr, row_schema(self._index))))
        condition = conditions.sql_condition(expr)
        self._selection.reader.check(Selection(self._index, self._selection.reader, (condition,)).sql(["id"]))
        return self._part(self._selection.where(condition))

    # Their rows

    def head(self, n: int = 5, columns: Sequence[str] | None = None) -> pa.Table:
        """The first n scenes; columns as for `to_table`."""
        if not isinstance(n, int) or isinstance(n, bool) or n < 0:
            raise InvalidArgumentError(f"n is a number of scenes, 0 or more, not {n!r}")
        return self._selection.batches(columns, limit=n).read_all()

    def to_table(self, columns: Sequence[str] | None = None, *, headers: bool = False) -> pa.Table:
        """All scenes as an Arrow table, in the order of the index.

        Args:
            columns: which; by default those that describe scenes, without the stored headers of bands. `geometry` is
                WKB with GeoArrow's metadata (OGC:CRS84), `datetime` naive UTC in microseconds.
            headers: True: the stored headers, too, as an export has them, so that `as_collection` takes the table.

        Raises:
            ValueError: there is no such column.
        """
        apart = self._index.manifest is not None
        if headers and columns is None and not apart:
            columns = self._index.columns
        rows = self.to_reader(columns).read_all()
        return with_headers(self._index, rows) if headers and apart else rows

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All scenes, some at a time."""
        yield from self.to_reader(columns)

    def to_reader(
        self, columns: Sequence[str] | None = None, requested_schema: pa.Schema | None = None
    ) -> pa.RecordBatchReader:
        """All scenes as a stream of Arrow, in the types of `requested_schema` where it is given."""
        reader = self._selection.batches(columns)
        return reader if requested_schema is None else reader.cast(requested_schema)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.to_batches()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        table = self.to_table().combine_chunks()
        batches = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
        return batches[0].__arrow_c_array__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return row_schema(self._index).__arrow_c_schema__()
