"""Runs the functions that show and change settings, and show what could not be read."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions import types
from rasteret_sql.functions.calls.access import backend_rows
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.library.settings import SETTINGS, change_settings, current_values, default_values
from rasteret_sql.receipt import Receipt
from rasteret_sql.session.failures import Failure
from rasteret_sql.session.session import Session


def settings(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Change the settings that are given, and list all."""

    def rows(text: str) -> list[dict[str, Any]]:
        change_settings(named_arguments("rasteret_settings", text), session.settings, session.engine.cache)
        values, defaults = current_values(session.settings, session.engine.cache), default_values(session.settings)
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

    return pa.array([rows(text) for text in texts.to_pylist()], pa.list_(types.SETTING))


def _backend_row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"backend {name}",
        "value": json.dumps(dict(row["settings"])),
        "default": None,
        "scope": "session",
        "description": f"made by rasteret_create_backend; credentials: {row['kind']}",
    }


def failures(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """List the rows that could not be read."""
    clears = [named_arguments("rasteret_failures", text).get("clear", False) for text in texts.to_pylist()]
    return pa.array(
        [[_failure_row(one) for one in session.failures.listed(clear=clear)] for clear in clears],
        pa.list_(types.FAILURE),
    )


def stats(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """List what the latest statements took."""
    clears = [named_arguments("rasteret_stats", text).get("clear", False) for text in texts.to_pylist()]
    return pa.array(
        [[_receipt_row(one) for one in session.receipts.listed(clear=clear)] for clear in clears],
        pa.list_(types.RECEIPT),
    )


def running(session: Session, _cancelled: Cancelled, asked: pa.Array) -> pa.Array:
    """List the statements that run now."""
    rows = [_receipt_row(one) for one in session.receipts.running()]
    return pa.array([rows] * len(asked), pa.list_(types.RECEIPT))


def stop(session: Session, _cancelled: Cancelled, statements: pa.Array) -> pa.Array:
    """Stop statements by the time at which they began."""
    return pa.array([None if one is None else session.receipts.stop(one) for one in statements.to_pylist()], pa.bool_())


def _receipt_row(receipt: Receipt) -> dict[str, Any]:
    return {
        "began_at": receipt.began_at,
        "functions": list(receipt.functions),
        "seconds": receipt.running.seconds,
        "plan_seconds": receipt.plan.seconds,
        "fetch_seconds": receipt.fetch.seconds,
        "decode_seconds": receipt.decode.seconds,
        "reduce_seconds": receipt.reduce.seconds,
        "pairs_planned": receipt.pairs_planned,
        "pairs_skipped": receipt.pairs_skipped,
        "tiles": receipt.tiles,
        "cache_hits": receipt.cache_hits,
        "requests": receipt.requests,
        "bytes": receipt.bytes,
        "retries": receipt.retries,
        "error": receipt.error or None,
    }


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
