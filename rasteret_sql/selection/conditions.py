"""Checks the arguments of `subset` and `where`, and makes conditions in SQL or tests of rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import shapely
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, did_you_mean
from rasteret_sql.expr.sql_text import hint_of_alias
from rasteret_sql.geo.footprints import Area, Geometries, footprints_of_wkb, footprints_or_boxes
from rasteret_sql.geo.lonlat_boxes import are_unclear
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.box_conditions import near_box
from rasteret_sql.index.read.scene_scan import column
from rasteret_sql.scenes.dates import DateLike, parse_date_range
from rasteret_sql.selection.selection import Keep

CLOUD_COVER = "eo:cloud_cover"
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


def near_areas(areas: Geometries) -> exp.Expression:
    """Scenes whose box may meet that of an area (lon/lat)."""
    boxes = shapely.bounds(areas) if len(areas) <= _MOST_BOXES else shapely.total_bounds(areas)[None]
    near = [near_box((west, south, east, north)) for west, south, east, north in boxes.tolist()]
    return exp.paren(exp.or_(*(exp.paren(each, copy=False) for each in near), copy=False), copy=False)


def meets(area: Area, *, clear_boxes_suffice: bool = False) -> Keep:
    """A test: rows whose footprint, or for want of one their bbox, has a point in common with an area.

    Args:
        area: in lon/lat.
        clear_boxes_suffice: True: only rows whose box does not say where they are (`unclear_box`) are tested, and all
            others are kept.
    """

    def keep(batch: pa.RecordBatch) -> pa.RecordBatch:
        box = batch.column("bbox")
        sides = [box.field(name).to_numpy(zero_copy_only=False) for name in ("xmin", "ymin", "xmax", "ymax")]
        boxes = np.column_stack(sides).astype(np.float64)
        kept = ~are_unclear(boxes) if clear_boxes_suffice else np.zeros(len(boxes), dtype=bool)
        rows = np.flatnonzero(~kept)
        wkbs = batch.column("geometry").take(pa.array(rows)).to_pylist()
        footprints = footprints_or_boxes(footprints_of_wkb(wkbs), boxes[rows])
        kept[rows] = area.meets(footprints, boxes[rows])
        return batch.filter(pa.array(kept))

    return keep


def has_id(ids: Sequence[str]) -> Keep:
    """A test: scenes of these ids."""
    wanted = pa.array(list(ids), pa.string())
    return lambda batch: batch.filter(pc.is_in(batch.column("id").cast(pa.string()), wanted))


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
    """Make one expression of what may stand after WHERE.

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
        hint = hint_of_alias(only.alias, text) if isinstance(only, exp.Alias) else ""
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
