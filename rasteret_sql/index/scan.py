"""SQL over an index's Parquet files. Every name and path goes through sqlglot."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from rasteret_sql.index.open import CollectionIndex, escape_glob
from rasteret_sql.schema import PARTITION_COLUMNS

_DIALECT = "duckdb"


def scan_sql(index: CollectionIndex, columns: Iterable[str] | None = None) -> str:
    """A SELECT of the scenes that filters and projections are pushed down through.

    Args:
        index: What to scan.
        columns: Which of `index.columns`; by default `index.scene_columns`, without the stored headers.
    """
    names = index.scene_columns if columns is None else tuple(columns)
    stored = {*index.schema.names, *index.hive}
    wanted = [column(name) if name in stored else _date_part(name) for name in names]
    return str(exp.select(*wanted).from_(read_parquet(index)).sql(_DIALECT))


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


def _date_part(name: str) -> exp.Expression:
    """Year or month where the index has it neither in its files nor in their paths."""
    assert name in PARTITION_COLUMNS
    return named(exp.Anonymous(this=name, expressions=[column("datetime")]), name)
