"""Reads pixels of areas on many scenes, as one array; leaves out scenes that cannot be read, and tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import (
    FileChangedError,
    InvalidArgumentError,
    MemoryLimitError,
    RasteretError,
)
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.byte_limit import within_limit
from rasteret_sql.reading.changed_files import ChangedFiles, repeat_while_changed
from rasteret_sql.reading.chips import ChipJob, read_plans
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.request import Request, each_or_error
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.target_part import part_of
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan, check_memory, plan_chip
from rasteret_sql.selection.areas import Areas


class SamplePlace(NamedTuple):
    """The scene, area and grid of a sample."""

    scene_id: str
    area: int
    """Number of the area among those that were asked for, from 0."""
    transform: Affine | None
    """Of the corner of its pixels; None where the file is not georeferenced."""
    crs: str | None
    """Of the pixels."""


INFO = pa.schema(
    [
        ("scene_id", pa.string()),
        ("datetime", pa.timestamp("us")),
        ("area", pa.int64()),
        ("transform", pa.list_(pa.float64(), 6)),
        ("crs", pa.string()),
    ]
)
"""Fields of a sample; times are naive UTC."""


def info_table(places: Sequence[SamplePlace], scenes: pa.Table) -> pa.Table:
    """A row for each sample, as `INFO` has it.

    Args:
        places: of the samples.
        scenes: id and datetime of the scenes that were read.
    """
    times = dict(zip(scenes["id"].to_pylist(), scenes["datetime"], strict=True))
    rows = [
        (one.scene_id, times[one.scene_id], one.area, one.transform and list(one.transform), one.crs) for one in places
    ]
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, INFO, strict=True)], schema=INFO)


@dataclass(slots=True, eq=False)
class Samples:
    """The pixels that were read. Without any, no scene meets an area."""

    pixels: np.ndarray | None
    """(samples, bands, height, width), scene by scene; None where no scene meets an area, or shapes may differ."""
    failures: dict[str, Exception] = field(default_factory=dict)
    """Scene id → why none of its samples is there, in the order of the scenes."""
    places: Sequence[SamplePlace] = ()
    """Of each sample."""
    jobs: Sequence[ChipJob] = ()
    """What has the pixels of each sample, and their mask."""


def read_samples(
    context: ReadContext,
    ids: Sequence[str],
    areas: Areas,
    bands: Sequence[Asked],
    options: PixelOptions,
    *,
    check: Callable[[Sequence[ChipPlan]], None] | None = None,
    part: Window | None = None,
) -> Samples:
    """Read every area on every scene, on the scene's own grid unless the options ask for another.

    Args:
        context: what they are read with.
        ids: scenes, in the order of the result.
        areas: what is read of each.
        bands: in the order of the result.
        options: as `read_chip` takes them.
        check: raises where what is planned cannot be; None: samples of different shapes cannot.
        part: pixels of the lattice that are read, where the options ask for a grid; None: all.

    Raises:
        InvalidArgumentError: the windows differ in size.
        MemoryLimitError: before any request, when the pixels together exceed `max_call_bytes`.
        ByteLimitError: before any request, when they take more than `max_bytes` to fetch.
    """
    if not ids:
        return Samples(None)
    asked = _Asked(areas, bands, options, check, part)
    return context.engine.call(lambda cancelled: _read(context, ids, asked, cancelled))


def plan_samples(
    context: ReadContext, ids: Sequence[str], areas: Areas, bands: Sequence[Asked], options: PixelOptions
) -> tuple[list[ChipPlan], dict[str, Exception]]:
    """Plan what `read_samples` would read, and read nothing.

    Returns:
        The plan of each sample, scene by scene, whatever size it has; and why scenes have none that would.
    """
    failures: dict[str, Exception] = {}
    asked = _Asked(areas, bands, options, None, None, is_read=False)
    plans = context.engine.call(lambda _: _plans(context, ids, asked, failures)) if ids else []
    return plans, failures


def _read(context: ReadContext, ids: Sequence[str], asked: _Asked, cancelled: Cancelled) -> Samples:
    """Read, and again where files were changed and that is wanted; a file that changes meanwhile is left out."""
    samples = Samples(None)

    def attempt(_: ChangedFiles) -> list[BandSource]:
        nonlocal samples
        samples, changed = _read_once(context, ids, asked, cancelled)
        return changed if asked.options.on_change == "refresh" else []

    files = repeat_while_changed(attempt, context, cancelled)
    for scene, error in samples.failures.items():
        why = files.failure(error.address) if isinstance(error, FileChangedError) else None
        if why is not None:
            samples.failures[scene] = FileChangedError(
                f"a file of it was changed since it was indexed, and has no header that can be read: {why}"
            )
    return samples


def _read_once(
    context: ReadContext, ids: Sequence[str], asked: _Asked, cancelled: Cancelled
) -> tuple[Samples, list[BandSource]]:
    """The samples, and bands whose file is not the one that was indexed."""
    failures: dict[str, Exception] = {}
    plans = _plans(context, ids, asked, failures)
    (asked.check or _require_one_shape)(plans)
    with within_limit(asked.options.max_bytes, lambda dry: read_plans(plans, dry, cancelled, tells=True), context):
        jobs, buffer = read_plans(plans, context, cancelled, tells=True)
    changed: list[BandSource] = []
    for job in jobs:
        if job is None or not job.failed or job.error is None:
            continue
        failures.setdefault(job.plan.read.scene_id, job.error)
        if isinstance(job.error, FileChangedError):
            changed += [source for source in files_of(job.plan.sources) if source.address == job.error.address]
    # A scene is there with all its areas or with none, so that samples count off.
    kept = [at for at, plan in enumerate(plans) if plan.read.scene_id not in failures]
    order = {scene: at for at, scene in enumerate(ids)}
    failures = dict(sorted(failures.items(), key=lambda failure: order[failure[0]]))
    if not kept:
        return Samples(None, failures), changed
    places = [_place(plans[at], len(asked.areas.geometries)) for at in kept]
    read = [job for at in kept if (job := jobs[at]) is not None]
    if asked.check is not None:
        return Samples(None, failures, places, read), changed
    if len({plan.dtype for plan in plans}) == 1:
        pixels = buffer.view(plans[0].dtype).reshape(len(plans), *plans[0].shape)
        return Samples(pixels if len(kept) == len(plans) else pixels[kept], failures, places, read), changed
    return Samples(np.stack([job.pixels() for job in read]), failures, places, read), changed


def _place(plan: ChipPlan, areas: int) -> SamplePlace:
    """The place of a sample, of so many areas for each scene."""
    return SamplePlace(plan.read.scene_id, plan.read.row % areas, plan.transform, plan.crs)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    areas: Areas
    bands: Sequence[Asked]
    options: PixelOptions
    check: Callable[[Sequence[ChipPlan]], None] | None
    part: Window | None
    is_read: bool = True
    """False where it is only planned."""

    def of(self, ids: Sequence[str]) -> Request:
        """Every scene with every area, scene by scene."""
        shapes = list(self.areas.geometries)
        count = len(ids) * len(shapes)
        return Request(
            scene_ids=[scene_id for scene_id in ids for _ in shapes],
            bands=[tuple(self.bands)] * count,
            geometries=shapes * len(ids),
            crs=[self.areas.crs] * count,
            options=[self.options] * count,
        )


def _plans(context: ReadContext, ids: Sequence[str], asked: _Asked, failures: dict[str, Exception]) -> list[ChipPlan]:
    """Windows of the scenes; those that cannot be planned are among the failures."""

    def work(some: Sequence[str]) -> list[list[ChipPlan]]:
        found: list[list[ChipPlan]] = [[] for _ in some]
        for read in resolve(asked.of(some), context):
            plan = plan_chip(read)
            if plan is not None and asked.part is not None:
                assert isinstance(plan, TargetPlan)  # a part is one of a grid
                inside = plan.target.window.intersection(asked.part)
                plan = None if inside is None else part_of(plan, inside)
            if plan is not None:
                if asked.is_read:
                    check_memory(plan, context)
                found[read.row // len(asked.areas.geometries)].append(plan)
        return found

    plans: list[ChipPlan] = []
    with context.receipt.plan:
        planned = each_or_error(work, ids, tolerant=True, fatal=(MemoryLimitError,))
    context.plan_pairs(0, seen=len(ids) * len(asked.areas.geometries))
    for scene, found in zip(ids, planned, strict=True):
        if isinstance(found, RasteretError):
            failures[scene] = found
        else:
            plans += found
    return plans


def _require_one_shape(plans: Sequence[ChipPlan]) -> None:
    shapes = sorted({plan.shape[1:] for plan in plans})
    if len(shapes) > 1:
        sizes = ", ".join(f"{height} × {width}" for height, width in shapes)
        raise InvalidArgumentError(
            f"ragged shapes: the samples have different sizes ({sizes}), so they are no one array; give "
            "resolution= or shape=, or read areas or scenes of one grid at a time"
        )
