"""Reads points of a call in every form that Python has: geometries, pairs of numbers, tables with x and y."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, did_you_mean
from rasteret_sql.geo.crs import LONLAT, crs_or_code
from rasteret_sql.geo.geoarrow import is_geoarrow
from rasteret_sql.selection.areas import AUTO, Crs, Kinds, as_table, read_areas

_PAIRS = (("x", "y"), ("lon", "lat"), ("longitude", "latitude"), ("lng", "lat"))
"""Columns of coordinates that are found by their names; all but the first are degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points of a call."""

    xy: npt.NDArray[np.float64]
    """Shape (n, 2); NaN where a row has none."""
    crs: str
    columns: pa.Table | None = None
    """Of a table of points, its columns but the geometry; None where there is no table."""

    def geometries(self) -> npt.NDArray[np.object_]:
        """Those that are not missing, as points."""
        return np.asarray(shapely.points(self.xy[np.isfinite(self.xy).all(axis=1)]), object)


def read_points(
    value: Any,
    geometry_crs: Crs = AUTO,
    geometry_column: str | None = None,
    x_column: str | None = None,
    y_column: str | None = None,
) -> Points:
    """Read points in whatever form they come.

    Args:
        value: a point, several of them, (x, y), pairs of numbers, an array of shape (n, 2), or a table with a geometry
            column or columns of x and y.
        geometry_crs: as `read_areas` takes it; a table with x and y has to have one.
        geometry_column: which column of a table.
        x_column: which column of a table; by default x, lon, longitude or lng, if it has one pair of these.
        y_column: likewise.

    Raises:
        InvalidGeometryError: a geometry cannot be read, or is no point.
        InvalidArgumentError: a table does not say which columns or CRS are meant.
        TypeError: there are no points in it.
    """
    asked = None if geometry_crs is None or geometry_crs == AUTO else crs_or_code(geometry_crs)
    table = as_table(value)
    named = x_column is not None or y_column is not None
    if named and table is None:
        raise ArgumentTypeError(
            f"x_column and y_column name columns of a table of points, and the points are {type(value).__name__}"
        )
    if named and (x_column is None or y_column is None or geometry_column is not None):
        raise InvalidArgumentError("x_column and y_column go together, and without geometry_column")
    if table is not None and (named or (geometry_column is None and not any(map(is_geoarrow, table.schema)))):
        pair = (str(x_column), str(y_column)) if named else _pair(table.schema.names)
        if pair is not None:
            return _of_columns(table, pair, asked)
    pairs = _pairs(value)
    if pairs is not None:
        return Points(pairs, asked or LONLAT)
    areas = read_areas(value, geometry_crs, geometry_column, kinds=Kinds.POINTS)
    xy = np.full((len(areas.geometries), 2), np.nan)
    there = ~shapely.is_missing(areas.geometries) & ~shapely.is_empty(areas.geometries)
    xy[there] = shapely.get_coordinates(areas.geometries[there])
    columns = areas.columns
    if columns is not None and not isinstance(columns, pa.Table):
        columns = pa.Table.from_pandas(columns, preserve_index=False)
    return Points(xy, areas.crs, columns)


def _pair(names: Sequence[str]) -> tuple[str, str] | None:
    """The columns of coordinates of a table that does not say which."""
    lower = {name.lower(): name for name in names}
    found = [(lower[x], lower[y]) for x, y in _PAIRS if x in lower and y in lower]
    if len(found) > 1:
        said = " and ".join(f"{x}, {y}" for x, y in found)
        raise InvalidArgumentError(
            f"the table of points has several pairs of columns ({said}); name one with x_column= and y_column="
        )
    return found[0] if found else None


def _of_columns(table: pa.Table, pair: tuple[str, str], asked: str | None) -> Points:
    for name, argument in zip(pair, ("x_column", "y_column"), strict=True):
        if name not in table.column_names:
            raise InvalidArgumentError(
                f"the table of points has no column {name!r} ({argument}); {did_you_mean(name, table.column_names)}"
            )
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise InvalidArgumentError(f"the column {name!r} of the points has numbers, not {kind}")
    if asked is None and tuple(map(str.lower, pair)) not in _PAIRS[1:]:
        raise InvalidArgumentError(
            f"the table of points does not say the CRS of its columns {pair[0]} and {pair[1]}; give geometry_crs="
        )
    sides = [table[name].cast(pa.float64(), safe=False).to_numpy() for name in pair]
    return Points(np.column_stack(sides).astype(np.float64), asked or LONLAT, table)


def _pairs(value: Any) -> npt.NDArray[np.float64] | None:
    """The coordinates of (x, y), of several of them, or of an array; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "uif":
        array = value
    elif isinstance(value, tuple | list) and value and all(isinstance(one, int | float | np.number) for one in value):
        array = np.array([value], np.float64)
    elif isinstance(value, tuple | list) and value and all(isinstance(one, tuple | list) for one in value):
        numbers = [one for pair in value for one in pair]
        if not all(isinstance(one, int | float | np.number) for one in numbers) or {len(one) for one in value} != {2}:
            raise InvalidArgumentError("points as pairs of numbers are (x, y) each, two numbers in all of them")
        array = np.array(value, np.float64)
    else:
        return None
    if array.ndim != 2 or array.shape[1] != 2:
        raise InvalidArgumentError(f"points as numbers are pairs (x, y); expected shape (n, 2), not {array.shape}")
    return np.asarray(array, np.float64)
