"""`PointReads`: reads values at points on the scenes of a collection, as an Arrow table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import epsg_number
from rasteret_sql.hosts.area_samples import Bands
from rasteret_sql.hosts.asked_reads import AskedReads
from rasteret_sql.hosts.awaited import awaited
from rasteret_sql.hosts.read_arguments import PointArguments, takes
from rasteret_sql.reading.options import require_one_of
from rasteret_sql.selection.areas import AUTO, Areas
from rasteret_sql.selection.point_samples import PointGroup, PointRules
from rasteret_sql.selection.points import Points, read_points

TABLE = pa.schema(
    [
        pa.field("point_index", pa.int64(), nullable=False),
        pa.field("point_x", pa.float64()),
        pa.field("point_y", pa.float64()),
        pa.field("point_crs", pa.int32()),
        pa.field("record_id", pa.string()),
        pa.field("datetime", pa.timestamp("us")),
        pa.field("collection", pa.string()),
        pa.field("band", pa.string()),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("raster_crs", pa.int32()),
    ]
)
"""The columns of a table of values, before the neighbourhoods and the columns of the points."""
_SQUARES = pa.field("neighbourhood_values", pa.list_(pa.float64()))
_RESAMPLINGS = ("nearest", "bilinear", "cubic")


class PointReads(AskedReads):
    """Has the methods of a collection that read points."""

    @takes(PointArguments)
    def sample_points(
        self,
        points: Any,
        bands: Bands,
        *,
        x_column: str | None = None,
        y_column: str | None = None,
        match: str = "all",
        max_distance_pixels: int = 0,
        return_neighbourhood: str = "off",
        resampling: str = "nearest",
        **named: Unpack[PointArguments],
    ) -> pa.Table:
        """Values at points, a row for each point, scene and band of which the image has the point.

        Args:
            points: points in any common form, (x, y), pairs of numbers, an array (n, 2), or a table with a geometry
                column or columns of x and y.
            bands: names, or expressions over bands; a dict names them.
            **named: as `PointArguments` has them.
            x_column: which column of a table; by default x, lon, longitude or lng. Those of degrees need no
                geometry_crs.
            y_column: likewise; by default y, lat or latitude.
            match: 'all': all scenes; 'latest': for each point and band the newest scene whose image has the point;
                'latest_valid': the newest with a valid value there.
            max_distance_pixels: rings of pixels around the point's own, 0 to 256, that are searched for a valid one
                where that is not valid: the first ring that has one, in it the pixel that is nearest to the point.
            return_neighbourhood: 'always': also the pixels around each point, so many rings; 'if_center_nodata': of
                points whose own pixel is not valid; 'off'.
            resampling: 'nearest': the value of the pixel that holds the point; 'bilinear' or 'cubic': between pixels.

        Returns:
            `point_index`, from 0; `point_x` and `point_y` in the CRS of the points, `point_crs`, its number in EPSG;
            `record_id`; `datetime`, naive UTC; `collection`, that of the item; `band`; `value`; `raster_crs`, likewise.
            A pixel that is not valid gives the value that is stored, as nodata; NaN where the value is computed or the
            pixel masked. With `return_neighbourhood` also `neighbourhood_values`, row by row, NaN outside of the
            image. Then the columns of a table of points. Rows are in the order of scenes (the newest first, unless
            match is 'all'), bands, points. A point outside of all images has no row.

        Raises:
            ValueError: unknown band, unusable points or arguments, or no scene could be read.
            MemoryLimitError: before any request, when the table would exceed `max_call_bytes`.
            RasteretError: with `on_error='raise'`, why a scene could not be read.
            ByteLimitError: the call would fetch more than `max_bytes`.
        """
        rules = PointRules(match, max_distance_pixels, return_neighbourhood)
        require_one_of("resampling", resampling, _RESAMPLINGS)
        given = read_points(points, named.get("geometry_crs", AUTO), named.get("geometry_column"), x_column, y_column)
        _check_columns(given)
        areas = Areas(given.geometries(), given.crs)
        more = {} if resampling == "nearest" else {"interpolation": resampling}
        asked = self._asked("sample_points", areas, bands, PointArguments, named, **more)
        columns = [name for name in ("id", "datetime", "collection") if name in self._index.scene_columns]
        groups, scenes = asked.sample(given, rules, columns)
        self._follow_refreshed(asked.options.on_change)
        squares = rules.neighbourhood != "off"
        return _table(groups, scenes, given, asked.names, source=self.data_source, squares=squares)

    sample_points_async = awaited(sample_points)


def _check_columns(points: Points) -> None:
    """Raise if points have a column of a name that the table has."""
    known = (*TABLE.names, _SQUARES.name)
    taken = [] if points.columns is None else [name for name in points.columns.column_names if name in known]
    if taken:
        raise InvalidArgumentError(
            f'the points have a column "{taken[0]}", and so has the table of their values ({", ".join(known)}); '
            "rename it, or leave it out"
        )


def _table(
    groups: Sequence[PointGroup], scenes: pa.Table, points: Points, bands: Sequence[str], *, source: str, squares: bool
) -> pa.Table:
    """The table of values.

    Args:
        groups: of bands of scenes, in order.
        scenes: id, datetime and, where they have one, the collection.
        points: as they were given.
        bands: names.
        source: what a scene without a collection is of.
        squares: True: with neighbourhoods.
    """
    at = {scene: number for number, scene in enumerate(scenes["id"].to_pylist())}
    counts = [len(group.numbers) for group in groups]
    index = np.concatenate([np.empty(0, np.int64), *(group.numbers for group in groups)])

    def repeated(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """A value of each group, for its rows."""
        return pa.array(values, kind).take(pa.array(np.repeat(np.arange(len(counts)), counts)))

    rows = [at[group.part.scene_id] for group in groups]
    names = [None] * len(scenes) if "collection" not in scenes.column_names else scenes["collection"].to_pylist()
    xy = points.xy[index]
    columns = {
        "point_index": pa.array(index),
        "point_x": pa.array(xy[:, 0]),
        "point_y": pa.array(xy[:, 1]),
        "point_crs": pa.repeat(pa.scalar(epsg_number(points.crs), pa.int32()), len(index)),
        "record_id": repeated([group.part.scene_id for group in groups], pa.string()),
        "datetime": repeated([scenes["datetime"][row].as_py() for row in rows], pa.timestamp("us")),
        "collection": repeated([source if names[row] is None else names[row] for row in rows], pa.string()),
        "band": repeated([bands[group.part.bands[0]] for group in groups], pa.string()),
        "value": pa.array(np.concatenate([np.empty(0), *(group.values for group in groups)])),
        "raster_crs": repeated([epsg_number(group.crs) for group in groups], pa.int32()),
    }
    fields = list(TABLE)
    if squares:
        fields.append(_SQUARES)
        columns[_SQUARES.name] = pa.chunked_array([_lists(group) for group in groups], _SQUARES.type)
    table = pa.table(columns, schema=pa.schema(fields))
    if points.columns is None:
        return table
    for name, column in zip(points.columns.schema, points.columns.columns, strict=True):
        table = table.append_column(name, column.take(pa.array(index)))
    return table


def _lists(group: PointGroup) -> pa.Array:
    """The neighbourhood of each point, null where it is not wanted."""
    assert group.squares is not None and group.has_square is not None  # noqa: PT018
    wanted = group.squares[group.has_square]
    ends = np.concatenate([[0], np.cumsum(group.has_square)]) * group.squares.shape[1]
    starts = pa.array(ends.astype(np.int32), mask=np.append(~group.has_square, False))
    return pa.ListArray.from_arrays(starts, pa.array(wanted.ravel()))
