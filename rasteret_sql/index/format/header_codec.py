"""Packs a `BandHeader` into the three values of `{band}_header`, and unpacks them (docs/format.md).

What is the same from scene to scene (sizes, types, codecs) is one text, `layout`, of which a column has few different
ones. What differs is the tile tables, of which there are two streams: see `tile_tables`.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.geo.gcps import Gcps
from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.format.tile_tables import Words, pack_tables, unpack_tables
from rasteret_sql.tiff.header import BandHeader, Header, ItemBand, Level, Plane, Sidecar, Validity
from rasteret_sql.tiff.nodata import Nodata, parse_nodata
from rasteret_sql.tiff.validity import alpha_sample

PACKED_VERSION = 3
_READ_VERSIONS = (2, 3)
"""Version 2 knew of a mask or alpha, not of NODATA_VALUES."""

_LEVEL_FIELDS = (
    "width",
    "height",
    "tile_width",
    "tile_height",
    "tiled",
    "bits",
    "samples",
    "planar",
    "compression",
    "predictor",
    "photometric",
    "byte_order",
    "fill_order",
    "sidecar",
)
_RARE: dict[str, Any] = {"stored_samples": 0, "colours": [], "t4_options": 0, "file_head": None}
"""Fields of an image that are left out of the first one where they say this."""

_MOST_POINT_BYTES = 16 << 20
"""Of the ground control points of a header: no tag of a file has more."""

_json = json.JSONEncoder(separators=(",", ":")).encode
_values_of = attrgetter(
    *_LEVEL_FIELDS,
    *("dtype", "subsampling", "extra_samples", "jpeg_tables", "stored_samples", "colours", "t4_options", "file_head"),
)
"""All that an image's layout is made of, but for the number of its tiles."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A header as an index keeps it."""

    layout: str
    """JSON."""
    head: bytes
    tables: bytes


def pack_header(header: BandHeader) -> Packed:
    """Pack the header of a band; `unpack_header` gives back an equal one."""
    images = _Images(header.levels)
    validity = header.validity
    said = {
        "sample": header.sample,
        "validity": {
            "mask": images.plane(validity.mask),
            "nodata_values": [[images.plane(at), _nodata_text(value)] for at, value in validity.nodata_values],
            "alpha": images.plane(validity.alpha),
            "alpha_counts": validity.alpha_counts,
        },
        "transform": _affine_numbers(header.transform),
        "crs": header.crs,
        "nodata": _nodata_text(header.nodata),
        "scale": header.scale,
        "offset": header.offset,
        "description": header.description,
    }
    if header.nodata_of_item:
        said["nodata_of_item"] = True
    if header.sidecars:
        said["sidecars"] = _sidecars_said(header.sidecars)
    if header.item is not None:
        said["item"] = {name: value for name, value in asdict(header.item).items() if value is not None}
    said |= _points_said(header)
    return _pack(images, said)


def unpack_header(packed: Packed) -> BandHeader:
    """Give the header of a band.

    Raises:
        IndexFormatError: The values are of a later version, or are damaged.
    """
    said, images = _unpack(packed)
    try:
        levels = tuple(images[: said["levels"]])
        return BandHeader(
            levels=levels,
            sample=said["sample"],
            validity=_validity(said, images),
            transform=_affine(said["transform"]),
            crs=said["crs"],
            nodata=_nodata(said["nodata"]),
            scale=said["scale"],
            offset=said["offset"],
            description=said["description"],
            nodata_of_item=said.get("nodata_of_item", False),
            sidecars=_sidecars(said),
            item=ItemBand(**said["item"]) if "item" in said else None,
            gcps=_gcps(said),
            rpcs=said.get("rpcs", False),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, zlib.error) as error:
        raise _damaged(error) from error


def sidecars_in(layout: str | None) -> tuple[Sidecar, ...]:
    """The files beside a band's own, as its packed header has them, without unpacking more."""
    if layout is None or '"sidecars":' not in layout:
        return ()
    try:
        return _sidecars(json.loads(layout))
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(error) from error


def is_as_item_says(layout: str, item: ItemBand | None, nodata: str | None) -> bool:
    """True where a packed header has what an item says of its band, without unpacking more.

    Args:
        layout: Of the header.
        item: Words of the item.
        nodata: Text of the nodata that it says, which counts where the file does not tell which pixels are valid.
    """
    try:
        said = json.loads(layout)
        if (ItemBand(**said["item"]) if "item" in said else None) != item:
            return False
        of_item = said.get("nodata_of_item", False)
        validity = said.get("validity") or {"mask": said.get("internal_mask"), "nodata_values": said.get("masks")}
        of_file = said["nodata"] is not None or validity["mask"] or validity["nodata_values"]
        if not of_item and (of_file or validity.get("alpha_counts")):
            return True
        value = parse_nodata(nodata, np.dtype(said["images"][0]["dtype"]))
        return bool(_nodata_text(value) == said["nodata"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _damaged(error) from error


def pack_file(header: Header) -> Packed:
    """Pack the header of a whole file, with all its bands; `unpack_file` gives back an equal one."""
    images = _Images(header.levels)
    said = {
        "masks": images.numbers(header.masks),
        "transform": _affine_numbers(header.transform),
        "crs": header.crs,
        "nodata": [_nodata_text(value) for value in header.nodata],
        "scales": list(header.scales),
        "offsets": list(header.offsets),
        "descriptions": list(header.descriptions),
        "alpha": header.alpha,
        "alpha_counts": header.alpha_counts,
        "band_masks": [images.plane(plane) for plane in header.band_masks],
        "sidecars": _sidecars_said(header.sidecars),
        "nodata_values": header.nodata_values and [_nodata_text(value) for value in header.nodata_values],
    } | _points_said(header)
    return _pack(images, said)


def unpack_file(packed: Packed) -> Header:
    """Give the header of a file.

    Raises:
        IndexFormatError: The values are of a later version, or are damaged.
    """
    said, images = _unpack(packed)
    try:
        values = said["nodata_values"]
        return Header(
            levels=tuple(images[: said["levels"]]),
            masks=_some(said["masks"], images),
            transform=_affine(said["transform"]),
            crs=said["crs"],
            nodata=tuple(_nodata(text) for text in said["nodata"]),
            scales=tuple(said["scales"]),
            offsets=tuple(said["offsets"]),
            descriptions=tuple(said["descriptions"]),
            alpha=said["alpha"],
            alpha_counts=said["alpha_counts"],
            nodata_values=None if values is None else tuple(_nodata(text) for text in values),
            band_masks=tuple(_known(plane, images) for plane in said["band_masks"]),
            sidecars=_sidecars(said),
            gcps=_gcps(said),
            rpcs=said.get("rpcs", False),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, zlib.error) as error:
        raise _damaged(error) from error


def _validity(said: dict[str, Any], images: Sequence[Level]) -> Validity:
    if said["version"] == 2:
        return _validity_v2(images[: said["levels"]], _some(said["masks"], images), said)
    values = said["validity"]
    alpha = values["alpha"]
    return Validity(
        mask=_plane(values["mask"], images),
        nodata_values=tuple((_known(plane, images), _nodata(text)) for plane, text in values["nodata_values"]),
        alpha=_plane(alpha, images),
        alpha_counts=values["alpha_counts"],
    )


def _validity_v2(levels: Sequence[Level], masks: tuple[Level | None, ...], said: Mapping[str, Any]) -> Validity:
    """Validity as version 2 said it: the images that hold it, and whether they are masks or alpha."""
    stored = Plane(masks, said["mask_sample"]) if any(mask is not None for mask in masks) else None
    if said["internal_mask"]:
        return Validity(mask=stored)
    if stored is not None:
        return Validity(alpha=stored, alpha_counts=True)
    # Alpha that did not count was not noted; a chunky file's tiles hold it all the same.
    at = alpha_sample(levels[0]) if levels[0].planar == 1 else None
    return Validity(alpha=None if at is None or at == said["sample"] else Plane(tuple(levels), at))


class _Images:
    """The images of a header, each once: levels first, then what else validity needs."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = len(levels)
        self.stored = list(levels)
        # A level that stands there twice is the first of both.
        self._places = {id(level): at for at, level in reversed(list(enumerate(levels)))}

    def numbers(self, images: Sequence[Level | None]) -> list[int | None]:
        """The places of images; those that are the image's own tiles are no second table."""
        for image in images:
            if image is not None and id(image) not in self._places:
                self._places[id(image)] = len(self.stored)
                self.stored.append(image)
        return [None if image is None else self._places[id(image)] for image in images]

    def plane(self, plane: Plane | None) -> dict[str, Any] | None:
        return None if plane is None else {"images": self.numbers(plane.levels), "sample": plane.sample}


def _plane(said: Mapping[str, Any] | None, images: Sequence[Level]) -> Plane | None:
    return None if said is None else _known(said, images)


def _known(said: Mapping[str, Any], images: Sequence[Level]) -> Plane:
    return Plane(_some(said["images"], images), said["sample"])


def _some(numbers: Iterable[int | None], images: Sequence[Level]) -> tuple[Level | None, ...]:
    return tuple(None if at is None else images[at] for at in numbers)


def _pack(stored: _Images, said: dict[str, Any]) -> Packed:
    images = _images_json(tuple((len(level.offsets), *_values_of(level)) for level in stored.stored))
    layout = f'{{"version":{PACKED_VERSION},"images":{images},"levels":{stored.levels},{_json(said)[1:]}'
    tables = pack_tables(
        _joined([level.offsets for level in stored.stored]), _joined([level.byte_counts for level in stored.stored])
    )
    return Packed(layout, tables.head, tables.tables)


def _unpack(packed: Packed) -> tuple[dict[str, Any], list[Level]]:
    try:
        said, templates, ends = _layout(packed.layout)
        offsets, counts = unpack_tables(packed.head, packed.tables, ends[-1])
        return said, [
            Level(**fields, offsets=offsets[start:end], byte_counts=counts[start:end])
            for fields, start, end in zip(templates, (0, *ends[:-1]), ends, strict=True)
        ]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, IndexFormatError):
            raise
        raise _damaged(error) from error


@lru_cache(maxsize=1024)
def _layout(text: str) -> tuple[dict[str, Any], tuple[dict[str, Any], ...], tuple[int, ...]]:
    """The JSON of a layout, the fields of each image, and where the entries of each end."""
    said = json.loads(text)
    version = said["version"]
    if version not in _READ_VERSIONS:
        msg = f"a header is packed in version {version}, and this program reads {PACKED_VERSION}: update rasteret-sql"
        raise IndexFormatError(msg)
    fields: dict[str, Any] = _RARE
    templates, ends, end = [], [], 0
    for image in said["images"]:
        fields = fields | image
        end += fields["entries"]
        ends.append(end)
        templates.append(
            {name: fields[name] for name in _LEVEL_FIELDS if name in fields}
            | {
                "dtype": np.dtype(fields["dtype"]),
                "subsampling": (fields["subsampling"][0], fields["subsampling"][1]),
                "extra_samples": tuple(fields["extra_samples"]),
                "jpeg_tables": _bytes(fields["jpeg"]),
                "stored_samples": fields["stored_samples"],
                "colours": tuple(fields["colours"]),
                "t4_options": fields["t4_options"],
                "file_head": _bytes(fields["file_head"]),
            }
        )
    return said, tuple(templates), tuple(ends)


@lru_cache(maxsize=1024)  # the files of a collection are alike
def _images_json(images: tuple[tuple[Any, ...], ...]) -> str:
    """The images of a layout, each as (number of entries, `_values_of`): what differs from the one before."""
    said = []
    previous: dict[str, Any] = _RARE
    for entries, *values in images:
        fields = _level_fields(entries, values)
        said.append({name: value for name, value in fields.items() if previous.get(name, previous) != value})
        previous = fields
    return _json(said)


def _level_fields(entries: int, values: Sequence[Any]) -> dict[str, Any]:
    dtype, subsampling, extra_samples, jpeg, stored_samples, colours, t4_options, file_head = values[
        len(_LEVEL_FIELDS) :
    ]
    return dict(zip(_LEVEL_FIELDS, values, strict=False)) | {
        "dtype": dtype.name,
        "subsampling": list(subsampling),
        "extra_samples": list(extra_samples),
        "entries": entries,
        "jpeg": _text(jpeg),
        "stored_samples": stored_samples,
        "colours": list(colours),
        "t4_options": t4_options,
        "file_head": _text(file_head),
    }


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _joined(arrays: Sequence[Words]) -> Words:
    return np.concatenate(arrays).astype(np.uint64, copy=False)


def _sidecars_said(sidecars: Sequence[Sidecar]) -> list[list[Any]]:
    return [[one.suffix, one.size, one.etag, one.modified and one.modified.isoformat()] for one in sidecars]


def _sidecars(said: Mapping[str, Any]) -> tuple[Sidecar, ...]:
    return tuple(
        Sidecar(suffix, size, etag, modified and datetime.fromisoformat(modified))
        for suffix, size, etag, modified in said.get("sidecars", ())
    )


def _points_said(header: BandHeader | Header) -> dict[str, Any]:
    """Ground control points and RPCs, where a header has them."""
    said: dict[str, Any] = {}
    if header.gcps is not None:
        # Numbers of a kind together, and of these the bytes of a place: points are mostly a grid.
        planes = header.gcps.points.astype("<f8").T.copy().view(np.uint8).reshape(4, -1, 8).transpose(0, 2, 1)
        said["gcps"] = _text(zlib.compress(planes.tobytes()))
        if header.gcps.crs is not None:
            said["gcps_crs"] = header.gcps.crs
    return said | ({"rpcs": True} if header.rpcs else {})


def _gcps(said: Mapping[str, Any]) -> Gcps | None:
    data = _bytes(said.get("gcps"))
    if data is None:
        return None
    planes = np.frombuffer(zlib.decompressobj().decompress(data, _MOST_POINT_BYTES), np.uint8).reshape(4, 8, -1)
    return Gcps.of(planes.transpose(0, 2, 1).copy().view("<f8").reshape(4, -1).T, said.get("gcps_crs"))


def _affine_numbers(transform: Affine | None) -> list[float] | None:
    return None if transform is None else list(transform)


def _affine(numbers: list[float] | None) -> Affine | None:
    return None if numbers is None else Affine(*numbers)


def _nodata_text(nodata: Nodata) -> str | None:
    return None if nodata is None else repr(nodata)


def _nodata(text: str | None) -> Nodata:
    """An int stays an int, and a float a float."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def _damaged(error: Exception) -> IndexFormatError:
    msg = f"a packed header is damaged ({type(error).__name__}: {error}); build the collection again with force"
    return IndexFormatError(msg)
