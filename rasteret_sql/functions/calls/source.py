"""Runs the function that gives the scenes of a collection by a description of where they come from."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.functions.calls.collections import open_by_name
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.registry import DECLARED, call_of
from rasteret_sql.session.session import Session

BUILDS = {
    "dataset": ("rasteret_build", "dataset"),
    "stac_api": ("rasteret_build_from_stac", "stac_api"),
    "files": ("rasteret_build_from_files", "paths"),
    "table": ("rasteret_build_from_table", "uri"),
}
"""Member of a source → the function that builds it, and the argument that the member is there."""
_NOT_OF_SOURCES = {"name", "force"}
"""The first is said beside; the second would build once for each statement that reads the source."""


def source(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Build what is absent, and give DuckDB the queries of the scenes."""
    queries = []
    for text in texts.to_pylist():
        given = named_arguments("rasteret_source", text)
        said = _members(given.get("source"))
        if not said:
            queries.append(open_by_name(session, cancelled, pa.array([given["name"]]))[0].as_py())
            continue
        function, arguments = build_of(given["name"], said)
        build = call_of(DECLARED[function].udf, DECLARED[function])
        queries.append(build(session, cancelled, pa.array([json.dumps(arguments)]))[0].as_py())
    return pa.array(queries, pa.string())


def _members(said: Any) -> dict[str, Any]:
    """The members of a source; none where it is NULL."""
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except ValueError as error:
            raise InvalidArgumentError(f"source is text, but no JSON: {error}") from error
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise InvalidArgumentError(
            f"source is {json.dumps(said)}; expected a STRUCT, MAP or JSON object such as {{'dataset': 'naip'}}"
        )
    return {name: value for name, value in said.items() if value is not None}


def build_of(name: str, said: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The function that builds a source, and its arguments.

    Raises:
        InvalidArgumentError: the source does not say what it is, says it twice, or has a member that the build lacks.
    """
    kinds = [kind for kind in BUILDS if kind in said]
    if kinds == ["dataset", "stac_api"]:  # the API from which a dataset is built
        kinds = ["dataset"]
    if len(kinds) != 1:
        found = f"it has {' and '.join(kinds)}" if kinds else f"it has only {', '.join(said)}"
        raise InvalidArgumentError(f'the source of "{name}" is one of {", ".join(BUILDS)}: {found}')
    function, argument = BUILDS[kinds[0]]
    known = [one.name for one in DECLARED[function].arguments if one.name not in {*_NOT_OF_SOURCES, argument}]
    for member in said:
        if member != kinds[0] and member not in known:
            raise InvalidArgumentError(
                f'the source of "{name}" has {member}, which {function} does not take; {did_you_mean(member, known)}'
            )
    return function, {argument if member == kinds[0] else member: value for member, value in said.items()} | {
        "name": name
    }
