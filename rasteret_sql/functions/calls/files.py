"""Runs the functions for files that no catalog lists."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions import types
from rasteret_sql.functions.calls.collections import run_build
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.library.build_from_files import build_files, file_rows
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.example_data import example_path
from rasteret_sql.library.feature_files import GEOJSON, OTHERS, require_file
from rasteret_sql.quoting import quote_text
from rasteret_sql.session.session import Session

_NAMING = ("id", "datetime", "bands")


def build(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Build scenes of files, and give DuckDB the queries of them."""

    def make(place: Session, arguments: dict[str, Any], running: dict[str, Any]) -> CollectionIndex:
        paths = arguments.pop("paths")
        _require_all(place, paths)
        naming = {name: arguments.pop(name) for name in _NAMING if name in arguments}
        return build_files(place, paths, naming, BuildOptions(**arguments, **running))

    return run_build("rasteret_build_from_files", session, cancelled, texts, make)


def files(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """List what the headers of files say."""

    def rows(arguments: dict[str, Any]) -> list[dict[str, Any]]:
        _require_all(session, arguments["paths"])
        backend = session.through(arguments.get("backend")).backend
        return file_rows(arguments["paths"], backend, arguments.get("max_concurrent"), cancelled)

    asked = [named_arguments("rasteret_files", text) for text in texts.to_pylist()]
    return pa.array([rows(arguments) for arguments in asked], pa.list_(types.FILE))


def _require_all(session: Session, paths: str | list[str]) -> None:
    for path in [paths] if isinstance(paths, str) else paths:
        session.allowed.require(path)


def features(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Give DuckDB the queries of features."""
    asked = [named_arguments("rasteret_features", text) for text in texts.to_pylist()]
    return pa.array([_features_sql(session, **arguments) for arguments in asked], pa.string())


def _features_sql(session: Session, path: str = "", layer: str | None = None) -> str:
    session.allowed.require(path)
    require_file(path)
    if not path.lower().endswith((*GEOJSON, *OTHERS)):
        if layer is not None:
            raise InvalidArgumentError(f'{path} has no layers such as "{layer}"; leave layer out')
        return f"FROM {quote_text(path)}"
    scan = session.features.scan_sql(path, layer)
    if scan is not None:
        return scan
    if layer is not None:  # DuckDB's extension spatial (seen with 1.5.5) ends the process where there is no such layer
        raise InvalidArgumentError(f'layer "{layer}" of {path} needs pyogrio: pip install "rasteret-sql[vector]"')
    return f"FROM ST_Read({quote_text(path)})"


def example(_session: Session, _cancelled: Cancelled, names: pa.Array) -> pa.Array:
    """Paths of example data."""
    return pa.array([None if name is None else example_path(name) for name in names.to_pylist()], pa.string())
