"""Makes a request of the columns that DuckDB hands over: JSON, type names and WKB end here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.spec import Function
from rasteret_sql.geo.crs import LONLAT, crs_or_code
from rasteret_sql.geo.geometry import geometry_kind_crs, parse_geometries, srid_crs
from rasteret_sql.geo.wkb_boxes import wkb_points
from rasteret_sql.quoting import quote_value
from rasteret_sql.reading.asked_band import Asked, ask
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.relation_geometries import Points
from rasteret_sql.reading.request import Request, each_or_error

_FILLS_OUTSIDE = ("read_chip", "read_chips", "read_mosaic", "read_mosaics")
"""Functions whose `fill` is the value outside the geometry; with others it stands for pixels that are not valid."""
_OF_POINTS = ("sample_point", "sample_points")
"""Functions whose `resampling` says how values between pixels are computed."""
_BANDS = "a band name, an expression over bands, a 1-based integer, a list of these, or a STRUCT of these"


@lru_cache(maxsize=1024)
def row_options(function: str, text: str, defaults: tuple[tuple[str, str], ...]) -> tuple[PixelOptions, str | None]:
    """The options of a row, and the CRS that it says for its geometry: once for each distinct set of arguments.

    Args:
        function: what is called.
        text: JSON of the named arguments.
        defaults: names and values that the session sets where the row does not say them.
    """
    given = dict(defaults) | named_arguments(function, text)
    crs = given.pop("geom_crs", None)
    return options_of(function, given), crs


def options_of(function: str, given: Mapping[str, Any]) -> PixelOptions:
    """The options of a call, by the names that they have in SQL."""
    means = {} if function in _FILLS_OUTSIDE else {"fill": "fill_invalid"}
    if function in _OF_POINTS:
        means["resampling"] = "interpolation"
    named = {means.get(name, name): value for name, value in given.items()}
    if named.get("interpolation") == "nearest":
        del named["interpolation"]
    return PixelOptions(**named)


def pixel_request(  # noqa: PLR0917 - columns
    function: Function,
    ids: pa.Array,
    bands: pa.Array,
    geometries: pa.StructArray,
    named: pa.Array,
    defaults: Mapping[str, str],
    shapes: Sequence[Any] | None = None,
) -> Request:
    """The request of a call.

    Args:
        function: what is called.
        ids: scene ids, text.
        bands: JSON: a name, an expression, a number from 1, a list of these, or names with these.
        geometries: STRUCT(kind, wkb, text), as the macro `__geometry` makes it.
        named: JSON object of the named arguments.
        defaults: named arguments that the session sets where a row does not say them.
        shapes: the geometries, where they are parsed already, as `parsed_rows` gives them.

    Raises:
        RasteretError: an argument cannot be used, unless its row has `on_error := 'null'` and it is a geometry.
    """
    said = tuple(defaults.items())
    encoded = named.dictionary_encode()
    distinct = [row_options(function.name, text, said) for text in encoded.dictionary.to_pylist()]
    numbers = encoded.indices.to_pylist()
    options, crs_asked = [distinct[number][0] for number in numbers], [distinct[number][1] for number in numbers]
    tolerant = any(option.on_error == "null" for option in options)
    kinds, wkbs, texts = (column.to_pylist() for column in geometries.flatten())
    shapes = _geometries(kinds, wkbs, texts, tolerant) if shapes is None else shapes
    crs = _given_crs(crs_asked, kinds, shapes, tolerant)
    scenes = ids.to_pylist()
    known: dict[tuple[str, int], tuple[Asked, ...]] = {}
    asked: list[tuple[Asked, ...] | None] = []
    for band, scene, shape, option in zip(bands.to_pylist(), scenes, shapes, options, strict=True):
        if band is None or scene is None or shape is None:
            asked.append(None)
            continue
        # Rows share their options, and to hash these for each takes longer than all else here.
        found = known.get((band, id(option)))
        if found is None:
            found = known[band, id(option)] = band_request(band, option)
        asked.append(found)
    return Request(scenes, asked, shapes, crs, options)


@lru_cache(maxsize=1024)
def band_request(text: str, pixels: PixelOptions | None = None) -> tuple[Asked, ...]:
    """Read a band argument from JSON: a name, an expression, a 1-based integer, a list of these, or names for them.

    Args:
        text: JSON.
        pixels: the options of the call; those that change the values of bands become a part of what is asked for.
    """
    value = json.loads(text)
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
    if not parts:
        raise InvalidArgumentError(f"band is empty; expected {_BANDS}")
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (str, int)):
            raise InvalidArgumentError(f"band := {quote_value(part)} cannot be used; expected {_BANDS}")
    return ask(value if isinstance(value, dict) else parts, {} if pixels is None else pixels.of_bands())


def parsed_rows(function: str, geometries: pa.StructArray, named: pa.Array, defaults: Mapping[str, str]) -> list[Any]:
    """Geometry of each row (None: it has none), or what is wrong with it where its row gives NULL for that.

    Args:
        function: what is called.
        geometries: STRUCT(kind, wkb, text), as the macro `__geometry` makes it.
        named: JSON object of the named arguments.
        defaults: named arguments that the session sets where a row does not say them.

    Raises:
        RasteretError: an argument cannot be used.
    """
    said = tuple(defaults.items())
    distinct = named.unique().to_pylist()
    tolerant = any(row_options(function, text, said)[0].on_error == "null" for text in distinct)
    kinds, wkbs, texts = (column.to_pylist() for column in geometries.flatten())
    return _geometries(kinds, wkbs, texts, tolerant)


def _geometries(
    kinds: Sequence[str | None], wkbs: Sequence[bytes | None], texts: Sequence[str | None], tolerant: bool
) -> list[Any]:
    """Geometry of each row (None: it has none), or what is wrong with it; distinct inputs parsed once."""
    distinct: dict[tuple[str | None, bytes | str | None], int] = {}
    numbers: list[int | None] = []
    for kind, wkb, text in zip(kinds, wkbs, texts, strict=True):
        if wkb is None and text == Whole.IMAGE.value:
            numbers.append(None)
        else:
            numbers.append(distinct.setdefault((kind, text if wkb is None else wkb), len(distinct)))
    parsed = each_or_error(_parse, list(distinct), tolerant)
    return [Whole.IMAGE if number is None else parsed[number] for number in numbers]


def geometries_with_crs(shapes: pa.StructArray, crs: str | None) -> tuple[np.ndarray, list[str]]:
    """The geometries of a column, None where there is none, and the CRS of each.

    Args:
        shapes: STRUCT(kind, wkb, text), as the macro `__geometry` makes it.
        crs: that of the call; None: that of the type, its own, or lon/lat.

    Raises:
        RasteretError: one cannot be read.
    """
    kinds, wkbs, texts = (column.to_pylist() for column in shapes.flatten())
    geometries = parse_geometries(kinds, wkbs, texts)
    if crs is not None:
        return geometries, [crs_or_code(crs)] * len(kinds)
    srids = shapely.get_srid(geometries)
    if len(set(kinds)) == 1 and len(srids) and (srids == srids[0]).all():  # of a table of places, as a rule
        return geometries, [one_crs(None, kinds[0], int(srids[0]))] * len(kinds)
    return geometries, _given_crs([None] * len(kinds), kinds, geometries.tolist(), tolerant=False)


def points_with_crs(shapes: pa.StructArray, crs: str | None) -> Points | None:
    """The points of a column straight from WKB; None where it has anything else than plain points and NULL.

    Args:
        shapes: STRUCT(kind, wkb, text), as the macro `__geometry` makes it.
        crs: that of the call; None: that of the type, or lon/lat.
    """
    kinds, wkbs, texts = shapes.flatten()
    of_all = kinds.unique()
    if len(of_all) != 1 or texts.null_count < len(texts):
        return None
    xy = wkb_points(wkbs)
    return None if xy is None else Points(xy, [one_crs(crs, of_all[0].as_py(), 0)] * len(shapes))


def one_geometry(geometry: Mapping[str, Any] | None, crs: str | None) -> tuple[shapely.Geometry | Whole | None, str]:
    """A geometry argument and its CRS; None where it is NULL.

    Args:
        geometry: kind, wkb and text, as the macro `__geometry` makes them.
        crs: that of the call; None: that of the type, its own, or lon/lat.

    Raises:
        RasteretError: it cannot be read.
    """
    kind, wkb, text = (None,) * 3 if geometry is None else (geometry[name] for name in ("kind", "wkb", "text"))
    (shape,) = _geometries([kind], [wkb], [text], tolerant=False)
    return shape, _given_crs([crs], [kind], [shape], tolerant=False)[0]


def point_crs(crs: str | None) -> str:
    """CRS of points whose x and y are columns of their own."""
    return one_crs(crs, None, 0)


def _parse(keys: Sequence[tuple[str | None, bytes | str | None]]) -> np.ndarray:
    return parse_geometries(
        [kind for kind, _ in keys],
        [value if isinstance(value, bytes) else None for _, value in keys],
        [value if isinstance(value, str) else None for _, value in keys],
    )


def _given_crs(
    asked: Sequence[str | None], kinds: Sequence[str | None], geometries: Sequence[Any], tolerant: bool
) -> list[Any]:
    """CRS of each row's geometry, or what is wrong with it: the argument's, else its type's, its own, or lon/lat."""
    shapes = [geometry if isinstance(geometry, shapely.Geometry) else None for geometry in geometries]
    column = np.empty(len(shapes), dtype=object)
    column[:] = shapes
    srids = shapely.get_srid(column).tolist()
    distinct: dict[tuple[str | None, str | None, int], int] = {}
    numbers = [
        distinct.setdefault((text, kind, srid), len(distinct))
        for text, kind, srid in zip(asked, kinds, srids, strict=True)
    ]
    known = each_or_error(lambda some: [one_crs(*each) for each in some], list(distinct), tolerant)
    return [known[number] for number in numbers]


def one_crs(asked: str | None, kind: str | None, srid: int) -> str:
    """CRS of a geometry: the argument's, else its type's, its own, or lon/lat."""
    if asked is not None:
        return crs_or_code(asked)
    return geometry_kind_crs(kind or "") or srid_crs(srid) or LONLAT
