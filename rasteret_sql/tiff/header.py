"""What a TIFF's tags say, as values: `Header` for a file, `Level` for one stored image, `BandHeader` for one band."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from rasteret_sql.types import Affine, Nodata


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One image of a file: full resolution, an overview, or the mask of either.

    A striped image is a tiled one whose tiles are as wide as the image: `tile_height` is then RowsPerStrip, and the
    last strip holds only the rows that are left.
    """

    width: int
    """Pixels across."""
    height: int
    """Pixels down."""
    tile_width: int
    tile_height: int
    tiled: bool
    """False for strips."""
    dtype: np.dtype
    """dtype of decoded samples, native byte order; odd bit depths round up (12 bit → uint16, 1 bit → uint8)."""
    bits: int
    """Bits per sample as stored."""
    samples: int
    """Samples per pixel of the image."""
    planar: int
    """1 chunky (samples of a pixel side by side), 2 planar (a table of tiles for each sample)."""
    compression: int
    predictor: int
    photometric: int | None
    byte_order: Literal["<", ">"]
    """`<` or `>`: how multi-byte samples are stored."""
    offsets: npt.NDArray[np.uint64]
    """Where each tile starts; shape (planes · tiles,), row-major, plane by plane where planar. 0 = not stored."""
    byte_counts: npt.NDArray[np.uint64]
    """Stored length of each tile, same shape as offsets."""
    fill_order: int = 1
    """2 where the bits of each byte are stored reversed."""
    jpeg_tables: bytes | None = None
    """Tag 347, shared tables of JPEG tiles."""
    subsampling: tuple[int, int] = (1, 1)
    """Tag 530, chroma subsampling of YCbCr."""
    extra_samples: tuple[int, ...] = ()
    """Tag 338: 0 unspecified, 1 associated alpha, 2 unassociated alpha."""

    @property
    def tiles_across(self) -> int:
        return -(-self.width // self.tile_width)

    @property
    def tiles_down(self) -> int:
        return -(-self.height // self.tile_height)

    @property
    def tiles_per_plane(self) -> int:
        return self.tiles_across * self.tiles_down

    def tile_shape(self, index: int) -> tuple[int, int]:
        """(rows, columns) that tile `index` holds when decoded: the full tile, or the rows left in the last strip."""
        if self.tiled:
            return self.tile_height, self.tile_width
        row = (index % self.tiles_per_plane) // self.tiles_across
        return min(self.tile_height, self.height - row * self.tile_height), self.tile_width

    def is_stored(self, index: int) -> bool:
        """False for a tile that a sparse file leaves out: its pixels are nodata, or 0 where there is none."""
        return bool(self.offsets[index]) and bool(self.byte_counts[index])

    def plane(self, sample: int) -> Level:
        """The level as one band sees it: for planar images only the tiles of that sample, else itself."""
        if self.planar != 2 or self.samples == 1:
            return self
        n = self.tiles_per_plane
        part = slice(sample * n, (sample + 1) * n)
        return replace(self, offsets=self.offsets[part], byte_counts=self.byte_counts[part], samples=1)


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """All that a file's tags say, for all its bands."""

    levels: tuple[Level, ...]
    """0 is full resolution, then the overviews, largest first."""
    masks: tuple[Level | None, ...]
    """Internal mask of each level (1 sample, 1 or 8 bit), None where there is none; as long as `levels`."""
    transform: Affine | None
    """Pixel corner → CRS of level 0 (PixelIsPoint already normalised); None where the file is not georeferenced."""
    crs: str | None
    """`EPSG:n`, else WKT2 of a user-defined CRS; None where the file does not say."""
    nodata: tuple[Nodata, ...]
    """Of each band; an int for integer dtypes. A value out of the dtype's range matches no pixel and is None."""
    scales: tuple[float, ...]
    """GDAL_METADATA scale of each band, 1 by default."""
    offsets: tuple[float, ...]
    """GDAL_METADATA offset of each band, 0 by default."""
    descriptions: tuple[str | None, ...]
    """GDAL_METADATA description (name) of each band."""
    alpha: int | None
    """0-based sample that is alpha, None where there is none."""

    @property
    def count(self) -> int:
        """Number of bands, alpha included."""
        return self.levels[0].samples

    @property
    def epsg(self) -> int | None:
        """EPSG code where the CRS has one."""
        return int(self.crs[5:]) if self.crs and self.crs.startswith("EPSG:") else None

    def band(self, sample: int) -> BandHeader:
        """What one band of the file needs to be read; `sample` counts from 0."""
        planar = self.levels[0].planar == 2
        masks: tuple[Level | None, ...] = self.masks
        mask_sample = 0
        if all(m is None for m in masks) and self.alpha is not None and self.alpha != sample:
            masks = tuple(level.plane(self.alpha) for level in self.levels)
            mask_sample = 0 if planar else self.alpha
        return BandHeader(
            levels=tuple(level.plane(sample) for level in self.levels),
            sample=0 if planar else sample,
            masks=masks,
            mask_sample=mask_sample,
            internal_mask=any(m is not None for m in self.masks),
            transform=self.transform,
            crs=self.crs,
            nodata=self.nodata[sample],
            scale=self.scales[sample],
            offset=self.offsets[sample],
            description=self.descriptions[sample],
        )


@dataclass(frozen=True, slots=True, eq=False)
class BandHeader:
    """One band of a file: all that is needed to plan, fetch and decode it. This is what an index row keeps."""

    levels: tuple[Level, ...]
    """Tiles of this band: its own plane where the file is planar, the shared tiles where chunky."""
    sample: int
    """Position of the band on the last axis of a decoded tile (rows, cols, samples); 0 where planar."""
    masks: tuple[Level | None, ...]
    """Where validity is stored: the internal mask, or the alpha plane, of each level. Not 0 = valid."""
    mask_sample: int
    """Position of validity on the last axis of a decoded tile of `masks`."""
    internal_mask: bool
    """True where `masks` are mask IFDs (they alone decide, as in GDAL), False for alpha (and-ed with nodata)."""
    transform: Affine | None
    crs: str | None
    nodata: Nodata
    scale: float
    offset: float
    description: str | None

    @property
    def dtype(self) -> np.dtype:
        return self.levels[0].dtype

    @property
    def width(self) -> int:
        return self.levels[0].width

    @property
    def height(self) -> int:
        return self.levels[0].height

    def level_transform(self, level: int) -> Affine | None:
        """Transform of a level: the image's extent divided by the level's pixels, as GDAL gives overviews."""
        if self.transform is None or level == 0:
            return self.transform
        at = self.levels[level]
        return self.transform.scaled(self.width / at.width, self.height / at.height)
