"""Declarations: append, refresh and drop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from rasteret_sql.functions.collections import BACKEND, backend_name
from rasteret_sql.functions.spec import Argument, Function, Udf, struct_type
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.places import workspace_of
from rasteret_sql.index.remote import stores_of
from rasteret_sql.kernels import life
from rasteret_sql.kernels.building import required, sql_arguments
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.session import Session

_APPENDED = struct_type(
    [("name", "VARCHAR"), ("found", "BIGINT"), ("added", "BIGINT"), ("scenes", "BIGINT"), ("path", "VARCHAR")]
)
_REFRESHED = struct_type(
    [
        ("name", "VARCHAR"),
        ("checked", "BIGINT"),
        ("changed", "BIGINT"),
        ("added", "BIGINT"),
        ("gone", "BIGINT"),
        ("path", "VARCHAR"),
    ]
)
_DROPPED = struct_type([("name", "VARCHAR"), ("scenes", "BIGINT"), ("path", "VARCHAR")])
_NAME = Argument("name", "VARCHAR", "name of an open or cached collection")
_MAX = Argument("max_concurrent", "INTEGER", "headers read at a time; 50 by default", "NULL")
_API = Argument("stac_api", "VARCHAR", "where the source is today; that of the build by default", "NULL")
_WORKSPACE = Argument("workspace_dir", "VARCHAR", "where the collection is kept; that of the connection", "NULL")


@contextmanager
def _through(session: Session, arguments: dict[str, Any]) -> Iterator[Session]:
    """The session as it reads by the backend that a call names, the collection itself too where that is elsewhere."""
    reading = session.through(backend_name(arguments))
    with stores_of(reading.backend):
        yield reading


def _opened(session: Session, arguments: dict[str, Any]) -> CollectionIndex:
    workspace = arguments.pop("workspace_dir", None)
    return session.open(required(arguments, "name"), workspace_of(workspace) if workspace else None)


def _rows(texts: pa.Array, one: Any) -> pa.Array:
    return pa.array([[one(sql_arguments(text))] for text in texts.to_pylist()])


def _append(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, Any]:
        with _through(session, arguments) as reading:
            index = _opened(session, arguments)
            del arguments["name"]
            done = life.append_collection(reading, index, progress=session.progress, cancelled=cancelled, **arguments)
            _show_again(session, index)
        return {
            "name": index.name,
            "found": done.found,
            "added": done.added,
            "scenes": done.scenes,
            "path": index.place,
        }

    return _rows(texts, one)


def _refresh(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, Any]:
        with _through(session, arguments) as reading:
            index = _opened(session, arguments)
            del arguments["name"]
            done = life.refresh_collection(reading, index, progress=session.progress, cancelled=cancelled, **arguments)
            _show_again(session, index)
        return {
            "name": index.name,
            "checked": done.checked,
            "changed": done.changed,
            "added": done.added,
            "gone": done.gone,
            "path": index.place,
        }

    return _rows(texts, one)


def _drop(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(arguments: dict[str, Any]) -> dict[str, Any]:
        with _through(session, arguments):
            index = _opened(session, arguments)
            scenes = index.count_rows()
            life.drop_collection(session, index, cancelled=cancelled)
        return {"name": index.name, "scenes": scenes, "path": index.place}

    return pa.array([[one(json.loads(text))] for text in texts.to_pylist()])


def _show_again(session: Session, index: CollectionIndex) -> None:
    """The collection as it is now, under the name that it has."""
    session.add(open_collection(index.origin or index.path, index.name))
    session.publish(index.name)


LIFE_FUNCTIONS = (
    Function(
        name="rasteret_append",
        family="collections",
        table=True,
        arguments=(
            _NAME,
            Argument("bbox", "DOUBLE[4], GEOMETRY or WKT", "where the new scenes are; as in the build", "NULL"),
            Argument("date_range", "VARCHAR[2]", "first and last day of the new scenes; as in the build", "NULL"),
            Argument("query", "STRUCT, JSON or VARCHAR", "conditions on the new items; as in the build", "NULL"),
            _API,
            _MAX,
            _WORKSPACE,
            BACKEND,
        ),
        returns=f"TABLE of {_APPENDED}",
        doc="Adds scenes of the collection's source that it does not have yet; only their files are read.",
        example="SELECT found, added FROM rasteret_append('dunes')",
        udfs=(Udf("__rasteret_append", ("VARCHAR",), f"{_APPENDED}[]", pure=False, run=_append),),
    ),
    Function(
        name="rasteret_refresh",
        family="collections",
        table=True,
        arguments=(_NAME, _API, _MAX, _WORKSPACE, BACKEND),
        returns=f"TABLE of {_REFRESHED}",
        doc="Asks the collection's sources again: changed scenes are read again, new ones added, gone ones marked in "
        "status.",
        example="SELECT checked, changed, added, gone FROM rasteret_refresh('dunes')",
        udfs=(Udf("__rasteret_refresh", ("VARCHAR",), f"{_REFRESHED}[]", pure=False, run=_refresh),),
    ),
    Function(
        name="rasteret_drop",
        family="collections",
        table=True,
        arguments=(_NAME, _WORKSPACE, BACKEND),
        returns=f"TABLE of {_DROPPED}",
        doc="Removes a cached collection with its files; exports and loaded collections are left alone.",
        example="SELECT scenes FROM rasteret_drop('dropped')",
        udfs=(Udf("__rasteret_drop", ("VARCHAR",), f"{_DROPPED}[]", pure=False, run=_drop),),
    ),
)
