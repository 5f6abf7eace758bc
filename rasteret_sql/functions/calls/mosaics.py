"""Runs the functions that make composites: writes their SQL, and does the parts of it that DuckDB asks for.

One call keeps the geometries under a token. DuckDB sorts the scenes of each period; a second call gets all periods at
once, since one grid is for all, and says which composites there are; a third makes those of a group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.errors import InvalidArgumentError, nearest_names
from rasteret_sql.expr.sql_text import parse_expression
from rasteret_sql.functions.calls.pixel_request import band_request, one_geometry
from rasteret_sql.functions.calls.pixel_table import geometry_value
from rasteret_sql.functions.calls.relation_sql import named_error, scenes_sql, texts_of
from rasteret_sql.functions.calls.relations import kept_sql, reading_of, relation_of
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.mosaics import GROUP, GROUPS, KEEP_GEOMETRY, MADE
from rasteret_sql.functions.spec import STATEMENT
from rasteret_sql.quoting import quote_text
from rasteret_sql.raster.composite import METHODS
from rasteret_sql.reading.byte_limit import refuse
from rasteret_sql.reading.composites import composite_rows, read_composites
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.mosaic import GROUP_ROWS, Group, Mosaic
from rasteret_sql.reading.options import refusal, require, require_one_of
from rasteret_sql.reading.relation_geometries import Shapes
from rasteret_sql.reading.request import Scene
from rasteret_sql.session.kept_relations import Kept
from rasteret_sql.session.session import Session

PERIODS = ("day", "week", "month", "quarter", "year")
_INTERVAL = re.compile(r"\s*(\d+)\s*(second|minute|hour|day|week|month|quarter|year)s?\s*", re.IGNORECASE)
_CLOCK = re.compile(r"\s*(\d+):([0-5]\d):([0-5]\d)\s*")
"""As an INTERVAL of hours crosses into Python."""


def read_mosaic(
    _session: Session,
    _cancelled: Cancelled,
    scenes: pa.Array,
    bands: pa.Array,
    geometries: pa.StructArray,
    texts: pa.Array,
) -> pa.Array:
    """The SQL of each call of read_mosaic."""

    def one(scene: str, band: str, geometry: dict[str, Any], text: str) -> str:
        return _sql("read_mosaic", text, periods_sql("read_mosaic", (scene, geometry, band, text)))

    return texts_of(("scenes", "band"), one, scenes, bands, geometries, texts)


def read_mosaics(
    _session: Session, _cancelled: Cancelled, scenes: pa.Array, zones: pa.Array, bands: pa.Array, texts: pa.Array
) -> pa.Array:
    """The SQL of each call of read_mosaics."""

    def one(scene: str, zone: str, band: str, text: str) -> str:
        return _sql("read_mosaics", text, periods_sql("read_mosaics", (scene, zone, band, text)), "unnest(row), ")

    return texts_of(("scenes", "zones", "band"), one, scenes, zones, bands, texts)


def periods_sql(function: str, asked: tuple[str, str | dict[str, Any], str, str]) -> str:
    """The SQL of the scenes of all periods, `__all`, and of the geometries, `__kept`: a token of them and their rows.

    Args:
        function: What is called.
        asked: Name of the relation of scenes; that of the zones, or one geometry; JSON of bands and of the named
            arguments.
    """
    scenes, zones, band, text = asked
    given = named_arguments(function, text)
    method_of(given)
    order = _Order(given.get("order_by"))
    if isinstance(zones, str):
        kept = kept_sql(function, (scenes, zones, band, text), more=order.columns)
    else:
        band_request(band)
        of_one = ", ".join((quote_text(function), quote_text(band), quote_text(text), geometry_value(zones)))
        kept = f"""WITH
  __scenes AS (
    {scenes_sql(function, scenes, order.columns)}
  ),
  __kept AS (SELECT {KEEP_GEOMETRY.name}({of_one}, {STATEMENT}) AS token, CAST(NULL AS INTEGER[]) AS rows)"""
    return f"""{kept},
  __dated AS (SELECT *, {period_sql(function, given.get("every"))} AS period FROM __scenes WHERE id IS NOT NULL),
  __periods AS (
    SELECT period, list(struct_pack(id := id, collection := collection) ORDER BY {order.terms}) AS scenes FROM __dated
    GROUP BY period
  ),
  __all AS (SELECT list(period ORDER BY period) AS periods, list(scenes ORDER BY period) AS scenes FROM __periods)"""  # noqa: S608 - quoted


def planned_sql(function: str, text: str) -> str:
    """The arguments of what plans composites, over `__all` and `__kept`."""
    return f"token, {quote_text(function)}, {quote_text(text)}, scenes, {STATEMENT}"


def _sql(function: str, text: str, periods: str, shown: str = "") -> str:
    """The SQL of a call.

    Args:
        function: What is called.
        text: JSON of the named arguments.
        periods: SQL of `periods_sql`.
        shown: Columns before those of composites, each with a comma after it.
    """
    # DuckDB asks for the chips of so many rows at once, so a group gets as many, most of them empty.
    step = "CASE WHEN step < len(g.zones) THEN g.first + step END"
    return f"""{periods},
  __groups AS (
    SELECT periods, rows, unnest({GROUPS.name}({planned_sql(function, text)})) AS g FROM __all, __kept
    WHERE scenes IS NOT NULL
  ),
  __steps AS (SELECT periods[g.period] AS period, rows, g, unnest(range({GROUP_ROWS})) AS step FROM __groups),
  __made AS (
    SELECT period, rows[g.zones[step + 1]] AS row, unnest({MADE.name}(g.mosaic, {step}, {STATEMENT})) AS made
    FROM __steps
  )
SELECT {shown}period, made.scenes AS scenes, made.chip AS chip FROM __made"""  # noqa: S608 - quoted


def method_of(given: dict[str, Any]) -> str:
    """The method of a call, which its other arguments fit."""
    method = given.get("method") or "first"
    require_one_of("method", method, METHODS)
    best_by = given.get("best_by")
    require(method == "best" or best_by is None, "best_by", best_by, "none: only method := 'best' compares anything")
    if method == "best" and best_by is None:
        raise InvalidArgumentError(
            "method := 'best' needs best_by := a band or an expression over bands; each pixel is of the scene where it "
            "is largest, such as best_by := 'NDVI'"
        )
    return str(method)


def period_sql(function: str, every: str | None) -> str:
    """The begin of a scene's period, as SQL: periods are those of UTC, whatever the zone of the connection."""
    if every is None:
        return "CAST(NULL AS TIMESTAMPTZ)"
    lacking = quote_text(f"{function}: {lacking_time(every)}")
    begin = f"make_timestamptz(epoch_us({_begin(every)}))"
    return f"CASE WHEN datetime IS NULL THEN error({lacking}) ELSE {begin} END"


def lacking_time(every: str) -> str:
    """The message of scenes without a time."""
    return (
        f"every := {every!r} needs a time of each scene, and the column datetime of scenes is NULL or not there; leave "
        "such scenes out with WHERE datetime IS NOT NULL, or give all a time with SELECT ... AS datetime"
    )


def _begin(every: str) -> str:
    """The begin of a period without its zone."""
    at = "make_timestamp(epoch_us(datetime))"
    if every.lower() in PERIODS:
        return f"date_trunc({quote_text(every.lower())}, {at})"
    return f"time_bucket({step_of(every)}, {at})"


def step_of(every: str) -> str:
    """The length of a period, as SQL."""
    count, unit = length_of(every)
    return f"CAST({quote_text(f'{count} {unit}')} AS INTERVAL)"


def length_of(every: str) -> tuple[int, str]:
    """The length of a period: how many of a unit.

    Raises:
        InvalidArgumentError: it is none.
    """
    if every.lower() in PERIODS:
        return 1, every.lower()
    said, clock = _INTERVAL.fullmatch(every), _CLOCK.fullmatch(every)
    count, unit = (int(said[1]), said[2].lower()) if said else (0, "second")
    if clock:
        count = int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3])
    expected = f"{', '.join(map(repr, PERIODS))} or an interval of one unit, such as '10 days'"
    if not 0 < count < 1_000_000_000:
        raise refusal("every", every, nearest_names(every, PERIODS), expected)
    return count, unit


_NOT_OF_A_SCENE = (exp.Query, exp.Subquery, exp.Exists, exp.Window, exp.AggFunc, exp.Star)


class _Order:
    """The order of the scenes of a period.

    Args:
        text: SQL over columns of scenes; None: by time.
    """

    def __init__(self, text: str | None) -> None:
        parts = order_terms(text)
        self.columns = {f"__order_{number}": part.this.sql("duckdb") for number, part in enumerate(parts)}
        """Names of columns, and what each is of those of scenes."""
        self.terms = ", ".join([*map(_term, parts, self.columns), "datetime", "id"])
        """SQL over these columns."""


def order_terms(text: str | None) -> list[exp.Ordered]:
    """The terms of an order."""
    if text is None:
        return []
    expected = "expected columns of scenes or expressions over them, such as '\"eo:cloud_cover\", datetime DESC'"
    try:
        found = parse_expression(f"array_agg(x ORDER BY {text})", "order", expected)
    except InvalidArgumentError:
        raise InvalidArgumentError(f"order_by := {text!r} cannot be read as SQL; {expected}") from None
    order = found.this if isinstance(found, exp.ArrayAgg) else None
    if not isinstance(order, exp.Order):
        raise InvalidArgumentError(f"order_by := {text!r} is no order; {expected}")
    if any(isinstance(part, _NOT_OF_A_SCENE) for part in order.walk()):
        raise InvalidArgumentError(
            f"order_by := {text!r} has a subquery, an aggregate or a window; it is computed for each scene: {expected}"
        )
    return list(order.expressions)


def _term(part: exp.Ordered, column: str) -> str:
    """A term of an order with a column in place of its expression."""
    term = part.copy()
    term.set("this", exp.column(column, quoted=True))
    return str(term.sql("duckdb"))


def keep_geometry(
    session: Session,
    _cancelled: Cancelled,
    functions: pa.Array,
    bands: pa.Array,
    texts: pa.Array,
    geometries: pa.StructArray,
) -> pa.Array:
    """Keep the geometry of each call; gives its token."""
    tokens = []
    for function, band, text, geometry in zip(
        functions.to_pylist(), bands.to_pylist(), texts.to_pylist(), geometries.to_pylist(), strict=True
    ):
        with named_error(function):
            relation = relation_of(session.settings.of_calls(), function, band, text)
            shape, crs = one_geometry(geometry, named_arguments(function, text).get("geom_crs"))
            column = np.empty(1, object)
            column[0] = shape
            relation.geometries = Shapes(column, [crs])
            tokens.append(session.relations.keep(Kept(relation, None, None)))
    return pa.array(tokens, pa.int64())


def groups(  # noqa: PLR0917 - columns
    session: Session,
    cancelled: Cancelled,
    tokens: pa.Array,
    functions: pa.Array,
    texts: pa.Array,
    periods: pa.ListArray,
) -> pa.Array:
    """Say which composites are to be made."""
    found = []
    for mosaic, some, context in mosaics_of(session, tokens, functions, texts, periods):
        most = mosaic.relation.max_bytes
        if most is not None:
            with named_error(mosaic.relation.function):
                forecast = Forecast(session.engine, warm=True)
                for one in some:
                    read_composites(mosaic, one.numbers, context.forecast(forecast), cancelled)
                refuse(forecast, most)
        kept = session.mosaics.keep(mosaic)
        found.append(
            [
                {"period": one.period + 1, "mosaic": kept, "first": one.first, "zones": [z + 1 for z in one.zones]}
                for one in some
            ]
        )
    return pa.array(found, pa.list_(GROUP))


def mosaics_of(
    session: Session, tokens: pa.Array, functions: pa.Array, texts: pa.Array, periods: pa.ListArray
) -> Iterator[tuple[Mosaic, list[Group], ReadContext]]:
    """The composites that each row asks for, in groups, and what they are read with.

    Args:
        session: Has the geometries.
        tokens: Of the geometries.
        functions: What is called.
        texts: JSON of the named arguments.
        periods: Scenes of each period in their order.
    """
    for token, function, text, some in zip(
        tokens.to_pylist(), functions.to_pylist(), texts.to_pylist(), periods.to_pylist(), strict=True
    ):
        with named_error(function):
            relation = session.relations.get(token).relation
            scenes = [[Scene(one["id"], one["collection"]) for one in period] for period in some]
            mosaic = Mosaic(relation, method_of(named_arguments(function, text)))
            context = reading_of(session, relation)
            groups = mosaic.find(scenes, context)
        yield mosaic, groups, context


def made(session: Session, cancelled: Cancelled, mosaics: pa.Array, composites: pa.Array) -> pa.Array:
    """Make the composite of each row."""
    kept, numbers = mosaics.to_numpy(zero_copy_only=False), composites.to_pylist()
    results = []
    borders = [0, *(np.flatnonzero(np.diff(kept)) + 1).tolist(), len(kept)]
    for begin, end in pairwise(borders):
        if begin == end:
            continue
        mosaic = session.mosaics.get(int(kept[begin]))
        relation, some = mosaic.relation, numbers[begin:end]
        asked = [number for number in some if number is not None]
        with named_error(relation.function):
            found = read_composites(mosaic, asked, reading_of(session, relation), cancelled)
        relation.read(len(asked))
        session.progress(relation.done, relation.total, "composites")
        results.append(composite_rows(mosaic, some, found))
    return pa.concat_arrays(results) if results else pa.nulls(0, MADE.returns)
