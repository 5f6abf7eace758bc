"""Names the statistics of a zone, and groups them by what they cost."""

from __future__ import annotations

import re
from collections.abc import Collection

STATS = (
    "count",
    "valid_percent",
    "sum",
    "mean",
    "min",
    "max",
    "stddev",
    "stddev_pop",
    "variance",
    "median",
    "p05",
    "p25",
    "p75",
    "p95",
    "majority",
    "minority",
    "variety",
)
"""In the order in which SQL's STRUCT has them."""
QUANTILES = {"median": 0.5, "p05": 0.05, "p25": 0.25, "p75": 0.75, "p95": 0.95}
MOMENTS = frozenset(("stddev", "stddev_pop", "variance"))
FREQUENCIES = frozenset(("majority", "minority", "variety"))
SUMS = frozenset(("count", "valid_percent", "sum", "mean"))
"""Statistics that come from sums alone."""
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")


def quantiles_in(names: Collection[str]) -> dict[str, float]:
    """Those of some statistics that are quantiles, from 0 to 1: named ones, and any percentile such as p90 or p2.5."""
    found: dict[str, float] = {}
    for name in names:
        written = _PERCENTILE.fullmatch(name)
        if name in QUANTILES:
            found[name] = QUANTILES[name]
        elif written is not None and float(written[1]) <= 100:
            found[name] = float(written[1]) / 100
    return found


def is_statistic(name: str) -> bool:
    """True for a name of `STATS`, and for a percentile."""
    return name in STATS or name in quantiles_in((name,))


def needs_order(names: Collection[str]) -> bool:
    """True where one of some statistics needs the values sorted."""
    return not FREQUENCIES.isdisjoint(names) or bool(quantiles_in(names))


def in_order(names: Collection[str]) -> list[str]:
    """Statistics in the order of `STATS`, other percentiles after them."""
    return [*(name for name in STATS if name in names), *(name for name in names if name not in STATS)]
