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
from rasteret_sql.reading.chips import ChipJob, check_fill, read_plans
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.request import Request, each_or_error
from rasteret_sql.reading.resolve import resolve
from rasteret_sql.reading.target_part import part_of
from rasteret_sql.reading.target_plan import ChipPlan, TargetPlan, bands_of, check_memory, plan_chip
from rasteret_sql.selection.areas import Areas


class Part(NamedTuple):
    """Bands of a scene that are read together: they are there with all areas or with none, so samples count off."""

    scene_id: str
    bands: tuple[int, ...]
    """Numbers among those that were asked for, from 0."""

    def by_bands(self) -> list[Part]:
        """A part for each of its bands."""
        return [Part(self.scene_id, (band,)) for band in self.bands]


class SamplePlace(NamedTuple):
    """The scene, bands, area and grid of a sample."""

    scene_id: str
    bands: tuple[int, ...]
    """As `Part.bands`."""
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
    failures: dict[Part, Exception] = field(default_factory=dict)
    """Why none of the samples of a part is there, in the order of the scenes."""
    places: Sequence[SamplePlace] = ()
    """Of each sample."""
    jobs: Sequence[ChipJob] = ()
    """What has the pixels of each sample, and their mask."""
    planned: Sequence[Planned] = ()
    """All that was to be read, also what failed then."""


def read_samples(
    context: ReadContext,
    ids: Sequence[str],
    areas: Areas,
    bands: Sequence[Asked],
    options: PixelOptions,
    *,
    check: Callable[[Sequence[ChipPlan]], None] | None = None,
    part: Window | None = None,
    apart: bool = False,
    each_band: bool = False,
    into: Into | None = None,
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
        apart: True: each band is read by itself, on its own grid; of a scene, all areas of a band come before the next.
        each_band: True, where the options ask for a grid: each band is read by itself on the grid of all, so that one
            that cannot be read leaves the others.
        into: where the pixels go, where there is a check; None: nobody says.

    Raises:
        InvalidArgumentError: the windows differ in size.
        MemoryLimitError: before any request, when the pixels together exceed `max_call_bytes`.
        ByteLimitError: before any request, when they take more than `max_bytes` to fetch.
    """
    if not ids:
        return Samples(None)
    asked = _Asked(areas, bands, options, check, part, apart=apart, each_band=each_band, into=into)
    return context.engine.call(lambda cancelled: _read(context, ids, asked, cancelled))


def plan_samples(
    context: ReadContext, ids: Sequence[str], areas: Areas, bands: Sequence[Asked], options: PixelOptions
) -> tuple[list[Planned], dict[Part, Exception]]:
    """Plan what `read_samples` with `each_band` would read, and read nothing.

    Returns:
        The plan of each sample, scene by scene, whatever size it has; and why bands of scenes have none that would.
    """
    failures: dict[Part, Exception] = {}
    asked = _Asked(areas, bands, options, None, None, apart=False, each_band=True, is_read=False)
    planned = context.engine.call(lambda _: _plans(context, ids, asked, failures)) if ids else []
    return planned, failures


def _read(context: ReadContext, ids: Sequence[str], asked: _Asked, cancelled: Cancelled) -> Samples:
    """Read, and again where files were changed and that is wanted; a file that changes meanwhile is left out."""
    samples = Samples(None)

    def attempt(_: ChangedFiles) -> list[BandSource]:
        nonlocal samples
        samples, changed = _read_once(context, ids, asked, cancelled)
        return changed if asked.options.on_change == "refresh" else []

    files = repeat_while_changed(attempt, context, cancelled)
    for part, error in samples.failures.items():
        why = files.failure(error.address) if isinstance(error, FileChangedError) else None
        if why is not None:
            samples.failures[part] = FileChangedError(
                f"a file of it was changed since it was indexed, and has no header that can be read: {why}"
            )
    return samples


def _read_once(
    context: ReadContext, ids: Sequence[str], asked: _Asked, cancelled: Cancelled
) -> tuple[Samples, list[BandSource]]:
    """The samples, and bands whose file is not the one that was indexed."""
    failures: dict[Part, Exception] = {}
    planned = _plans(context, ids, asked, failures)
    plans = [one.plan for one in planned]
    (asked.check or _require_one_shape)(plans)
    _check_memory(plans, context)
    with within_limit(asked.options.max_bytes, lambda dry: read_plans(plans, dry, cancelled, tells=True), context):
        into = None if asked.into is None else asked.into(planned)
        jobs, buffer = read_plans(plans, context, cancelled, tells=True, into=into)
    changed: list[BandSource] = []
    for one, job in zip(planned, jobs, strict=True):
        if job is None or not job.failed or job.error is None:
            continue
        failures.setdefault(one.part, job.error)
        if isinstance(job.error, FileChangedError):
            changed += [source for source in files_of(job.plan.sources) if source.address == job.error.address]
    kept = [at for at, one in enumerate(planned) if one.part not in failures]
    order = {scene: at for at, scene in enumerate(ids)}
    failures = dict(sorted(failures.items(), key=lambda failure: (order[failure[0].scene_id], failure[0].bands)))
    if not kept:
        return Samples(None, failures, planned=planned), changed
    places = [planned[at].place(len(asked.areas.geometries)) for at in kept]
    read = [job for at in kept if (job := jobs[at]) is not None]
    if asked.check is not None:
        return Samples(None, failures, places, read, planned), changed
    if len({plan.dtype for plan in plans}) == 1:
        pixels = buffer.view(plans[0].dtype).reshape(len(plans), *plans[0].shape)
        return Samples(pixels if len(kept) == len(plans) else pixels[kept], failures, places, read), changed
    return Samples(np.stack([job.pixels() for job in read]), failures, places, read), changed


class Planned(NamedTuple):
    """The plan of a sample."""

    part: Part
    plan: ChipPlan

    def place(self, areas: int) -> SamplePlace:
        """Its place, of so many areas for each part."""
        plan = self.plan
        return SamplePlace(*self.part, plan.read.row % areas, plan.transform, plan.crs)


Into = Callable[[Sequence[Planned]], Sequence[np.ndarray | None]]
"""Gives the arrays that samples are read into, (bands, height, width) of the dtype of each; None: one of its own."""
_Found = list[ChipPlan] | RasteretError
"""The plans of a part, or why it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    areas: Areas
    bands: Sequence[Asked]
    options: PixelOptions
    check: Callable[[Sequence[ChipPlan]], None] | None
    part: Window | None
    apart: bool
    each_band: bool
    is_read: bool = True
    """False where it is only planned."""
    into: Into | None = None

    def parts(self, ids: Sequence[str]) -> list[Part]:
        """The parts of all scenes."""
        numbers = tuple(range(len(self.bands)))
        groups: list[tuple[int, ...]] = [(number,) for number in numbers] if self.apart else [numbers]
        return [Part(scene_id, bands) for scene_id in ids for bands in groups]

    def of(self, parts: Sequence[Part]) -> Request:
        """Every part with every area, part by part."""
        shapes = list(self.areas.geometries)
        count = len(parts) * len(shapes)
        bands = [tuple(self.bands[number] for number in part.bands) for part in parts]
        return Request(
            scene_ids=[part.scene_id for part in parts for _ in shapes],
            bands=[each for each in bands for _ in shapes],
            geometries=shapes * len(parts),
            crs=[self.areas.crs] * count,
            options=[self.options] * count,
        )


def _plans(context: ReadContext, ids: Sequence[str], asked: _Asked, failures: dict[Part, Exception]) -> list[Planned]:
    """Windows of the scenes; those that cannot be planned are among the failures."""

    def work(some: Sequence[Part]) -> list[list[ChipPlan]]:
        found: list[list[ChipPlan]] = [[] for _ in some]
        for read in resolve(asked.of(some), context, on_map=True):
            plan = plan_chip(read)
            if plan is not None and asked.part is not None:
                assert isinstance(plan, TargetPlan)  # a part is one of a grid
                inside = plan.target.window.intersection(asked.part)
                plan = None if inside is None else part_of(plan, inside)
            if plan is not None:
                if asked.is_read:
                    check_memory(plan, context, "coarser resolution= or smaller areas")
                found[read.row // len(asked.areas.geometries)].append(plan)
        return found

    def tried(some: Sequence[Part]) -> list[_Found]:
        return each_or_error(work, some, tolerant=True, fatal=(MemoryLimitError,))

    plans: list[Planned] = []
    parts = asked.parts(ids)
    context.plan_pairs(0, seen=len(parts) * len(asked.areas.geometries))
    with context.receipt.plan:
        planned = tried(parts)
        if asked.each_band:
            planned = [
                each for part, found in zip(parts, planned, strict=True) for each in _of_bands(part, found, tried)
            ]
            parts = [one for part in parts for one in part.by_bands()]
    for part, found in zip(parts, planned, strict=True):
        if isinstance(found, RasteretError):
            failures[part] = found
        else:
            plans += [Planned(part, plan) for plan in found]
    for one in plans if asked.options.fill is not None else ():
        check_fill(one.plan)
    return plans


def _of_bands(part: Part, found: _Found, tried: Callable[[Sequence[Part]], list[_Found]]) -> list[_Found]:
    """The plans of each band of a part; where bands cannot be planned together, each is tried alone."""
    if isinstance(found, RasteretError):
        return tried(part.by_bands()) if len(part.bands) > 1 else [found]
    of_bands: list[list[ChipPlan]] = [[] for _ in part.bands]
    for plan in found:
        assert isinstance(plan, TargetPlan)  # the options ask for a grid
        for plans, one in zip(of_bands, bands_of(plan), strict=True):
            if one is not None:
                plans.append(one)
    return list(of_bands)


def _check_memory(plans: Sequence[ChipPlan], context: ReadContext) -> None:
    """Raise if all samples together need more pixels than a call may hold."""
    total = sum(plan.nbytes for plan in plans)
    if total > context.max_call_bytes:
        largest = max(plans, key=lambda plan: plan.nbytes)
        raise MemoryLimitError(
            f"the {len(plans)} samples need {total:,} bytes of pixels at once, more than max_call_bytes = "
            f"{context.max_call_bytes:,} (largest: {largest.read.describe()}, {largest.window.width} × "
            f"{largest.window.height} pixels); nothing was fetched. Give a coarser resolution=, smaller areas, or "
            "fewer scenes a call"
        )


def any_shape(_plans: Sequence[ChipPlan]) -> None:
    """Accept samples of different shapes: a `check` of `read_samples`."""


def _require_one_shape(plans: Sequence[ChipPlan]) -> None:
    shapes = sorted({plan.shape[1:] for plan in plans})
    if len(shapes) > 1:
        sizes = ", ".join(f"{height} × {width}" for height, width in shapes)
        raise InvalidArgumentError(
            f"ragged shapes: the samples have different sizes ({sizes}), so they are no one array; give "
            "resolution= or shape=, or read areas or scenes of one grid at a time"
        )
