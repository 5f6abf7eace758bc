"""`RecentZones`: keeps the zones that calls measured lately, since the next call of a statement mostly has the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

import pyarrow as pa

from rasteret_sql.reading.zones_of_rows import ZonesOfRows

_MOST_ZONES = 1 << 16
"""So many zones are kept, at most."""


class RecentZones:
    """Zones by what a call says of how they are measured, those that were used last at the end."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Hashable, int], ZonesOfRows] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, call: Hashable, wkbs: pa.Array) -> ZonesOfRows | None:
        """The zones of these bytes, for a call of that kind; None where they are not known."""
        key = call, _digest(wkbs)
        with self._lock:
            known = self._known.get(key)
            if known is None or not known.wkbs.equals(wkbs):
                return None
            self._known.move_to_end(key)
            return known

    def keep(self, call: Hashable, zones: ZonesOfRows) -> None:
        """Keep zones for the next call of the kind."""
        with self._lock:
            self._known[call, _digest(zones.wkbs)] = zones
            kept = sum(map(len, self._known.values()))
            while kept > _MOST_ZONES and len(self._known) > 1:
                kept -= len(self._known.popitem(last=False)[1])


def _digest(wkbs: pa.Array) -> int:
    """Equal for equal zones; what is found by it is compared."""
    return hash((len(wkbs), wkbs[0].as_py(), wkbs[-1].as_py(), wkbs.nbytes)) if len(wkbs) else 0
