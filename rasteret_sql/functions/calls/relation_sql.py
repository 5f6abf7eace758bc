"""Writes the parts of SQL that the functions over relations share, and names the function in their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.quoting import quote_text

_INSTANT = (
    "CASE WHEN typeof(datetime) = 'TIMESTAMP WITH TIME ZONE' THEN CAST(datetime AS TIMESTAMPTZ) "
    "ELSE make_timestamptz(epoch_us(CAST(datetime AS TIMESTAMP))) END"
)
"""A time without a zone is UTC, as in the files of collections. Where it is an instant, this is the column alone."""


def texts_of(names: Sequence[str], one: Callable[..., str], *columns: pa.Array) -> pa.Array:
    """The SQL of each call.

    Args:
        names: Of the columns that may not be NULL, from the first on.
        one: Writes the SQL of a call.
        columns: What each call was given.
    """
    texts = []
    for given in zip(*(column.to_pylist() for column in columns), strict=True):
        for name, value in zip(names, given, strict=False):
            if value in (None, "null"):
                raise InvalidArgumentError(f"{name} is missing: it is NULL, expected a name")
        texts.append(one(*given))
    return pa.array(texts, pa.string())


def scenes_sql(scenes: str) -> str:
    """The id and datetime of scenes, as SQL.

    A column that a relation lacks is the one outside: unlike in a join, where it is there it is a plain column, and
    conditions on it reach the scan.

    Args:
        scenes: Name of their relation.
    """
    return f"""SELECT scene.id, scene.at AS datetime FROM (SELECT CAST(NULL AS TIMESTAMPTZ) AS datetime) AS absent,
      LATERAL (SELECT CAST(id AS VARCHAR) AS id, {_INSTANT} AS at FROM query_table({quote_text(scenes)})) AS scene"""  # noqa: S608 - quoted


@contextmanager
def named_error(function: str) -> Iterator[None]:
    """Let errors begin with the function that was called."""
    try:
        yield
    except RasteretError as error:
        raise error.retold(f"{function}: {error}") from None
