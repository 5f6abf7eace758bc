"""`PointValues`: reads the values of many points of one band together, of their pixels or between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.edges import Floats
from rasteret_sql.raster.patches import Patches
from rasteret_sql.raster.runs import Runs, pixel_runs
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.pixel_group import PixelGroup, pixel_group


@dataclass(frozen=True, slots=True, eq=False)
class PointValues:
    """The values of points inside an image."""

    job: PixelGroup
    """Reads the pixels."""
    patches: Patches | None
    """The pixels around each point; None: its own pixel alone."""
    fill: float | None
    """Value where there is none; None: there is none."""

    def values(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Values, and True where there is none; once all is read."""
        values, invalid = self.job.values, self.job.invalid
        if self.patches is not None:
            found, missing = self.patches.interpolate(values, invalid)
            return (found, missing) if self.fill is None else (np.where(missing, self.fill, found), missing & False)
        return values.astype(np.float64), np.zeros(len(values), bool) if invalid is None else invalid


def patches_of(options: PixelOptions, x: Floats, y: Floats, size: tuple[int, int]) -> Patches | None:
    """The pixels around points; None where each has that of its own pixel.

    Args:
        options: of the call.
        x: columns of the points, positions inside the image.
        y: rows.
        size: width and height of the image.
    """
    method = options.interpolation
    return None if method is None else Patches(method, x, y, *size)


def runs_of_points(patches: Patches | None, x: Floats, y: Floats) -> Runs:
    """The pixels that points need."""
    return pixel_runs(x.astype(np.int64), y.astype(np.int64)) if patches is None else patches.runs()


def point_values(
    source: BandSource, options: PixelOptions, x: Floats, y: Floats, runs: Runs | None = None
) -> PointValues:
    """Values of points of a band.

    Args:
        source: the band.
        options: of the call.
        x: columns of the points, positions inside the image.
        y: rows.
        runs: as `runs_of_points` has them, where they are known.
    """
    level = source.header.levels[options.level]
    patches = patches_of(options, x, y, (level.width, level.height))
    runs = runs_of_points(patches, x, y) if runs is None else runs
    return PointValues(pixel_group(source, options, runs), patches, options.fill_invalid)
