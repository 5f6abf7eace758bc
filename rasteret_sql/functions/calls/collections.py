"""Runs the functions that build, load, export and list collections."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError, StorageError
from rasteret_sql.functions import types
from rasteret_sql.functions.calls.rows import named_arguments, one_row
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.place.location import Workspace, workspace_of
from rasteret_sql.index.place.workspace import describe, list_collections
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.library.build import build_dataset, build_stac
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.load import load_collection
from rasteret_sql.session.session import Session

Make = Callable[[Session, dict[str, Any], dict[str, Any]], CollectionIndex]
"""(session, arguments of the call, how it runs: options that no argument says) → what was built."""


@contextmanager
def _writing(what: str, remedy: str) -> Iterator[None]:
    """Say what could not be written; a system's own error does not."""
    try:
        yield
    except OSError as error:
        if isinstance(error, RasteretError):
            raise
        at = f" ({error.filename})" if error.filename else ""
        raise StorageError(f"{what} cannot be written: {error.strerror or error}{at}; {remedy}") from error


def _show(session: Session, index: CollectionIndex, workspace: Workspace) -> str:
    """Open a collection, let it be seen, and give DuckDB the query of its scenes."""
    query = session.scenes.scan_sql(index)
    session.add(index, workspace)
    session.publish(index.name)
    return query


def run_build(function: str, session: Session, cancelled: Cancelled, texts: pa.Array, make: Make) -> pa.Array:
    """Build with the named arguments of each call, and give DuckDB the query of the scenes."""

    def one(text: str) -> str:
        arguments = named_arguments(function, text)
        force = arguments.pop("force", False)
        # DuckDB may plan a statement twice: what the first planning made is there for the second.
        fresh = force and not session.forced.is_pending(text)
        workspace = arguments.get("workspace_dir") or session.workspace_dir
        backend = session.through(arguments.pop("backend", None)).backend
        running = {"force": fresh, "backend": backend, "progress": session.progress, "cancelled": cancelled}
        writing = _writing(f"the collection in {workspace}", "give workspace_dir := a directory that can be written")
        with writing:
            index = make(session, arguments, running)
        if fresh:
            session.forced.made(text)
        return _show(session, index, workspace_of(workspace))

    return pa.array([one(text) for text in texts.to_pylist()], pa.string())


def build_of_dataset(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Build scenes of registered datasets, and give DuckDB the queries of them."""

    def make(place: Session, arguments: dict[str, Any], running: dict[str, Any]) -> CollectionIndex:
        dataset = arguments.pop("dataset")
        return build_dataset(place, dataset, BuildOptions(**arguments, **running))

    return run_build("rasteret_build", session, cancelled, texts, make)


def build_of_stac(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Build scenes of STAC catalogs, and give DuckDB the queries of them."""

    def make(place: Session, arguments: dict[str, Any], running: dict[str, Any]) -> CollectionIndex:
        arguments.pop("static_catalog", None)  # what the address gives tells
        session.allowed.require(arguments["stac_api"])
        return build_stac(place, BuildOptions(**arguments, **running))

    return run_build("rasteret_build_from_stac", session, cancelled, texts, make)


def executed(session: Session, _cancelled: Cancelled, ids: pa.Array) -> pa.Array:
    """Take note that statements which build are carried out."""
    session.forced.executed()
    return pa.array([True] * len(ids))


def load(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Open indexes that exist, and give DuckDB the queries of their scenes."""

    def one(text: str) -> str:
        arguments = named_arguments("rasteret_load", text)
        stores = session.through(arguments.get("backend")).stores
        session.allowed.require(arguments["path"])
        index = load_collection(session.workspace_dir, arguments["path"], arguments.get("name", ""), stores)
        return _show(session, index, session.workspace_dir)

    return pa.array([one(text) for text in texts.to_pylist()], pa.string())


def open_by_name(session: Session, _cancelled: Cancelled, names: pa.Array) -> pa.Array:
    """Open collections by name, and give DuckDB the queries of their scenes."""
    return pa.array(
        [None if name is None else session.scenes.scan_sql(session.open(name)) for name in names.to_pylist()],
        pa.string(),
    )


def export(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Write collections to other places."""

    def one(arguments: dict[str, Any]) -> dict[str, Any]:
        index, asked = session.open(arguments["name"]), arguments["path"]
        session.allowed.require(asked)
        writing = _writing(f'the export of "{index.name}" to {safe_address(asked)}', "give another path")
        with writing:
            target = export_collection(index, asked, stores=session.through(arguments.get("backend")).stores)
        return {"name": index.name, "path": os.fspath(target), "scenes": index.count_rows()}

    return one_row("rasteret_export", texts, one)


def collections(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """List the collections that are open or cached."""

    def rows(arguments: dict[str, Any]) -> list[dict[str, Any]]:
        workspace = arguments.get("workspace_dir")
        if workspace:
            session.allowed.require(str(workspace))
        where = workspace_of(workspace) if workspace else session.workspace_dir
        opened = {} if workspace else {index.name.casefold(): index for index in session.collections}
        stores = session.through(arguments.get("backend")).stores
        listed = {entry["name"].casefold(): entry for entry in list_collections(where, stores)}
        listed |= {key: describe(index) for key, index in opened.items()}
        for key, entry in listed.items():
            entry["open"] = key in opened
            entry["date_start"], entry["date_end"] = entry["date_range"] or (None, None)
        return sorted(listed.values(), key=lambda entry: (entry["name"], entry["path"]))

    asked = [named_arguments("rasteret_collections", text) for text in texts.to_pylist()]
    return pa.array([rows(arguments) for arguments in asked], pa.list_(types.COLLECTION))
