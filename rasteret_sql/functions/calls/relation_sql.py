"""Writes the parts of SQL that the functions over relations share, and names the function in their errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.geo.geometry import GEOMETRY_COLUMNS
from rasteret_sql.library.feature_files import OTHERS
from rasteret_sql.quoting import quote_text
from rasteret_sql.reading.request import Scene

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


def scenes_sql(function: str, scenes: str, more: Mapping[str, str] | None = None) -> str:
    """The id, datetime and collection of scenes, as SQL.

    A column that a relation lacks is the one outside, of which id is an error: unlike in a join, where it is there it
    is a plain column, and conditions on it reach the scan.

    Args:
        function: What is called.
        scenes: Name of their relation.
        more: Names of further columns, and the SQL of each over those of scenes.
    """
    more = more or {}
    shown = "".join(f", scene.{name} AS {name}" for name in more)
    # Before the others, whose names mean nothing to them then.
    made = "".join(f"{sql} AS {name}, " for name, sql in more.items())
    lacking = quote_text(
        f'{function}: the relation "{scenes}", its first argument, has no column id; scenes are a relation with their '
        "ids, such as rasteret.<name> or a CTE over it. SELECT ... AS id where the column has another name"
    )
    return f"""SELECT scene.name AS id, scene.at AS datetime, scene.home AS collection{shown}
    FROM (
        SELECT error({lacking}) AS id, CAST(NULL AS TIMESTAMPTZ) AS datetime, CAST(NULL AS VARCHAR) AS collection
      ) AS absent,
      LATERAL (SELECT {made}CAST(id AS VARCHAR) AS name, {_INSTANT} AS at, CAST(collection AS VARCHAR) AS home
        FROM query_table({quote_text(scenes)})) AS scene"""  # noqa: S608 - quoted


def features_sql(name: str) -> str:
    """The SQL in FROM for a relation of zones or points: a file of features, else a relation by its name."""
    # A table may be called json.
    if name.lower().endswith((".geojson", *OTHERS)) or (name.lower().endswith(".json") and Path(name).is_file()):
        return f"query(__rasteret_features({quote_text(json.dumps({'path': name}))}))"
    return f"query_table({quote_text(name)})"


def scenes_of(ids: pa.Array, collections: pa.Array) -> list[Scene | None]:
    """The scenes of `scenes_sql`; None where there is no id."""
    return [
        None if scene is None else Scene(scene, collection)
        for scene, collection in zip(ids.to_pylist(), collections.to_pylist(), strict=True)
    ]


def found_columns(names: Sequence[str]) -> str:
    """An unnamed STRUCT of the columns with one of these names and of one more, `__rasteret_absent`, as SQL."""
    return f"row(*{columns_sql(names)})"


def columns_sql(names: Sequence[str]) -> str:
    """The columns with one of these names, and one more, `__rasteret_absent`, as SQL in SELECT."""
    pattern = "|".join("".join(f"[{c}]" if not c.isalnum() and c not in "_^\\" else c for c in name) for name in names)
    return f"COLUMNS({quote_text(f'(?i)^({pattern}|__rasteret_absent)$')})"


def found_column(names: Sequence[str]) -> str:
    """The first column with one of these names, NULL where there is none, as SQL."""
    return f"struct_extract({found_columns(names)}, 1)"


def count_columns(kind: str) -> int:
    """Number of columns that were found, by the type of `found_columns`."""
    depth, commas = 0, 0
    for character in kind:
        depth += (character in "([") - (character in ")]")
        commas += character == "," and depth == 1
    return commas


def require_one_geometry(count: int, what: str, asked: str | None, other: str = "") -> None:
    """Raise unless a relation has one column of geometries.

    Args:
        count: columns that were found.
        what: the relation, for messages.
        asked: the column that the call names; None: any of the usual names.
        other: what else was looked for.
    """
    names = ", ".join(GEOMETRY_COLUMNS)
    if count > 1:
        raise InvalidArgumentError(
            f"{what} has {count} columns that may be its geometries ({names} are looked for); say which with "
            "geom_column := 'name'"
        )
    if count == 0:
        sought = f'the column "{asked}"' if asked is not None else f"a column of geometries ({names})"
        raise InvalidArgumentError(f"{what} has no such column: looked for {sought}{other}; say geom_column := 'name'")


@contextmanager
def named_error(function: str) -> Iterator[None]:
    """Let errors begin with the function that was called."""
    try:
        yield
    except RasteretError as error:
        raise error.retold(f"{function}: {error}") from None
