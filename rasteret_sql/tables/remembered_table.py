"""Opens again the table that a collection was built from, as the collection remembers it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.stac.query import parse_query
from rasteret_sql.tables.assets import BandChoice, KnownBands
from rasteret_sql.tables.columns import Mapped
from rasteret_sql.tables.table_source import TableSource


def table_again(said: Mapping[str, Any], given: Mapping[str, Any]) -> TableSource:
    """The source whose `identity` was kept, with some of its arguments changed.

    Args:
        said: the identity.
        given: `address`, `bbox`, `date_range` and `query` (a condition on the table's columns) in place of those.

    Raises:
        InvalidArgumentError: the table was in memory, or what chose its rows cannot be said again.
    """
    address = given.get("address", said["table"])
    if address is None or said.get("filesystem"):
        raise InvalidArgumentError(
            "its table was in memory or behind a filesystem, and is not kept; build it again with the table, or append "
            "a source"
        )
    condition = parse_query(given["query"]).condition if "query" in given else said["filter"]
    if isinstance(condition, list):
        raise InvalidArgumentError(
            f"its rows were chosen by the Arrow expression {condition[0]}, which is not kept; give query, a condition "
            "in SQL, or build it again"
        )
    return TableSource(
        os.fspath(address),
        mapped=Mapped(dict(said["column_map"]), said["href_column"], dict(said["bbox_columns"]), said["columns"]),
        bands=BandChoice(
            dict(said["band_map"]) or None,
            dict(said["band_index_map"]) or None,
            said["band_codes"],
            [KnownBands(dict(names), dict(samples) or None) for names, samples in said["known"]],
        ),
        bbox=given.get("bbox", said["bbox"]),
        date_range=given.get("date_range", said["dates"]),
        filter_expr=condition,
        url_patterns=dict(said["url_patterns"]),
    )
