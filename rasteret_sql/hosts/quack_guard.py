"""Decides over the parsed statement what a client of a served connection may run."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import duckdb

from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.quoting import quote_text

_READ_FAMILIES = {"pixels", "chips"}
_READS = {
    "rasteret_bands",
    "rasteret_collections",
    "rasteret_datasets",
    "rasteret_example",
    "rasteret_failures",
    "rasteret_features",
    "rasteret_files",
    "rasteret_functions",
    "rasteret_indices",
    "rasteret_running",
    "rasteret_scenes",
    "rasteret_stats",
    "rasteret_stop",
}
"""Of the other families, functions that change nothing, and ask no host that a client names."""
_WRITES = {"rasteret_write"}
"""Of those families."""
READABLE = frozenset({one.name for one in FUNCTIONS if one.family in _READ_FAMILIES} - _WRITES | _READS)
_OURS = frozenset(one.name for one in FUNCTIONS)
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?", re.IGNORECASE)


class Guard:
    """Says whether a client may run a statement.

    A statement is taken apart by DuckDB itself: names in texts and comments are not functions, and names that are
    written in quotes or with their catalog are.

    Args:
        is_read_only: True: nothing but SELECT and EXPLAIN, of functions that read.
    """

    def __init__(self, *, is_read_only: bool) -> None:
        self._is_read_only = is_read_only
        self._parser = duckdb.connect()
        self._lock = threading.Lock()
        self._refusal = lru_cache(256)(self._refused)

    def answer(self, _session: str, query: str) -> str:
        """The statement that is run in place of a client's: the same, or one that is an error which says why not.

        Quack asks so for every statement. It takes a flag too, but then its error says nothing.
        """
        refusal = self._refusal(query)
        return (
            f"SELECT error({quote_text(f'{refusal}; whoever serves decides what clients may run')})"
            if refusal
            else query
        )

    def _refused(self, query: str) -> str:
        """The reason to refuse a statement; empty where it may run."""
        with self._lock:
            try:
                statements = duckdb.extract_statements(query, connection=self._parser)
            except duckdb.Error:
                return ""  # it is none: DuckDB says so to the client
            kinds = [(one.type, one.query) for one in statements]
        for kind, text in kinds:
            refusal = self._refused_statement(kind, text)
            if refusal:
                return refusal
        return ""

    def _refused_statement(self, kind: duckdb.StatementType, text: str) -> str:
        if kind == duckdb.StatementType.EXPLAIN:
            return self._refused(_EXPLAIN.sub("", text, count=1))
        if kind != duckdb.StatementType.SELECT:
            return f"{kind.name} is refused: this server is read-only" if self._is_read_only else ""
        tree = self._tree(text)
        if tree is None:
            return "the statement cannot be checked" if self._is_read_only else ""
        for call in _calls(tree):
            refusal = self._refused_call(call)
            if refusal:
                return refusal
        return ""

    def _refused_call(self, call: dict[str, Any]) -> str:
        name = str(call["function_name"]).lower()
        if name.startswith("quack_"):
            return f"{name} is refused"
        if not self._is_read_only:
            return ""
        if name.startswith("__rasteret_"):
            return f"{name} is refused: call the public functions"
        if name in _OURS and name not in READABLE:
            return f"{name} is refused, since it changes something or asks a host that the call names"
        if name == "query":
            inner = _constant(call)
            return "query() is allowed of a text alone" if inner is None else self._refused(inner)
        return ""

    def _tree(self, text: str) -> dict[str, Any] | None:
        with self._lock:
            row = self._parser.execute("SELECT json_serialize_sql($1::VARCHAR)", [text]).fetchone()
        tree: dict[str, Any] = json.loads(row[0])
        return None if tree.get("error") else tree


def _calls(tree: Any) -> Iterator[dict[str, Any]]:
    """All calls of functions in a tree."""
    if isinstance(tree, dict):
        if "function_name" in tree:
            yield tree
        for value in tree.values():
            yield from _calls(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _calls(value)


def _constant(call: dict[str, Any]) -> str | None:
    """The text that is the only argument of a call; None where it is anything else."""
    given = call.get("arguments") or call.get("children") or []
    if len(given) != 1 or not isinstance(given[0], dict):
        return None
    constant = given[0].get("expression", given[0])  # 2.0 has a name around each argument
    value = constant.get("literal", {}).get("text") or constant.get("value", {}).get("value")
    return value if isinstance(value, str) else None
