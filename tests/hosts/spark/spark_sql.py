"""Runs the statements of `.test` files on Spark: DuckDB builds the collections, Spark gets the rest in its own words.

Constants are in Spark's dialect (`geom_crs => 32632`, `ARRAY(1, 2)`), calls over relations are those over DataFrames.
Both engines get what a file says, so the answers are those of the file.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

import rasteret_sql
from rasteret_sql.hosts import spark as host
from rasteret_sql.hosts.spark.scalar_functions import scalar_functions

_RELATIONS: dict[str, Callable[..., Any]] = {
    "zonal_stats_table": host.zonal_stats_table,
    "sample_points": host.sample_points,
    "read_chips": host.read_chips,
    "zonal_series": host.zonal_series,
    "read_mosaics": host.read_mosaics,
    "rasteret_explain_table": host.rasteret_explain_table,
    "read_mosaic": host.read_mosaic,
    "read_pixels": host.read_pixels,
}
"""Functions over relations that Spark has."""
_OF_SCENES_ALONE = ("read_mosaic", "read_pixels")
"""Those with one relation; all others have two."""
CALLS_OF_ONE = {
    one.name: one.arguments[0].name for one in scalar_functions() if sum(part.required for part in one.arguments) == 1
}
"""Functions that are called with one argument, and its name."""
_OF_BYTES = ("data", "mask", "png", "sheet", "chip_png", "chip_geotiff", "chip_cog")
"""Columns and functions of bytes, of which Spark takes a part by another function than of lists."""
_MAPS = ("h", "hist", "chip_hist", "zonal_hist")
"""Columns and functions of MAPs, whose values are asked for by keys and not by places."""
_OF_COLLECTIONS = ("rasteret_build", "rasteret_drop", "rasteret_register", "rasteret_append", "rasteret_refresh")
"""How the functions begin that change what collections there are: they are DuckDB's and Python's alone."""


@dataclass
class Answer:
    """The rows of a statement, as a cursor of DuckDB gives them."""

    description: list[tuple[str]]
    rows: list[tuple[Any, ...]]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All of them."""
        return self.rows


class SparkSql:
    """A connection to Spark that takes the SQL of DuckDB."""

    def __init__(self, spark: Any, workspace: Path) -> None:
        self._spark = spark.newSession()
        self._workspace = workspace
        self._duckdb = rasteret_sql.connect(workspace_dir=workspace)
        self._open()

    def close(self) -> None:
        """Close what it has of DuckDB."""
        self._duckdb.close()

    def execute(self, sql: str) -> Answer:
        """Run one statement to its end."""
        if any(name in sql for name in _OF_COLLECTIONS):
            self._duckdb.execute(sql).fetchall()
            self._open()
            return Answer([], [])
        parsed = sqlglot.parse_one(sql, read="duckdb")
        if isinstance(parsed, exp.Create):
            self._frame(parsed.expression).localCheckpoint().createOrReplaceTempView(parsed.this.name)
            return Answer([], [])
        texts = _without_texts(parsed)
        frame = self._frame(parsed)
        instants = [field.dataType.typeName() == "timestamp" for field in frame.schema]
        rows = [
            [
                value.replace(tzinfo=dt.UTC) if instant and value is not None else _plain(value)
                for value, instant in zip(row, instants, strict=True)
            ]
            for row in frame.collect()
        ]
        for at in texts:
            is_map = frame.schema[at].dataType.typeName() == "map"
            for row in rows:
                row[at] = self._text(row[at], is_map=is_map)
        return Answer([(name,) for name in frame.columns], [tuple(row) for row in rows])

    def _text(self, value: Any, *, is_map: bool) -> str | None:
        """A value as DuckDB writes it; a MAP in the order of its keys, of which Spark keeps none."""
        if is_map and value is not None:
            value = dict(sorted(value.items()))
            value = {"key": list(value), "value": list(value.values())}
        [[text]] = self._duckdb.execute("SELECT CAST($1 AS VARCHAR)", [value]).fetchall()
        return text

    def _open(self) -> None:
        """Let Spark see the collections that there are now."""
        names = [row[0] for row in self._duckdb.execute("SELECT name FROM rasteret_collections()").fetchall()]
        host.register(self._spark, workspace_dir=self._workspace, collections=names)
        for name in names:
            host.scenes(self._spark, name).createOrReplaceTempView(f"rasteret_{name}")

    def _frame(self, query: exp.Expression) -> Any:
        query = query.copy()
        for number, call in enumerate(list(query.find_all(exp.Table))):
            if isinstance(call.this, exp.Anonymous) and call.this.name in _RELATIONS:
                self._called(query, call.this).createOrReplaceTempView(f"call_{number}")
                call.set("this", exp.to_identifier(f"call_{number}"))
        return self._spark.sql(_spark_words(query))

    def _called(self, query: exp.Expression, call: exp.Anonymous) -> Any:
        """The DataFrame of a call over relations."""
        placed = [one for one in call.expressions if not isinstance(one, exp.PropertyEQ)]
        named = {one.name: self._value(one.expression) for one in call.expressions if isinstance(one, exp.PropertyEQ)}
        relations = 1 if call.name in _OF_SCENES_ALONE else 2
        frames = [None if isinstance(one, exp.Null) else self._relation(query, one) for one in placed[:relations]]
        return _RELATIONS[call.name](*frames, *map(self._value, placed[relations:]), **named)

    def _relation(self, query: exp.Expression, given: exp.Expression) -> Any:
        """The DataFrame that an argument names; a CTE is asked for with those before it."""
        name = given.name if given.is_string else given.sql("duckdb")
        asked = sqlglot.parse_one(f"SELECT * FROM {name}", read="duckdb")
        ctes = query.args.get("with_") or query.args.get("with")
        if ctes is not None:
            asked.set("with_" if "with_" in query.arg_types else "with", ctes.copy())
        return self._frame(asked)

    def _value(self, given: exp.Expression) -> Any:
        """The value of a constant; an INTERVAL as text, for one of Python knows no months."""
        if isinstance(given, exp.Interval):
            given = exp.cast(given.copy(), "varchar")
        [[value]] = self._duckdb.execute(f"SELECT {given.sql('duckdb')}").fetchall()
        return float(value) if isinstance(value, decimal.Decimal) else value


def _without_texts(query: exp.Expression) -> list[int]:
    """Take the casts to text off the columns of a query: the columns, of which DuckDB is to write the values."""
    found = []
    for at, column in enumerate(query.expressions if isinstance(query, exp.Select) else []):
        cast = column.unalias()
        if isinstance(cast, exp.Cast) and cast.is_type("varchar", "text"):
            cast.replace(cast.this)
            found.append(at)
    return found


def _spark_words(query: exp.Expression) -> str:
    """A query in Spark's dialect."""
    for node in list(query.walk(bfs=False))[::-1]:  # what is inside first
        _put_in_words(node)
    return query.sql("spark", normalize_functions=False)


def _put_in_words(node: exp.Expression) -> None:
    if isinstance(node, exp.Anonymous):
        for one in node.expressions:
            if isinstance(one, exp.PropertyEQ):
                one.replace(exp.Kwarg(this=exp.var(one.name), expression=one.expression))
        [first, *others] = node.expressions or [None]
        if not others and isinstance(first, exp.Anonymous) and node.name in CALLS_OF_ONE:
            # Spark passes no named arguments to a call that is the only argument of another, unless that is named.
            first.replace(exp.Kwarg(this=exp.var(CALLS_OF_ONE[node.name]), expression=first.copy()))
    elif isinstance(node, exp.Length) and isinstance(node.this, exp.MapKeys):
        node.replace(exp.func("size", node.this))
    elif isinstance(node, exp.Table) and node.db == "rasteret":
        name = exp.to_identifier(f"rasteret_{node.name}")
        node.replace(exp.Table(this=name, alias=node.args.get("alias") or exp.TableAlias(this=node.this)))
    elif isinstance(node, exp.Bracket) and node.this.name in _MAPS and node.expressions[0].is_number:
        key = exp.Literal.number(int(node.expressions[0].name) + 1)  # sqlglot takes it for a place in a list
        node.replace(exp.func("try_element_at", node.this, exp.cast(key, "double")))
    elif isinstance(node, exp.Bracket) and isinstance(node.expressions[0], exp.Slice):
        begin, end = (node.expressions[0].args.get(side) for side in ("this", "expression"))
        first, last = (1 if begin is None else int(begin.name)), int(end.name)
        part = "substring" if node.this.name in _OF_BYTES else "slice"
        node.replace(exp.func(part, node.this, exp.Literal.number(first), exp.Literal.number(last - first + 1)))


def _plain(value: Any) -> Any:
    """A value as DuckDB gives it: STRUCTs as dicts, bytes that do not change."""
    from pyspark.sql import Row

    if isinstance(value, Row):
        return {name: _plain(one) for name, one in value.asDict().items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(name): _plain(one) for name, one in value.items()}
    return bytes(value) if isinstance(value, bytearray) else value
