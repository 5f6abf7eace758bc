"""Makes a GeoDataFrame of areas and their pixels, a row for each scene, area and band."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import same_crs, transformer
from rasteret_sql.hosts.extras import require_extra
from rasteret_sql.lazy import lazy_module
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.conditions import CLOUD_COVER
from rasteret_sql.selection.pixels import Samples

if TYPE_CHECKING:
    import affine
else:
    affine = lazy_module("affine")

COLUMNS = (
    *("record_id", "datetime", "cloud_cover", "collection", "geometry_id", "geometry", "band", "data", "transform"),
    "data_crs",
)
"""Those of a frame, before the other columns of the areas."""
OF_SCENES = ("id", "datetime", CLOUD_COVER, "collection")
"""Columns of scenes that a frame has, where these have them."""


def require_geopandas(function: str, instead: str) -> None:
    """Raise if geopandas is not installed, before anything is read.

    Args:
        function: what needs it.
        instead: what works without it.

    Raises:
        ImportError: says how to install it.
    """
    require_extra(function, "geopandas", {"geopandas": "geopandas", "affine": "geopandas"}, instead)


def check_columns(areas: Areas) -> None:
    """Raise if areas have a column of a name that the frame has.

    Raises:
        InvalidArgumentError: names it.
    """
    names = () if areas.columns is None else getattr(areas.columns, "column_names", areas.columns.columns)
    taken = [name for name in names if name in COLUMNS]
    if taken:
        raise InvalidArgumentError(
            f'the areas have a column "{taken[0]}", and so has the frame of their pixels ({", ".join(COLUMNS)}); '
            "rename it, or leave it out"
        )


def frame_of(samples: Samples, scenes: pa.Table, areas: Areas, bands: Sequence[str], *, source: str, crs: str) -> Any:
    """The geopandas.GeoDataFrame of samples that were read band by band.

    Args:
        samples: at least one.
        scenes: `OF_SCENES` of them.
        areas: what was read.
        bands: names, in the order of the call.
        source: what a scene without a collection is of.
        crs: of the geometries.
    """
    at = {scene: number for number, scene in enumerate(scenes["id"].to_pylist())}
    places = sorted(
        zip(samples.places, samples.jobs, strict=True), key=lambda one: (at[one[0].scene_id], one[0].area, one[0].bands)
    )
    rows = [at[place.scene_id] for place, _ in places]
    numbers = np.array([place.area for place, _ in places])
    data = np.empty(len(places), object)
    data[:] = [job.pixels()[0] for _, job in places]
    frame = import_module("geopandas").GeoDataFrame(
        {
            "record_id": [place.scene_id for place, _ in places],
            "datetime": scenes["datetime"].to_numpy()[rows],
            "cloud_cover": _of_scenes(scenes, CLOUD_COVER, rows, np.nan),
            "collection": _of_scenes(scenes, "collection", rows, source),
            "geometry_id": numbers + 1,
            "geometry": _moved(areas, crs)[numbers],
            "band": [bands[place.bands[0]] for place, _ in places],
            "data": data,
            "transform": [None if place.transform is None else affine.Affine(*place.transform) for place, _ in places],
            "data_crs": [place.crs for place, _ in places],
        },
        geometry="geometry",
        crs=crs,
    )
    if areas.columns is None:
        return frame
    others = areas.columns.to_pandas() if isinstance(areas.columns, pa.Table) else areas.columns
    for name in others.columns:
        frame[name] = others[name].array.take(numbers)
    return frame


def _of_scenes(scenes: pa.Table, name: str, rows: Sequence[int], missing: Any) -> list[Any]:
    """Values of a column of scenes, which they may not have."""
    if name not in scenes.column_names:
        return [missing] * len(rows)
    values = [missing if value is None else value for value in scenes[name].to_pylist()]
    return [values[row] for row in rows]


def _moved(areas: Areas, crs: str) -> np.ndarray:
    """The areas in a CRS, shape (n,)."""
    if same_crs(areas.crs, crs):
        return areas.geometries
    move = transformer(areas.crs, crs)
    return np.asarray(
        shapely.transform(areas.geometries, lambda xy: np.column_stack(move.transform(xy[:, 0], xy[:, 1])))
    )
