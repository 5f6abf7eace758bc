"""Bytes of a file → `Header`, or the byte ranges that are still missing. No I/O happens here.

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

from rasteret_sql.errors import CorruptTiffError, TiffError, UnsupportedTiffError
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.gdal_metadata import read_metadata
from rasteret_sql.tiff.geokeys import crs_from_geokeys, read_geokeys
from rasteret_sql.tiff.georeference import GEO_TAGS, read_transform
from rasteret_sql.tiff.header import Header, Level
from rasteret_sql.tiff.ifd import Ifd, TiffBytes, open_tiff, read_ifd
from rasteret_sql.tiff.levels import missing_ranges, read_level
from rasteret_sql.tiff.nodata import parse_nodata
from rasteret_sql.tiff.source import NeedBytes, SparseBytes
from rasteret_sql.types import ByteRange

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
        main, overviews, masks = _walk(file, first)
        return _header(main, overviews, masks)
    except (NeedBytes, TiffError):
        raise
    except (ValueError, OverflowError, MemoryError) as error:
        raise CorruptTiffError(f"{address}: the TIFF header cannot be understood: {error}") from error


def _walk(file: TiffBytes, first: int) -> tuple[Ifd, list[Ifd], list[Ifd]]:
    """Follow the chain of directories: (main image, its overviews, masks), with all their values there."""
    main: Ifd | None = None
    overviews: list[Ifd] = []
    masks: list[Ifd] = []
    missing: list[ByteRange] = []
    seen: set[int] = set()
    offset = first
    while offset:
        if offset in seen:
            raise CorruptTiffError(f"{file.address}: the chain of image directories returns to byte {offset}")
        if len(seen) == MAX_IMAGES:
            raise UnsupportedTiffError(f"{file.address}: more than {MAX_IMAGES} images in one file are not supported")
        seen.add(offset)
        try:
            ifd = read_ifd(file, offset)
        except NeedBytes as need:
            missing += need.ranges
            break
        offset = ifd.next_offset
        kind = ifd.subfile_type
        if main is None:
            main = ifd
            missing += [gap for tag in _FILE_TAGS for gap in ifd.missing(tag)]
        elif kind & tags.MASK_IMAGE:
            masks.append(ifd)
        elif kind & tags.REDUCED_IMAGE:
            overviews.append(ifd)
        else:
            continue  # another page: not of the image that is read
        missing += missing_ranges(ifd)
    if missing:
        raise NeedBytes(missing)
    if main is None:
        raise CorruptTiffError(f"{file.address}: the TIFF file holds no image")
    return main, overviews, masks


def _header(main: Ifd, overview_ifds: list[Ifd], mask_ifds: list[Ifd]) -> Header:
    base = read_level(main)
    overviews = [level for ifd in overview_ifds if _is_overview(level := read_level(ifd), base)]
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
    return Header(
        levels=levels,
        masks=masks,
        transform=read_transform(main, pixel_is_point=keys.pixel_is_point),
        crs=crs_from_geokeys(keys),
        nodata=tuple(own[nodata_text if text is None else text] for text in meta.nodata),
        scales=meta.scales,
        offsets=meta.offsets,
        descriptions=meta.descriptions,
        alpha=_alpha(base),
    )


def _is_overview(level: Level, base: Level) -> bool:
    """Whether a reduced image shows the same bands; thumbnails of another kind do not."""
    return (
        level.samples == base.samples
        and level.dtype == base.dtype
        and level.width <= base.width
        and level.height <= base.height
    )


def _alpha(level: Level) -> int | None:
    """The sample that is alpha by GDAL's rule: the last of two or four, of 8 or 16 bit unsigned."""
    last = level.samples - 1
    extra = len(level.extra_samples)
    if level.samples not in (2, 4) or level.dtype.name not in ("uint8", "uint16") or not 0 < extra <= level.samples:
        return None
    return last if level.extra_samples[-1] in (tags.ALPHA_ASSOCIATED, tags.ALPHA_UNASSOCIATED) else None
