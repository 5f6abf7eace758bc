"""Writes pixels and their overviews as the bytes of a Cloud-Optimized GeoTIFF.

All headers come first, those of the image, its mask and then of ever smaller overviews; of the tiles, those of the
smallest overview come first. So a reader that wants little reads one piece from the beginning of the file. This is the
order of GDAL's driver COG (https://gdal.org/en/stable/drivers/raster/cog.html). Its notes on the structure of the file
are left out: they promise bytes around tiles of interleaved bands, and here each band has its own tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rasteret_sql.geo.grid import Affine
from rasteret_sql.tiff.nodata import Nodata
from rasteret_sql.tiff.write_geotiff import geotiff_tags, metadata_item, metadata_of, tile_side
from rasteret_sql.tiff.write_images import (
    REDUCED_IMAGE,
    Image,
    Mask,
    Pixels,
    Tag,
    assemble,
    mask_image,
    pixel_image,
)


@dataclass(frozen=True, slots=True, eq=False)
class CogLevel:
    """The image, or one of its overviews."""

    data: Pixels
    """Shape (bands, height, width)."""
    mask: Mask | None
    """True is valid, shape (height, width); None: nodata tells, or all are."""


@dataclass(frozen=True, slots=True)
class CogStyle:
    """The storage of a COG, and what the file says of its values."""

    block_size: int = 512
    """Pixels of a side of a tile; a smaller image has smaller ones."""
    compression: str = "deflate"
    """One of `COMPRESSIONS`."""
    scales: Sequence[float] = ()
    """Value in units = stored · scale + offset: one for each band, or none."""
    offsets: Sequence[float] = ()


def write_cog(  # noqa: PLR0917 - as write_geotiff
    levels: Sequence[CogLevel],
    valid: Mask | None,
    transform: Affine | None,
    crs: str | None,
    nodata: Nodata,
    names: Sequence[str],
    style: CogStyle,
) -> bytes:
    """Write an image and its overviews.

    Args:
        levels: the image, then overviews from the largest on.
        valid: True is valid, in the shape of the image, for its statistics; None: all are.
        transform: pixel corner → CRS; None to write no position.
        crs: `EPSG:n` or WKT; None to write none.
        nodata: as `stored_validity` gives it for the image.
        names: of the bands.
        style: how.

    Raises:
        InvalidArgumentError: the file would have 4 GB or more.
    """
    metadata = metadata_of(names) + _statistics(levels[0].data, valid) + _units(style)
    tags = geotiff_tags(transform, crs, nodata, metadata)
    images: list[Image] = []
    for number, level in enumerate(levels):
        kind = REDUCED_IMAGE if number else 0
        side = tile_side(level.data.shape[1:], style.block_size)
        image = pixel_image(level.data, side, style.compression, kind)
        image.tags.update(_of_overview(tags) if number else tags)
        images.append(image)
        if level.mask is not None:
            images.append(mask_image(level.mask, side, style.compression, kind))
    return assemble(images, backwards=True)


def _of_overview(tags: dict[int, Tag]) -> dict[int, Tag]:
    """Tags of the image that its overviews have, too: nodata."""
    return {tag: value for tag, value in tags.items() if tag == 42113}


def _statistics(data: Pixels, valid: Mask | None) -> str:
    """Statistics of the valid pixels of each band, by the names that GDAL has for them; stddev is of all pixels."""
    items = []
    for number, band in enumerate(data):
        values = band.ravel() if valid is None else band[valid[number]]
        values = values[np.isfinite(values)] if data.dtype.kind == "f" else values
        if not values.size:
            continue
        numbers = values.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            found = {
                "MAXIMUM": values.max().item(),
                "MEAN": float(numbers.mean()),
                "MINIMUM": values.min().item(),
                "STDDEV": float(numbers.std()),
                "VALID_PERCENT": f"{100 * values.size / band.size:.4g}",
            }
        items += [metadata_item(f"STATISTICS_{name}", value, number) for name, value in found.items()]
    return "".join(items)


def _units(style: CogStyle) -> str:
    pairs = (("OFFSET", style.offsets), ("SCALE", style.scales))
    return "".join(
        metadata_item(name, value, band, name.lower()) for name, values in pairs for band, value in enumerate(values)
    )
