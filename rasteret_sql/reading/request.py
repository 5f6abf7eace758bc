"""Defines `Request`, the columns of a call, and `RowRead`, what one of its rows reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import shapely

from rasteret_sql.errors import FileChangedError, InterruptedQueryError, RasteretError
from rasteret_sql.geo.target_grid import TargetGrid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.context import FailedRow
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.options import PixelOptions, Whole


class Scene(NamedTuple):
    """A row of a relation of scenes."""

    id: str
    collection: str | None
    """As its column `collection` says it; None: it says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """The columns of a call, one entry a row; None is NULL.

    An error in place of a value is what is wrong with that row alone.
    """

    scene_ids: Sequence[str | None]
    bands: Sequence[tuple[Asked, ...] | None]
    geometries: Sequence[shapely.Geometry | Whole | RasteretError | None]
    crs: Sequence[str | RasteretError]
    """Of the geometry, as `geo.crs` writes them."""
    options: Sequence[PixelOptions]
    changed: list[RowRead] = field(default_factory=list, init=False)
    """Filled while they are read: rows to be read again, since a file of theirs was changed."""

    def __len__(self) -> int:
        return len(self.scene_ids)

    def at(self, rows: Sequence[int]) -> Request:
        """Some of the rows."""
        columns = (self.scene_ids, self.bands, self.geometries, self.crs, self.options)
        return Request(*([column[row] for row in rows] for column in columns))  # type: ignore[arg-type]

    def with_on_change(self, value: str) -> Request:
        """All rows, with another `on_change`."""
        distinct = {option: replace(option, on_change=value) for option in set(self.options)}
        return replace(self, options=[distinct[option] for option in self.options])


@dataclass(frozen=True, slots=True, eq=False)
class RowRead:
    """The read of one row."""

    row: int
    scene_id: str
    sources: tuple[BandSource, ...]
    geometry: shapely.Geometry | Whole
    """In the CRS of the image, or of the target grid, and not empty."""
    options: PixelOptions
    report: Callable[[FailedRow], None]
    changed: list[RowRead]
    """Where the row puts itself to be read again."""
    changed_file: str = ""
    """Address of the file on whose account it does."""
    target: TargetGrid | None = None
    """The grid that pixels are wanted on; None: that of the file."""

    def placed(self, geometry: shapely.Geometry) -> RowRead:
        """The same with its geometry in the CRS of the image."""
        # Not by `replace`, which takes several times as long: a call has thousands of rows.
        return RowRead(
            self.row, self.scene_id, self.sources, geometry, self.options, self.report, self.changed, self.changed_file
        )

    def on_target(self, geometry: shapely.Geometry | Whole, target: TargetGrid) -> RowRead:
        """The same for a target grid, with its geometry in the CRS of that."""
        return replace(self, geometry=geometry, target=target)

    def tolerates(self, error: Exception) -> bool:
        """True where the row gives NULL for that error, which is reported, or is to be read again."""
        # Of a file beside the image's own there is no header to read again.
        own = isinstance(error, FileChangedError) and any(
            one.address == error.address for one in files_of(self.sources)
        )
        if own and isinstance(error, FileChangedError) and self.options.refreshes(error):
            self.changed.append(replace(self, changed_file=error.address))
            return True
        if not self.options.tolerates(error):
            return False
        self.tell(error)
        return True

    def tell(self, error: Exception) -> None:
        """Report that the row gives NULL."""
        bands = ", ".join(source.band for source in self.sources)
        self.report(FailedRow(self.options.collection_name, self.scene_id, bands, error))

    def describe(self) -> str:
        """Scene and bands, for messages."""
        return described(self.scene_id, [source.band for source in self.sources])


def described(scene_id: str, bands: Sequence[str]) -> str:
    """A scene and some of its bands, for messages; a scene may be an address with a secret in it."""
    return f'scene "{safe_address(scene_id)}", band {", ".join(bands)}'


def each_or_error(
    work: Callable[[Sequence[Any]], Iterable[Any]],
    values: Sequence[Any],
    tolerant: bool,
    fatal: tuple[type[RasteretError], ...] = (),
) -> list[Any | RasteretError]:
    """Results of `work` for all values at once.

    Args:
        work: takes some of the values, gives a result for each.
        values: what to work on.
        tolerant: True: where it fails, the values that it fails for are found by halves, and have an error each.
        fatal: errors that are those of the whole call all the same; an interrupt always is.
    """
    try:
        return list(work(values))
    except RasteretError as error:
        if not tolerant or not values or isinstance(error, (InterruptedQueryError, *fatal)):
            raise
        if len(values) == 1:
            return [error]
    half = len(values) // 2
    return [result for some in (values[:half], values[half:]) for result in each_or_error(work, some, tolerant, fatal)]
