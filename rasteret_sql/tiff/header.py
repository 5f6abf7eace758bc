"""Defines values for what tags say: `Header` for a file, `Level` for one stored image, `BandHeader` for one band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.gcps import Gcps
from rasteret_sql.geo.grid import Affine
from rasteret_sql.geo.image_crs import PIXELS, ImageCrs, image_crs, map_crs
from rasteret_sql.tiff.nodata import Nodata, parse_nodata


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
    sidecar: str = ""
    """What is added to the file's address where the tiles are in a file beside it: `.msk`, `.ovr`, `.msk.ovr`."""
    stored_samples: int = 0
    """Samples per pixel as stored, where decoded tiles are converted to `samples` of red, green, blue (and alpha), as
    those of CMYK, YCbCr and CIELab are; 0 where they are given as stored."""
    colours: tuple[float, ...] = ()
    """What the conversion depends on: YCbCrCoefficients and ReferenceBlackWhite of YCbCr, WhitePoint of CIELab."""
    t4_options: int = 0
    """Tag 292, how CCITT Group 3 is coded."""
    file_head: bytes | None = None
    """What makes a TIFF file of the stored bytes when it stands in front of them, of an image that is decoded whole:
    it is one strip here, and there the tiles that it has in its own file."""

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


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file beside the image's own, and what a store said of it when it was read."""

    suffix: str
    """What is added to the address of the image's file."""
    size: int | None = None
    """Bytes."""
    etag: str | None = None
    modified: datetime | None = None
    """Naive UTC."""


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
    """0-based sample that ExtraSamples calls alpha, None where there is none."""
    alpha_counts: bool = False
    """True where alpha decides on validity without being asked for, by GDAL's rule."""
    nodata_values: tuple[Nodata, ...] | None = None
    """GDAL_METADATA NODATA_VALUES, one a band: a pixel is invalid where every band has its own. None where the file has
    no such item; a value that no sample has is None, and then no pixel is invalid."""
    band_masks: tuple[Plane, ...] = ()
    """Mask of each band, where a mask file has one for each; else `masks` are those of all bands."""
    sidecars: tuple[Sidecar, ...] = ()
    """Files beside it that were read: they hold tiles of `levels` or masks, or say more of the file."""
    items: Mapping[str, str] = field(default_factory=dict)
    """Items of GDAL_METADATA that speak of the whole file. An index does not keep them."""
    gcps: Gcps | None = None
    """Ground control points; they place the image where it has no transform."""
    rpcs: bool = False
    """True where it has rational polynomial coefficients, of which nothing is read."""

    @property
    def count(self) -> int:
        """Number of bands, alpha included."""
        return self.levels[0].samples

    @property
    def epsg(self) -> int | None:
        """EPSG code where the CRS has one."""
        return int(self.crs[5:]) if self.crs and self.crs.startswith("EPSG:") else None

    def band(self, sample: int, item_nodata: str | None = None, item: ItemBand | None = None) -> BandHeader:
        """The header of one band of the file: all that is needed to read it.

        Args:
            sample: Counts from 0.
            item_nodata: Text of a nodata value that counts where the file itself does not tell which pixels are valid.
            item: What else the band's item says of it.
        """
        planes = {sample: self._plane(sample)}
        for other in range(self.count) if self.nodata_values else ():
            planes.setdefault(other, self._plane(other))
        own = planes[sample]
        nodata = self.nodata[sample]
        tells = nodata is not None or self.has_masks or self.nodata_values is not None or self.alpha_counts
        of_item = None if tells else parse_nodata(item_nodata, self.levels[0].dtype)
        gcps = None if self.transform is not None else self.gcps
        return BandHeader(
            levels=tuple(level for level in own.levels if level is not None),
            sample=own.sample,
            validity=self._validity(sample, planes),
            transform=self.transform,
            crs=(gcps and gcps.crs) or self.crs,
            nodata=nodata if tells else of_item,
            scale=self.scales[sample],
            offset=self.offsets[sample],
            description=self.descriptions[sample],
            nodata_of_item=of_item is not None,
            sidecars=self.sidecars,
            item=item,
            gcps=gcps,
            rpcs=self.rpcs,
        )

    @property
    def has_masks(self) -> bool:
        """True where mask images tell which pixels are valid."""
        return bool(self.band_masks) or any(mask is not None for mask in self.masks)

    def _validity(self, sample: int, planes: Mapping[int, Plane]) -> Validity:
        at = None if self.alpha == sample else self.alpha
        of_all = Plane(self.masks, 0) if self.has_masks else None
        return Validity(
            mask=self.band_masks[sample] if self.band_masks else of_all,
            nodata_values=tuple((planes[n], value) for n, value in enumerate(self.nodata_values or ())),
            alpha=None if at is None else planes.get(at) or self._plane(at),
            alpha_counts=at is not None and self.alpha_counts,
        )

    def _plane(self, sample: int) -> Plane:
        planar = self.levels[0].planar == 2
        return Plane(tuple(level.plane(sample) for level in self.levels), 0 if planar else sample)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The place where the values of one sample are stored."""

    levels: tuple[Level | None, ...]
    """Of each level of the image, None where there is none."""
    sample: int
    """Position on the last axis of a decoded tile (rows, cols, samples)."""


@dataclass(frozen=True, slots=True, eq=False)
class Validity:
    """The rule by which pixels of a band are valid, beside the band's own nodata; `tiff.validity` reads it."""

    mask: Plane | None = None
    """Mask images: they alone decide, as in GDAL. Not 0 = valid."""
    nodata_values: tuple[tuple[Plane, Nodata], ...] = ()
    """Each band of the file with a value: a pixel where all have theirs is invalid. Counts in place of nodata."""
    alpha: Plane | None = None
    """Another sample that is alpha. Not 0 = valid."""
    alpha_counts: bool = False
    """True where alpha counts without being asked for."""


@dataclass(frozen=True, slots=True)
class ItemBand:
    """The words of a STAC item on a band of a file, beside its nodata."""

    common_name: str | None = None
    """Such as `red`."""
    scale: float | None = None
    """value = stored · scale + offset; None where the item does not say it."""
    offset: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BandHeader:
    """One band of a file: all that is needed to plan, fetch and decode it. This is what an index row keeps."""

    levels: tuple[Level, ...]
    """Tiles of this band: its own plane where the file is planar, the shared tiles where chunky."""
    sample: int
    """Position of the band on the last axis of a decoded tile (rows, cols, samples); 0 where planar."""
    validity: Validity
    """Which of its pixels are valid."""
    transform: Affine | None
    crs: str | None
    nodata: Nodata
    scale: float
    offset: float
    description: str | None
    nodata_of_item: bool = False
    """True where `nodata` is what the item says, since the file does not tell which pixels are valid."""
    sidecars: tuple[Sidecar, ...] = ()
    """Files beside its own that were read with the header."""
    item: ItemBand | None = None
    """What its item says of it; None where that is nothing."""
    gcps: Gcps | None = None
    """Ground control points of a file without a transform, in `crs`; None where it has none."""
    rpcs: bool = False
    """True where the file has rational polynomial coefficients."""

    @property
    def item_nodata(self) -> str | None:
        """Text of the item's nodata, for the header that the file has later."""
        return repr(self.nodata) if self.nodata_of_item else None

    @property
    def dtype(self) -> np.dtype:
        return self.levels[0].dtype

    @property
    def width(self) -> int:
        return self.levels[0].width

    @property
    def height(self) -> int:
        return self.levels[0].height

    @property
    def is_by_points(self) -> bool:
        """True of what `by_points` gives."""
        return isinstance(self.crs, ImageCrs)

    @property
    def map_crs(self) -> str | None:
        """The CRS in which its pixels can be shown: `crs`, or that of ground control points."""
        return None if self.crs is None else map_crs(self.crs)

    def by_points(self, method: str | None = None) -> BandHeader:
        """The same on the plane of its own pixels, where ground control points alone place these; else itself.

        Its transform is the identity then, and its CRS an `ImageCrs`.

        Args:
            method: one of `geo.gcps.METHODS`; None: by the number of points.
        """
        if self.transform is not None or self.gcps is None or self.crs is None:
            return self
        return replace(self, transform=PIXELS, crs=image_crs(Gcps(self.gcps.data), self.crs, method))

    def images(self) -> list[Level]:
        """All levels whose tiles it may need, each once: its own, then those that tell which pixels are valid."""
        validity = self.validity
        planes = [validity.mask, validity.alpha, *(plane for plane, _ in validity.nodata_values)]
        more = (level for plane in planes if plane is not None for level in plane.levels if level is not None)
        return list({id(level): level for level in (*self.levels, *more)}.values())

    def level_transform(self, level: int) -> Affine | None:
        """Transform of a level: the image's extent divided by the level's pixels, as GDAL gives overviews."""
        if self.transform is None or level == 0:
            return self.transform
        at = self.levels[level]
        return self.transform.scaled(self.width / at.width, self.height / at.height)
