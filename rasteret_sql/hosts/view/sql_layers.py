"""Runs a statement of the page: its rows as texts, its chips as pictures on the map, its geometries as shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from rasteret_sql.errors import RasteretError
from rasteret_sql.functions.calls.pixel_request import geometries_with_crs
from rasteret_sql.functions.registry import geometry_sql
from rasteret_sql.geo.geometry import GEOMETRY_COLUMNS
from rasteret_sql.geo.placement import on_lonlat_in_one_run
from rasteret_sql.geo.web_mercator import WEB_MERCATOR, on_map
from rasteret_sql.hosts.notebook import chip_column, chip_lists, is_chip_list, kind_name, shown_sql, text_of
from rasteret_sql.hosts.quack_guard import Guard
from rasteret_sql.hosts.view.map_reads import Rings, rings_of
from rasteret_sql.raster.render import picture, rgba, valid_values
from rasteret_sql.raster.stretch import DEFAULT_STRETCH
from rasteret_sql.reading.chip_column import Chip
from rasteret_sql.reading.chip_warp import on_grid
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.result_types import is_chip_type

ROWS = 200
"""Rows of a statement that are computed."""
_PICTURES = 64
"""Chips that are put on the map."""
_SIDE = 1_024
"""Pixels of the longer side of one."""


@dataclass(frozen=True, slots=True, eq=False)
class MapImage:
    """A picture on the map."""

    pixels: npt.NDArray[np.uint32]
    """RGBA in one number each, the southern row first."""
    bounds: tuple[float, float, float, float]
    """In EPSG:3857."""


@dataclass(slots=True, eq=False)
class Layers:
    """The result of a statement."""

    names: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    more: bool = False
    """True where there are more rows than were computed."""
    images: list[MapImage] = field(default_factory=list)
    xs: list[Rings] = field(default_factory=list)
    """Of each shape with an inside, in EPSG:3857."""
    ys: list[Rings] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Why something is not on the map."""

    @property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """Of all that is on the map, in EPSG:3857."""
        boxes = [image.bounds for image in self.images] + [(x, y, x, y) for x, y in self.points]
        for xs, ys in zip(self.xs, self.ys, strict=True):
            flat_x, flat_y = ([value for part in one for ring in part for value in ring] for one in (xs, ys))
            boxes.append((min(flat_x), min(flat_y), max(flat_x), max(flat_y)))
        if not boxes:
            return None
        west, south, east, north = zip(*boxes, strict=True)
        return min(west), min(south), max(east), max(north)


def run_statement(con: duckdb.DuckDBPyConnection, text: str, guard: Guard, most_bytes: int) -> Layers:
    """Run statements; of the last one the first rows.

    Args:
        con: a connection with the functions: who interrupts it stops this.
        text: SQL.
        guard: says what may run.
        most_bytes: that a chip on the map may have.

    Raises:
        duckdb.Error: it fails, is refused, or was interrupted.
    """
    relation = con.sql(guard.answer("page", text))
    if relation is None:
        return Layers(notes=["done"])
    names, kinds = list(relation.columns), [str(kind) for kind in relation.types]
    wanted = [f"{shown_sql(at, kind)} AS c{at}" for at, kind in enumerate(kinds, 1)]
    places = [at for at, (name, kind) in enumerate(zip(names, kinds, strict=True), 1) if _has_shapes(name, kind)]
    wanted += [f"{geometry_sql(f'#{at}')} AS g{at}" for at in places]
    table = relation.limit(ROWS + 1).project(", ".join(wanted)).to_arrow_table()
    found = Layers(names, [kind_name(kind) for kind in kinds], more=table.num_rows > ROWS)
    table = table.slice(0, ROWS)
    columns: list[list[str]] = []
    for at, kind in enumerate(kinds, 1):
        column = table[f"c{at}"]
        if is_chip_type(kind):
            chips = chip_column(column)
            columns.append([text_of(chip) or "" for chip in chips])
            _add_chips(found, [chip for chip in chips if chip is not None], most_bytes)
        elif is_chip_list(kind):
            lists = chip_lists(column)
            columns.append([text_of(some) or "" for some in lists])
            flat = [chip for some in lists for chip in some or [] if chip is not None]
            _add_chips(found, flat, most_bytes)
        else:
            columns.append(["" if value is None else str(value) for value in column.to_pylist()])
    found.rows = [list(row) for row in zip(*columns, strict=True)]
    for at in places:
        _add_shapes(found, table[f"g{at}"])
    return found


def _has_shapes(name: str, kind: str) -> bool:
    if kind.startswith("GEOMETRY") and not kind.endswith("]"):
        return True
    return name.lower() in GEOMETRY_COLUMNS and kind in ("VARCHAR", "BLOB")


def _add_chips(found: Layers, chips: Sequence[Chip], most_bytes: int) -> None:
    """Put chips on the map, all stretched alike."""
    if len(chips) > _PICTURES:
        found.notes.append(f"{_PICTURES} of {len(chips)} chips are on the map")
    placed: list[Chip] = []
    for chip in chips[:_PICTURES]:
        if len(chip.bands) not in (1, 3):
            bands = [0, 1, 2] if len(chip.bands) > 3 else [0]
            chip = Chip(  # noqa: PLW2901
                chip.data[bands],
                None if chip.valid is None else chip.valid[bands],
                tuple(chip.bands[at] for at in bands),
                chip.transform,
                chip.crs,
                chip.nodata,
            )
        try:
            on = on_grid(chip, _options(chip), most_bytes)
        except RasteretError as error:
            found.notes.append(f"a chip is not on the map: {error}")
            continue
        if on is not None:
            placed.append(on)
    for count in sorted({len(chip.bands) for chip in placed}):
        some = [chip for chip in placed if len(chip.bands) == count]
        limits = DEFAULT_STRETCH.of_bands(valid_values([(chip.data, chip.valid) for chip in some]))
        for chip in some:
            assert chip.transform is not None  # of a grid
            image = np.ascontiguousarray(rgba(picture(chip.data, chip.valid, limits))[::-1])
            west, north = chip.transform.c, chip.transform.f
            east, south = chip.transform.apply(image.shape[1], image.shape[0])
            found.images.append(MapImage(image.view(np.uint32)[..., 0], (west, south, east, north)))


def _options(chip: Chip) -> PixelOptions:
    height, width = chip.data.shape[1:]
    factor = min(1.0, _SIDE / max(height, width, 1))
    return PixelOptions(crs=WEB_MERCATOR, shape=(max(1, round(height * factor)), max(1, round(width * factor))))


def _add_shapes(found: Layers, column: pa.ChunkedArray) -> None:
    """Put geometries on the map."""
    array = column.combine_chunks()
    some = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    try:
        shapes, crs = geometries_with_crs(some, None)
        on = [
            None if shape is None or shape.is_empty else on_map(on_lonlat_in_one_run(shape, given))
            for shape, given in zip(shapes.tolist(), crs, strict=True)
        ]
    except RasteretError as error:
        found.notes.append(f"geometries are not on the map: {error}")
        return
    for shape in on:
        for part in [] if shape is None else shapely.get_parts(shape):
            if part.geom_type == "Polygon":
                xs, ys = rings_of(part)
            elif part.geom_type == "Point":
                found.points.append((part.x, part.y))
                continue
            else:
                xs, ys = rings_of(part.buffer(0.0))
            if xs:
                found.xs.append(xs)
                found.ys.append(ys)
