"""Writes a CRS as GeoKeys: by its EPSG code where it has one, else by its parameters, else as WKT in a citation.

What the keys say is read back before it is trusted: a CRS that would come back as another one is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyproj
from pyproj.crs import PrimeMeridian  # type: ignore[attr-defined]
from pyproj.enums import WktVersion
from pyproj.exceptions import CRSError, ProjError

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import normalize_crs
from rasteret_sql.tiff.projection_methods import BY_NAME
from rasteret_sql.tiff.projections import USER_DEFINED, define_crs

_DIRECTORY, _DOUBLES, _ASCII = 34735, 34736, 34737
_MODEL, _RASTER, _CITATION = 1024, 1025, 1026
_GEOGRAPHIC, _GEOGRAPHIC_CITATION, _DATUM, _ELLIPSOID = 2048, 2049, 2050, 2056
_ANGULAR_UNIT, _MAJOR, _FLATTENING, _MERIDIAN = 2054, 2057, 2059, 2061
_PROJECTED, _PROJECTED_CITATION, _PROJECTION, _METHOD = 3072, 3073, 3074, 3075
_LINEAR_UNIT, _LINEAR_SIZE = 3076, 3077
_DEGREE, _PIXEL_IS_AREA = 9102, 1
_UNITS = MappingProxyType({1.0: 9001, 0.3048: 9002, 1200 / 3937: 9003})

_PE_STRING = "ESRI PE String = "
"""What GDAL has before WKT in a citation."""

_NAMELESS = ("unknown", "undefined", "unnamed", "not specified", "not_specified")

_Value = int | str | float


@dataclass(slots=True)
class _Keys:
    """GeoKeys as they are gathered."""

    values: dict[int, _Value] = field(default_factory=dict)

    def tags(self) -> dict[int, tuple[int, ...] | tuple[float, ...] | bytes]:
        directory: list[int] = [1, 1, 0, len(self.values)]
        doubles: list[float] = []
        text = ""
        for key, value in sorted(self.values.items()):
            if isinstance(value, int):
                directory += (key, 0, 1, value)
            elif isinstance(value, float):
                directory += (key, _DOUBLES, 1, len(doubles))
                doubles.append(value)
            else:
                directory += (key, _ASCII, len(value) + 1, len(text))
                text += value + "|"
        out: dict[int, tuple[int, ...] | tuple[float, ...] | bytes] = {_DIRECTORY: tuple(directory)}
        if doubles:
            out[_DOUBLES] = tuple(doubles)
        if text:
            out[_ASCII] = text.encode("ascii") + b"\0"
        return out

    def crs(self) -> str | None:
        """The CRS that a reader makes of the keys."""
        return define_crs({key: (v,) if isinstance(v, float) else v for key, v in self.values.items()})


def geokey_tags(crs: str) -> dict[int, tuple[int, ...] | tuple[float, ...] | bytes]:
    """TIFF tags that say a CRS: GeoKeyDirectory, and where needed GeoDoubleParams and GeoAsciiParams.

    Args:
        crs: `EPSG:n` or WKT; of a compound CRS the horizontal part is written.

    Raises:
        InvalidCrsError: the CRS is unknown, or GeoTIFF has no way to say it.
    """
    known = pyproj.CRS.from_user_input(normalize_crs(crs))
    if known.is_compound:
        known = known.sub_crs_list[0]
    if known.is_bound and known.source_crs is not None:
        known = known.source_crs
    keys = _Keys({_MODEL: 1 if known.is_projected else 2, _RASTER: _PIXEL_IS_AREA})
    code = _epsg(known)
    if not (known.is_projected or known.is_geographic):
        raise _unsayable(known, "it is neither projected nor geographic")
    if code is not None:
        keys.values[_PROJECTED if known.is_projected else _GEOGRAPHIC] = code
        keys.values[_CITATION] = _ascii(known.name)
        return keys.tags()
    by_parameters = _by_parameters(known)
    for said in (by_parameters, *_citations(known)):
        read = said.crs() if said is not None else None
        if said is not None and read is not None and _equal(pyproj.CRS.from_user_input(read), known):
            return said.tags()
    raise _unsayable(known, "neither GeoKeys nor WKT say it")


def _by_parameters(crs: pyproj.CRS) -> _Keys | None:
    """None where a part of the CRS has no place in GeoKeys."""
    keys = _Keys({_MODEL: 1 if crs.is_projected else 2, _RASTER: _PIXEL_IS_AREA})
    if _is_rotated(crs):
        return None
    done = _add_projected(keys, crs) if crs.is_projected else _add_geographic(keys, crs)
    return keys if done else None


def _is_rotated(crs: pyproj.CRS) -> bool:
    """True for longitudes and latitudes about another pole, of which the keys only have the globe."""
    return bool(crs.is_geographic and crs.is_derived)


def _citations(crs: pyproj.CRS) -> Iterator[_Keys]:
    """The CRS as WKT, in the form in which GDAL writes and reads what GeoKeys cannot say; Esri's dialect if it can.

    Only WKT 2 says a rotated pole. GDAL does not write it there, but in a file beside; it reads it there.
    """
    for version in (WktVersion.WKT1_ESRI, WktVersion.WKT1_GDAL, WktVersion.WKT2_2019):
        try:
            wkt = crs.to_wkt(version)
        except CRSError:
            continue
        if wkt:
            yield _Keys({_MODEL: USER_DEFINED, _RASTER: _PIXEL_IS_AREA, _PROJECTED_CITATION: _PE_STRING + _ascii(wkt)})


def _epsg(crs: pyproj.CRS) -> int | None:
    """EPSG code where the keys can hold it: 16 bits, of a CRS that is exactly this one."""
    code = crs.to_epsg(min_confidence=100)
    return code if code is not None and 1024 <= code < USER_DEFINED else None


def _add_projected(keys: _Keys, crs: pyproj.CRS) -> bool:
    base = crs.geodetic_crs
    if base is None or not _add_geographic(keys, base):
        return False
    about = crs.to_json_dict()
    conversion = about["conversion"]
    method = conversion["method"]
    found = BY_NAME.get(_id(method)) or BY_NAME.get(method["name"].lower())
    if found is None:
        return False
    places = {parameter.code: parameter.key for parameter in found.parameters}
    size = _unit_size(about["coordinate_system"]["axis"][0].get("unit", "metre"))
    keys.values |= {_PROJECTED: USER_DEFINED, _PROJECTED_CITATION: _ascii(crs.name), _CITATION: _ascii(crs.name)}
    keys.values |= {_PROJECTION: USER_DEFINED, _METHOD: found.transform, _LINEAR_UNIT: _UNITS.get(size, USER_DEFINED)}
    if size not in _UNITS:
        keys.values[_LINEAR_SIZE] = size
    for parameter in conversion.get("parameters", []):
        key = places.get(_id(parameter))
        if key is None:
            if parameter["value"] != 0:
                return False
            continue
        unit = parameter.get("unit", "unity")
        value = float(parameter["value"])
        keys.values[key] = value if unit in ("degree", "unity") else _converted(value, unit, size)
    return True


def _add_geographic(keys: _Keys, crs: pyproj.CRS) -> bool:
    code = _epsg(crs)
    keys.values[_ANGULAR_UNIT] = _DEGREE
    if code is not None:
        keys.values[_GEOGRAPHIC] = code
        return True
    ellipsoid, meridian = crs.ellipsoid, crs.prime_meridian
    if ellipsoid is None:
        return False
    about = crs.to_json_dict()
    datum = _id(about.get("datum") or about.get("datum_ensemble") or {})
    keys.values |= {_GEOGRAPHIC: USER_DEFINED, _GEOGRAPHIC_CITATION: _ascii(crs.name)}
    keys.values[_DATUM] = datum if 1024 <= datum < USER_DEFINED else USER_DEFINED
    keys.values |= {_ELLIPSOID: USER_DEFINED, _MAJOR: float(ellipsoid.semi_major_metre)}
    keys.values[_FLATTENING] = float(ellipsoid.inverse_flattening)
    if meridian is not None and meridian.longitude:
        keys.values[_MERIDIAN] = _degrees(meridian)
    return True


def _equal(read: pyproj.CRS, known: pyproj.CRS) -> bool:
    """True where both place all points alike; a datum without a name may get another such name."""
    if read.equals(known, ignore_axis_order=True):
        return True
    if known.datum is None or not known.datum.name.lower().startswith(_NAMELESS):
        return False
    if _figure(read) != _figure(known) or _is_rotated(read) != _is_rotated(known):
        return False
    longitudes, latitudes = (v.ravel() for v in np.meshgrid(np.linspace(-150, 150, 9), np.linspace(-80, 80, 9)))
    try:
        ours, theirs = (
            np.array(pyproj.Transformer.from_crs(_base(c), c, always_xy=True).transform(longitudes, latitudes))
            for c in (read, known)
        )
    except ProjError:  # a dialect spelt the method in a way that says nothing to PROJ
        return False
    return bool(np.allclose(np.nan_to_num(ours), np.nan_to_num(theirs), rtol=1e-12, atol=1e-9))


def _base(crs: pyproj.CRS) -> pyproj.CRS | None:
    """The longitudes and latitudes of which a CRS is made."""
    return crs.source_crs if _is_rotated(crs) else crs.geodetic_crs


def _figure(crs: pyproj.CRS) -> tuple[float, ...] | None:
    """Size and shape of the ellipsoid, and the prime meridian to 1e-12 degrees."""
    if crs.ellipsoid is None or crs.prime_meridian is None:
        return None
    meridian = round(_degrees(crs.prime_meridian), 12)
    return crs.ellipsoid.semi_major_metre, crs.ellipsoid.inverse_flattening, meridian


def _degrees(meridian: PrimeMeridian) -> float:
    return math.degrees(meridian.longitude * float(meridian.unit_conversion_factor))


def _id(about: dict[str, Any]) -> int:
    """EPSG code in a PROJJSON object, 0 where it has none."""
    authority = about.get("id", {})
    return int(authority["code"]) if authority.get("authority") == "EPSG" else 0


def _unit_size(unit: str | dict[str, Any]) -> float:
    """Metres in a PROJJSON unit of length."""
    return float(unit["conversion_factor"]) if isinstance(unit, dict) else 1.0


def _converted(value: float, unit: str | dict[str, Any], size: float) -> float:
    """A parameter in degrees, or in the units of the axes."""
    if isinstance(unit, dict) and unit.get("type") == "AngularUnit":
        return math.degrees(value * float(unit["conversion_factor"]))
    return value * _unit_size(unit) / size


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("|", "/") or "unknown"


def _unsayable(crs: pyproj.CRS, why: str) -> InvalidCrsError:
    return InvalidCrsError(
        f'the CRS "{crs.name}" cannot be written to a GeoTIFF: {why}; reproject to a CRS with an EPSG code, '
        "or write without a CRS"
    )
