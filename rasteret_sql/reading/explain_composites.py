"""Explains what the composites of each period take, without making them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Cost, Forecast
from rasteret_sql.reading.composites import read_composites
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.mosaic import Group, Mosaic


@dataclass(slots=True)
class PeriodCost:
    """The composites of a period, and what they take."""

    period: int
    """Its number, from 0."""
    scenes: set[int] = field(default_factory=set)
    """Numbers in `Mosaic.scenes` of those that meet a geometry."""
    chips: int = 0
    cost: Cost = field(default_factory=Cost)


def period_costs(
    mosaic: Mosaic, groups: Sequence[Group], forecast: Forecast, context: ReadContext, cancelled: Cancelled
) -> list[PeriodCost]:
    """The cost of each period in which scenes meet geometries, in their order.

    Args:
        mosaic: Has the composites.
        groups: As `Mosaic.find` gives them.
        forecast: Counts what all of them take, in this order.
        context: What they would be read with.
        cancelled: Polled.
    """
    dry = context.forecast(forecast)
    found: dict[int, PeriodCost] = {}
    for group in groups:
        one = found.setdefault(group.period, PeriodCost(group.period))
        before = forecast.total
        tiles, requests, size = before.tiles, before.requests, before.bytes
        read_composites(mosaic, group.numbers, dry, cancelled)
        after = forecast.total
        one.cost.tiles += after.tiles - tiles
        one.cost.requests += after.requests - requests
        one.cost.bytes += after.bytes - size
        one.chips += len(group.zones)
        one.scenes.update(scene for number in group.numbers for scene in mosaic.composites[number].scenes.tolist())
    return list(found.values())
