"""Tells which rows of a call may meet their image, from arrays: a cross join has many that do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from rasteret_sql.errors import RasteretError
from rasteret_sql.functions.calls.pixel_request import band_request, one_crs, parsed_rows, row_options
from rasteret_sql.geo.apart import Apart, ImageBox, image_box
from rasteret_sql.geo.grid import Grid
from rasteret_sql.geo.wkb_boxes import POINT, UNKNOWN, geometry_boxes, wkb_boxes
from rasteret_sql.reading.context import FailedRow, Found, ReadContext, SceneBands
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.points_together import PointsOfBand, can_take_together
from rasteret_sql.reading.request import RowRead
from rasteret_sql.reading.window_plan import plan_window

FEWEST = 32
"""Rows for which it pays."""
_SWAPPED = 64
"""Rows that miss, and would not with x and y swapped: so many are read all the same, which warns of it."""
Ints = npt.NDArray[np.int64]


class Columns(NamedTuple):
    """The columns that place a call's rows."""

    ids: pa.Array
    bands: pa.Array
    """JSON."""
    geometries: pa.StructArray
    """STRUCT(kind, wkb, text), as the macro `__geometry` makes it."""
    named: pa.Array
    """JSON objects of the named arguments."""

    def take(self, rows: pa.Array) -> Columns:
        """Some of the rows."""
        return Columns(*(column.take(rows) for column in self))


class Meeting(NamedTuple):
    """The rows that are to be read."""

    rows: Ints
    shapes: list[Any] | None
    """What was parsed of the geometries of all rows to find these, as `parsed_rows` gives it."""
    points: list[PointsOfBand]
    """Those among the rows that can be read together, where the call is of points."""


class _Asked(NamedTuple):
    """The common arguments of some rows."""

    scene: SceneBands
    options: PixelOptions
    crs: str


def meeting_rows(
    function: str,
    columns: Columns,
    types: Collection[int] | None,
    context: ReadContext,
    defaults: Mapping[str, str],
) -> Meeting | None:
    """Find the rows that do not surely miss their image; all others give NULL.

    Rows that fail are among them, whatever is wrong with them.

    Args:
        function: what is called.
        columns: of the call.
        types: types of geometries, as `shapely.get_type_id` has them, that the function takes; None: all.
        context: what scenes are looked up with.
        defaults: named arguments that the session sets where a row does not say them.

    Returns:
        None where all are, each by itself.
    """
    kinds = columns.geometries.field("kind")
    boxes = wkb_boxes(columns.geometries.field("wkb"))
    shapes: list[Any] | None = None
    srids = np.zeros(len(kinds), np.int64)
    try:
        if (boxes.types == UNKNOWN).any():
            shapes = parsed_rows(function, columns.geometries, columns.named, defaults)
            column = np.array([one if isinstance(one, shapely.Geometry) else None for one in shapes], object)
            boxes, srids = geometry_boxes(column), shapely.get_srid(column).astype(np.int64)
        parts = (columns.ids, columns.bands, columns.named, kinds)
        first, number = _distinct([*map(_codes, parts), srids])
        said = tuple(defaults.items())
        some = pa.array(first.tolist())  # of an array of numpy's, Arrow would ask `numpy.ma`, which takes long to load
        values = zip(*(part.take(some).to_pylist() for part in parts), strict=True)
        asked = [_asked(function, said, srid, each) for srid, each in zip(srids[first].tolist(), values, strict=True)]
        found = _found(asked, context)
    except RasteretError:
        return None  # the read says what is wrong, and with which row
    images = [one and _image(one, sources, types is not None) for one, sources in zip(asked, found, strict=True)]
    apart = Apart(images)
    missing = apart.surely(boxes.bounds, number)
    if types is not None:
        missing &= np.isin(boxes.types, list(types))
    lost = np.flatnonzero(missing)
    missing[lost[apart.swapped_may_meet(boxes.bounds[lost], number[lost])][:_SWAPPED]] = False
    rows = np.flatnonzero(~missing)
    points: list[PointsOfBand] = []
    if types == (POINT,) and shapes is None:
        points = _points(rows, boxes.bounds[:, :2], number, asked, found, images)
    return Meeting(rows, shapes, points) if shapes or points or missing.any() else None


def _points(  # noqa: PLR0917 - arrays
    rows: Ints,
    xy: npt.NDArray[np.float64],
    number: Ints,
    asked: Sequence[_Asked | None],
    found: Sequence[Found | None],
    images: Sequence[ImageBox | None],
) -> list[PointsOfBand]:
    """The points of each band that can be read together: nothing but a place may be wrong with them."""
    points = []
    for at, (one, sources, image) in enumerate(zip(asked, found, images, strict=True)):
        if one is None or image is None or isinstance(sources, RasteretError) or sources is None:
            continue
        some = rows[number[rows] == at]
        if len(some) >= FEWEST and can_take_together(one.options):
            points.append(PointsOfBand(sources[0], one.options, one.crs, some, xy[some]))
    return points


def _codes(column: pa.Array) -> Ints:
    """A number for each distinct value, -1 for NULL."""
    codes = column.dictionary_encode().indices
    return np.asarray((codes.fill_null(-1) if codes.null_count else codes).to_numpy(), np.int64)


def _distinct(columns: Sequence[Ints]) -> tuple[Ints, Ints]:
    """The first row of each distinct combination, and the combination of each row."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        low, high = int(column.min()), int(column.max())
        if low < high:  # most columns are the same in all rows
            key = np.unique(key * (high - low + 1) + column - low, return_inverse=True)[1]
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    return first, number


def _asked(
    function: str, defaults: tuple[tuple[str, str], ...], srid: int, values: tuple[str | None, ...]
) -> _Asked | None:
    """The arguments of a row, from its scene, band, named arguments and kind of geometry; None where one is NULL."""
    scene, band, named, kind = values
    if scene is None or band is None or named is None:
        return None
    options, crs = row_options(function, named, defaults)
    return _Asked((scene, band_request(band, options)), options, one_crs(crs, kind, srid))


def _found(asked: Sequence[_Asked | None], context: ReadContext) -> list[Found | None]:
    """The files of each."""
    wanted: dict[PixelOptions, list[SceneBands]] = defaultdict(list)
    for one in asked:
        if one is not None:
            wanted[one.options].append(one.scene)
    found: dict[PixelOptions, Mapping[SceneBands, Found]] = {}
    for options, scenes in wanted.items():
        through = context.through(options.backend)
        found[options] = through.look_up(list(dict.fromkeys(scenes)), options.collection, through.backend)
    return [one and found[one.options][one.scene] for one in asked]


def _image(asked: _Asked, sources: Found | None, one_band: bool) -> ImageBox | None:
    """The box of an image; None where rows are to be read whether they meet it or not."""
    if (
        sources is None
        or asked.options.has_target
        or isinstance(sources, RasteretError)
        or (one_band and len(sources) != 1)
    ):
        return None
    header = sources[0].header
    if header.crs is None or header.transform is None:
        return None
    try:
        # Whatever is wrong with a read, but for its geometry, is said of rows that miss as well.
        plan_window(RowRead(0, asked.scene[0], sources, Whole.IMAGE, asked.options, _unreported, []))
    except RasteretError:
        return None
    return image_box(asked.crs, header.crs, Grid(header.transform, header.width, header.height))


def _unreported(_row: FailedRow) -> None:
    """Nothing fails here: the row is only planned."""
