"""Computes statistics of zones of rows as arrays, and knows them on the grids of scenes, for the next call."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.pair_batch import PairValues
from rasteret_sql.reading.pairs import ZoneReader
from rasteret_sql.reading.relation import Part, Relation
from rasteret_sql.reading.relation_geometries import Numbers
from rasteret_sql.reading.request import Scene


class ZonesOfRows:
    """Some zones, with all that a call says of how they are measured.

    Args:
        given: The zones as they were given, WKB or text.
        relation: They, without scenes.
    """

    def __init__(self, given: pa.Array, relation: Relation) -> None:
        self.given = given
        self._relation = relation
        self._reader = ZoneReader(relation)
        self._parts: dict[str, int] = {}
        """Scene → its part of the relation."""
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes that they hold on the grids on which they are known, about."""
        nbytes: int = self.given.nbytes
        return nbytes + self._reader.nbytes

    def measure(
        self, ids: Sequence[str], scenes: Numbers, zones: Numbers, context: ReadContext, cancelled: Cancelled
    ) -> tuple[PairValues, int]:
        """Statistics of the rows whose zones can be read together, and how many of these meet their image.

        Args:
            ids: scenes.
            scenes: number of the scene of each row, from 0.
            zones: number of its zone.
            context: what they are read with.
            cancelled: polled while waiting.

        Raises:
            RasteretError: of rows that cannot be read; of those that are read one by one, too, it says which.
        """
        with self._lock:
            for one in ids:
                if one not in self._parts:
                    self._parts[one] = len(self._relation.parts)
                    self._relation.parts.append(Part(Scene(one, None), None))
            parts = np.array([self._parts[one] for one in ids], np.int64)
        return self._reader.read_once(parts[scenes], zones, context, cancelled)
