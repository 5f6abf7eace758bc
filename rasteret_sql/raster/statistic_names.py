"""Names the statistics of a zone, and groups them by what they cost."""

from __future__ import annotations

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
SORTED = frozenset(QUANTILES) | FREQUENCIES
"""Statistics for which the values are sorted."""
SUMS = frozenset(("count", "valid_percent", "sum", "mean"))
"""Statistics that come from sums alone."""
