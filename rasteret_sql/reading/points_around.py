"""Reads the pixels that hold the points of an image, values between pixels, and the pixels around points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.engine.job import Job
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.edges import Floats, Ints
from rasteret_sql.raster.squares import Squares
from rasteret_sql.reading.context import FailedRow
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.pixel_group import DerivedGroup, PixelGroup, pixel_group
from rasteret_sql.reading.point_values import PointValues, point_values
from rasteret_sql.reading.request import RowRead
from rasteret_sql.reading.window_job import WindowJob
from rasteret_sql.reading.window_plan import WindowPlan

Bools = npt.NDArray[np.bool_]


class PointsOnImage(NamedTuple):
    """Points of a call that are inside of an image."""

    source: BandSource
    grid: Affine
    """Pixel corner → CRS of the image."""
    numbers: Ints
    """Of the points, ascending."""
    x: Floats
    """Their columns, positions from the corner of the image."""
    y: Floats
    xy: Floats
    """They in the CRS of the image, shape (n, 2)."""

    def of(self, kept: npt.NDArray[Any]) -> PointsOnImage:
        """Some of the points."""
        return self._replace(numbers=self.numbers[kept], x=self.x[kept], y=self.y[kept], xy=self.xy[kept])

    def squares(self, reach: int) -> Squares:
        """The pixels around them."""
        return Squares(self.x, self.y, reach, self.source.header.width, self.source.header.height)


class Around:
    """Reads squares of pixels around the points of an image.

    Args:
        image: the points.
        reach: rings of pixels around each point's own.
        options: of the call.
        report: told of nothing: failures are asked for.
    """

    def __init__(
        self, image: PointsOnImage, reach: int, options: PixelOptions, report: Callable[[FailedRow], None]
    ) -> None:
        self.squares = image.squares(reach)
        self._source = image.source
        self._group: PixelGroup | None = None
        self._apart: list[_Window] = []
        if DerivedGroup.can_group(image.source):
            self._group = pixel_group(image.source, options, self.squares.runs())
            return
        for window, xy in zip(self.squares.windows(), image.xy, strict=True):
            read = RowRead(0, image.source.scene_id, (image.source,), shapely.Point(xy), options, report, [])
            self._apart.append(_Window(WindowPlan(read, window, image.grid, image.source.header.dtype)))

    @property
    def jobs(self) -> Sequence[Job]:
        """These read them."""
        return list(self._apart) if self._group is None else [self._group]

    @property
    def failure(self) -> Exception | None:
        """The reason for which they could not be read; known when the jobs are done."""
        if self._group is not None:
            return self._group.failure
        return next((job.error for job in self._apart if job.error is not None), None)

    def values(self) -> tuple[Floats, Bools]:
        """Values, and which of them are valid, shape (n, side, side); NaN and not valid outside of the image."""
        if self._group is not None:
            values, invalid = self._group.values.astype(np.float64), self._group.invalid
            valid = np.ones(len(values), bool) if invalid is None else ~invalid
        else:
            values = np.concatenate([job.pixels()[0].ravel() for job in self._apart]).astype(np.float64)
            valid = np.concatenate([job.valid().ravel() for job in self._apart])
        told = _told(values, valid, self._source)
        return self.squares.arranged(told, np.nan), self.squares.arranged(valid, False)


class Centres:
    """Reads the pixels that hold the points of an image, or values between pixels; as `Around`, with no reach."""

    def __init__(self, image: PointsOnImage, options: PixelOptions, report: Callable[[FailedRow], None]) -> None:
        self._source = image.source
        self._together: PointValues | None = None
        self._apart: Around | None = None
        if DerivedGroup.can_group(image.source):
            self._together = point_values(image.source, options, image.x, image.y)
        else:
            self._apart = Around(image, 0, options, report)

    @property
    def jobs(self) -> Sequence[Job]:
        """These read them."""
        if self._apart is not None:
            return self._apart.jobs
        return [] if self._together is None else [self._together.job]

    @property
    def failure(self) -> Exception | None:
        """The reason for which they could not be read; known when the jobs are done."""
        if self._apart is not None:
            return self._apart.failure
        return None if self._together is None else self._together.job.failure

    def values(self) -> tuple[Floats, Bools]:
        """Values, and which of them are valid, shape (n,)."""
        if self._apart is not None:
            values, valid = self._apart.values()
            return values.ravel(), valid.ravel()
        assert self._together is not None
        values, missing = self._together.values()
        return _told(values, ~missing, self._source, is_between=self._together.patches is not None), ~missing


class _Window(WindowJob):
    """The pixels around a point of a band that depends on pixels beside them."""

    error: Exception | None = None

    def area(self) -> None:
        """All of them count, not the point alone."""

    def valid(self) -> Bools:
        """True where a pixel is valid, shape (height, width)."""
        return np.ones(self.plan.window.shape, bool) if self.invalid is None else ~self.invalid[0]

    def fail(self, error: Exception) -> bool:
        self.error = error
        return isinstance(error, RasteretError)


def _told(values: Floats, valid: Bools, source: BandSource, *, is_between: bool = False) -> Floats:
    """Values to give: of a pixel that is not valid the one that is stored, NaN where none is."""
    if is_between or isinstance(source, DerivedBand):
        return np.where(valid, values, np.nan)
    return values
