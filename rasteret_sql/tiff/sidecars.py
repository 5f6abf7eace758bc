"""Reads files beside a TIFF that say more of it: masks (.msk), overviews (.ovr), GDAL's .aux.xml, world files.

What counts is what GDAL 3.10 takes with its default GDAL_GEOREF_SOURCES, as measured. Of place, CRS, nodata, scale,
offset, names and NODATA_VALUES: the .aux.xml, then the file itself, then, of the transform alone, a world file. Masks
and overviews beside the file count where it has none of its own.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rasteret_sql.errors import CorruptTiffError, InvalidCrsError, UnsupportedTiffError
from rasteret_sql.geo.crs import normalize_crs
from rasteret_sql.geo.gcps import Gcps
from rasteret_sql.geo.grid import Affine
from rasteret_sql.tiff.gdal_metadata import values_of_bands
from rasteret_sql.tiff.header import Header, Level, Plane
from rasteret_sql.tiff.nodata import parse_nodata, parse_nodata_values

MASK, OVERVIEWS, MASK_OVERVIEWS, PAM = ".msk", ".ovr", ".msk.ovr", ".aux.xml"
SUFFIXES = (MASK, OVERVIEWS, MASK_OVERVIEWS, PAM)
"""What is added to a file's name. The first three are TIFFs."""

_PER_DATASET = 2
"""Bit of INTERNAL_MASK_FLAGS_n: the mask file's first band is the mask of all bands."""


def world_endings(ending: str) -> tuple[str, ...]:
    """Endings of the world files of a file, the first that is there counts; `.tif` has .tfw, .tifw and .wld."""
    short = f".{ending[1]}{ending[-1]}w" if len(ending) > 2 else f"{ending}w"
    return tuple(dict.fromkeys((short, f"{ending}w", ".wld")))


def with_overviews(header: Header, beside: Header) -> Header:
    """Add the overviews of an .ovr file, and the masks in it, to a file that has none."""
    if len(header.levels) > 1:
        return header
    base = header.levels[0]
    there = [
        (_moved(level, OVERVIEWS), None if mask is None else _moved(mask, OVERVIEWS))
        for level, mask in zip(beside.levels, beside.masks, strict=True)
        if (level.samples, level.dtype) == (base.samples, base.dtype)
        and level.width <= base.width
        and level.height <= base.height
    ]
    return replace(
        header,
        levels=(base, *(level for level, _ in there)),
        masks=(*header.masks[:1], *(mask for _, mask in there)),
    )


def with_mask(header: Header, beside: Header, overviews: Header | None, address: str) -> Header:
    """Add the masks of an .msk file to a file that has none.

    Args:
        header: Of the file, with its overviews.
        beside: Of the mask file, whose items INTERNAL_MASK_FLAGS_n say whether its first band is the mask of all.
        overviews: Of the .msk.ovr file.
        address: Of the mask file, for messages.

    Raises:
        UnsupportedTiffError: The mask is of another size than the image, or of another kind of samples.
    """
    flags = [beside.items.get(f"INTERNAL_MASK_FLAGS_{n}") for n in range(1, header.count + 1)]
    if header.has_masks or flags[0] is None:
        return header  # GDAL, too, takes a mask file without these items for none
    base = header.levels[0]
    images = [_moved(level, MASK) for level in beside.levels]
    if overviews is not None and len(images) == 1:
        images += [_moved(level, MASK_OVERVIEWS) for level in overviews.levels]
    sizes = [(image.width, image.height) for image in images]
    if sizes[0] != (base.width, base.height):
        raise UnsupportedTiffError(
            f"{address}: the mask is of {sizes[0][0]} × {sizes[0][1]} pixels, and its image of {base.width} × "
            f"{base.height}; write it anew"
        )
    if images[0].bits not in (1, 8):
        raise UnsupportedTiffError(f"{address}: a mask of {images[0].bits} bit is not supported")
    at_size = dict(reversed(list(zip(sizes, images, strict=True))))
    of_levels = [at_size.get((level.width, level.height)) for level in header.levels]
    # A band with an item of its own has a mask of its own.
    own = [n for n, text in enumerate(flags) if text is not None and not _number(text) & _PER_DATASET]
    if not own and images[0].samples == 1:
        return replace(header, masks=tuple(of_levels))
    samples = [n if n in own and n < images[0].samples else 0 for n in range(header.count)]
    return replace(header, band_masks=tuple(_plane(of_levels, sample) for sample in samples))


def _plane(images: Sequence[Level | None], sample: int) -> Plane:
    planar = any(image is not None and image.planar == 2 and image.samples > 1 for image in images)
    levels = tuple(None if image is None else image.plane(sample) for image in images)
    return Plane(levels, 0 if planar else sample)


def _moved(level: Level, suffix: str) -> Level:
    return replace(level, sidecar=suffix)


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0


@dataclass(frozen=True, slots=True)
class _Band:
    """The facts of a band in .aux.xml; None where it says nothing."""

    nodata: str | None = None
    scale: float | None = None
    offset: float | None = None
    description: str | None = None


def with_pam(header: Header, data: bytes, address: str) -> tuple[Header, str | None]:
    """Put what GDAL's .aux.xml says in place of what the file says.

    An SRS that cannot be read leaves the file without a CRS, as in GDAL: the file's own is what it should replace.

    Args:
        header: Of the file.
        data: The .aux.xml.
        address: Of the .aux.xml, for messages.

    Returns:
        The header, and what of the .aux.xml cannot be read.

    Raises:
        CorruptTiffError: It is no XML.
    """
    if b"<!ENTITY" in data:
        raise CorruptTiffError(f"{address}: it defines entities, which GDAL never writes; it is not read")
    try:
        root = ET.fromstring(data)  # noqa: S314  entities, by which XML grows, are refused above
    except (ET.ParseError, ValueError, LookupError) as error:
        raise CorruptTiffError(f"{address}: this is no XML ({error}); mend or remove it") from error
    bands = _pam_bands(root)
    said = [bands.get(n, _Band()) for n in range(1, header.count + 1)]
    dtype = header.levels[0].dtype

    def put(values: Sequence[object], own: Sequence[object]) -> tuple[object, ...]:
        return tuple(mine if new is None else new for new, mine in zip(values, own, strict=True))

    items = {
        (item.get("key") or "").upper(): item.text or ""
        for group in root.findall("Metadata")
        if not group.get("domain")
        for item in group.findall("MDI")
    }
    changes: dict[str, object] = {
        "nodata": tuple(
            own if band.nodata is None else parse_nodata(band.nodata, dtype)
            for band, own in zip(said, header.nodata, strict=True)
        ),
        "scales": put([band.scale for band in said], header.scales),
        "offsets": put([band.offset for band in said], header.offsets),
        "descriptions": put([band.description for band in said], header.descriptions),
    }
    if "NODATA_VALUES" in items:
        texts = values_of_bands(items, header.count)
        changes["nodata_values"] = None if texts is None else parse_nodata_values(texts, dtype)
    place, unread = _pam_place(root)
    changes |= place
    note = None if unread is None else f"{address}: its SRS cannot be read, so the file has no CRS: {unread}"
    return replace(header, **changes), note  # type: ignore[arg-type]  # each of its field's type


def _pam_place(root: ET.Element) -> tuple[Mapping[str, object], str | None]:
    """CRS, transform and ground control points, and why its SRS cannot be read."""
    changes: dict[str, object] = {}
    unread = None
    srs = (root.findtext("SRS") or "").strip()
    if srs:
        try:
            changes["crs"] = normalize_crs(srs)
        except InvalidCrsError as error:
            changes["crs"], unread = None, str(error)
    numbers = [_real(part) for part in (root.findtext("GeoTransform") or "").split(",")]
    if len(numbers) == 6 and None not in numbers:
        c, a, b, f, d, e = (value or 0.0 for value in numbers)
        changes["transform"] = Affine(a, b, c, d, e, f)
    gcps, unread_crs = _pam_gcps(root)
    if gcps is not None:
        changes["gcps"] = gcps
        unread = unread or unread_crs
    if any(group.get("domain") == "RPC" for group in root.findall("Metadata")):
        changes["rpcs"] = True
    return changes, unread


def _pam_gcps(root: ET.Element) -> tuple[Gcps | None, str | None]:
    """Ground control points, and why their CRS cannot be read; None where there are none. A number it lacks is 0."""
    listed = root.find("GCPList")
    points = [] if listed is None else listed.findall("GCP")
    if listed is None or not points:
        return None, None
    numbers = [[_coordinate(point.get(name)) for name in ("Pixel", "Line", "X", "Y")] for point in points]
    srs = (listed.get("Projection") or "").strip()
    try:
        return Gcps.of(numbers, normalize_crs(srs) if srs else None), None
    except InvalidCrsError as error:
        return Gcps.of(numbers), str(error)


def _pam_bands(root: ET.Element) -> dict[int, _Band]:
    found: dict[int, _Band] = {}
    for band in root.findall("PAMRasterBand"):
        scale, offset = _real(band.findtext("Scale")), _real(band.findtext("Offset"))
        if scale is not None or offset is not None:
            # One of them stands for both, as GDAL has it.
            scale, offset = 1.0 if scale is None else scale, offset or 0.0
        nodata, description = band.findtext("NoDataValue"), band.findtext("Description")
        found[_number(band.get("band") or "")] = _Band(nodata, scale, offset, description or None)
    return found


def with_world_file(header: Header, text: str) -> Header:
    """Place a file that has no transform by its world file: six numbers, a line each, of the first pixel's centre."""
    if header.transform is not None:
        return header
    lines = [line for line in text.splitlines() if line.strip()][:6]
    numbers = [_real(line.replace(",", ".")) for line in lines]
    if len(numbers) < 6 or None in numbers:
        return header  # GDAL, too, takes it for none
    a, d, b, e, c, f = (value or 0.0 for value in numbers)
    if a * e == b * d:
        return header  # all pixels on one line
    return replace(header, transform=Affine(a, b, c - 0.5 * a - 0.5 * b, d, e, f - 0.5 * d - 0.5 * e))


def _coordinate(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return math.nan


def _real(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
