"""`PixelPlanner`: explains what the pixels of each scene and band take, without reading them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.explain_pairs import PartCost, scenes_of_distinct_ids
from rasteret_sql.reading.pixel_blocks import WaitingBlocks
from rasteret_sql.reading.pixel_table import Part, PixelTable
from rasteret_sql.reading.request import Scene, described

_CHUNK = 2048
"""Blocks, runs and pixels that DuckDB asks for at a time."""


class PixelPlanner:
    """Asks for the pixels of scenes as DuckDB will where all rows are wanted, of an engine that counts.

    Args:
        table: of the call, used for nothing else.
        forecast: counts what all calls of the statement take together.
    """

    def __init__(self, table: PixelTable, forecast: Forecast) -> None:
        table.waiting = WaitingBlocks()
        self._table = table
        self._forecast = forecast
        self._lock = threading.Lock()

    def costs(self, scenes: Sequence[Scene], context: ReadContext, cancelled: Cancelled) -> list[list[PartCost]]:
        """The costs of some scenes, band by band; none where the geometry misses a scene."""
        dry = context.forecast(self._forecast)
        found: list[list[PartCost]] = []
        with self._lock:  # scenes may come on several threads
            for some in scenes_of_distinct_ids(scenes):
                parts = self._table.find(scenes[some], context)
                for wanted in self._asked([part for part in parts if part is not None]):
                    self._table.load(wanted, dry, cancelled)
                found += [[] if part is None else self._of_part(part) for part in parts]
        return found

    def _of_part(self, part: Part) -> list[PartCost]:
        return [PartCost(band, 1, self._forecast.take(described(part.scene.id, [band]))) for band in part.names]

    def _asked(self, parts: Sequence[Part]) -> Iterator[list[int]]:
        """The blocks of which a statement asks for pixels at a time; only where there are some for the first time."""
        numbers = [part.first + at for part in parts for at in range(len(part.asked))]
        for begin in range(0, len(numbers), _CHUNK):
            some = np.array(numbers[begin : begin + _CHUNK])
            counts, runs = self._table.runs(some.tolist())
            of_run, lengths = np.repeat(some, counts), runs[3]
            for first in range(0, len(of_run), _CHUNK):
                blocks, begins = np.unique(of_run[first : first + _CHUNK], return_index=True)
                ends = np.cumsum(lengths[first : first + _CHUNK])
                starts = np.r_[0, ends][begins] // _CHUNK
                lasts = (ends[np.r_[begins[1:], len(ends)] - 1] - 1) // _CHUNK
                for chunk in np.unique(starts):
                    yield blocks[(starts <= chunk) & (lasts >= chunk)].tolist()
