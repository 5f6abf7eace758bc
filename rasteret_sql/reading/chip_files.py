"""Makes files of chips: GeoTIFF, and Cloud-Optimized GeoTIFF with overviews."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.warp.plan import plan_warp
from rasteret_sql.raster.warp.resampling import RESAMPLINGS
from rasteret_sql.raster.warp.warp import warp
from rasteret_sql.reading.chip_column import Chip
from rasteret_sql.reading.class_bands import is_name_of_classes
from rasteret_sql.reading.options import require, require_one_of
from rasteret_sql.tiff.nodata import Nodata
from rasteret_sql.tiff.write_cog import CogLevel, CogStyle, write_cog
from rasteret_sql.tiff.write_geotiff import checked_pixels, stored_validity, write_geotiff
from rasteret_sql.tiff.write_images import COMPRESSIONS

_BLOCKS = (64, 4096)
_OVERVIEW_RESAMPLINGS = tuple(name for name in RESAMPLINGS if name != "sum")


@dataclass(frozen=True, slots=True)
class CogOptions:
    """The named arguments of chip_cog."""

    compression: str = "deflate"
    block_size: int = 512
    resampling: str | None = None
    """Of overviews; None: average, nearest for bands that are known to hold classes."""
    scales: tuple[float, ...] = ()
    """Of each band, or one for all; empty: none is said."""
    offsets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_one_of("compression", self.compression, COMPRESSIONS)
        require(
            _BLOCKS[0] <= self.block_size <= _BLOCKS[1] and self.block_size % 16 == 0,
            "block_size",
            self.block_size,
            f"a multiple of 16 from {_BLOCKS[0]} to {_BLOCKS[1]}",
        )
        if self.resampling is not None:
            require_one_of("resampling", self.resampling, _OVERVIEW_RESAMPLINGS)
        for name, values in (("scales", self.scales), ("offsets", self.offsets)):
            require(all(map(math.isfinite, values)), name, list(values), "finite numbers")
        require(0 not in self.scales, "scales", list(self.scales), "numbers other than 0")

    def of_bands(self, name: str, values: tuple[float, ...], bands: int) -> tuple[float, ...]:
        """A value for each band, or none."""
        if len(values) not in (0, 1, bands):
            raise InvalidArgumentError(
                f"{name} := has {len(values)} numbers, and the chip {bands} bands; expected one, or one for each"
            )
        return values * bands if len(values) == 1 else values


def geotiff_of(chip: Chip) -> bytes:
    """The GeoTIFF of a chip."""
    return write_geotiff(chip.data, chip.valid, chip.transform, chip.crs, chip.nodata, chip.bands)


def cog_of(chip: Chip, options: CogOptions) -> bytes:
    """The Cloud-Optimized GeoTIFF of a chip."""
    bands = len(chip.bands)
    style = CogStyle(
        options.block_size,
        options.compression,
        options.of_bands("scales", options.scales, bands),
        options.of_bands("offsets", options.offsets, bands),
    )
    given = checked_pixels(chip.data, chip.bands)
    data, nodata, mask = stored_validity(given, chip.valid, chip.nodata)
    methods = [options.resampling or ("nearest" if is_name_of_classes(name) else "average") for name in chip.bands]
    levels = [*_levels(CogLevel(data, mask), chip.valid, nodata, methods, options.block_size)]
    return write_cog(levels, chip.valid, chip.transform, chip.crs, nodata, chip.bands, style)


def _levels(
    image: CogLevel, valid: np.ndarray | None, nodata: Nodata, methods: list[str], block: int
) -> Iterator[CogLevel]:
    """The image, and overviews of half the size each until one fits into a tile.

    Args:
        image: as it is stored.
        valid: True where a pixel is valid, in the shape of the image; None: all are.
        nodata: value that no valid pixel of an overview becomes.
        methods: resampling of each band.
        block: pixels of a side of a tile.
    """
    level = image
    while True:
        yield level
        height, width = level.data.shape[1:]
        if max(height, width) <= block:
            return
        smaller = max(1, height // 2), max(1, width // 2)
        halves = [
            _half(band, None if valid is None else valid[number], smaller, methods[number], nodata)
            for number, band in enumerate(level.data)
        ]
        mask = None
        if valid is not None:
            valid = np.stack([written for _, written in halves])
            mask = None if image.mask is None else valid[0]
        level = CogLevel(np.stack([half for half, _ in halves]), mask)


def _half(
    band: np.ndarray, valid: np.ndarray | None, shape: tuple[int, int], method: str, nodata: Nodata
) -> tuple[np.ndarray, np.ndarray]:
    """A band resampled to fewer pixels, and which of these have a value."""
    (height, width), (rows, cols) = band.shape, shape
    onto = PixelMap(
        Affine(width / cols, 0, 0, 0, height / rows, 0), None, Affine(1, 0, 0, 0, 1, 0), None, (width, height)
    )
    plan = plan_warp(onto, Window(0, 0, cols, rows), (width, height), method)
    assert plan is not None  # it covers the image
    return warp(band, valid, plan, nodata=nodata, fill=0 if nodata is None else nodata)
