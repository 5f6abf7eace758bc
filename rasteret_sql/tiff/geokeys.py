"""Reads GeoKeys as a CRS: an EPSG code where the keys name one, else WKT2 of what they define."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

from rasteret_sql.tiff import tags
from rasteret_sql.tiff.ifd import Ifd
from rasteret_sql.tiff.projections import define_crs
from rasteret_sql.tiff.shared_values import SharedValues

MODEL_TYPE = 1024
RASTER_TYPE = 1025
PIXEL_IS_POINT = 2

KeyValue = int | str | tuple[float, ...]


@dataclass(frozen=True)
class GeoKeys:
    """The keys of a GeoKeyDirectory: whole numbers, texts, or reals."""

    values: Mapping[int, KeyValue]

    @property
    def pixel_is_point(self) -> bool:
        """True where the transform's tags speak of pixel centres."""
        return self.values.get(RASTER_TYPE) == PIXEL_IS_POINT

    @cached_property
    def crs(self) -> str | None:
        """`EPSG:n`, else WKT2, None where the keys do not define a CRS."""
        return _crs(tuple(sorted(self.values.items(), key=lambda item: item[0])))


_known: SharedValues[tuple[object, ...], GeoKeys] = SharedValues()
_PARTS = (tags.GEO_KEY_DIRECTORY, tags.GEO_DOUBLE_PARAMS, tags.GEO_ASCII_PARAMS)
_NO_KEYS = GeoKeys(MappingProxyType({}))


def read_geokeys(ifd: Ifd) -> GeoKeys:
    """Read the keys of a file; entries that point outside their tag count as absent, as in GDAL."""
    if tags.GEO_KEY_DIRECTORY not in ifd:
        return _NO_KEYS
    key = ifd.file.order, *map(ifd.raw, _PARTS), *(ifd.fields[tag].type for tag in _PARTS if tag in ifd)
    return _known.get(key) or _known.add(key, _keys(ifd))


def _keys(ifd: Ifd) -> GeoKeys:
    words = ifd.integers(tags.GEO_KEY_DIRECTORY)
    doubles = ifd.doubles(tags.GEO_DOUBLE_PARAMS)
    text = ifd.raw(tags.GEO_ASCII_PARAMS) or b""
    values: dict[int, KeyValue] = {}
    end = min(len(words) // 4, 1 + words[3]) * 4 if len(words) >= 4 else 0
    for key, place, count, value in zip(*(words[at:end:4] for at in (4, 5, 6, 7)), strict=True):
        if place == 0:
            values[key] = value
        elif place == tags.GEO_DOUBLE_PARAMS and value + count <= len(doubles) and count:
            values[key] = doubles[value : value + count]
        elif place == tags.GEO_ASCII_PARAMS and value < len(text):
            values[key] = text[value : value + count].decode("utf-8", "replace").rstrip("\0|").strip()
    return GeoKeys(MappingProxyType(values))


@lru_cache(maxsize=1024)
def _crs(items: tuple[tuple[int, KeyValue], ...]) -> str | None:
    # The files of a collection share their keys, and a look-up in PROJ's database costs more than parsing a header.
    return define_crs(dict(items))
