"""Reads what the page shows beside tiles: footprints, the picture of a scene, a series, a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidGeometryError, UnknownSceneError
from rasteret_sql.geo.geometry import parse_geometry
from rasteret_sql.geo.web_mercator import on_map
from rasteret_sql.hosts.view.map_tiles import CollectionMap
from rasteret_sql.hosts.view.small_images import Image, small_images
from rasteret_sql.hosts.view.tile_style import TileStyle
from rasteret_sql.quoting import quote_name, quote_text
from rasteret_sql.raster.render import encode, picture, valid_values
from rasteret_sql.receipt import Receipt
from rasteret_sql.selection.conditions import date_condition
from rasteret_sql.selection.map_scenes import scene_condition

FOOTPRINTS = 2_000
"""Footprints that are shown: of the newest scenes."""
SERIES = 400
"""Scenes of a series: the newest ones."""
_SIDE = 512
"""Pixels of the longer side of a picture."""
_BINS = 40
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC
Rings = list[list[list[float]]]
"""Of each part of a geometry, the coordinates of each ring."""


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """The scenes that the page shows, the newest first."""

    ids: list[str]
    times: list[datetime | None]
    """Naive UTC."""
    xs: list[Rings]
    """Of each scene, in EPSG:3857."""
    ys: list[Rings]
    shapes: list[shapely.Geometry | None]
    """In lon/lat."""
    count: int
    """Scenes that there are, also those beyond."""


@dataclass(frozen=True, slots=True, eq=False)
class ScenePicture:
    """A picture of a scene or of a zone on it, and the values in it."""

    png: bytes
    size: tuple[int, int]
    """Height and width."""
    counts: list[npt.NDArray[np.int64]]
    """Pixels in each bin, of each band."""
    edges: list[npt.NDArray[np.float64]]
    """Of these bins."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A value for each scene."""

    times: list[datetime]
    values: list[float]
    scenes: list[str]


def footprints(chart: CollectionMap, style: TileStyle) -> Footprints:
    """The footprints of the scenes of a style's time and condition.

    Raises:
        InvalidArgumentError: the condition cannot be used.
    """
    selection = chart.selection
    if style.date is not None:
        selection = selection.where(date_condition(selection.index, style.date))
    if style.where is not None:
        selection = selection.where(scene_condition(style.where, selection.reader, chart.selection))
    sql = (
        f"SELECT id, epoch_us(datetime), geometry FROM ({selection.sql(['id', 'datetime', 'geometry'])}) "  # noqa: S608 - quoted
        f"ORDER BY datetime DESC NULLS LAST, id LIMIT {FOOTPRINTS}"
    )
    table = selection.reader.batches(sql).read_all()
    ids, micros, wkbs = (column.to_pylist() for column in table.columns)
    shapes = [None if wkb is None else shapely.from_wkb(wkb, on_invalid="ignore") for wkb in wkbs]
    places = [rings_of(None if shape is None else on_map(shape)) for shape in shapes]
    return Footprints(
        ids,
        [None if at is None else _EPOCH + timedelta(microseconds=at) for at in micros],
        [xs for xs, _ in places],
        [ys for _, ys in places],
        shapes,
        selection.count() if len(ids) == FOOTPRINTS else len(ids),
    )


def rings_of(shape: shapely.Geometry | None) -> tuple[Rings, Rings]:
    """The x and y of the rings of polygons: of each part the outer one, then holes."""
    parts = [part for part in ([] if shape is None else shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    xs, ys = [], []
    for part in parts:
        rings = [shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors) if not ring.is_empty]
        xs.append([ring[:, 0].tolist() for ring in rings])
        ys.append([ring[:, 1].tolist() for ring in rings])
    return xs, ys


def parse_zone(text: str) -> shapely.Geometry | None:
    """Read what somebody wrote as a zone in lon/lat: WKT, GeoJSON, or four numbers west, south, east, north.

    Raises:
        InvalidGeometryError: it is none.
    """
    if not text.strip():
        return None
    words = text.replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    shape = shapely.box(*numbers) if len(numbers) == 4 else parse_geometry(text.strip())
    if shape is None or shape.is_empty or (len(numbers) == 4 and not shape.is_valid):
        raise InvalidGeometryError(f"{text!r} is no zone; expected WKT, GeoJSON, or west, south, east, north")
    return shape


def scene_picture(
    chart: CollectionMap, scene: str, style: TileStyle, zone: shapely.Geometry | None, receipt: Receipt
) -> ScenePicture | None:
    """Read a scene, or a zone on it; None where they do not meet.

    Raises:
        RasteretError: the scene cannot be read.
    """
    bands = style.bands(chart.bands)
    found = chart.session.reading().look_up([(scene, bands)], chart.index.name, None)[scene, bands]
    if isinstance(found, Exception):
        raise found
    images, failed = small_images(
        chart.session, {scene: found}, bands, style.options(chart.index.name), side=_SIDE, zone=zone, receipt=receipt
    )
    if failed is not None:
        raise failed
    if scene not in images:
        return None
    pixels, valid = images[scene]
    png = encode(picture(pixels, valid, chart.limits(style), style.colormap))
    counts, edges = _histograms((pixels, valid))
    return ScenePicture(png, (pixels.shape[1], pixels.shape[2]), counts, edges)


def _histograms(image: Image) -> tuple[list[npt.NDArray[np.int64]], list[npt.NDArray[np.float64]]]:
    found = [np.histogram(values[0].astype(np.float64), bins=_BINS) for values in valid_values([image])]
    return [counts for counts, _ in found], [edges for _, edges in found]


def series(chart: CollectionMap, con: duckdb.DuckDBPyConnection, style: TileStyle, zone: shapely.Geometry) -> Series:
    """The mean of a zone, or the value at a point, of each scene that meets it.

    Args:
        chart: the collection.
        con: a connection with the functions, on which nothing else runs: who interrupts it stops this.
        style: time and condition of scenes; of its bands the first one counts.
        zone: in lon/lat.

    Raises:
        duckdb.Error: it cannot be read, or was interrupted.
    """
    tests = []
    if style.date is not None:
        tests.append(date_condition(chart.index, style.date).sql("duckdb"))
    if style.where is not None:
        tests.append(scene_condition(style.where, chart.selection.reader, chart.selection).sql("duckdb"))
    asked = quote_text((style.expr or chart.bands)[0])
    named = {"mask": style.mask, "resampling": None, "on_error": "null"}
    said = "".join(f", {name} := {quote_text(value)}" for name, value in named.items() if value is not None)
    said += f", dilate := {style.dilate}" if style.dilate else ""
    said += ", scaled := true" if style.scaled else ""
    said += "" if style.nodata is None else f", nodata := {style.nodata!r}"
    shape = quote_text(zone.wkt)
    of_point = zone.geom_type == "Point"
    name, whole = chart.index.name, chart.selection.is_whole
    scenes = f"FROM rasteret.{quote_name(name)}" if whole else f"FROM ({chart.selection.shown_sql()})"
    scenes = f"{quote_text(name)} AS collection {scenes} WHERE {' AND '.join(tests) or 'true'}"
    call = (
        f"sample_points(__scenes, __zone, {asked}{said})"
        if of_point
        else f"zonal_stats_table(__scenes, __zone, {asked}, stats := ['mean']{said})"
    )
    value = "COLUMNS(* EXCLUDE (scene_id, datetime, geometry))" if of_point else "mean"
    rows: list[tuple[Any, ...]] = con.execute(
        f"WITH __scenes AS (SELECT id, datetime, {scenes} ORDER BY datetime DESC LIMIT {SERIES}), "  # noqa: S608 - quoted
        f"__zone AS (SELECT {shape} AS geometry) SELECT epoch_us(datetime), {value} AS value, scene_id FROM {call} "
        "ORDER BY datetime"
    ).fetchall()
    kept = [row for row in rows if row[0] is not None and row[1] is not None and row[1] == row[1]]
    return Series(
        [_EPOCH + timedelta(microseconds=at) for at, _, _ in kept],
        [float(value) for _, value, _ in kept],
        [str(scene) for _, _, scene in kept],
    )


def scene_at(found: Footprints, at: Sequence[float]) -> str:
    """The newest scene whose footprint holds a place in lon/lat.

    Raises:
        UnknownSceneError: there is none.
    """
    point = shapely.Point(*at)
    for scene, shape in zip(found.ids, found.shapes, strict=True):
        if shape is not None and shape.intersects(point):
            return scene
    raise UnknownSceneError("no scene of this time is there")
