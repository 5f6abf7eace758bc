"""Functions that show and change settings, and show what could not be read."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from rasteret_sql.functions.access import backend_rows
from rasteret_sql.functions.spec import Argument, Function, Udf, struct_type
from rasteret_sql.kernels.building import sql_arguments
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.kernels.settings import SETTINGS, change_settings, current_values, default_values
from rasteret_sql.session import Session
from rasteret_sql.session_parts import Failure

_SETTING_FIELDS = ("name", "value", "default", "scope", "description")
_SETTING = struct_type([(name, "VARCHAR") for name in _SETTING_FIELDS])
_SETTING_ROWS = pa.list_(pa.struct([(name, pa.string()) for name in _SETTING_FIELDS]))
_TEXTS = ("function", "collection", "scene_id", "band", "error", "message")
_FAILURE = struct_type([("failed_at", "TIMESTAMP"), *((name, "VARCHAR") for name in _TEXTS)])
_FAILURE_ROWS = pa.list_(pa.struct([("failed_at", pa.timestamp("us")), *((name, pa.string()) for name in _TEXTS)]))
_WORDS = {"bytes": "BIGINT or text such as '1 GiB'", "integer": "INTEGER", "seconds": "DOUBLE"}


def _settings(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def rows(text: str) -> list[dict[str, Any]]:
        change_settings(sql_arguments(text), session.settings, session.engine)
        values, defaults = current_values(session.settings, session.engine), default_values(session.settings)
        listed = [
            {
                "name": setting.name,
                "value": str(values[setting.name]),
                "default": str(defaults[setting.name]),
                "scope": setting.scope,
                "description": setting.doc,
            }
            for setting in SETTINGS
        ]
        return listed + [_backend_row(name, row) for name, row in backend_rows(session).items()]

    return pa.array([rows(text) for text in texts.to_pylist()], _SETTING_ROWS)


def _backend_row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"backend {name}",
        "value": json.dumps(dict(row["settings"])),
        "default": None,
        "scope": "session",
        "description": f"made by rasteret_create_backend; credentials: {row['kind']}",
    }


def _failures(session: Session, _cancelled: Cancelled, clears: pa.Array) -> pa.Array:
    return pa.array(
        [[_failure_row(one) for one in session.failures.listed(clear=bool(clear))] for clear in clears.to_pylist()],
        _FAILURE_ROWS,
    )


def _failure_row(failure: Failure) -> dict[str, Any]:
    return {
        "failed_at": failure.at,
        "function": failure.function or None,
        "collection": failure.collection,
        "scene_id": failure.scene_id,
        "band": failure.bands,
        "error": failure.error,
        "message": failure.message,
    }


SETTING_FUNCTIONS = (
    Function(
        name="rasteret_settings",
        family="access",
        table=True,
        arguments=tuple(
            Argument(
                setting.name,
                _WORDS.get(setting.kind, "VARCHAR"),
                (f"'{setting.kind.replace('|', chr(39) + ' or ' + chr(39))}': " if "|" in setting.kind else "")
                + f"{setting.doc} ({setting.scope})",
                "NULL",
            )
            for setting in SETTINGS
        ),
        returns=f"TABLE of {_SETTING}",
        doc="Shows settings and named backends, secrets as ***, and changes those that are given; 'default' brings a "
        "default back. Settings of the process hold for all its databases, those of the session for all connections of "
        "one.",
        example="SELECT name, value FROM rasteret_settings(request_timeout := 30, cache_bytes := '256 MiB')",
        udfs=(Udf("__rasteret_settings", ("VARCHAR",), f"{_SETTING}[]", pure=False, run=_settings),),
    ),
    Function(
        name="rasteret_failures",
        family="access",
        table=True,
        arguments=(Argument("clear", "BOOLEAN", "true: forget them, once they are given", "NULL"),),
        returns=f"TABLE of {_FAILURE}",
        doc="What gave NULL by on_error := 'null' because it could not be read: of each function, scene, band and "
        "message the latest time, in UTC; the newest 10,000 of the session, oldest first.",
        example="SELECT count(*) FROM rasteret_failures()",
        udfs=(Udf("__rasteret_failures", ("BOOLEAN",), f"{_FAILURE}[]", pure=False, run=_failures),),
    ),
)
