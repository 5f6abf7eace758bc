"""A collection in Python: a view of an index, with pixels through the same kernels as in SQL."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.bindings.duckdb import DEFAULT_CATALOG, install_session
from rasteret_sql.errors import InvalidArgumentError, InvalidGeometryError
from rasteret_sql.geo.crs import LONLAT, normalize_crs, transform_geometries
from rasteret_sql.geo.geometry import parse_geometry
from rasteret_sql.index.export import export_collection
from rasteret_sql.index.open import CollectionIndex
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.chips import ChipJob, read_windows
from rasteret_sql.kernels.rows import Cancelled, PixelArguments
from rasteret_sql.session import Session

Areas = Any
"""bbox tuple, WKT, WKB, GeoJSON dict, shapely geometry, or a list or Arrow array of WKB, WKT, GeoJSON or shapely."""


class Collection:
    """Scenes of one index. Made by `build`, `build_from_stac` and `load`."""

    def __init__(self, index: CollectionIndex, session: Session) -> None:
        self._index = index
        self._session = session
        session.add(index)

    @property
    def name(self) -> str:
        """Name given when it was built."""
        return self._index.name

    @property
    def bands(self) -> list[str]:
        """Names of the bands, in order."""
        return list(self._index.bands)

    @property
    def path(self) -> Path:
        """Directory or file of the index."""
        return Path(self._index.path)

    def __len__(self) -> int:
        """Number of scenes."""
        return self._index.count_rows()

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {len(self)} scenes, bands {', '.join(self.bands)})"

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect()
        session = install_session(
            con, lambda publish: dataclasses.replace(self._session, publish=publish), DEFAULT_CATALOG
        )
        session.publish(self.name)
        return con

    def sql(self, query: str, params: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Run SQL in which the scenes are the table `scenes` (and `rasteret."<name>"`).

        Args:
            query: such as `SELECT id, zonal_stats(id, 'B04', $1).mean FROM scenes`.
            params: values of the query's parameters.

        Returns:
            A DuckDB relation: `.fetchall()`, `.to_arrow_table()`, `.df()`, ...
        """
        quoted = self.name.replace('"', '""')
        self._connection.execute(f'CREATE OR REPLACE TEMP VIEW scenes AS FROM {DEFAULT_CATALOG}.main."{quoted}"')
        return self._connection.sql(query, params=params) if params is not None else self._connection.sql(query)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the collection as portable, partitioned GeoParquet with everything it knows."""
        export_collection(self._index, os.fspath(path))

    def get_numpy(
        self,
        geometries: Areas,
        bands: Sequence[str],
        *,
        geometry_crs: str | int | dict[str, Any] | None = None,
        all_touched: bool = False,
        backend: StorageBackend | None = None,
    ) -> np.ndarray:
        """Pixels of areas, on the native grid of each scene.

        Args:
            geometries: (minx, miny, maxx, maxy), or polygons in any common form.
            bands: names.
            geometry_crs: CRS of the areas; EPSG:4326 by default.
            all_touched: True: pixels that an area touches; False: pixels whose centre it holds.
            backend: how pixels are read, in place of the collection's.

        Returns:
            (N, height, width) for one band, (N, bands, height, width) for several. N counts pairs of a scene and an
            area that meet, scene by scene in the order of the index. Outside an area: the file's nodata, else 0.

        Raises:
            ValueError: unknown band, unusable area, no scene meets an area, or the samples differ in shape.
        """
        areas = _areas(geometries)
        names = [bands] if isinstance(bands, str) else list(bands)
        if not names:
            raise InvalidArgumentError(f"bands is empty; expected names out of {', '.join(self.bands)}")
        for band in names:
            self._index.require_band(band)
        crs = normalize_crs(geometry_crs) if geometry_crs is not None else LONLAT
        lonlat = areas if crs == LONLAT else transform_geometries(areas, crs, LONLAT)
        near = self._session.lookup.scenes_near(self._index, shapely.total_bounds(lonlat))
        args = _pairs(near, areas, names, {"geom_crs": crs, "all_touched": all_touched, "collection": self.name})
        session = self._session if backend is None else dataclasses.replace(self._session, backend=backend)

        def read(cancelled: Cancelled) -> list[ChipJob | None]:
            return read_windows(args, session, session.engine, cancelled)[0]

        jobs = [job for job in session.engine.call(read) if job is not None] if len(args) else []
        if not jobs:
            raise InvalidArgumentError(
                f'no valid data found: no scene of "{self.name}" meets the areas (bounds {_rounded(areas)} in {crs})'
            )
        shapes = {job.pixels().shape for job in jobs}
        if len(shapes) > 1:
            sizes = ", ".join(f"{h} × {w}" for _, h, w in sorted(shapes))
            raise InvalidArgumentError(
                f"ragged shapes: the samples have different sizes ({sizes}), so they are no one array; read areas or "
                "scenes of one grid at a time"
            )
        pixels = np.stack([job.pixels() for job in jobs])
        return pixels[:, 0] if len(names) == 1 else pixels


def _areas(geometries: Areas) -> np.ndarray:
    """Shapely polygons of any form in which areas come."""
    if isinstance(geometries, tuple):
        return np.array([_box(geometries)], dtype=object)
    if isinstance(geometries, (pa.Array, pa.ChunkedArray)):
        geometries = geometries.to_pylist()
    one = isinstance(geometries, (str, bytes, dict, shapely.Geometry))
    values = [geometries] if one else geometries
    if not isinstance(values, Iterable):
        raise InvalidGeometryError(
            f"areas cannot be made of {type(geometries).__name__}; expected a bbox tuple, WKT, WKB, GeoJSON or shapely"
        )
    parsed = [_area(value) for value in values]
    if not parsed:
        raise InvalidGeometryError("no area is given: the list is empty")
    return np.array(parsed, dtype=object)


def _box(corners: tuple[Any, ...]) -> shapely.Polygon:
    numbers = [float(corner) for corner in corners if isinstance(corner, (int, float, np.number))]
    if len(corners) != 4 or len(numbers) != 4 or not np.isfinite(numbers).all():
        raise InvalidArgumentError(f"the bbox {corners!r} is not four finite numbers (minx, miny, maxx, maxy)")
    if numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise InvalidArgumentError(f"the bbox {corners!r} is empty: expected minx < maxx and miny < maxy")
    return shapely.box(*numbers)


def _area(value: Any) -> shapely.Geometry:
    if isinstance(value, (int, float)):
        raise InvalidGeometryError(f"an area cannot be made of {value!r}; a bbox is a tuple (minx, miny, maxx, maxy)")
    geometry = parse_geometry(value)
    if geometry is None or geometry.is_empty or geometry.geom_type not in ("Polygon", "MultiPolygon"):
        kind = "nothing" if geometry is None else f"{'an empty' if geometry.is_empty else 'a'} {geometry.geom_type}"
        raise InvalidGeometryError(f"areas are polygons and multipolygons, not {kind}")
    return geometry


def _pairs(ids: Sequence[str], areas: np.ndarray, bands: Sequence[str], options: dict[str, Any]) -> PixelArguments:
    """Every scene with every area, scene by scene."""
    wkbs = list(shapely.to_wkb(areas))
    count = len(ids) * len(wkbs)
    return PixelArguments(
        scene_ids=[scene_id for scene_id in ids for _ in wkbs],
        bands=[json.dumps(list(bands))] * count,
        geom_kinds=["BLOB"] * count,
        geom_wkbs=wkbs * len(ids),
        geom_texts=[None] * count,
        options=[json.dumps(options)] * count,
    )


def _rounded(areas: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in shapely.total_bounds(areas))
