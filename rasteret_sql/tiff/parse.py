"""Parses bytes of a file to a `Header`, or to the byte ranges that are still missing. No I/O happens here.

The caller fetches the first `HEADER_PREFETCH` bytes, parses, and where `NeedBytes` comes out fetches its ranges, adds
them and parses again:

    chunks = SparseBytes(first_bytes, size=file_size)
    while True:
        try:
            return parse_header(chunks, address)
        except NeedBytes as need:
            for span in need.ranges:
                chunks.add(span.offset, fetch(span))
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import CorruptTiffError, TiffError, UnsupportedTiffError
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.gdal_metadata import read_metadata
from rasteret_sql.tiff.geokeys import read_geokeys
from rasteret_sql.tiff.georeference import GEO_TAGS, read_gcps, read_transform
from rasteret_sql.tiff.header import Header, Level
from rasteret_sql.tiff.ifd import Ifd, TiffBytes, open_tiff, read_ifd
from rasteret_sql.tiff.levels import missing_ranges, read_level
from rasteret_sql.tiff.nodata import parse_nodata, parse_nodata_values
from rasteret_sql.tiff.source import NeedBytes, SparseBytes
from rasteret_sql.tiff.validity import alpha_counts, alpha_sample

__all__ = ["HEADER_PREFETCH", "NeedBytes", "SparseBytes", "parse_header"]

HEADER_PREFETCH = 32768
"""First read of a file: holds the whole header of a normal COG."""
MAX_IMAGES = 256
"""Most image directories of a file, pages included."""

_FILE_TAGS = (
    *GEO_TAGS, tags.GEO_KEY_DIRECTORY, tags.GEO_DOUBLE_PARAMS, tags.GEO_ASCII_PARAMS, tags.GDAL_METADATA,
    tags.GDAL_NODATA,
)  # fmt: skip


def parse_header(chunks: SparseBytes, address: str) -> Header:
    """Parse all that a file's tags say.

    Args:
        chunks: The bytes that have arrived; set `size` where the file's length is known.
        address: Names the file in errors, as it may be shown to anybody (no credentials).

    Raises:
        NeedBytes: Parsing can go on when `ranges` have been added.
        CorruptTiffError: The file is no TIFF, is truncated or contradicts itself.
        UnsupportedTiffError: It is valid and uses a feature that is not supported.
    """
    try:
        file, first = open_tiff(chunks, address)
        found = _walk(file, first)
        assert found.main is not None
        return _header(found.main, found.overviews, found.masks)
    except (NeedBytes, TiffError):
        raise
    except (ValueError, OverflowError, MemoryError) as error:
        raise CorruptTiffError(f"{address}: the TIFF header cannot be understood: {error}") from error


@dataclass
class _Images:
    """The image directories that were found."""

    main: Ifd | None = None
    overviews: list[Ifd] = field(default_factory=list)
    masks: list[Ifd] = field(default_factory=list)
    missing: list[ByteRange] = field(default_factory=list)
    """What they need that has not arrived."""
    seen: set[int] = field(default_factory=set)

    def add(self, ifd: Ifd, *, pages: bool) -> None:
        """Sort a directory in; `pages` says that the chain is the file's own, where masks and pages stand."""
        kind = ifd.subfile_type
        if self.main is None:
            self.main = ifd
            self.missing += [] if ifd.has_all else [gap for tag in _FILE_TAGS for gap in ifd.missing(tag)]
            self.missing += missing_ranges(ifd)
        elif kind & tags.MASK_IMAGE and pages:
            self.masks.append(ifd)
            self.missing += missing_ranges(ifd)
        elif kind & tags.REDUCED_IMAGE and not kind & tags.MASK_IMAGE:
            try:
                missing = missing_ranges(ifd)
            except TiffError:
                return  # an overview that cannot be read is as good as none, as in GDAL
            self.overviews.append(ifd)
            self.missing += missing


def _walk(file: TiffBytes, first: int) -> _Images:
    """Find the image, its overviews and its masks, with all their values there."""
    found = _Images()
    _follow(file, first, found, pages=True)
    if found.main is None:
        if found.missing:
            raise NeedBytes(found.missing)
        raise CorruptTiffError(f"{file.address}: the TIFF file holds no image")
    # Some writers hang the overviews below the image instead of behind it.
    if gaps := found.main.missing(tags.SUB_IFDS, MAX_IMAGES):
        found.missing += gaps
    else:
        for offset in found.main.integers(tags.SUB_IFDS, limit=MAX_IMAGES):
            _follow(file, offset, found, pages=False)
    if found.missing:
        raise NeedBytes(found.missing)
    return found


def _follow(file: TiffBytes, offset: int, found: _Images, *, pages: bool) -> None:
    """Follow a chain of directories; one that loops, or leaves the file, ends there, as in libtiff."""
    while offset and offset not in found.seen:
        if len(found.seen) == MAX_IMAGES:
            raise UnsupportedTiffError(f"{file.address}: more than {MAX_IMAGES} images in one file are not supported")
        found.seen.add(offset)
        try:
            ifd = read_ifd(file, offset)
        except NeedBytes as need:
            found.missing += need.ranges
            return
        except CorruptTiffError:
            if found.main is None:
                raise
            return
        offset = ifd.directory.next_offset
        found.add(ifd, pages=pages)


def _header(main: Ifd, overview_ifds: list[Ifd], mask_ifds: list[Ifd]) -> Header:
    base = read_level(main)
    overviews = [level for ifd in overview_ifds if (level := _overview(ifd, base)) is not None]
    overviews.sort(key=lambda level: (-level.width, -level.height))
    levels = (base, *overviews)
    by_size: dict[tuple[int, int], Level] = {}
    for ifd in mask_ifds:
        mask = read_level(ifd)
        if mask.samples != 1 or mask.bits not in (1, 8):
            raise ifd.unsupported(f"a mask of {mask.samples} samples of {mask.bits} bit is not supported")
        by_size.setdefault((mask.width, mask.height), mask)
    if by_size and (base.width, base.height) not in by_size:
        raise main.unsupported(
            f"the file has masks of {sorted(by_size)} pixels, but none of the image's {base.width} × {base.height}"
        )
    masks = tuple(by_size.get((level.width, level.height)) for level in levels)

    keys = read_geokeys(main)
    meta = read_metadata(main.text(tags.GDAL_METADATA), base.samples)
    nodata_text = main.text(tags.GDAL_NODATA)
    own = {text: parse_nodata(text, base.dtype) for text in {nodata_text, *meta.nodata}}
    transform = read_transform(main, pixel_is_point=keys.pixel_is_point)
    return Header(
        levels=levels,
        masks=masks,
        transform=transform,
        crs=keys.crs,
        nodata=tuple(own[nodata_text if text is None else text] for text in meta.nodata),
        scales=meta.scales,
        offsets=meta.offsets,
        descriptions=meta.descriptions,
        alpha=alpha_sample(base),
        alpha_counts=alpha_counts(base),
        nodata_values=None if meta.nodata_values is None else parse_nodata_values(meta.nodata_values, base.dtype),
        items=meta.items,
        gcps=read_gcps(main, pixel_is_point=keys.pixel_is_point) if transform is None else None,
        rpcs=tags.RPC_COEFFICIENTS in main,
    )


def _overview(ifd: Ifd, base: Level) -> Level | None:
    """A reduced image that shows the same bands; None for thumbnails of another kind, or one that cannot be read."""
    try:
        level = read_level(ifd)
    except TiffError:
        return None
    same = level.samples == base.samples and level.dtype == base.dtype
    return level if same and level.width <= base.width and level.height <= base.height else None
