"""Runs a declared function over a batch of rows of Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.functions.registry import DECLARED, call_of
from rasteret_sql.hosts.spark.argument_columns import argument_columns
from rasteret_sql.hosts.spark.spark_types import as_spark_takes, is_large
from rasteret_sql.session.session import Session


def run(session: Session, name: str, given: Sequence[pa.Array], named: Mapping[str, pa.Array]) -> pa.Array:
    """The value of each row.

    Args:
        session: What it works with.
        name: Of the function.
        given: Arguments by their place.
        named: Arguments by their name.
    """
    function = DECLARED[name]
    columns = argument_columns(function, given, named)

    def work(cancelled: Cancelled) -> pa.Array:
        return call_of(function.udf, function)(session, cancelled, *columns)

    try:
        values = session.engine.call(work)
        if function.body == "field":
            values = values.field("value")
        large = any(is_large(column.type) for column in (*given, *named.values()))
        return as_spark_takes(values, function.returns, large=large)
    except RasteretError as error:
        raise error.retold(f"{name}: {error}") from None
