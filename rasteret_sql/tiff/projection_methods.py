"""Lists the projections that GeoKeys can say: each method with its parameters and keys, to read and to write.

Codes of methods and parameters are EPSG's; keys and codes of ProjCoordTrans are those of GeoTIFF 1.1 (OGC 19-008r4).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

SCALE_KEYS = (3092, 3093)
LENGTH_KEYS = (3082, 3083, 3086, 3087, 3090, 3091)
MERCATOR, CONFORMAL_CONIC, POLAR = 7, 8, 15

_GRID_ANGLE = 3096
_LATITUDES, _LONGITUDES = (3081, 3085, 3089), (3080, 3084, 3088)
_EASTINGS, _NORTHINGS = (3082, 3090, 3086), (3083, 3091, 3087)
_ALIKE = MappingProxyType(
    {key: keys for keys in (_LATITUDES, _LONGITUDES, _EASTINGS, _NORTHINGS) for key in keys}
    | {3092: SCALE_KEYS, 3093: SCALE_KEYS, 3095: (3095, *_LONGITUDES)}
)


class Parameter(NamedTuple):
    """A parameter of a projection."""

    code: int
    """EPSG's."""
    name: str
    key: int
    """The key that it is written to."""
    alone: bool = False
    """It is read from that key alone."""

    @property
    def keys(self) -> tuple[int, ...]:
        """Keys that it is read from, the first that is there counts: writers differ in which origin they name."""
        if self.alone:
            return (self.key,)
        return _ALIKE.get(self.key, (self.key,))

    @property
    def unit(self) -> str:
        """`unity` of a scale, else `degree`; a length has that of the axes."""
        return "unity" if self.key in SCALE_KEYS else "degree"

    @property
    def default(self) -> float:
        """The value where no key gives it: the rectified grid is turned by 90 degrees, as in GDAL."""
        return 1.0 if self.key in SCALE_KEYS else 90.0 if self.key == _GRID_ANGLE else 0.0


class Method(NamedTuple):
    """A projection method."""

    transform: int
    """Code of ProjCoordTrans."""
    name: str
    epsg: int | None
    parameters: tuple[Parameter, ...]


def _natural(latitude: int, longitude: int) -> tuple[Parameter, Parameter]:
    return (
        Parameter(8801, "Latitude of natural origin", latitude),
        Parameter(8802, "Longitude of natural origin", longitude),
    )


_SHIFT = (Parameter(8806, "False easting", 3082), Parameter(8807, "False northing", 3083))
_SCALE = Parameter(8805, "Scale factor at natural origin", 3092)
_OWN_SCALE = _SCALE._replace(alone=True)
_PARALLEL = Parameter(8823, "Latitude of 1st standard parallel", 3078)
_PARALLELS = (_PARALLEL, Parameter(8824, "Latitude of 2nd standard parallel", 3079))
_ORIGIN, _CENTRE = (*_natural(3081, 3080), *_SHIFT), (*_natural(3089, 3088), *_SHIFT)
_SCALED = (*_natural(3081, 3080), _SCALE, *_SHIFT)
_MERIDIAN = (_natural(3089, 3088)[1], *_SHIFT)


def _conic(latitude: int, longitude: int, easting: int, northing: int) -> tuple[Parameter, ...]:
    return (
        Parameter(8821, "Latitude of false origin", latitude),
        Parameter(8822, "Longitude of false origin", longitude),
        *_PARALLELS,
        Parameter(8826, "Easting at false origin", easting),
        Parameter(8827, "Northing at false origin", northing),
    )


_OBLIQUE = (
    Parameter(8811, "Latitude of projection centre", 3089),
    Parameter(8812, "Longitude of projection centre", 3088),
    Parameter(8813, "Azimuth at projection centre", 3094),
    Parameter(8814, "Angle from Rectified to Skew Grid", 3096),
    Parameter(8815, "Scale factor at projection centre", 3093),
)

METHODS: tuple[Method, ...] = (
    Method(1, "Transverse Mercator", 9807, _SCALED),
    Method(3, "Hotine Oblique Mercator (variant A)", 9812, (*_OBLIQUE, *_SHIFT)),
    Method(
        4,
        "Laborde Oblique Mercator",
        9813,
        (*_OBLIQUE[:3], Parameter(8815, "Scale factor on initial line", 3092), *_SHIFT),
    ),
    Method(MERCATOR, "Mercator (variant A)", 9804, (*_natural(3081, 3080), _OWN_SCALE, *_SHIFT)),
    Method(CONFORMAL_CONIC, "Lambert Conic Conformal (2SP)", 9802, _conic(3085, 3084, 3086, 3087)),
    Method(9, "Lambert Conic Conformal (1SP)", 9801, _SCALED),
    Method(10, "Lambert Azimuthal Equal Area", 9820, _CENTRE),
    Method(11, "Albers Equal Area", 9822, _conic(3081, 3080, 3082, 3083)),
    Method(12, "Azimuthal Equidistant", 1125, _CENTRE),
    Method(13, "Equidistant Conic", 1119, _conic(3081, 3080, 3082, 3083)),
    Method(14, "Stereographic", None, (*_natural(3089, 3088), _OWN_SCALE, *_SHIFT)),
    Method(POLAR, "Polar Stereographic (variant A)", 9810, (*_natural(3081, 3095), _SCALE, *_SHIFT)),
    Method(16, "Oblique Stereographic", 9809, _SCALED),
    Method(17, "Equidistant Cylindrical", 1028, (_PARALLEL, *_CENTRE)),
    Method(18, "Cassini-Soldner", 9806, _ORIGIN),
    Method(19, "Gnomonic", None, _CENTRE),
    Method(20, "Miller Cylindrical", None, _MERIDIAN),
    Method(21, "Orthographic", 9840, _CENTRE),
    Method(22, "American Polyconic", 9818, _ORIGIN),
    Method(23, "Robinson", None, _MERIDIAN),
    Method(24, "Sinusoidal", None, _MERIDIAN),
    Method(25, "Van Der Grinten", None, _MERIDIAN),
    Method(26, "New Zealand Map Grid", 9811, _ORIGIN),
    Method(27, "Transverse Mercator (South Orientated)", 9808, _SCALED),
    Method(28, "Lambert Cylindrical Equal Area", 9835, (_PARALLEL, _natural(3081, 3080)[1], *_SHIFT)),
    Method(
        9815,
        "Hotine Oblique Mercator (variant B)",
        9815,
        (
            *_OBLIQUE,
            Parameter(8816, "Easting at projection centre", 3090),
            Parameter(8817, "Northing at projection centre", 3091),
        ),
    ),
)
MERCATOR_B = Method(MERCATOR, "Mercator (variant B)", 9805, (_PARALLEL, *_ORIGIN))
POLAR_B = Method(
    POLAR,
    "Polar Stereographic (variant B)",
    9829,
    (
        Parameter(8832, "Latitude of standard parallel", 3081),
        Parameter(8833, "Longitude of origin", 3095),
        *_SHIFT,
    ),
)

BY_TRANSFORM: Mapping[int, Method] = MappingProxyType({method.transform: method for method in METHODS})

_SPHERICAL = MappingProxyType({1027: 10, 9832: 12, 1029: 17})
"""Methods that differ from one of the table in their formulas for a sphere or an ellipsoid alone."""

BY_NAME: Mapping[int | str, Method] = MappingProxyType(
    {method.epsg or method.name.lower(): method for method in (*METHODS, MERCATOR_B, POLAR_B)}
    | {code: BY_TRANSFORM[transform] for code, transform in _SPHERICAL.items()}
)
"""EPSG code of a method, or its name in small letters where EPSG has none."""
