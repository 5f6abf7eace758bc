"""Divides the globe into cells of a degree, in which geometries and images that may meet are found by joins.

A box has the numbers of the cells that it touches. Of two boxes that have cells in common, these are a rectangle of
cells, whose south-western one is the larger of both boxes' first columns and rows: so each pair is found there once.
Longitudes count in whole turns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.apart import image_box
from rasteret_sql.geo.crs import LONLAT, same_crs, transformer
from rasteret_sql.geo.densify import wrapped
from rasteret_sql.geo.grid import Grid

Boxes = npt.NDArray[np.float64]
"""West, south, east, north in degrees, shape (n, 4). East may lie beyond 180. NaN: nowhere. Infinite: anywhere."""
Ints = npt.NDArray[np.int64]

COLUMNS = 360
"""Cells round the globe; a cell has the number row * COLUMNS + column, its row counted from the south pole."""
OF_ALL, OF_WIDE = -1, -2
"""Cells of no place: geometries have `OF_ALL`, and wide ones `OF_WIDE`; images `OF_WIDE`, and wide ones `OF_ALL` alone.

So a wide image meets every geometry once, and a wide geometry every image.
"""
_WIDEST = 90.0
"""Degrees of longitude up to which two boxes overlap in one place at most."""
_MOST_CELLS = 1024
"""Cells of a box that is not wide, at most."""
_HIGHEST = 85.0
"""Latitude up to which boxes are compared."""
_SHIFT = 0.02
"""Degrees by which datums may differ."""
_SIZES = 2.0
"""How many times its own size a geometry is taken larger: its box in the CRS of an image may be so much larger than the
geometry, turned and stretched as it is there, and where that box meets the image, there is a row."""
_POSITIONS = np.array([(x, y) for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0)])
"""Positions in a box at which it is looked up on the globe; the fifth is its centre."""


_OFF = "(pmod(place.west - image.west + 180, 360) - 180)"
_LATER = "IF(pmod(place.col - image.col + 180, 360) >= 180, place.col, image.col)"
MEETING = (
    f"cell < 0 OR (cell = greatest(image.row, place.row) * {COLUMNS} + {_LATER} "
    "AND image.south <= place.north AND place.south <= image.north AND "
    f"IF({_OFF} >= 0, {_OFF} <= image.east - image.west + 1e-9, -{_OFF} <= place.east - place.west + 1e-9))"
)
"""SQL of Spark: the box `image` and the box `place`, which have a cell in common, meet, and this is their first one.

Cells are whole numbers, so that a pair is found in one of them whatever is rounded.
"""


def box_of_all(boxes: Boxes) -> Boxes:
    """The box that holds boxes of one place, in the turn of the first one; shape (4,)."""
    sides = boxes.copy()
    with np.errstate(invalid="ignore"):  # those that are anywhere
        sides[:, ::2] -= 360.0 * np.nan_to_num(np.round((sides[:, :1] - sides[:1, :1]) / 360.0))
    return np.concatenate([sides[:, :2].min(0), sides[:, 2:].max(0)])


def geometry_boxes(bounds: Boxes, crs: str) -> Boxes:
    """The boxes on the globe that surely hold geometries, larger by how far their windows on an image may reach.

    Args:
        bounds: Of the geometries in their CRS, shape (n, 4); NaN where there is none.
        crs: That of all.

    Raises:
        InvalidCrsError: PROJ has no way from the CRS to longitude and latitude.
    """
    size = bounds[:, 2:] - bounds[:, :2]
    if same_crs(crs, LONLAT):
        boxes = bounds.copy()
    else:
        xy = bounds[:, None, :2] + _POSITIONS * size[:, None, :]
        lon, lat = (np.asarray(side) for side in transformer(crs, LONLAT).transform(xy[..., 0], xy[..., 1]))
        with np.errstate(invalid="ignore"):
            lon = lon[:, 4:5] + wrapped(lon - lon[:, 4:5], 360.0)
        boxes = np.column_stack([lon.min(1), lat.min(1), lon.max(1), lat.max(1)])
        boxes[np.isfinite(bounds).all(1) & ~np.isfinite(boxes).all(1)] = (-np.inf, -np.inf, np.inf, np.inf)
    grown: Boxes
    with np.errstate(invalid="ignore"):
        highest = np.abs(boxes[:, 1::2]).max(1)
        degrees = _SIZES * (boxes[:, 2:] - boxes[:, :2]).max(1) + _SHIFT
        beside = degrees / np.cos(np.radians(np.minimum(highest, _HIGHEST)))
        grown = boxes + np.column_stack([-beside, -degrees, beside, degrees])
        grown[highest > _HIGHEST] = (-np.inf, -np.inf, np.inf, np.inf)
    return grown


def grid_box(crs: str, grid: Grid) -> tuple[float, float, float, float]:
    """The box on the globe that surely holds an image; infinite where that is not clear.

    Args:
        crs: Of the image.
        grid: The image.
    """
    try:
        found = image_box(LONLAT, crs, grid)
    except InvalidCrsError:
        found = None
    return (-np.inf, -np.inf, np.inf, np.inf) if found is None else found.bounds


def may_meet(boxes: Boxes, other: Boxes) -> npt.NDArray[np.bool_]:
    """True for boxes that meet another one, shape (1, 4); those that are nowhere do not."""
    with np.errstate(invalid="ignore"):  # boxes that are anywhere
        middle = (boxes[:, 0] + boxes[:, 2]) / 2 - (other[:, 0] + other[:, 2]) / 2
        reach = (boxes[:, 2] - boxes[:, 0]) / 2 + (other[:, 2] - other[:, 0]) / 2
        beside = np.abs(wrapped(middle, 360.0)) > reach
        beyond = (boxes[:, 1] > other[:, 3]) | (boxes[:, 3] < other[:, 1])
        return np.asarray(~np.isnan(boxes[:, 1]) & ~np.isnan(other[:, 1]) & ~beside & ~beyond)


def first_cells(boxes: Boxes) -> tuple[Ints, Ints]:
    """The first column, from 0 to 359, and row of each box; -1 of those that are nowhere or wide."""
    cols, rows, counts = rectangles(boxes)
    there = counts.prod(1) > 0
    return np.where(there, cols % COLUMNS, -1), np.where(there, rows, -1)


def cells(boxes: Boxes, *, images: bool) -> tuple[Ints, Ints]:
    """The cells of each box.

    Args:
        boxes: Of geometries, or of images.
        images: True where they are of images.

    Returns:
        Offsets, shape (n + 1,), and the numbers of the cells between these. None for boxes that are nowhere.
    """
    cols, rows, counts = rectangles(boxes)
    numbers = counts.prod(1)
    wide = (numbers == 0) & ~np.isnan(boxes).any(1)
    there = wide | (numbers > 0)
    # After its own cells, each has those of no place.
    extra = np.where(there, 1 + (wide & (not images)), 0)
    offsets = np.concatenate([[0], np.cumsum(numbers + extra)])
    of = np.repeat(np.arange(len(boxes)), numbers + extra)
    at = np.arange(offsets[-1]) - offsets[of]
    across = np.maximum(counts[of, 0], 1)
    found = (rows[of] + at // across) * COLUMNS + (cols[of] + at % across) % COLUMNS
    last = at - numbers[of]
    first_extra = np.where(wide, OF_ALL, OF_WIDE) if images else np.full(len(boxes), OF_ALL)
    return offsets, np.where(last < 0, found, np.where(last == 0, first_extra[of], OF_WIDE))


def rectangles(boxes: Boxes) -> tuple[Ints, Ints, Ints]:
    """First column and row of each box, and how many it has of both; 0 of those that are nowhere or wide."""
    with np.errstate(invalid="ignore"):
        fits = np.isfinite(boxes).all(1) & (boxes[:, 2] - boxes[:, 0] <= _WIDEST)
    some = np.where(fits[:, None], boxes, 0.0)
    first = np.floor(some[:, :2]).astype(np.int64)
    counts = np.floor(some[:, 2:]).astype(np.int64) - first + 1
    counts[~fits | (counts.prod(1) > _MOST_CELLS) | (counts < 1).any(1)] = 0
    return first[:, 0], first[:, 1] + 90, counts
