"""`FrameCall`: says what a call over DataFrames asks for, checked in the driver, in words that may lie in a plan."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, did_you_mean
from rasteret_sql.functions.calls.relation_sql import named_error, require_one_geometry
from rasteret_sql.functions.calls.relations import POINT_COLUMNS, relation_of
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.registry import DECLARED
from rasteret_sql.geo.geometry import GEOMETRY_COLUMNS
from rasteret_sql.hosts.spark.executor_setup import setup_of
from rasteret_sql.lazy import lazy_module
from rasteret_sql.reading.relation import Relation

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql import functions as sql
else:
    sql = lazy_module("pyspark.sql.functions")

_NOT_IN_SPARK = {
    "max_bytes": "no process sees all that a job reads. rasteret_explain_table says in DuckDB what a read takes",
}
"""Arguments that mean nothing over many processes, and why."""
_LEAST_PARTITIONS = 8
_MANY_CORES = 1 << 14
"""More than a cluster has."""


@dataclass(frozen=True, slots=True)
class FrameCall:
    """A call of a function over relations."""

    function: str
    bands: str
    """JSON."""
    named: str
    """JSON of the named arguments."""
    setup: Mapping[str, Any]
    """Words of the setup of executors."""
    geometry: tuple[str, ...] = ()
    """The column of geometries, or the two of x and y; none where there is no relation of them."""
    before: tuple[str, ...] = ()
    """Names of the result's columns before those of zones or points."""
    after: tuple[str, ...] = ()
    """Names of the result's columns behind them."""

    def words(self) -> dict[str, Any]:
        """The same as JSON can have it."""
        return asdict(self)

    @classmethod
    def of_words(cls, words: Mapping[str, Any]) -> FrameCall:
        """A call from its words."""
        lists = {name: tuple(words[name]) for name in ("geometry", "before", "after")}
        return cls(**{**words, **lists})

    def relation(self, defaults: Mapping[str, str]) -> Relation:
        """The relation that it describes, without geometries."""
        return relation_of(defaults, self.function, self.bands, self.named)

    @property
    def given(self) -> dict[str, Any]:
        """The values of the named arguments."""
        return named_arguments(self.function, self.named)


def frame_call(spark: SparkSession, function: str, band: Any, named: Mapping[str, Any]) -> FrameCall:
    """Check the arguments of a call.

    Args:
        spark: The session, whose executors read.
        function: Its name.
        band: As in SQL: a name, an expression, a number from 1, a list of these, or a dict that names them.
        named: Named arguments; None means: not given.

    Raises:
        InvalidArgumentError: one is unknown, or cannot be used.
    """
    with named_error(function):
        given = checked_arguments(function, named)
        try:
            call = FrameCall(function, json.dumps(band), json.dumps(given), setup_of(spark).words())
        except TypeError as error:
            raise InvalidArgumentError(f"an argument cannot be written as JSON: {error}") from None
        if band is None:
            raise InvalidArgumentError("band is missing: it is None, expected a name")
        call.relation({})
        return call


def checked_arguments(function: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """The named arguments that a call gives, as JSON can have them.

    Raises:
        InvalidArgumentError: one is unknown, or means nothing here.
    """
    given = {name: _worded(value) for name, value in named.items() if value is not None}
    known = [argument.name for argument in DECLARED[function].named]
    for name in given:
        if name not in known:
            raise ArgumentTypeError(f'no argument "{name}"; {did_you_mean(name, known)}')
        if name in _NOT_IN_SPARK:
            raise InvalidArgumentError(f"{name} cannot be used over DataFrames: {_NOT_IN_SPARK[name]}")
    return given


def _worded(value: Any) -> Any:
    """A length of time as SQL writes it; other values as they are."""
    if not isinstance(value, timedelta) or value.microseconds:
        return value
    return f"{value.days} days" if not value.seconds else f"{value.days * 86400 + value.seconds} seconds"


def geometry_columns(frame: DataFrame, what: str, asked: str | None, *, points: bool) -> tuple[str, ...]:
    """The column of geometries of a DataFrame, or the two of x and y.

    Args:
        frame: Of zones or points.
        what: zones or points, for messages.
        asked: The column that the call names; None: any of the usual names.
        points: True where columns lon and lat, or x and y, will do.

    Raises:
        InvalidArgumentError: there are none, or several.
    """
    found = _named_so(frame, GEOMETRY_COLUMNS if asked is None else (asked,))
    sides = [_named_so(frame, names) for names in POINT_COLUMNS]
    has_sides = points and asked is None
    if has_sides and not found and [len(side) for side in sides] == [1, 1]:
        return (*sides[0], *sides[1])
    if has_sides and not found and all(sides):
        given = ", ".join([*sides[0], *sides[1]])
        raise InvalidArgumentError(f"{what} have several columns that may be their places ({given}); leave one pair")
    other = " or two columns lon and lat, or x and y" if has_sides else ""
    require_one_geometry(len(found), what, asked, other)
    return tuple(found)


def _named_so(frame: DataFrame, names: Sequence[str]) -> list[str]:
    wanted = {name.casefold() for name in names}
    return [name for name in frame.columns if name.casefold() in wanted]


def require_new_names(call: FrameCall, frame: DataFrame, what: str) -> None:
    """Raise where a column of zones or points has the name of one of the result's."""
    taken = {name.casefold() for name in (*call.before, *call.after)}
    twice = [name for name in frame.columns if name.casefold() in taken]
    if twice:
        raise InvalidArgumentError(
            f"{call.function}: {what} have a column {twice[0]}, and so has the result; give it another name with "
            f"{what}.withColumnRenamed('{twice[0]}', ...)"
        )


def partitions_of(spark: SparkSession, asked: int | None) -> int:
    """Parts in which scenes are read; by default as many as shuffles have, but not far more than there are cores."""
    if asked is not None:
        if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
            raise InvalidArgumentError(f"partitions := {asked!r} cannot be used; expected an integer, 1 or more")
        return asked
    shuffled = int(spark.conf.get("spark.sql.shuffle.partitions") or _LEAST_PARTITIONS)
    return min(shuffled, max(_LEAST_PARTITIONS, 4 * _cores(spark)))


_cores_of: weakref.WeakKeyDictionary[SparkSession, int] = weakref.WeakKeyDictionary()


def _cores(spark: SparkSession) -> int:
    """The cores of a cluster; over Spark Connect, which does not tell them, the parts that Spark makes of a range."""
    try:
        return int(spark.sparkContext.defaultParallelism)
    except Exception:  # noqa: BLE001 - Spark Connect has no context, and says so by an error of its own
        found = _cores_of.get(spark)
    if found is None:
        parts = spark.range(_MANY_CORES).select(sql.spark_partition_id().alias("part"))
        found = _cores_of[spark] = int(parts.agg(sql.max("part")).collect()[0][0]) + 1
    return found
