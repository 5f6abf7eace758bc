"""Defines a CRS from the values of GeoKeys, by way of PROJJSON.

Keys that refine a coded part count, as in GDAL: a code gives what no other key says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from pyproj import CRS
from pyproj.crs import (  # type: ignore[attr-defined]
    CoordinateOperation,
    Datum,
    Ellipsoid,
    PrimeMeridian,
)
from pyproj.database import get_units_map
from pyproj.exceptions import CRSError

from rasteret_sql.geo.crs import EPSG_CODES
from rasteret_sql.tiff.projection_methods import (
    BY_TRANSFORM,
    CONFORMAL_CONIC,
    LENGTH_KEYS,
    MERCATOR,
    MERCATOR_B,
    POLAR,
    POLAR_B,
    Method,
)

Keys = Mapping[int, int | str | tuple[float, ...]]
Json = dict[str, Any]

USER_DEFINED = 32767
_DEGREES = 9102
MODEL_PROJECTED, MODEL_GEOGRAPHIC, MODEL_GEOCENTRIC = 1, 2, 3

_DEGREE = math.pi / 180

_WKT_IN_CITATION = re.compile(r"((?:PROJCS|GEOGCS|PROJCRS|GEOGCRS|GEODCRS|COMPD_CS|BOUNDCRS)\s*\[.*)", re.DOTALL)

_GCS_NAME = re.compile(r"GCS Name\s*=\s*([^|]+)")
_DATUM_NAME = re.compile(r"Datum\s*=\s*([^|]+)")
"""In citations of Esri's: `GCS Name = ...|Datum = ...|Ellipsoid = ...|Primem = ...||`."""

_GEOGRAPHIC_PARTS = (2050, 2051, 2054, 2056, 2057, 2058, 2059, 2061)
"""Keys of which any may refine a geographic CRS."""
_CODED_PARTS = (2050, 2056)
_NAMELESS = "unnamed"
"""Name of what PROJ shall not recognise; `unknown` would do for any datum of the same ellipsoid."""
_MOVING = ("Dynamic Geodetic Reference Frame", "Datum Ensemble")
"""Types of datums whose coordinates depend on the time, or on which of its members is meant."""


def define_crs(keys: Keys) -> str | None:
    """CRS that the keys name or define: `EPSG:n`, else WKT2, None where they do not define one."""
    model = _code(keys, 1024)
    projected, geographic = _known_code(keys, 3072), _known_code(keys, 2048)
    if model in (None, USER_DEFINED) and projected:
        model = MODEL_PROJECTED
    elif model is None and geographic:
        model = MODEL_GEOGRAPHIC
    crs = None
    if not (geographic if model == MODEL_GEOGRAPHIC else projected):
        crs = _cited(keys)
    if crs is None and model == MODEL_PROJECTED:
        crs = _try(lambda: _projected(keys, projected))
    elif crs is None and model == MODEL_GEOGRAPHIC:
        crs = _try(lambda: _plain_geographic(keys, projected))
    if crs is None and (code := _newer_code(keys, model)) is not None:
        crs = _cited(keys)
        if crs is None:
            return f"EPSG:{code}"
    # Pixels have no place in x, y, z from the centre of the Earth.
    return None if crs is None or crs.is_geocentric else _name(crs)


def _newer_code(keys: Keys, model: int | None) -> int | None:
    """A code of EPSG's range that PROJ does not know, as one is that EPSG gave after this PROJ was made."""
    code = _known_code(keys, 2048 if model == MODEL_GEOGRAPHIC else 3072)
    if code is None or not EPSG_CODES[0] <= code <= EPSG_CODES[1]:
        return None
    return code if _try(lambda: _from_code(code)) is None else None


def _cited(keys: Keys) -> CRS | None:
    """The CRS that a citation holds as WKT."""
    for key in (1026, 3073, 2049):
        match = _WKT_IN_CITATION.search(str(keys.get(key, "")))
        crs = _try(partial(CRS.from_user_input, match[1].rstrip("|\0 "))) if match else None
        if crs is not None:
            return crs
    return None


def _try(make: Callable[[], CRS]) -> CRS | None:
    """A CRS, or None where PROJ or our tables do not know what the keys ask for: the file then does not say."""
    try:
        crs = make()
    except (CRSError, LookupError, ValueError):
        return None
    return crs


@lru_cache(maxsize=256)
def _from_code(code: int) -> CRS:
    """EPSG's CRS of that code; Esri's writers put their own codes into the same key.

    Raises:
        CRSError: neither has it.
    """
    return _try(lambda: CRS.from_epsg(code)) or CRS.from_user_input(f"ESRI:{code}")


def _name(crs: CRS) -> str:
    """`EPSG:n` where EPSG has exactly this CRS (its name and the order of axes apart), else WKT2."""
    code = crs.to_epsg(min_confidence=70)
    if code is not None:
        known = CRS.from_epsg(code)
        if known.equals(crs, ignore_axis_order=True) and _datum_name(known) == _datum_name(crs):
            return f"EPSG:{code}"
    return str(crs.to_wkt("WKT2_2019"))


def _datum_name(crs: CRS) -> str | None:
    """PROJ takes a datum without a name for any of its ellipsoid, with whose shift pixels would lie elsewhere."""
    name = None if crs.datum is None else crs.datum.name.lower()
    return None if name is None else name.removesuffix(" ensemble")


def _plain_geographic(keys: Keys, projected: int | None) -> CRS:
    """The CRS of a file in longitude and latitude; where only a projected CRS is named, that one's base."""
    base = _base(keys, _from_code(projected) if projected else None)
    return base if isinstance(base, CRS) else CRS.from_json_dict(base)


def _base(keys: Keys, projected: CRS | None) -> CRS | Json:
    """The geographic CRS: by its code, with what the keys refine; as it stands where they refine nothing."""
    code = _known_code(keys, 2048)
    known: CRS | None = None
    if code is not None:
        known = _from_code(code)
    elif projected is not None and _code(keys, 2048) is None:
        known = projected.geodetic_crs
    if known is not None and known.is_geocentric:
        raise LookupError(f"{known.name} has no longitude and latitude")
    # As in GDAL: a projected CRS that has a code is refined by codes alone, and a geographic file's CRS of a datum that
    # moves, such as WGS 84, by nothing.
    moving = known is not None and known.datum is not None and known.datum.type_name in _MOVING
    whole = moving and _code(keys, 1024) == MODEL_GEOGRAPHIC
    parts = _CODED_PARTS if projected is not None and _code(keys, 2048) is None else _GEOGRAPHIC_PARTS
    if known is not None and (whole or not any(key in keys for key in parts)):
        return known
    return _refined(keys, known, projected)


def _refined(keys: Keys, known: CRS | None, projected: CRS | None) -> Json | CRS:
    about = _datum(keys, known)
    ellipsoid, meridian = _ellipsoid(keys, about.get("ellipsoid")), _meridian(keys, known)
    whole = _same_parts(about, ellipsoid, meridian)
    cited = _cited_datum(keys) if known is None and _known_code(keys, 2050) is None else None
    if cited is not None:
        whole, about = False, cited
    named = {key: about[key] for key in ("name", "id") if key in about}
    if not _keeps_shift(keys, known, projected) and not (whole and _is_safe(about, known)):
        whole, named = False, {"name": _NAMELESS}
    if not whole:
        about = named | {"type": "GeodeticReferenceFrame", "ellipsoid": ellipsoid, "prime_meridian": meridian}
    about.pop("$schema", None)
    unit = _angular_unit(keys, known)
    angle: Any = "degree" if math.isclose(unit, _DEGREE) else _unit("AngularUnit", "unknown", unit)
    axes = [
        {"name": f"Geodetic {name}", "abbreviation": name[:3].capitalize(), "direction": direction, "unit": angle}
        for name, direction in (("latitude", "north"), ("longitude", "east"))
    ]
    return {
        "type": "GeographicCRS",
        "name": _geographic_name(keys, known, named=about["name"] != _NAMELESS),
        "datum_ensemble" if about["type"] == "DatumEnsemble" else "datum": about,
        "coordinate_system": {"subtype": "ellipsoidal", "axis": axes},
    }


def _datum(keys: Keys, known: CRS | None) -> Json:
    """By its code, else that of the coded CRS; as in GDAL, a user's own or one unknown to EPSG has no name."""
    code = _code(keys, 2050)
    own = known.datum if known is not None else None
    datum = own if code is None else _found(lambda: Datum.from_epsg(code))
    return {"type": "GeodeticReferenceFrame", "name": _NAMELESS} if datum is None else datum.to_json_dict()


def _cited_datum(keys: Keys) -> Json | None:
    """Name and code of the datum in a citation; its ellipsoid and meridian are those of the keys all the same."""
    match = _DATUM_NAME.search(_geographic_citation(keys))
    if match is None:
        return None
    name = match[1].strip()
    known = _found(lambda: Datum.from_name(name)) if name.startswith("D_") else None  # Esri's name of one of EPSG's
    if known is None:
        return {"name": name}
    return {"name": str(known.name).removesuffix(" ensemble"), "id": known.to_json_dict()["id"]}


def _is_safe(about: Json, known: CRS | None) -> bool:
    """True where PROJ can shift a datum beside a coded CRS: it is that one's own, or counts from Greenwich.

    Beside another CRS, PROJ takes the meridian of Paris away from the longitudes of some datums.
    """
    if known is not None and known.datum is not None and known.datum.name == about.get("name"):
        return True
    return _longitude(about.get("prime_meridian")) == 0


def _keeps_shift(keys: Keys, known: CRS | None, projected: CRS | None) -> bool:
    """True where a datum keeps its shift to others, even with another ellipsoid or prime meridian than its own.

    As in GDAL: not beside a coded CRS, unless the file says that the grads of a geographic one are degrees.
    """
    if known is None or projected is not None:
        return projected is None
    grads = not math.isclose(known.axis_info[0].unit_conversion_factor, _DEGREE)
    return grads and _code(keys, 2054) == _DEGREES


def _geographic_name(keys: Keys, known: CRS | None, *, named: bool) -> str:
    """That of the coded CRS if its datum has a name: PROJ knows shifts by the name of a CRS, too."""
    if known is not None:
        return str(known.name) if named else _NAMELESS
    citation = _geographic_citation(keys)
    match = _GCS_NAME.search(citation)
    return match[1].strip() if match else citation


def _geographic_citation(keys: Keys) -> str:
    return str(keys.get(2049) or keys.get(1026) or "unknown")


def _found(make: Callable[[], Any]) -> Any:
    """The definition that EPSG has under a code, None where it has nothing."""
    try:
        return make()
    except CRSError:
        return None


def _same_parts(about: Json, ellipsoid: Json, meridian: Json | None) -> bool:
    """True where a datum has this ellipsoid and this prime meridian."""
    own = about.get("ellipsoid")
    if own is None or _longitude(about.get("prime_meridian")) != _longitude(meridian):
        return False
    return all(math.isclose(one, two, rel_tol=1e-12) for one, two in zip(_axes(own), _axes(ellipsoid), strict=True))


def _axes(ellipsoid: Json) -> tuple[float, float]:
    """Semi-axes in metres."""
    if "radius" in ellipsoid:
        return _metres(ellipsoid["radius"]), _metres(ellipsoid["radius"])
    major = _metres(ellipsoid["semi_major_axis"])
    if "semi_minor_axis" in ellipsoid:
        return major, _metres(ellipsoid["semi_minor_axis"])
    return major, major * (1 - 1 / ellipsoid["inverse_flattening"])


def _metres(value: float | Json) -> float:
    return float(value["value"] * value["unit"]["conversion_factor"]) if isinstance(value, dict) else float(value)


def _longitude(meridian: Json | None) -> float:
    """Degrees east of Greenwich."""
    value = 0.0 if meridian is None else meridian["longitude"]
    if isinstance(value, dict):
        return math.degrees(value["value"] * value["unit"]["conversion_factor"])
    return float(value)


def _ellipsoid(keys: Keys, known: Json | None) -> Json:
    """By its code, else the datum's; axes and flattening of the keys replace those, each alone. WGS 84's by default."""
    code = _known_code(keys, 2056)
    coded = _found(lambda: Ellipsoid.from_epsg(code)) if code is not None else None
    about: Json = coded.to_json_dict() if coded is not None else known or {}
    major, minor, inverse = _real(keys, 2057), _real(keys, 2058), _real(keys, 2059)
    if major is None and minor is None and inverse is None:
        return about or Ellipsoid.from_epsg(7030).to_json_dict()
    axes = _axes(about) if about else None
    a = major if major is not None else axes[0] if axes else None
    if a is None or a <= 0:
        raise LookupError("the keys define no ellipsoid")
    if inverse:
        return {"name": "unknown", "semi_major_axis": a, "inverse_flattening": inverse}
    b = minor if minor is not None else a if inverse == 0 or axes is None else axes[1]
    if a == b:
        return {"name": "unknown", "radius": a}
    return {"name": "unknown", "semi_major_axis": a, "semi_minor_axis": b}


def _meridian(keys: Keys, known: CRS | None) -> Json:
    code, longitude = _code(keys, 2051), _real(keys, 2061)
    if code is not None and code != USER_DEFINED:
        found = _found(lambda: PrimeMeridian.from_epsg(code))
        return found.to_json_dict() if found else {"name": "Greenwich", "longitude": 0.0}
    own = known.prime_meridian if known is not None else None
    if longitude is None or (own is not None and code is None):
        return own.to_json_dict() if own is not None else {"name": "Greenwich", "longitude": 0.0}
    degrees = math.degrees(longitude * _angular_unit(keys, known))
    return {"name": "unknown", "longitude": degrees} if degrees else {"name": "Greenwich", "longitude": 0.0}


def _angular_unit(keys: Keys, known: CRS | None) -> float:
    """Radians in the unit of the axes and of a projection's angles."""
    code = _code(keys, 2054)
    if code is not None:
        return _angular_units().get(code, _DEGREE)
    if known is not None and known.axis_info:
        return float(known.axis_info[0].unit_conversion_factor)
    return _DEGREE


@lru_cache(maxsize=1)
def _angular_units() -> Mapping[int, float]:
    """Radians in a unit; all that have no size there, as those of a user, count as degrees, as in GDAL."""
    units = get_units_map(auth_name="EPSG", category="angular", allow_deprecated=True).values()
    return {int(unit.code): unit.conv_factor for unit in units if unit.conv_factor}


def _unit(kind: str, name: str, size: float) -> Json:
    return {"type": kind, "name": name, "conversion_factor": size}


def _projected(keys: Keys, code: int | None) -> CRS:
    known = _from_code(code) if code is not None else None
    if known is not None and not known.is_projected:
        raise LookupError(f"{known.name} is not a projected CRS")
    base = _base(keys, known)
    unit = _linear_unit(keys, known)
    own_method = _code(keys, 3075) not in (None, USER_DEFINED)
    refined = not (isinstance(base, CRS) and (known is None or base == known.geodetic_crs))
    if known is not None and not refined and not own_method and _same_unit(unit, known):
        return known
    conversion = _conversion(keys, unit, known, base)
    axes = _polar_axes(conversion) or [
        {"name": "Easting", "abbreviation": "E", "direction": "east"},
        {"name": "Northing", "abbreviation": "N", "direction": "north"},
    ]
    return CRS.from_json_dict(
        {
            "type": "ProjectedCRS",
            "name": known.name if known is not None else str(keys.get(3073) or keys.get(1026) or "unknown"),
            "base_crs": base.to_json_dict() if isinstance(base, CRS) else base,
            "conversion": conversion,
            "coordinate_system": {"subtype": "Cartesian", "axis": [{**axis, "unit": unit} for axis in axes]},
        }
    )


def _same_unit(unit: Json, known: CRS) -> bool:
    return math.isclose(unit["conversion_factor"], known.axis_info[0].unit_conversion_factor, rel_tol=1e-12)


def _polar_axes(conversion: Json) -> list[Json] | None:
    """Axes of a map around a pole run along meridians; so described, EPSG's own such CRSs are recognised."""
    if not str(conversion["method"]["name"]).startswith("Polar Stereographic"):
        return None
    latitude, longitude = (_degrees(conversion["parameters"][at]) for at in (0, 1))
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


def _degrees(parameter: Json) -> float:
    unit = parameter.get("unit", "degree")
    value = float(parameter["value"])
    return math.degrees(value * unit["conversion_factor"]) if isinstance(unit, dict) else value


def _conversion(keys: Keys, unit: Json, known: CRS | None, base: CRS | Json) -> Json:
    """The rule by which places become x and y: by the keys' method, else the coded conversion, else the coded CRS's."""
    transform, code = _code(keys, 3075), _code(keys, 3074)
    if transform is None or transform == USER_DEFINED:
        if known is not None and known.coordinate_operation is not None:
            own: Json = known.coordinate_operation.to_json_dict()
            return own
        if code is not None and code != USER_DEFINED:
            coded: Json = CoordinateOperation.from_epsg(code).to_json_dict()
            if coded["type"] != "Conversion":
                raise LookupError(f"EPSG:{code} is no projection")
            return coded
    if transform is None or transform not in BY_TRANSFORM:
        raise LookupError(f"unknown ProjCoordTrans {transform}")
    angle = _angular_unit(keys, base if isinstance(base, CRS) else CRS.from_json_dict(base))
    method = BY_TRANSFORM[transform]
    values = _values(method, keys, angle)
    if method.transform == MERCATOR:
        method, values = _mercator(method, values, _values(MERCATOR_B, keys, angle) if 3078 in keys else None)
    elif method.transform == POLAR:
        method = _polar(method, values)
    elif method.transform == CONFORMAL_CONIC and 3079 not in keys:
        raise LookupError("a conic with two standard parallels needs both")
    named: Json = {"name": method.name}
    if method.epsg is not None:
        named["id"] = {"authority": "EPSG", "code": method.epsg}
    parameters = [
        {"name": one.name, "value": values[one.code], "unit": unit if one.key in LENGTH_KEYS else one.unit}
        | {"id": {"authority": "EPSG", "code": one.code}}
        for one in method.parameters
        if one.code in values
    ]
    return {"name": "unknown", "method": named, "parameters": parameters}


def _values(method: Method, keys: Keys, angle: float) -> dict[int, float]:
    """EPSG code of each parameter → value: degrees, units of the axes, or a factor."""
    values = {}
    for one in method.parameters:
        value = next((found for key in one.keys if (found := _real(keys, key)) is not None), None)
        if value is None:
            values[one.code] = one.default
        else:
            turned = one.unit == "degree" and one.key not in LENGTH_KEYS and not math.isclose(angle, _DEGREE)
            values[one.code] = math.degrees(value * angle) if turned else value
    return values


def _mercator(
    method: Method, values: dict[int, float], by_parallel: dict[int, float] | None
) -> tuple[Method, dict[int, float]]:
    """A standard parallel counts before a scale. Without one a latitude of origin is meant as such, as Esri has it."""
    if by_parallel is not None:
        return MERCATOR_B, by_parallel
    if values[8801] == 0:
        return method, values
    if not math.isclose(values[8805], 1.0, abs_tol=1e-10):
        raise LookupError("a Mercator projection of a latitude of origin has no scale of its own")
    return MERCATOR_B, values | {8823: values[8801], 8801: 0.0}


def _polar(method: Method, values: dict[int, float]) -> Method:
    """By the scale at the pole, or by the latitude where it is 1."""
    if abs(abs(values[8801]) - 90) <= 1e-4:
        return method
    if not math.isclose(values[8805], 1.0, abs_tol=1e-10):
        raise LookupError("a polar projection has a latitude of true scale or a scale at the pole, not both")
    values |= {8832: values[8801], 8833: values[8802]}
    return POLAR_B


@lru_cache(maxsize=1)
def _linear_units() -> Mapping[int, tuple[str, float]]:
    units = get_units_map(auth_name="EPSG", category="linear", allow_deprecated=True).values()
    return {int(unit.code): (unit.name, unit.conv_factor) for unit in units}


def _linear_unit(keys: Keys, known: CRS | None) -> Json:
    """By its code, else its size, else that of the coded CRS; what EPSG does not know counts as metres, as in GDAL."""
    code = _code(keys, 3076)
    if code is None and known is not None:
        return _unit("LinearUnit", known.axis_info[0].unit_name, known.axis_info[0].unit_conversion_factor)
    if code in (None, USER_DEFINED) and (size := _real(keys, 3077)) is not None and size > 0:
        return _unit("LinearUnit", "unknown", size)
    name, size = _linear_units().get(code or 9001, ("metre", 1.0))
    return _unit("LinearUnit", name, size)


def _code(keys: Keys, key: int) -> int | None:
    value = keys.get(key)
    return value if isinstance(value, int) and value != 0 else None


def _known_code(keys: Keys, key: int) -> int | None:
    """A code that is not `user-defined`."""
    code = _code(keys, key)
    return None if code == USER_DEFINED else code


def _real(keys: Keys, key: int) -> float | None:
    value = keys.get(key)
    if isinstance(value, tuple) and value:
        return value[0]
    return float(value) if isinstance(value, int) else None
