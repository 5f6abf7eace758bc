"""`RecentZones`: keeps the zones that calls measured lately, since the next call of a statement mostly has the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

import pyarrow as pa

from rasteret_sql.reading.zones_of_rows import ZonesOfRows

_MOST_BYTES = 128 * 1024 * 1024
"""What the zones of all calls but the last hold, at most, with their places and pixels."""


class RecentZones:
    """Zones by what a call says of how they are measured, those that were used last at the end."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Hashable, int], tuple[ZonesOfRows, int]] = OrderedDict()
        """With their bytes, which grow with the grids on which they are known."""
        self._lock = threading.Lock()

    def get(self, call: Hashable, given: pa.Array) -> ZonesOfRows | None:
        """The zones that are given so, for a call of that kind; None where they are not known."""
        key = call, _digest(given)
        with self._lock:
            known, _ = self._known.get(key, (None, 0))
            if known is None or not known.given.equals(given):
                return None
            self._known.move_to_end(key)
            return known

    def keep(self, call: Hashable, zones: ZonesOfRows) -> None:
        """Keep zones for the next call of the kind."""
        key, nbytes = (call, _digest(zones.given)), zones.nbytes
        with self._lock:
            self._known[key] = zones, nbytes
            self._known.move_to_end(key)
            kept = sum(size for _, size in self._known.values())
            while kept - nbytes > _MOST_BYTES:
                kept -= self._known.popitem(last=False)[1][1]


def _digest(given: pa.Array) -> int:
    """Equal for equal zones; what is found by it is compared."""
    return hash((len(given), given[0].as_py(), given[-1].as_py(), given.nbytes)) if len(given) else 0
