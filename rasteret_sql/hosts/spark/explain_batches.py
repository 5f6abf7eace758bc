"""Says what calls over DataFrames take, without doing it: an engine that counts takes the jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.functions.calls.pixel_table import context_of
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.functions.calls.relations import reader_of, reading_of
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.hosts.spark.mosaic_batches import mosaic_of
from rasteret_sql.hosts.spark.pair_batches import LOOKED_UP, PairsFound, find_pairs, pair_chunks, scenes_of
from rasteret_sql.hosts.spark.pixel_batches import pixel_table
from rasteret_sql.reading.explain_composites import period_costs
from rasteret_sql.reading.explain_pairs import PairPlanner, PartCost
from rasteret_sql.reading.explain_pixels import PixelPlanner
from rasteret_sql.reading.request import Scene
from rasteret_sql.session.session import Session

INSTANT = pa.timestamp("us", "UTC")


def explain_pairs(session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Plan pairs, which come as `read_pairs` has them: a row for each scene and band of a chunk of pairs."""
    forecast = Forecast(session.engine)
    for chunk in pair_chunks(batches):
        found = find_pairs(session, call, chunk)

        def plan(cancelled: Cancelled, found: PairsFound = found) -> list[list[PartCost]]:
            relation = found.kept.relation
            with named_error(call.function):
                planner = PairPlanner(relation, reader_of(relation), forecast)
                return planner.costs(found.scenes, found.met, reading_of(session, relation), cancelled)

        yield _rows(chunk.column("scene").take(pa.array(found.begins)), session.engine.call(plan))


def explain_pixels(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], geometry: str
) -> Iterator[pa.RecordBatch]:
    """Plan the pixels of scenes: a row for each scene and band."""
    forecast = Forecast(session.engine)
    for batch in batches:
        for begin in range(0, batch.num_rows, LOOKED_UP):
            some = batch.column("scene").slice(begin, LOOKED_UP)
            some = some.filter(some.field("id").is_valid())

            def plan(cancelled: Cancelled, scenes: Sequence[Scene] = tuple(scenes_of(some))) -> list[list[PartCost]]:
                with named_error(call.function):
                    table = pixel_table(session, call, geometry)
                    planner = PixelPlanner(table, forecast)
                    return planner.costs(scenes, context_of(session, table, call.function), cancelled)

            yield _rows(some, session.engine.call(plan))


def explain_mosaic(
    session: Session, call: FrameCall, batches: Iterator[pa.RecordBatch], geometry: str
) -> Iterator[pa.RecordBatch]:
    """Plan the composites of each period, of the column all, the scenes of all periods."""
    for batch in batches:
        for listed in batch.column("all"):
            periods = listed.as_py()

            def plan(cancelled: Cancelled, listed: pa.ListScalar = listed) -> list[dict[str, object]]:
                with named_error(call.function):
                    mosaic, groups = mosaic_of(session, call, geometry, listed.as_py())
                    context = reading_of(session, mosaic.relation)
                    costs = period_costs(mosaic, groups, Forecast(session.engine), context, cancelled)
                return [
                    {
                        "period": one.period,
                        "scenes": len(one.scenes),
                        "chips": one.chips,
                        "tiles": one.cost.tiles,
                        "requests": one.cost.requests,
                        "bytes": one.cost.bytes,
                    }
                    for one in costs
                ]

            rows = session.engine.call(plan)
            begins = pa.array([periods[row.pop("period")]["period"] for row in rows], INSTANT)
            names = ("scenes", "chips", "tiles", "requests", "bytes")
            values = [pa.array([row[name] for row in rows], pa.int64()) for name in names]
            yield pa.RecordBatch.from_arrays([begins, *values], names=["period", *names])


def _rows(scenes: pa.StructArray, costs: Sequence[Sequence[PartCost]]) -> pa.RecordBatch:
    """A row for each scene and band."""
    owners = pa.array([at for at, of_scene in enumerate(costs) for _ in of_scene], pa.int64())
    every = [one for of_scene in costs for one in of_scene]
    own = scenes.take(owners)
    counts = {
        "pairs": [one.pairs for one in every],
        "tiles": [one.cost.tiles for one in every],
        "requests": [one.cost.requests for one in every],
        "bytes": [one.cost.bytes for one in every],
    }
    found = {
        "scene_id": own.field("id"),
        "datetime": own.field("datetime"),
        "band": pa.array([one.bands for one in every], pa.string()),
        **{name: pa.array(values, pa.int64()) for name, values in counts.items()},
    }
    return pa.RecordBatch.from_arrays([*found.values()], names=[*found])
