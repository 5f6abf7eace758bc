"""Puts chips that are already read on other grids: chip_resample and chip_reproject."""

from __future__ import annotations

import numpy as np

from rasteret_sql.errors import InvalidArgumentError, InvalidCrsError, MemoryLimitError
from rasteret_sql.geo.crs import crs_or_code, no_place, transformer
from rasteret_sql.geo.grid import Affine, Grid, Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.geo.target_grid import TargetGrid, lattice_through, resolution_in
from rasteret_sql.geo.wanted_grid import WantedGrid
from rasteret_sql.raster.warp.plan import plan_warp
from rasteret_sql.raster.warp.warp import warp
from rasteret_sql.reading.chip_column import Chip
from rasteret_sql.reading.class_bands import is_name_of_classes
from rasteret_sql.reading.options import PixelOptions


def on_grid_of(chip: Chip, like: Chip, resampling: str | None, most_bytes: int) -> Chip | None:
    """A chip with the pixels of another one; None where they do not meet.

    Args:
        chip: what is put there.
        like: whose grid it is.
        resampling: one of `RESAMPLINGS`; None: nearest for bands of classes, else bilinear.
        most_bytes: that it may have.

    Raises:
        InvalidArgumentError: one of them has no place.
        InvalidCrsError: there is no way between their CRS.
        MemoryLimitError: it would have more bytes.
    """
    if (chip.crs is None) != (like.crs is None):
        raise InvalidCrsError(
            f"the chip has {_named(chip.crs)}, and onto has {_named(like.crs)}: nothing tells where one is on the other"
        )
    _, height, width = like.data.shape
    target = TargetGrid(like.crs, _place_of(like, "onto"), Window(0, 0, width, height))
    return _warped(chip, target, resampling, most_bytes)


def on_grid(chip: Chip, options: PixelOptions, most_bytes: int) -> Chip | None:
    """A chip on the grid that a call asks for, over all of it.

    Args:
        chip: what is put there.
        options: crs, resolution, shape, align, resampling.
        most_bytes: that it may have.

    Raises:
        InvalidArgumentError: the chip has no place, or the grid would have too many pixels.
        InvalidCrsError: the chip has no CRS or no place in the one that is asked for.
        MemoryLimitError: it would have more bytes.
    """
    transform = _place_of(chip, "the chip")
    _, height, width = chip.data.shape
    outline = Grid(transform, width, height).outline()
    wanted = _wanted(chip, transform, options)
    moved = outline
    if options.crs is not None:
        assert chip.crs is not None and wanted.crs is not None  # noqa: PT018 - `_wanted` refuses others
        (found,) = wanted.moved([outline], chip.crs)
        if isinstance(found, InvalidArgumentError):
            raise found
        if found is None or found.is_empty:
            raise InvalidCrsError(str(no_place(outline, chip.crs, wanted.crs)))
        moved = found
    return _warped(chip, wanted.target(moved), options.resampling, most_bytes)


def _wanted(chip: Chip, transform: Affine, options: PixelOptions) -> WantedGrid:
    crs = chip.crs
    native = abs(transform.a) or abs(transform.b), abs(transform.e) or abs(transform.d)
    if options.crs is not None:
        if chip.crs is None:
            raise InvalidCrsError("the chip has no CRS, so it has no place in another one; chip_resample keeps it so")
        crs = crs_or_code(options.crs)
        transformer(chip.crs, crs)
        native = resolution_in(crs, chip.crs, transform)
    if options.shape is not None:
        return WantedGrid(crs, None, options.shape)
    assert not isinstance(options.align, str)  # of chips it is a point
    return WantedGrid(crs, lattice_through(options.resolution or native, options.align or (0.0, 0.0)), None)


def _place_of(chip: Chip, what: str) -> Affine:
    if chip.transform is None:
        raise InvalidArgumentError(f"{what} has no transform, so its pixels have no place on another grid")
    return chip.transform


def _named(crs: str | None) -> str:
    return "no CRS" if crs is None else f"the CRS {crs}"


def _warped(chip: Chip, target: TargetGrid, resampling: str | None, most_bytes: int) -> Chip | None:
    """The pixels of a target, of each band; None where it misses the chip."""
    bands, height, width = chip.data.shape
    shape = bands, target.window.height, target.window.width
    size = bands * shape[1] * shape[2] * chip.data.dtype.itemsize
    if size > most_bytes:
        raise MemoryLimitError(
            f"the chip of {bands} × {shape[1]} × {shape[2]} pixels would have {size:,} bytes, more than "
            f"max_call_bytes = {most_bytes:,}; use a coarser resolution :=, or connect(max_call_bytes=...)"
        )
    pixel_map = PixelMap(target.lattice, target.crs, _place_of(chip, "the chip"), chip.crs, (width, height))
    fill = 0 if chip.nodata is None else chip.nodata
    data = np.empty(shape, chip.data.dtype.newbyteorder("="))
    valid = np.zeros(shape, bool)
    for band, name in enumerate(chip.bands):
        method = resampling or ("nearest" if is_name_of_classes(name) else "bilinear")
        plan = plan_warp(pixel_map, target.window, (width, height), method)
        if plan is None:
            return None
        at = slice(plan.source.row_off, plan.source.row_end), slice(plan.source.col_off, plan.source.col_end)
        pixels = chip.data[band][at].astype(data.dtype, copy=False)
        there = None if chip.valid is None else chip.valid[band][at]
        data[band], valid[band] = warp(pixels, there, plan, nodata=chip.nodata, fill=fill)
    return Chip(data, None if valid.all() else valid, chip.bands, target.transform, target.crs, chip.nodata)
