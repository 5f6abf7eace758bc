"""`MapScenes`: finds the scenes near the tiles of a map, the newest first; of a part of the map they are read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlglot import exp

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.lonlat_boxes import longitude_limits
from rasteret_sql.geo.web_mercator import MapTile
from rasteret_sql.index.read.box_conditions import near_box
from rasteret_sql.index.read.scenes_in_area import MARGIN
from rasteret_sql.scenes.dates import DateRange
from rasteret_sql.selection.conditions import sql_condition
from rasteret_sql.selection.private_reader import Reader
from rasteret_sql.selection.selection import Selection

_CELL_ZOOM = 6
"""Scenes are read for the tiles of this zoom, some five degrees wide, and for tiles of smaller ones as they are."""
_CELLS = 64
"""Parts of the map whose scenes are kept."""
_MOST = 50_000
"""Scenes of a part of the map, at most: the newest ones."""
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_NOT_OF_A_SCENE = (exp.Query, exp.Subquery, exp.Exists, exp.Window, exp.AggFunc, exp.Star, exp.Parameter)
_ZONE = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """The scenes of a part of the map, the newest first."""

    ids: list[str]
    times: npt.NDArray[np.int64]
    """Microseconds since 1970, UTC; the least number where a scene has no time."""
    boxes: npt.NDArray[np.float64]
    """West, south, east and north in lon/lat, shape (n, 4)."""

    def near(self, tile: MapTile) -> npt.NDArray[np.bool_]:
        """True for scenes whose box may meet a tile."""
        west, south, east, north = tile.lonlat
        left, bottom, right, top = self.boxes.T
        across = left > right
        for last, first in longitude_limits(west - MARGIN, east + MARGIN):
            across |= (left <= last) & (right >= first)
        met: npt.NDArray[np.bool_] = across & (bottom <= north + MARGIN) & (top >= south - MARGIN)
        return met


class MapScenes:
    """Finds scenes of an index, by place, time and a condition.

    Args:
        selection: the scenes.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self._cells: OrderedDict[tuple[MapTile, str | None], _Cell] = OrderedDict()
        self._lock = threading.Lock()

    def near(self, tile: MapTile, dates: DateRange | None = None, where: str | None = None) -> list[str]:
        """The ids of the scenes that may meet a tile, the newest first, then by id.

        Args:
            tile: of the map.
            dates: scenes of another time are left out, and so are those without a time.
            where: condition in SQL over columns of scenes.

        Raises:
            InvalidArgumentError: the condition is none of a scene.
        """
        cell = self._cell(tile.parent(min(tile.z, _CELL_ZOOM)), where)
        found = cell.near(tile)
        if dates is not None:
            for at, is_start in ((dates.start, True), (dates.end, False)):
                if at is not None:
                    micros = int(np.datetime64(at, "us").astype(np.int64))
                    found &= (cell.times >= micros) if is_start else (cell.times <= micros)
            found &= cell.times > np.iinfo(np.int64).min
        return [cell.ids[number] for number in np.flatnonzero(found).tolist()]

    def _cell(self, tile: MapTile, where: str | None) -> _Cell:
        key = tile, where
        with self._lock:
            cell = self._cells.get(key)
            if cell is not None:
                self._cells.move_to_end(key)
                return cell
        cell = self._read(tile, where)
        with self._lock:
            self._cells[key] = cell
            while len(self._cells) > _CELLS:
                self._cells.popitem(last=False)
        return cell

    def _read(self, tile: MapTile, where: str | None) -> _Cell:
        west, south, east, north = tile.lonlat
        near = near_box((west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN))
        selection = self.selection.where(near)
        if where is not None:
            selection = selection.where(scene_condition(where, selection.reader, self.selection))
        sql = (
            f"SELECT id, epoch_us(datetime) AS at, {', '.join(f'bbox.{side} AS {side}' for side in _SIDES)} "  # noqa: S608 - quoted
            f"FROM ({selection.sql(['id', 'datetime', 'bbox'])}) ORDER BY datetime DESC NULLS LAST, id LIMIT {_MOST}"
        )
        rows: pa.Table = selection.reader.batches(sql).read_all()
        boxes = np.column_stack([rows[side].to_numpy().astype(np.float64) for side in _SIDES])
        times = rows["at"].fill_null(np.iinfo(np.int64).min).to_numpy().astype(np.int64)
        return _Cell(rows["id"].to_pylist(), times, boxes)


def scene_condition(text: str, reader: Reader, scenes: Selection) -> exp.Expression:
    """Read a condition on scenes that somebody else wrote: it is computed for each scene, and reads nothing else.

    Args:
        text: SQL.
        reader: plans it.
        scenes: whose columns it may name.

    Raises:
        InvalidArgumentError: it is none.
    """
    condition = sql_condition(text)
    if any(isinstance(part, _NOT_OF_A_SCENE) for part in condition.walk()):
        raise InvalidArgumentError(
            f"the condition {text!r} has a subquery, an aggregate or a window; it is asked of each scene: expected "
            'such as "eo:cloud_cover" < 20'
        )
    reader.check(Selection(scenes.index, reader, (condition,)).sql(["id"]))
    return condition
