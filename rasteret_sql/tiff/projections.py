"""The definition of a CRS from the values of GeoKeys, by way of PROJJSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pyproj import CRS
from pyproj.crs import (  # type: ignore[attr-defined]
    CoordinateOperation,
    Datum,
    Ellipsoid,
    GeographicCRS,
    PrimeMeridian,
)
from pyproj.crs.datum import CustomDatum, CustomEllipsoid, CustomPrimeMeridian
from pyproj.exceptions import CRSError

Keys = Mapping[int, int | str | tuple[float, ...]]

USER_DEFINED = 32767
MODEL_PROJECTED, MODEL_GEOGRAPHIC, MODEL_GEOCENTRIC = 1, 2, 3

_LINEAR_UNITS = MappingProxyType(
    {9001: ("metre", 1.0), 9002: ("foot", 0.3048), 9003: ("US survey foot", 1200 / 3937), 9036: ("kilometre", 1000.0)}
)
_ANGULAR_UNITS = MappingProxyType({9101: 1.0, 9102: math.pi / 180, 9105: math.pi / 200, 9106: math.pi / 200})
"""Radians in a unit."""

_WKT_IN_CITATION = re.compile(r"((?:PROJCS|GEOGCS|PROJCRS|GEOGCRS|COMPD_CS|BOUNDCRS)\s*\[.*)", re.DOTALL)

_GCS_NAME = re.compile(r"GCS Name\s*=\s*([^|]+)")

# Parameters: (EPSG code, name, kind, keys that may hold it in order of preference).
_LAT = (8801, "Latitude of natural origin", "angle", (3081, 3089, 3085))
_LON = (8802, "Longitude of natural origin", "angle", (3080, 3088, 3084, 3095))
_SCALE = (8805, "Scale factor at natural origin", "scale", (3092, 3093))
_EAST = (8806, "False easting", "length", (3082, 3086, 3090))
_NORTH = (8807, "False northing", "length", (3083, 3087, 3091))
_SP1 = (8823, "Latitude of 1st standard parallel", "angle", (3078,))
_SP2 = (8824, "Latitude of 2nd standard parallel", "angle", (3079,))
_CONIC = (
    (8821, "Latitude of false origin", "angle", (3085, 3081, 3089)),
    (8822, "Longitude of false origin", "angle", (3084, 3080, 3088)),
    _SP1,
    _SP2,
    (8826, "Easting at false origin", "length", (3086, 3082, 3090)),
    (8827, "Northing at false origin", "length", (3087, 3083, 3091)),
)
_ORIGIN = (_LAT, _LON, _EAST, _NORTH)
_SCALED = (_LAT, _LON, _SCALE, _EAST, _NORTH)
_MERIDIAN = (_LON, _EAST, _NORTH)
_OBLIQUE = (
    (8811, "Latitude of projection centre", "angle", (3089, 3081)),
    (8812, "Longitude of projection centre", "angle", (3088, 3080)),
    (8813, "Azimuth at projection centre", "angle", (3094,)),
    (8814, "Angle from Rectified to Skew Grid", "angle", (3096, 3094)),
    (8815, "Scale factor at projection centre", "scale", (3093, 3092)),
)
_Parameter = tuple[int, str, str, tuple[int, ...]]
_METHODS: Mapping[int, tuple[str, int | None, tuple[_Parameter, ...]]] = MappingProxyType(
    {
        1: ("Transverse Mercator", 9807, _SCALED),
        3: ("Hotine Oblique Mercator (variant A)", 9812, (*_OBLIQUE, _EAST, _NORTH)),
        7: ("Mercator (variant A)", 9804, _SCALED),
        8: ("Lambert Conic Conformal (2SP)", 9802, _CONIC),
        9: ("Lambert Conic Conformal (1SP)", 9801, _SCALED),
        10: ("Lambert Azimuthal Equal Area", 9820, _ORIGIN),
        11: ("Albers Equal Area", 9822, _CONIC),
        12: ("Azimuthal Equidistant", 1125, _ORIGIN),
        13: ("Equidistant Conic", 1119, _CONIC),
        14: ("Stereographic", None, _SCALED),
        15: ("Polar Stereographic (variant A)", 9810, _SCALED),
        16: ("Oblique Stereographic", 9809, _SCALED),
        17: ("Equidistant Cylindrical", 1028, (_SP1, *_ORIGIN)),
        18: ("Cassini-Soldner", 9806, _ORIGIN),
        19: ("Gnomonic", None, _ORIGIN),
        20: ("Miller Cylindrical", None, _MERIDIAN),
        21: ("Orthographic", 9840, _ORIGIN),
        22: ("American Polyconic", 9818, _ORIGIN),
        23: ("Robinson", None, _MERIDIAN),
        24: ("Sinusoidal", None, _MERIDIAN),
        25: ("Van Der Grinten", None, _MERIDIAN),
        26: ("New Zealand Map Grid", 9811, _ORIGIN),
        27: ("Transverse Mercator (South Orientated)", 9808, _SCALED),
        28: ("Lambert Cylindrical Equal Area", 9835, (_SP1, *_MERIDIAN)),
        9815: (
            "Hotine Oblique Mercator (variant B)",
            9815,
            (
                *_OBLIQUE,
                (8816, "Easting at projection centre", "length", (3090, 3082, 3086)),
                (8817, "Northing at projection centre", "length", (3091, 3083, 3087)),
            ),
        ),
    }
)
"""ProjCoordTrans → (method, its EPSG code, its parameters)."""
_MERCATOR_B = ("Mercator (variant B)", 9805, (_SP1, *_MERIDIAN))
_POLAR_B: tuple[str, int, tuple[_Parameter, ...]] = (
    "Polar Stereographic (variant B)",
    9829,
    (
        (8832, "Latitude of standard parallel", "angle", (3081, 3078, 3089)),
        (8833, "Longitude of origin", "angle", (3095, 3080)),
        _EAST,
        _NORTH,
    ),
)


def define_crs(keys: Keys) -> str | None:
    """CRS that the keys name or define: `EPSG:n`, else WKT2, None where they do not define one."""
    model = _code(keys, 1024)
    projected, geographic = _code(keys, 3072), _code(keys, 2048)
    coded = projected if model == MODEL_PROJECTED or (model is None and projected) else geographic
    if coded is not None and coded != USER_DEFINED and (known := _from_code(coded)):
        return known
    for key in (1026, 3073, 2049):
        match = _WKT_IN_CITATION.search(str(keys.get(key, "")))
        if match and (crs := _try(lambda text=match[1]: CRS.from_user_input(text.rstrip("|\0 ")))):
            return _name(crs)
    if model == MODEL_PROJECTED:
        crs = _try(lambda: _projected(keys))
    elif model == MODEL_GEOGRAPHIC:
        crs = _try(lambda: _geographic(keys))
    else:
        return None
    return _name(crs) if crs else None


def _try(make: Any) -> CRS | None:
    """A CRS, or None where PROJ or our tables do not know what the keys ask for: the file then does not say."""
    try:
        crs = make()
    except (CRSError, LookupError, ValueError):
        return None
    return crs if isinstance(crs, CRS) else None


def _from_code(code: int) -> str | None:
    """EPSG's CRS of that code; Esri's writers put their own codes into the same key."""
    for authority in ("EPSG", "ESRI"):
        crs = _try(lambda at=authority: CRS.from_user_input(f"{at}:{code}"))
        if crs is not None:
            return f"EPSG:{code}" if authority == "EPSG" else _name(crs)
    return None


def _name(crs: CRS) -> str:
    """`EPSG:n` where EPSG has exactly this CRS (names and the order of axes apart), else WKT2."""
    code = crs.to_epsg(min_confidence=70)
    if code is not None and CRS.from_epsg(code).equals(crs, ignore_axis_order=True):
        return f"EPSG:{code}"
    return str(crs.to_wkt("WKT2_2019"))


def _geographic(keys: Keys) -> CRS:
    code = _code(keys, 2048)
    if code is not None and code != USER_DEFINED:
        return CRS.from_epsg(code)
    citation = str(keys.get(2049) or keys.get(1026) or "unknown")
    named = _GCS_NAME.search(citation)
    name = named[1].strip() if named else citation
    datum_code = _code(keys, 2050)
    if datum_code is not None and datum_code != USER_DEFINED:
        return GeographicCRS(name=name, datum=Datum.from_epsg(datum_code))
    ellipsoid_code = _code(keys, 2056)
    if ellipsoid_code is not None and ellipsoid_code != USER_DEFINED:
        ellipsoid = Ellipsoid.from_epsg(ellipsoid_code)
    else:
        major = _real(keys, 2057)
        if major is None:
            raise LookupError("the keys define no ellipsoid")
        minor, inverse = _real(keys, 2058), _real(keys, 2059)
        if inverse is None and minor is None:
            minor = major
        if inverse is not None:
            ellipsoid = CustomEllipsoid(semi_major_axis=major, inverse_flattening=inverse)
        else:
            ellipsoid = CustomEllipsoid(semi_major_axis=major, semi_minor_axis=minor)
    meridian_code, meridian = _code(keys, 2051), _real(keys, 2061)
    if meridian_code is not None and meridian_code != USER_DEFINED:
        prime: Any = PrimeMeridian.from_epsg(meridian_code)
    else:
        prime = CustomPrimeMeridian(longitude=meridian) if meridian else "Greenwich"
    return GeographicCRS(name=name, datum=CustomDatum(ellipsoid=ellipsoid, prime_meridian=prime))


def _projected(keys: Keys) -> CRS:
    unit = _linear_unit(keys)
    conversion = _conversion(keys, unit)
    axes = _polar_axes(conversion) or [
        {"name": "Easting", "abbreviation": "E", "direction": "east"},
        {"name": "Northing", "abbreviation": "N", "direction": "north"},
    ]
    return CRS.from_json_dict(
        {
            "type": "ProjectedCRS",
            "name": str(keys.get(3073) or keys.get(1026) or "unknown"),
            "base_crs": _geographic(keys).to_json_dict(),
            "conversion": conversion,
            "coordinate_system": {"subtype": "Cartesian", "axis": [{**axis, "unit": unit} for axis in axes]},
        }
    )


def _polar_axes(conversion: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Axes of a map around a pole run along meridians; so described, EPSG's own such CRSs are recognised."""
    if not str(conversion["method"]["name"]).startswith("Polar Stereographic"):
        return None
    latitude, longitude = (conversion["parameters"][at]["value"] for at in (0, 1))
    direction, turn = ("north", 0) if latitude < 0 else ("south", 180)
    return [
        {
            "name": name,
            "abbreviation": name[0],
            "direction": direction,
            "meridian": {"longitude": 180 - (180 - longitude - angle) % 360},
        }
        for name, angle in (("Easting", 90), ("Northing", turn))
    ]


def _conversion(keys: Keys, unit: dict[str, Any]) -> dict[str, Any]:
    code = _code(keys, 3074)
    if code is not None and code != USER_DEFINED:
        coded: dict[str, Any] = CoordinateOperation.from_epsg(code).to_json_dict()
        return coded
    method = _code(keys, 3075)
    if method is None or method not in _METHODS:
        raise LookupError(f"unknown ProjCoordTrans {method}")
    name, epsg, parameters = _METHODS[method]
    scale = _real(keys, 3092)
    if method == 7 and 3078 in keys and scale is None:
        name, epsg, parameters = _MERCATOR_B
    if method == 15 and scale in (None, 1.0) and abs(_real(keys, 3081) or 90.0) < 90:
        name, epsg, parameters = _POLAR_B
    angle = _ANGULAR_UNITS.get(_code(keys, 2054) or 9102) or _real(keys, 2055) or math.pi / 180
    values = []
    for parameter_code, label, kind, sources in parameters:
        value = next((found for key in sources if (found := _real(keys, key)) is not None), None)
        if value is None:
            value = 1.0 if kind == "scale" else 0.0
        if kind == "angle" and not math.isclose(angle, math.pi / 180):
            value = math.degrees(value * angle)
        units: Any = {"angle": "degree", "scale": "unity", "length": unit}[kind]
        values.append(
            {"name": label, "value": value, "unit": units, "id": {"authority": "EPSG", "code": parameter_code}}
        )
    about: dict[str, Any] = {"name": name}
    if epsg is not None:
        about["id"] = {"authority": "EPSG", "code": epsg}
    return {"name": "unknown", "method": about, "parameters": values}


def _linear_unit(keys: Keys) -> dict[str, Any]:
    code = _code(keys, 3076)
    name, size = _LINEAR_UNITS.get(code or 9001, ("unknown", _real(keys, 3077)))
    if size is None or not size > 0:
        raise LookupError(f"unknown linear unit {code}")
    return {"type": "LinearUnit", "name": name, "conversion_factor": size}


def _code(keys: Keys, key: int) -> int | None:
    value = keys.get(key)
    return value if isinstance(value, int) and value != 0 else None


def _real(keys: Keys, key: int) -> float | None:
    value = keys.get(key)
    if isinstance(value, tuple) and value:
        return value[0]
    return float(value) if isinstance(value, int) else None
