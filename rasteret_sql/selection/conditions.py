"""What scenes have to meet: the arguments of `subset` and `where`, checked, as conditions in SQL or tests of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import shapely
import sqlglot
from shapely.errors import ShapelyError
from sqlglot import exp
from sqlglot.errors import SqlglotError

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, did_you_mean
from rasteret_sql.index.open import CollectionIndex
from rasteret_sql.index.scan import column, struct_field
from rasteret_sql.selection.select import Keep
from rasteret_sql.stac.dates import DateLike, parse_date_range
from rasteret_sql.types import Bounds

CLOUD_COVER = "eo:cloud_cover"
_FORM = "(west, south, east, north) in degrees, such as (11.3, 48.1, 11.5, 48.3)"
_SQL_FORM = 'a condition in SQL such as "eo:cloud_cover" < 20 AND month = 7'
_MOST_BOXES = 16
"""Areas whose boxes are told apart in SQL; more of them have one box together."""


def cloud_condition(index: CollectionIndex, below: Any) -> exp.Expression:
    """Scenes with less cloud than `below` percent.

    Raises:
        InvalidArgumentError: it is no percentage, or the scenes do not say.
    """
    if isinstance(below, bool) or not isinstance(below, int | float | np.number) or not 0 <= below <= 100:
        raise InvalidArgumentError(f"cloud_cover_lt is a percentage from 0 to 100, not {below!r}")
    _require_column(index, CLOUD_COVER, "cloud_cover_lt")
    return exp.LT(this=column(CLOUD_COVER), expression=exp.Literal.number(repr(float(below))))


def date_condition(index: CollectionIndex, date_range: Sequence[DateLike] | str) -> exp.Expression:
    """Scenes of a time; an end that is a bare date includes that whole day, as in a build.

    Raises:
        InvalidArgumentError: no dates, or the first is after the last.
    """
    dates = parse_date_range(date_range)
    if dates is None:
        raise InvalidArgumentError(
            f"date_range {date_range!r} has neither a start nor an end; give (start, end) such as "
            "('2024-01-01', '2024-01-31')"
        )
    zone = getattr(index.schema.field("datetime").type, "tz", None)
    tests: list[exp.Expression] = []
    for test, at in ((exp.GTE, dates.start), (exp.LTE, dates.end)):
        if at is not None:
            # With an offset: without one, DuckDB would read it in the time zone of the machine.
            text = exp.Literal.string(at.isoformat(" ") + ("+00" if zone else ""))
            tests.append(
                test(this=column("datetime"), expression=exp.cast(text, "TIMESTAMPTZ" if zone else "TIMESTAMP"))
            )
    return exp.and_(*tests)


def parse_box(bbox: Any) -> Bounds:
    """Four sides in lon/lat; across the antimeridian west > east, which gives an east beyond 180.

    Raises:
        InvalidArgumentError: not four finite numbers, or the smaller of two is not first.
    """
    try:
        sides = [float(side) for side in bbox] if not isinstance(bbox, str | bytes) else []
    except (TypeError, ValueError):
        sides = []
    if len(sides) != 4 or not all(map(math.isfinite, sides)):
        raise InvalidArgumentError(f"bbox {bbox!r} has to be {_FORM}")
    west, south, east, north = sides
    if west > east and 0 < east + 360 - west < 180:  # as RFC 7946 writes one across the antimeridian
        east += 360
    if west > east or south > north:
        raise InvalidArgumentError(f"bbox {bbox!r} has a minimum above its maximum; expected {_FORM}")
    return west, south, east, north


def box_condition(index: CollectionIndex, box: Bounds) -> exp.Expression:
    """Scenes whose bbox meets a box in lon/lat; touching counts.

    Args:
        index: the collection.
        box: whose east may lie beyond 180.
    """
    west, south, east, north = box
    turns = [0, *(turn for turn in (-360, 360) if west + turn <= 180 and east + turn >= -180 and not _inside(box))]
    across = exp.or_(*(_overlaps_x(index, west + turn, east + turn) for turn in turns))
    return exp.and_(
        exp.LTE(this=struct_field("bbox", "ymin"), expression=_number(north)),
        exp.GTE(this=struct_field("bbox", "ymax"), expression=_number(south)),
        exp.paren(across) if isinstance(across, exp.Or) else across,
    )


def _inside(box: Bounds) -> bool:
    return box[0] >= -180 and box[2] <= 180


def _overlaps_x(index: CollectionIndex, west: float, east: float) -> exp.Expression:
    left, right = struct_field("bbox", "xmin"), struct_field("bbox", "xmax")
    before = exp.LTE(this=left, expression=_number(east))
    behind = exp.GTE(this=right, expression=_number(west))
    if index.packed:
        return exp.and_(before, behind)
    # Only indexes of others have a box with its west above its east.
    turned = exp.and_(exp.GT(this=left.copy(), expression=right.copy()), exp.paren(exp.or_(before, behind)))
    return exp.paren(exp.or_(exp.and_(before, behind), turned))


def _number(value: float) -> exp.Expression:
    return exp.Literal.number(repr(float(value)))


def near_condition(index: CollectionIndex, areas: np.ndarray) -> exp.Expression:
    """Scenes whose bbox meets that of an area (lon/lat)."""
    boxes = shapely.bounds(areas) if len(areas) <= _MOST_BOXES else shapely.total_bounds(areas)[None]
    near = [box_condition(index, (west, south, east, north)) for west, south, east, north in boxes.tolist()]
    return exp.paren(exp.or_(*map(exp.paren, near)))


def meets(areas: np.ndarray) -> Keep:
    """A test: rows whose footprint, or for want of one their bbox, has a point in common with an area (lon/lat)."""
    tree = shapely.STRtree(areas)

    def keep(batch: pa.RecordBatch) -> pa.RecordBatch:
        box = batch.column("bbox")
        sides = [box.field(name).to_numpy(zero_copy_only=False) for name in ("xmin", "ymin", "xmax", "ymax")]
        boxes = shapely.box(*sides)
        footprints = np.asarray(shapely.from_wkb(batch.column("geometry").to_pylist(), on_invalid="ignore"), object)
        footprints = np.where(shapely.is_missing(footprints), boxes, footprints)
        try:
            rows = tree.query(footprints, "intersects")[0]
        except ShapelyError:  # one that crosses itself; its box says where it is
            rows = tree.query(boxes, "intersects")[0]
        return batch.take(pa.array(np.unique(rows), pa.int64()))

    return keep


def split_condition(index: CollectionIndex, split: Any, split_column: Any) -> exp.Expression:
    """Scenes of one or more splits.

    Raises:
        InvalidArgumentError: there is no such column, or nothing that a split can be called.
    """
    names = [split] if isinstance(split, str) else split
    if not isinstance(names, Sequence) or not names or not all(isinstance(one, str) and one for one in names):
        raise InvalidArgumentError(f"split is the name of a split such as 'train', or a list of names, not {split!r}")
    _require_column(index, split_column, "split_column")
    texts = [exp.Literal.string(one) for one in names]
    return exp.In(this=exp.cast(column(split_column), "VARCHAR"), expressions=texts)


def _require_column(index: CollectionIndex, name: Any, argument: str) -> None:
    if name not in index.scene_columns:
        raise InvalidArgumentError(
            f'{argument} needs the column {name!r}, which collection "{index.name}" does not have; '
            + did_you_mean(str(name), index.scene_columns, 40)
        )


def sql_condition(text: str) -> exp.Expression:
    """What may stand after WHERE, as one expression.

    Raises:
        InvalidArgumentError: it is something else.
    """
    try:
        found = sqlglot.parse(text, read="duckdb", error_level=sqlglot.ErrorLevel.IMMEDIATE)
    except SqlglotError as error:
        raise InvalidArgumentError(f"the condition {text!r} cannot be read as SQL; expected {_SQL_FORM}") from error
    except RecursionError:
        raise InvalidArgumentError("the condition is nested too deep to be read") from None
    if len(found) != 1 or not isinstance(found[0], exp.Condition) or ";" in text.rstrip()[-1:]:
        only = found[0] if len(found) == 1 else None
        # DuckDB reads `eo:cloud_cover < 20` as `cloud_cover < 20 AS eo`.
        hint = (
            f'; a name with a colon stands in double quotes: "{only.alias}:..."' if isinstance(only, exp.Alias) else ""
        )
        raise InvalidArgumentError(f"{text!r} is no condition; expected {_SQL_FORM}{hint}")
    return exp.paren(found[0])


def arrow_test(expression: pc.Expression, schema: pa.Schema) -> Keep:
    """A test of rows by an Arrow expression.

    Raises:
        InvalidArgumentError: it names a column that is not there, or compares what cannot be compared.
    """

    def keep(batch: pa.RecordBatch) -> pa.RecordBatch:
        kept = pads.dataset(pa.Table.from_batches([batch])).to_table(filter=expression).combine_chunks()
        return kept.to_batches()[0] if kept.num_rows else batch.slice(0, 0)

    try:
        pads.dataset(schema.empty_table()).to_table(filter=expression)
    except (pa.ArrowException, TypeError) as error:
        raise InvalidArgumentError(
            f"the scenes cannot be filtered by the Arrow expression {expression}: {error}. Columns: "
            + ", ".join(schema.names)
        ) from error
    return keep


def require_expression(value: Any) -> None:
    """Raise unless it is an Arrow expression or SQL text."""
    if not isinstance(value, pc.Expression | str):
        raise ArgumentTypeError(
            f"where takes a pyarrow.dataset expression, or {_SQL_FORM} as text, not {type(value).__name__}"
        )
