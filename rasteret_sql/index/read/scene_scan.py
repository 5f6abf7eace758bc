"""Writes SQL over an index's Parquet files. Every name and path goes through sqlglot."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from sqlglot import exp

from rasteret_sql.index.place.collection_index import CollectionIndex, escape_glob
from rasteret_sql.schema import PARTITION_COLUMNS
from rasteret_sql.stac.unreadable_values import INSTANTS

_DIALECT = "duckdb"


def scan_sql(index: CollectionIndex, columns: Iterable[str] | None = None) -> str:
    """A SELECT of the scenes that filters and projections are pushed down through.

    Args:
        index: What to scan.
        columns: Which of `index.columns`; by default `index.scene_columns`, without the stored headers.
    """
    names = index.scene_columns if columns is None else tuple(columns)
    stored = {*index.schema.names, *index.hive}
    wanted = [column(name) if name in stored else _date_part(name, index) for name in names]
    return str(exp.select(*wanted).from_(read_parquet(index)).sql(_DIALECT))


def shown_sql(index: CollectionIndex, scan: exp.Expression | None = None) -> str:
    """The scenes as SQL shows them: their times are instants, TIMESTAMP WITH TIME ZONE.

    Files have them as naive UTC. A naive time that is compared with an instant (`now()`) would be read in the time zone
    of the connection. The instant is made by integer arithmetic, a few nanoseconds a row; AT TIME ZONE asks a calendar,
    at ten times the cost. It is written right beside the scan, for DuckDB pushes conditions on such an expression into
    a scan, but not through another SELECT.

    Args:
        index: what is scanned.
        scan: where its scenes lie: a call of read_parquet with all `scene_columns`; None: the index itself. A WHERE may
            be added behind the text, in which times are still as the files have them.
    """
    stored = {*index.schema.names, *index.hive} if scan is None else set(index.scene_columns)
    wanted = [shown(index, name) if name in stored else _date_part(name, index) for name in index.scene_columns]
    return str(exp.select(*wanted).from_(scan or read_parquet(index)).sql(_DIALECT))


def shown(index: CollectionIndex, name: str) -> exp.Expression:
    """A column of scenes as SQL shows it, under its name.

    A scene whose item is of no STAC collection is of this one: relations of scenes of several are told apart by it.
    """
    if name == "collection" and pa.types.is_string(index.schema.field(name).type):
        here = exp.Literal.string(index.name)
        return named(exp.Coalesce(this=column(name), expressions=[here]), name)
    if not is_naive_instant(index, name):
        return column(name)
    # Finer or coarser times than microseconds have functions of their own.
    at = column(name) if index.schema.field(name).type.unit == "us" else exp.cast(column(name), "TIMESTAMP")
    micros = exp.Anonymous(this="epoch_us", expressions=[at])
    return named(exp.Anonymous(this="make_timestamptz", expressions=[micros]), name)


def is_naive_instant(index: CollectionIndex, name: str) -> bool:
    """True for times of STAC without a zone. A table's own columns stay what they are, perhaps local time."""
    if name not in index.schema.names or name not in ("datetime", *INSTANTS):
        return False
    kind = index.schema.field(name).type
    return bool(pa.types.is_timestamp(kind)) and kind.tz is None


def read_parquet(index: CollectionIndex) -> exp.Expression:
    """The call of read_parquet over the files that the index had when it was opened."""
    files = exp.Array(expressions=[exp.Literal.string(escape_glob(file)) for file in index.files])
    hive = bool(index.hive) and not set(index.hive) & set(index.schema.names)
    return exp.Anonymous(
        this="read_parquet",
        expressions=[files, _option("hive_partitioning", hive), _option("union_by_name", not index.uniform)],
    )


def column(name: str) -> exp.Expression:
    """A quoted column."""
    return exp.column(exp.to_identifier(name, quoted=True))


def struct_field(name: str, field: str) -> exp.Expression:
    """A field of a struct column; only its pages are read."""
    return exp.Anonymous(this="struct_extract", expressions=[column(name), exp.Literal.string(field)])


def id_in() -> exp.Expression:
    """`id` among the one parameter, a list: a join, through which DuckDB pushes the ids into the scan."""
    ids = exp.select(exp.Anonymous(this="unnest", expressions=[exp.Placeholder()]))
    return exp.In(this=column("id"), query=ids.subquery())


def named(expression: exp.Expression, name: str) -> exp.Expression:
    """An expression under a quoted name."""
    return exp.alias_(expression, name, quoted=True)


def _option(name: str, value: bool) -> exp.Expression:
    return exp.EQ(this=exp.to_identifier(name), expression=exp.Boolean(this=value))


def _date_part(name: str, index: CollectionIndex) -> exp.Expression:
    """Year or month in UTC where the index has it neither in its files nor in their paths."""
    assert name in PARTITION_COLUMNS
    at = column("datetime")
    if getattr(index.schema.field("datetime").type, "tz", None):
        at = exp.Anonymous(this="timezone", expressions=[exp.Literal.string("UTC"), at])
    return named(exp.Anonymous(this=name, expressions=[at]), name)
