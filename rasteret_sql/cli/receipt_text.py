"""Says what the latest statement cost, in a line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from rasteret_sql.cli.runner import Runner

_LATEST = """
SELECT array_to_string(functions, ', '), seconds, requests, bytes, tiles, cache_hits, retries
FROM rasteret_stats() ORDER BY began_at DESC LIMIT 1
"""


def receipt_text(connection: duckdb.DuckDBPyConnection) -> str:
    """The costs of the latest statement that had any, as words; empty where none had."""
    with connection.cursor() as cursor:
        rows = cursor.execute(_LATEST).fetchall()
    if not rows:
        return ""
    functions, seconds, requests, count, tiles, hits, retries = rows[0]
    parts = [
        f"{requests:,} requests",
        f"{count:,} bytes",
        f"{tiles:,} tiles, {hits:,} of them kept",
        f"{seconds:.3f} s",
    ]
    if retries:
        parts.insert(1, f"{retries:,} of them again")
    return f"{functions}: {', '.join(parts)}"


def say_receipt(runner: Runner) -> None:
    """Say on stderr what a statement cost."""
    text = receipt_text(runner.connection)
    if text:
        sys.stderr.write(f"{text}\n")
