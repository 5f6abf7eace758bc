"""Pixels of areas on many scenes, as one array; scenes that cannot be read are left out and told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import shapely

from rasteret_sql.errors import (
    FileChangedError,
    InterruptedQueryError,
    InvalidArgumentError,
    MemoryLimitError,
    RasteretError,
)
from rasteret_sql.geo.crs import same_crs
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.lookup import BandSource
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.chips import ChipJob, read_plans
from rasteret_sql.kernels.rows import Cancelled, FailedRow, PixelArguments, resolve
from rasteret_sql.kernels.window_job import WindowPlan, check_memory, plan_window
from rasteret_sql.selection.areas import Areas
from rasteret_sql.session import Session

Progress = Callable[[int, int | None, str], None]
"""(done, total, what)"""
_Request = tuple[str, tuple[str | int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A call's own view of the session: its backend and its progress."""

    session: Session
    backend: StorageBackend
    progress: Progress

    @property
    def max_call_bytes(self) -> int:
        return self.session.max_call_bytes

    @property
    def report(self) -> Callable[[FailedRow], None]:
        return self.session.report

    def band_sources(
        self, requests: Sequence[_Request], collection: str | None
    ) -> dict[_Request, tuple[BandSource, ...] | RasteretError]:
        return self.session.band_sources(requests, collection)


@dataclass(slots=True, eq=False)
class Samples:
    """What was read."""

    pixels: np.ndarray | None
    """(samples, bands, height, width), scene by scene; None where no scene meets an area."""
    failures: dict[str, Exception] = field(default_factory=dict)
    """Scene id → why none of its samples is there, in the order of the scenes."""


class _ToldJob(ChipJob):
    """Leaves its scene out where it fails."""

    def fail(self, error: Exception) -> bool:
        super().fail(error)
        return isinstance(error, RasteretError)


def read_samples(
    reading: Reading,
    ids: Sequence[str],
    areas: Areas,
    bands: Sequence[str],
    options: Mapping[str, object],
    *,
    crs: str | None = None,
) -> Samples:
    """Read every area on every scene, on the scene's own grid.

    Args:
        reading: where scenes and bytes are.
        ids: scenes, in the order of the result.
        areas: what is read of each.
        bands: names, in the order of the result.
        options: named arguments of `read_chip`.
        crs: in which all pixels have to be; None: each scene in its own.

    Raises:
        InvalidArgumentError: the windows differ in size, or a scene is in another CRS.
        MemoryLimitError: before any request, when the pixels together exceed `max_call_bytes`.
    """
    told = {**options, "geom_crs": areas.crs}
    if not ids:
        return Samples(None)
    asked = _Asked(areas, bands, told, crs)
    return reading.session.engine.call(lambda cancelled: _read(reading, ids, asked, cancelled))


def _read(reading: Reading, ids: Sequence[str], asked: _Asked, cancelled: Cancelled) -> Samples:
    """Read, and again where files were changed and that is wanted; a file that changes meanwhile is left out."""
    again: dict[str, FileHeader | RasteretError] = {}
    while True:
        samples, changed = _read_once(reading, ids, asked, cancelled)
        new = [source for source in changed if source.address not in again]
        if asked.options.get("on_change") != "refresh" or not new:
            break
        again |= replace(reading.session, backend=reading.backend).read_again(new, cancelled)
    for scene, error in samples.failures.items():
        why = again.get(error.address) if isinstance(error, FileChangedError) else None
        if isinstance(why, RasteretError):
            samples.failures[scene] = FileChangedError(
                f"a file of it was changed since it was indexed, and has no header that can be read: {why}"
            )
    return samples


def _read_once(
    reading: Reading, ids: Sequence[str], asked: _Asked, cancelled: Cancelled
) -> tuple[Samples, list[BandSource]]:
    """The samples, and bands whose file is not the one that was indexed."""
    failures: dict[str, Exception] = {}
    plans = _plans(reading, ids, asked, failures)
    if asked.crs is not None:
        _require_crs(plans, asked.crs)
    _require_one_shape(plans)
    jobs, buffer = read_plans(plans, reading, reading.session.engine, cancelled, _ToldJob)
    changed: list[BandSource] = []
    for job in jobs:
        if job is None or not job.failed or job.error is None:
            continue
        failures.setdefault(job.plan.read.scene_id, job.error)
        if isinstance(job.error, FileChangedError):
            changed += [source for source in job.plan.sources if source.address == job.error.address]
    # A scene is there with all its areas or with none, so that samples count off.
    kept = [at for at, plan in enumerate(plans) if plan.read.scene_id not in failures]
    order = {scene: at for at, scene in enumerate(ids)}
    failures = dict(sorted(failures.items(), key=lambda failure: order[failure[0]]))
    if not kept:
        return Samples(None, failures), changed
    if len({plan.dtype for plan in plans}) == 1:
        pixels = buffer.view(plans[0].dtype).reshape(len(plans), *plans[0].shape)
        return Samples(pixels if len(kept) == len(plans) else pixels[kept], failures), changed
    return Samples(np.stack([job.pixels() for at in kept if (job := jobs[at]) is not None]), failures), changed


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    areas: Areas
    bands: Sequence[str]
    options: Mapping[str, object]
    crs: str | None

    def of(self, ids: Sequence[str]) -> PixelArguments:
        """Every scene with every area, scene by scene."""
        wkbs = list(shapely.to_wkb(self.areas.geometries))
        count = len(ids) * len(wkbs)
        return PixelArguments(
            scene_ids=[scene_id for scene_id in ids for _ in wkbs],
            bands=[json.dumps(list(self.bands))] * count,
            geom_kinds=["BLOB"] * count,
            geom_wkbs=wkbs * len(ids),
            geom_texts=[None] * count,
            options=[json.dumps(self.options)] * count,
        )


def _plans(reading: Reading, ids: Sequence[str], asked: _Asked, failures: dict[str, Exception]) -> list[WindowPlan]:
    """Windows of the scenes; those that cannot be planned are found by halves."""
    try:
        plans = [plan for read in resolve(asked.of(ids), reading) if (plan := plan_window(read)) is not None]
        for plan in plans:
            check_memory(plan, reading)
    except (MemoryLimitError, InterruptedQueryError):
        raise
    except RasteretError as error:
        if len(ids) == 1:
            failures[ids[0]] = error
            return []
        half = len(ids) // 2
        return [*_plans(reading, ids[:half], asked, failures), *_plans(reading, ids[half:], asked, failures)]
    return plans


def _require_crs(plans: Sequence[WindowPlan], wanted: str) -> None:
    for plan in plans:
        found = plan.read.sources[0].header.crs
        if found is None or not same_crs(found, wanted):
            raise InvalidArgumentError(
                f'scene "{plan.read.scene_id}" is in {found or "no CRS"}, not in target_crs {wanted}, and pixels are '
                "not reprojected yet: choose scenes of that CRS with where, or leave target_crs out"
            )


def _require_one_shape(plans: Sequence[WindowPlan]) -> None:
    shapes = sorted({plan.shape[1:] for plan in plans})
    if len(shapes) > 1:
        sizes = ", ".join(f"{height} × {width}" for height, width in shapes)
        raise InvalidArgumentError(
            f"ragged shapes: the samples have different sizes ({sizes}), so they are no one array; read areas or "
            "scenes of one grid at a time"
        )
