"""`PairPlanner`: explains what each scene and band of a call over relations takes, without doing it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Cost, Forecast
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.pairs import PairReader, chips_of, samples_of
from rasteret_sql.reading.relation import Met, Relation
from rasteret_sql.reading.relation_geometries import Numbers
from rasteret_sql.reading.request import Scene, described

_CHUNK = 2048
"""Pairs that DuckDB asks for at a time."""


class PartCost(NamedTuple):
    """The cost of the pairs of a scene and band, or of a scene and all bands that are read together."""

    bands: str
    """Names, with commas between."""
    pairs: int
    cost: Cost


class PairPlanner:
    """Asks for the pairs of scenes as DuckDB will, in the same order, so many at a time, of an engine that counts.

    Args:
        relation: of the call.
        reader: reads its pairs and is used for nothing else; None where they are chips.
        forecast: counts what all calls of the statement take together.
    """

    def __init__(self, relation: Relation, reader: PairReader | None, forecast: Forecast) -> None:
        self.forecast = forecast
        self._relation = relation
        self._reader = reader
        self._lock = threading.Lock()

    def plan(self, met: Sequence[Met], context: ReadContext, cancelled: Cancelled) -> None:
        """Count what pairs take.

        Args:
            met: what some scenes meet, in their order.
            context: what they would be read with.
            cancelled: polled.
        """
        dry = context.forecast(self.forecast)
        parts = np.repeat([one.part for one in met], [len(one.numbers) for one in met])
        numbers = np.concatenate([np.empty(0, np.int64), *(one.numbers for one in met)])
        with self._lock:  # scenes may come on several threads
            for begin in range(0, len(numbers), _CHUNK):
                some = slice(begin, begin + _CHUNK)
                self._read(parts[some], numbers[some], dry, cancelled)

    def costs(
        self, scenes: Sequence[Scene], met: Sequence[Sequence[Met]], context: ReadContext, cancelled: Cancelled
    ) -> list[list[PartCost]]:
        """The costs of some scenes, by band where bands are read apart; none where nothing meets."""
        found: list[list[PartCost]] = []
        for some in scenes_of_distinct_ids(scenes):
            of_some = [one for of_scene in met[some] for one in of_scene]
            if self._reader is not None and of_some:  # else costs of other scenes would count for those of their ids
                bands = len(self._relation.bands) if self._relation.of_points else 1
                self._reader.parts_ahead = max(one.part for one in of_some) + bands
            self.plan(of_some, context, cancelled)
            found += [
                [
                    PartCost(", ".join(names), len(one.numbers), self.forecast.take(described(scene.id, names)))
                    for one in of_scene
                    if len(one.numbers)
                    for names in self._read_together(one)
                ]
                for scene, of_scene in zip(scenes[some], met[some], strict=True)
            ]
        return found

    def _read_together(self, met: Met) -> list[tuple[str, ...]]:
        """Names of the bands that are read in one part: of points each band alone, else all."""
        return [(name,) for name in met.names] if self._relation.of_points else [met.names]

    def _read(self, parts: Numbers, numbers: Numbers, context: ReadContext, cancelled: Cancelled) -> None:
        if self._reader is None:
            chips_of(self._relation, parts, numbers, context, cancelled)
        elif self._relation.of_points:
            samples_of(self._reader, parts, numbers, context, cancelled)
        else:
            self._reader.read(parts, numbers, context, cancelled)


def scenes_of_distinct_ids(scenes: Sequence[Scene]) -> Iterator[slice]:
    """Cut a list of scenes into parts in which no id is twice: costs are told apart by it."""
    begin, seen = 0, set[str]()
    for at, scene in enumerate(scenes):
        if scene.id in seen:
            yield slice(begin, at)
            begin, seen = at, set()
        seen.add(scene.id)
    yield slice(begin, len(scenes))
