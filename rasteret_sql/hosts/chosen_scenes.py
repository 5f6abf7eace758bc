"""Chooses the scenes of a dataset for training: by SQL, a table, a part of the collection, or ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    TableTypeError,
    UnknownSceneError,
    did_you_mean,
)
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.selection.areas import Areas, Crs, Kinds, read_areas
from rasteret_sql.selection.conditions import sql_condition
from rasteret_sql.selection.filters import NAMES, filtered
from rasteret_sql.selection.scene_view import SceneView
from rasteret_sql.selection.selection import Selection
from rasteret_sql.tables.open_table import arrow_table
from rasteret_sql.warning import warn

_QUERY = re.compile(r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*\(*\s*(SELECT|FROM|WITH)\b", re.IGNORECASE | re.DOTALL)
_FORMS = (
    "None for all, a query or a condition in SQL, a table with a column id, a part of the collection, or a list of ids"
)


class AsksSql(Protocol):
    """A collection, as far as its scenes are chosen here."""

    @property
    def sql(self) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class ChosenScenes:
    """The scenes of a dataset, at least one, each once."""

    ids: list[str]
    times: npt.NDArray[np.datetime64]
    """Naive UTC, of each scene."""
    row_scene: npt.NDArray[np.int32]
    """Number of the scene of each row that was given: without `places`, a row is a scene."""
    labels: npt.NDArray[np.generic] | None
    """Of each row."""
    places: Areas | None
    """Of each row, the geometry that a chip is around."""


def chosen_scenes(
    collection: AsksSql,
    selection: Selection,
    given: Any,
    filters: Mapping[str, Any],
    *,
    label_field: str | None = None,
    geometry_column: str | None = None,
    geometry_crs: Crs = "auto",
) -> ChosenScenes:
    """Find the scenes of a call.

    Args:
        collection: runs queries, in which its scenes are the table `scenes`.
        selection: its scenes.
        given: None: all; SQL text: a query that gives a column `id`, or a condition as `where` takes it; a table,
            relation or frame with a column `id`; a part of the collection; or ids.
        filters: of `subset`: which of these.
        label_field: column of the labels, of what is given or of the collection.
        geometry_column: column of what is given with the geometries that chips are around.
        geometry_crs: of these; by default what they say.

    Raises:
        InvalidArgumentError: there is no scene, or no such column, or labels are no numbers.
        UnknownSceneError: an id is none of the collection's.
        duckdb.Error: the query is none.
    """
    unknown = next((name for name in filters if name not in NAMES), None)
    if unknown is not None:
        raise ArgumentTypeError(f"unknown argument {unknown!r}; {did_you_mean(unknown, NAMES)}")
    scenes = filtered(selection, filters)
    columns = ["id", "datetime"]
    if label_field is not None and label_field in scenes.index.scene_columns:
        columns.append(label_field)
    if isinstance(given, str) and not _QUERY.match(given):
        condition = sql_condition(given)
        scenes.reader.check(scenes.where(condition).sql(["id"]))
        scenes, given = scenes.where(condition), None
    known = scenes.batches(columns).read_all()
    rows = known if given is None else _rows_of(given, collection)
    if rows is not known:
        rows = _among(rows, known, selection, scenes)
    if not rows.num_rows:
        raise InvalidArgumentError(_why_none(selection, filters, given))
    names: list[str] = rows["id"].to_pylist()
    ids = list(dict.fromkeys(names))
    if len(ids) < len(names) and geometry_column is None:
        scene, count = Counter(names).most_common(1)[0]
        raise InvalidArgumentError(
            f'scene "{scene}" is in {count} rows, so its chips would be there {count} times; give SELECT DISTINCT, or '
            "geometry_column= if each row is a place"
        )
    at = dict(zip(known["id"].to_pylist(), known["datetime"].to_numpy(), strict=True))
    number = {scene: place for place, scene in enumerate(ids)}
    return ChosenScenes(
        ids,
        np.array([at[scene] for scene in ids], "datetime64[us]"),
        np.array([number[scene] for scene in names], np.int32),
        None if label_field is None else _labels(label_field, rows, known, scenes.index.scene_columns),
        None if geometry_column is None else _places(rows, given, geometry_column, geometry_crs),
    )


def _rows_of(given: Any, collection: AsksSql) -> pa.Table:
    """Read the rows that are given, as a table."""
    if isinstance(given, str):
        return _checked(collection.sql(given).to_arrow_table())
    if isinstance(given, SceneView):
        return given.to_table(["id"])
    if isinstance(given, pa.Array | pa.ChunkedArray) and not pa.types.is_struct(given.type):
        given = given.to_pylist()
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, Sequence | set | frozenset) and all(isinstance(one, str) for one in given):
        return pa.table({"id": pa.array(list(given), pa.string())})
    if isinstance(given, duckdb.DuckDBPyRelation):
        return _checked(given.to_arrow_table())
    try:
        return _checked(arrow_table(given))
    except (TableTypeError, pa.ArrowInvalid):
        raise ArgumentTypeError(f"scenes cannot be a {type(given).__name__}; expected {_FORMS}") from None


def _checked(table: pa.Table) -> pa.Table:
    if "id" not in table.column_names:
        raise InvalidArgumentError(
            f"the scenes have no column id, but {', '.join(table.column_names)}; a query or table of scenes has one"
        )
    column = table["id"].cast(pa.string())
    if column.null_count:
        raise InvalidArgumentError(f"{column.null_count} rows of the scenes have no id; leave them out")
    return table.set_column(table.column_names.index("id"), "id", column)


def _among(rows: pa.Table, known: pa.Table, selection: Selection, scenes: Selection) -> pa.Table:
    """The rows of scenes that meet the filters."""
    there = set(known["id"].to_pylist())
    meant = np.array([scene in there for scene in rows["id"].to_pylist()], bool)
    if meant.all():
        return rows
    every = there if scenes is selection else set(selection.values("id"))
    unknown = next((scene for scene in rows["id"].to_pylist() if scene not in every), None)
    if unknown is not None:
        raise UnknownSceneError(
            f'there is no scene "{unknown}" in collection "{selection.index.name}"; {did_you_mean(unknown, every)}'
        )
    return rows.filter(pa.array(meant))


def _why_none(selection: Selection, filters: Mapping[str, Any], given: Any) -> str:
    """Say why there is no scene."""
    name = selection.index.name
    column, split = filters.get("split_column") or "split", filters.get("split")
    if split is not None:
        there = sorted({str(value) for value in selection.values(column, distinct=True) if value is not None})
        wanted = [split] if isinstance(split, str) else list(split)
        if not set(wanted) & set(there):
            return (
                f"no scene of {name!r} is of the split {', '.join(map(repr, wanted))}: its column {column} has "
                f"{', '.join(map(repr, there)) or 'no value'}"
            )
    if not selection.count():
        return f"collection {name!r} has no scenes here"
    what = " that are given" if given is not None else ""
    return f"none of the {selection.count()} scenes of {name!r} meets the conditions{what}; loosen them"


def _labels(field: str, rows: pa.Table, known: pa.Table, columns: Sequence[str]) -> npt.NDArray[np.generic]:
    """The label of each row."""
    if field in rows.column_names:
        column = rows[field]
    elif field in known.column_names:
        of_scene = dict(zip(known["id"].to_pylist(), known[field].to_pylist(), strict=True))
        column = pa.chunked_array([pa.array([of_scene[scene] for scene in rows["id"].to_pylist()], known[field].type)])
    else:
        there = dict.fromkeys([*rows.column_names, *columns])
        raise InvalidArgumentError(
            f"label_field={field!r} is no column of the scenes; {did_you_mean(field, there, 40)}"
        )
    if column.null_count:
        raise InvalidArgumentError(
            f"{column.null_count} of {len(column)} rows have no label ({field} is NULL), and batches need one of each; "
            f"leave them out with WHERE {field} IS NOT NULL"
        )
    return label_numbers(field, column)


def require_label(index: CollectionIndex, field: str) -> None:
    """Raise if the scenes have no such column.

    Raises:
        InvalidArgumentError: they do not.
    """
    if field not in index.scene_columns:
        raise InvalidArgumentError(
            f"label_field={field!r} is no column of the scenes; {did_you_mean(field, index.scene_columns, 40)}"
        )


def scene_labels(field: str, scenes: pa.Table, ids: Sequence[str]) -> list[np.generic | None]:
    """The label of each scene; None where it has none, of which a warning tells.

    Args:
        field: column of the labels.
        scenes: with the columns `id` and that one.
        ids: of the scenes, in the order of the result.
    """
    column = scenes[field]
    there = column.is_valid().to_numpy()
    numbers = label_numbers(field, column.drop_null())
    known = dict(zip(np.array(scenes["id"].to_pylist(), object)[there].tolist(), numbers, strict=True))
    missing = sum(scene not in known for scene in ids)
    if missing:
        warn(
            f"{missing} of {len(ids)} scenes have no label ({field} is NULL), so their samples have none, and a batch "
            "that mixes both has fewer labels than images; leave them out with where()"
        )
    return [known.get(scene) for scene in ids]


def label_numbers(field: str, column: pa.ChunkedArray) -> npt.NDArray[np.generic]:
    """Labels as tensors have them: integers and truth values as int64, other numbers as float32.

    Raises:
        InvalidArgumentError: they are no numbers.
    """
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float32)
    raise InvalidArgumentError(
        f"label_field={field!r} has values of type {kind}, and labels are numbers; number them in a query, as with "
        f"dense_rank() OVER (ORDER BY {field}) - 1 AS label"
    )


def _places(rows: pa.Table, given: Any, column: str, crs: Crs) -> Areas:
    """The geometry of each row."""
    if given is None or isinstance(given, SceneView):
        raise InvalidArgumentError(
            f"geometry_column={column!r} names a column of a query or table with a row for each chip; give it as scenes"
        )
    return read_areas(rows, crs, column, kinds=Kinds.ANY)


def times_in_seconds(times: Iterable[np.datetime64]) -> npt.NDArray[np.float64]:
    """Instants as seconds since 1970, UTC."""
    return np.asarray(list(times), "datetime64[us]").astype(np.int64) / 1e6
