"""Finds the collection of a relation with rows of its scenes, in the database that the relation is of."""

from __future__ import annotations

from typing import Any

import duckdb

from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, UnknownCollectionError, did_you_mean
from rasteret_sql.hosts.duckdb import SESSION_KEY, session_of_key
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.session.session import Session


def scenes_of_relation(relation: Any, collection: str | None) -> tuple[Session, CollectionIndex, list[str]]:
    """Run a relation, and find the collection that has all of its scenes.

    Args:
        relation: of a connection with our functions, with a column `id`.
        collection: name of the collection; None: the open one that has them.

    Returns:
        The session of the database, the collection, and the ids.

    Raises:
        TypeError: it is no relation.
        InvalidArgumentError: it has no ids, its connection has none of our functions, or no collection has them all.
    """
    if not isinstance(relation, duckdb.DuckDBPyRelation):
        raise ArgumentTypeError(
            "expected a relation of DuckDB, such as con.sql('FROM rasteret.bay WHERE ...'), not "
            f"{type(relation).__name__}"
        )
    if "id" not in relation.columns:
        raise InvalidArgumentError(f"the relation has no column id of scenes: {', '.join(relation.columns)}")
    try:
        ((names, key),) = relation.aggregate(f"list(CAST(id AS VARCHAR)), {SESSION_KEY}").fetchall()
    except duckdb.CatalogException as error:
        raise InvalidArgumentError(
            "the relation's connection has no functions of rasteret_sql; make it of rasteret_sql.connect(), or call "
            "rasteret_sql.install(con). A table in the layout of a collection is taken by as_collection"
        ) from error
    ids = list(dict.fromkeys(name for name in names or () if name is not None))
    session = session_of_key(key)
    named = list(session.collections) if collection is None else [session.open(collection)]
    if not ids and len(named) != 1:
        raise InvalidArgumentError("the relation has no rows, so nothing says whose scenes they are; give collection=")
    present = {index.name: session.lookup.scenes(index, ids) for index in named}
    whole = [index for index in named if len(present[index.name]) == len(ids)]
    if len(whole) == 1:
        return session, whole[0], ids
    if whole:
        names = ", ".join(f'"{index.name}"' for index in whole)
        raise InvalidArgumentError(f"several open collections have these scenes ({names}); say which with collection=")
    found = {name: len(some) for name, some in present.items() if some}
    if not found:
        raise UnknownCollectionError(
            f'no open collection has the scene "{ids[0]}"; {did_you_mean(ids[0], [index.name for index in named])}'
        )
    said = ", ".join(f'{count} in "{name}"' for name, count in found.items())
    raise InvalidArgumentError(
        f"the {len(ids)} scenes are not all in one collection ({said}), and a Collection is of one; filter the relation"
    )
