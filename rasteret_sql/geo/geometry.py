"""Makes shapely geometries of every form in which a geometry reaches us.

SQL hands over columns of three kinds of value for one argument: the DuckDB type's name, the WKB of a GEOMETRY, and the
text of anything else. Whole columns are parsed at once, each distinct value once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from rasteret_sql.errors import InvalidCrsError, InvalidGeometryError
from rasteret_sql.geo.crs import normalize_crs
from rasteret_sql.geo.malformed import READERS, why_malformed

ACCEPTED = "GEOMETRY, WKT, EWKT, GeoJSON, WKB as BLOB or hex, [x, y], or a list or STRUCT of xmin, ymin, xmax, ymax"

_EWKT = re.compile(r"\s*SRID\s*=\s*(\d+)\s*;(.*)", re.IGNORECASE | re.DOTALL)
_HEX = re.compile(r"(?:0[01])(?:[0-9A-Fa-f]{2}){4,}")
_BLOB_TEXT = re.compile(r"\\x0[01]")
_BLOB_BYTE = re.compile(rb"\\x([0-9A-Fa-f]{2})")
_GEOMETRY_KIND = re.compile(r"GEOMETRY\s*\(\s*'(.*)'\s*\)", re.IGNORECASE | re.DOTALL)
BOX_KEYS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("minx", "miny", "maxx", "maxy"),
    ("min_x", "min_y", "max_x", "max_y"),
    ("west", "south", "east", "north"),
)
"""Names of the west, south, east and north in a struct or object that is a box."""
GEOMETRY_COLUMNS = ("geometry", "geom", "the_geom", "wkb_geometry", "wkt", "shape")
"""Names under which tables of zones and points have their geometries."""
_SAMPLE = 256
"""Rows that tell whether values repeat."""
_MULTIPOINT, _COLLECTION = 4, 7
_EXCERPT, _REASON = 60, 120
_FILES = (".geojson", ".json", ".gpkg", ".shp", ".fgb")
"""Ends of names of files of geometries."""


def geometry_kind_crs(kind: str) -> str | None:
    """CRS in a DuckDB type name: `GEOMETRY('EPSG:32632')` → `EPSG:32632`; None where the type carries none.

    Args:
        kind: what DuckDB's `typeof` says of the value.

    Raises:
        InvalidCrsError: the type names a CRS that is not known.
    """
    match = _GEOMETRY_KIND.fullmatch(kind.strip())
    return normalize_crs(match[1].replace("''", "'")) if match else None


def parse_geometries(
    kind: Sequence[str | None], wkb: Sequence[bytes | None], text: Sequence[str | None]
) -> npt.NDArray[np.object_]:
    """Parse a column of geometries in whatever form each row has it.

    Args:
        kind: DuckDB type of each row's value, as `typeof` gives it.
        wkb: WKB of rows that are a GEOMETRY or a BLOB, else None.
        text: text of all other rows: WKT, EWKT, GeoJSON, hex WKB, a BLOB's text form, or JSON of a point or box.

    Returns:
        2-D shapely geometries, shape (n,); None where the row is NULL, and where it is JSON that has no geometry: null,
        a Feature without one, or a STRUCT of nothing but NULL. Empty geometries stay empty. A collection becomes the
        MultiPolygon of its polygons, without any the lines in it, and without those the points. The SRID of EWKT and
        EWKB is kept on the geometry (see `srid_crs`).

    Raises:
        InvalidGeometryError: a value cannot be read; the message shows its beginning and what is accepted.
    """
    out = np.full(len(kind), None, dtype=object)
    given = [text_of if wkb_of is None else wkb_of for wkb_of, text_of in zip(wkb, text, strict=True)]
    there = [i for i, value in enumerate(given) if value is not None]
    if not there:
        return out
    first = {given[i] for i in there[:_SAMPLE]}
    if len(first) > _SAMPLE // 2:  # a table of places, as a rule; the rows of a join repeat them
        if len(there) == len(given):
            return _parse(given, ["" if one is None else one for one in kind])
        out[there] = _parse([given[i] for i in there], [kind[i] or "" for i in there])
        return out
    rows: dict[bytes | str | None, list[int]] = {}
    for i in there:
        rows.setdefault(given[i], []).append(i)
    values = [value for value in rows if value is not None]
    parsed = _parse(values, [kind[at[0]] or "" for at in rows.values()])
    for geometry, at in zip(parsed, rows.values(), strict=True):
        out[at] = geometry
    return out


def parse_geometry(value: object) -> BaseGeometry | None:
    """Parse one geometry given from Python: shapely, bytes, text, or a GeoJSON or box dict.

    Returns:
        None where there is none, as `parse_geometries`.

    Raises:
        InvalidGeometryError: it cannot be read.
    """
    if value is None:
        return None
    if isinstance(value, BaseGeometry):
        return plain_geometries(np.array([value], dtype=object), [value])[0]
    if isinstance(value, bytes | bytearray | memoryview):
        return _parse([bytes(value)], ["BLOB"])[0]
    if hasattr(value, "__geo_interface__"):
        value = value.__geo_interface__
    if isinstance(value, dict):
        return _parse([_json(value)], ["JSON"])[0]
    if isinstance(value, str):
        return _parse([value], ["VARCHAR"])[0]
    raise _unreadable(value, type(value).__name__)


def srid_crs(srid: int) -> str | None:
    """CRS of the SRID that EWKT or EWKB carried; None for 0, which says nothing.

    Raises:
        InvalidCrsError: it is no EPSG code.
    """
    if srid <= 0:
        return None
    try:
        return normalize_crs(srid)
    except InvalidCrsError as error:
        raise InvalidCrsError(f"the geometry's SRID {srid} is no EPSG code; give geom_crs :=") from error


def _parse(values: Sequence[bytes | str | None], kinds: Sequence[str]) -> npt.NDArray[np.object_]:
    """Parse values, none of them None: sort them by form, and give each form to GEOS as one array."""
    out = np.full(len(values), None, dtype=object)
    forms: dict[str, list[int]] = {form: [] for form in READERS}
    prepared: list[Any] = list(values)
    srids = np.zeros(len(values), dtype=np.int32)
    texts = {i: value for i, value in enumerate(values) if isinstance(value, str)}
    forms["WKB"] = [i for i in range(len(values)) if i not in texts]
    for i, value in texts.items():
        shown = value.strip()
        if shown == "null" or shown.startswith(("{", "[")):
            prepared[i], srids[i] = _json_geometry(shown, kinds[i])
            if prepared[i] is not None:
                forms["GeoJSON"].append(i)
        elif _HEX.fullmatch(shown):
            prepared[i] = bytes.fromhex(shown)
            forms["WKB"].append(i)
        elif _BLOB_TEXT.match(shown):
            prepared[i] = _unescape_blob(shown, value)
            forms["WKB"].append(i)
        else:
            ewkt = _EWKT.fullmatch(shown)
            if ewkt:
                srids[i], shown = _srid(ewkt[1], value), ewkt[2].strip()
            prepared[i] = shown
            forms["WKT"].append(i)
    for form, at in forms.items():
        if not at:
            continue
        source = np.empty(len(at), dtype=object)
        source[:] = prepared if len(at) == len(values) else [prepared[i] for i in at]
        try:
            with np.errstate(invalid="ignore"):  # NaN among the coordinates, which is refused below
                read = READERS[form](source, on_invalid="ignore")
        except NotImplementedError as error:
            # shapely has no type for curves, and does not say which value holds one.
            raise _curve(READERS[form], [values[i] for i in at], source) from error
        failed = np.flatnonzero(shapely.is_missing(read))
        if len(failed):
            first = at[failed[0]]
            before = str(values[first]).find(prepared[first]) if form == "WKT" else 0  # after an SRID
            raise _unreadable(values[first], kinds[first], why_malformed(form, prepared[first], before))
        if len(at) == len(values):
            out = read
        else:
            out[at] = read
    given = np.flatnonzero(srids)
    if len(given):
        out[given] = shapely.set_srid(out[given], srids[given])
    return plain_geometries(out, values)


def plain_geometries(geometries: npt.NDArray[np.object_], values: Sequence[object]) -> npt.NDArray[np.object_]:
    """Refuse what no call can use, and bring the rest to 2-D and to types other than a collection.

    Args:
        geometries: any of shapely, shape (n,); None stays. Changed in place.
        values: what each was read from, for messages.

    Raises:
        InvalidGeometryError: one has curves, or coordinates that are NaN or infinite.
    """
    if not np.isfinite(shapely.get_coordinates(geometries)).all():
        coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
        finite = np.isfinite(coordinates).all(axis=1)
        bad = values[owner[np.argmin(finite)]]
        raise InvalidGeometryError(f"the geometry {_excerpt(bad)} has coordinates that are NaN or infinite")
    types = shapely.get_type_id(geometries)
    for i in np.flatnonzero(types > _COLLECTION).tolist():
        raise _curved(values[i])
    for i in np.flatnonzero(types == _COLLECTION).tolist():
        srid = shapely.get_srid(geometries[i])
        geometries[i] = shapely.set_srid(_of_collection(geometries[i]), srid)
    if shapely.has_z(geometries).any():
        geometries = shapely.force_2d(geometries)
    return geometries


def _of_collection(collection: BaseGeometry) -> BaseGeometry:
    """The parts of a collection that count: its polygons; without any its lines, and without those its points.

    Overlays of polygons leave points and lines where the polygons only touch: they are no part of the zone.
    """
    found: dict[int, list[BaseGeometry]] = {}
    waiting = [collection]
    while waiting:
        geometry = waiting.pop()
        if shapely.get_type_id(geometry) >= _MULTIPOINT:
            waiting.extend(reversed(list(geometry.geoms)))
        elif not geometry.is_empty:
            found.setdefault(int(shapely.get_dimensions(geometry)), []).append(geometry)
    kind = max(found, default=2)
    parts = found.get(kind, [])
    if kind < 2 and len(parts) == 1:
        return parts[0]
    return (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)[kind](np.array(parts, dtype=object))


def _curve(read: Callable[..., Any], values: Sequence[object], source: npt.NDArray[np.object_]) -> InvalidGeometryError:
    """The error for the first value that the reader has no type for."""
    for value, prepared in zip(values, source, strict=True):
        try:
            read(prepared, on_invalid="ignore")
        except NotImplementedError:
            return _curved(value)
    return _unreadable(values[0], "")


def _curved(value: object) -> InvalidGeometryError:
    return InvalidGeometryError(
        f"the geometry {_excerpt(value)} has curves, which are not read; give it as straight lines"
    )


def _json_geometry(text: str, kind: str) -> tuple[str | None, int]:
    """GeoJSON text of a geometry, out of one, a Feature, a point or a box; None where there is no geometry in it.

    Returns:
        The text for GEOS, and the SRID that an (outdated, but still written) `crs` member gives, else 0.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _unreadable(text, kind, f"JSON: {error}") from error
    if _is_nothing(value):
        return None, 0
    if not isinstance(value, dict):
        numbers = _numbers(value)
        if numbers is None or len(numbers) not in (2, 4):
            raise _unreadable(text, kind, "a list is two finite numbers, x and y, or four: xmin, ymin, xmax, ymax")
        point = {"type": "Point", "coordinates": numbers}
        return json.dumps(point if len(numbers) == 2 else _box_geojson(*numbers)), 0
    srid = 0
    crs = value.get("crs")
    if isinstance(crs, dict) and isinstance(crs.get("properties"), dict) and "name" in crs["properties"]:
        code = normalize_crs(str(crs["properties"]["name"]))
        srid = int(code[5:]) if code.startswith("EPSG:") else 0
    if value.get("type") == "FeatureCollection":
        count = len(value["features"]) if isinstance(value.get("features"), list) else 0
        raise InvalidGeometryError(
            f"a GeoJSON FeatureCollection ({count} features) is not one geometry; "
            "give each feature's geometry in its own row"
        )
    if value.get("type") == "Feature":
        geometry = value.get("geometry")
        return (None if _is_nothing(geometry) else json.dumps(geometry)), srid
    for keys in BOX_KEYS:
        if all(key in value for key in keys):
            box = _numbers([value[key] for key in keys])
            if box is None:
                raise _unreadable(text, kind, f"{', '.join(keys)} are to be four finite numbers")
            return json.dumps(_box_geojson(*box)), srid
    return text, srid


def eastward(west: float, east: float) -> float:
    """The east beyond 180 where west > east means a box across the antimeridian, as GeoJSON and GeoParquet write it."""
    return east + 360 if west > east and 0 < east + 360 - west < 180 else east


def _is_nothing(value: object) -> bool:
    """True for null, and for a STRUCT that DuckDB made of it: one whose members are all NULL."""
    return value is None or (isinstance(value, dict) and bool(value) and all(map(_is_nothing, value.values())))


def _json(value: dict[str, Any]) -> str:
    """A dict as JSON; coordinates may be arrays and numbers of numpy."""
    try:
        return json.dumps(value, default=lambda part: part.tolist())
    except (AttributeError, TypeError, ValueError) as error:
        raise _unreadable(value, "dict") from error


def _box_geojson(minx: float, miny: float, maxx: float, maxy: float) -> dict[str, Any]:
    """The polygon of a box; its corners may come in another order, but degrees across the antimeridian are such."""
    if -180 <= maxx <= minx <= 180 and -90 <= miny <= maxy <= 90:
        maxx = eastward(minx, maxx)
    ring = [[minx, miny], [maxx, miny], [maxx, maxy], [minx, maxy], [minx, miny]]
    return {"type": "Polygon", "coordinates": [ring]}


def _numbers(values: Iterable[object]) -> list[float] | None:
    """The values as floats, or None where one is not a finite number."""
    out: list[float] = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            return None
        if not np.isfinite(float(value)):
            return None
        out.append(float(value))
    return out


def _unescape_blob(shown: str, value: str) -> bytes:
    r"""Bytes of a BLOB cast to text: DuckDB writes `\x01` for bytes that are not printable ASCII."""
    try:
        raw = shown.encode("ascii")
    except UnicodeEncodeError as error:
        raise _unreadable(value, "BLOB as text") from error
    return _BLOB_BYTE.sub(lambda match: bytes([int(match[1], 16)]), raw)


def _srid(digits: str, value: str) -> int:
    if len(digits) > 9:
        raise InvalidGeometryError(f"the SRID of {_excerpt(value)} is no EPSG code")
    return int(digits)


def _excerpt(value: object) -> str:
    """The beginning of a value, for a message."""
    if isinstance(value, bytes):
        shown = value[: _EXCERPT // 2].hex()
        return f"WKB {shown}…" if len(value) > _EXCERPT // 2 else f"WKB {shown or '(empty)'}"
    shown = " ".join(str(value).split())
    return repr(shown if len(shown) <= _EXCERPT else shown[: _EXCERPT - 1] + "…")


def _unreadable(value: object, kind: str, why: str = "") -> InvalidGeometryError:
    of = f" ({kind})" if kind else ""
    because = f". {why[:_REASON]}" if why else ""
    if isinstance(value, str) and value.strip().lower().endswith(_FILES):
        because = f". rasteret_features({value.strip()!r}) reads the geometries of a file, as rows"
    return InvalidGeometryError(f"the geometry {_excerpt(value)}{of} cannot be read; give {ACCEPTED}{because}")
