"""Reads many pixels of one band, each tile once for all that lie in it: gathers them, or sums them zone by zone."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.expr.pixel_chunk import Pixels
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.expand import expand
from rasteret_sql.raster.runs import Runs, TilePieces
from rasteret_sql.raster.statistic_names import SUMS
from rasteret_sql.raster.zone_statistics import (
    Missing,
    Statistics,
    statistics_of_sums,
    statistics_of_weighted_zones,
    statistics_of_zones,
)
from rasteret_sql.reading.class_bands import is_of_classes
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.input_level import level_of_input
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.request import described
from rasteret_sql.scratch import Scratch
from rasteret_sql.tiff.tiles import TiffTiles
from rasteret_sql.tiff.validity import Kind, Look, layers

_FEW_PIXELS = 4
"""Where runs have less than such a part of a tile, their pixels are added up alone, not with all of the tile."""
_MOST_NARROW = 1 << 15
"""So many values of 16 bits, with a sign or without, have a sum of 32 bits of the same kind."""
MOST_PIXELS = 1 << 23
"""Pixels of a group, at most: arrays of so many are in memory while tiles arrive."""
Integers = npt.NDArray[np.signedinteger[Any]]
Sums = npt.NDArray[np.integer[Any]]
_NOTHING = np.zeros(0, np.bool_)
_reach = Scratch()
"""Running sums of all pixels of a tile."""


class GroupJob(Job):
    """Reads the pixels of many places of a band together."""

    def __init__(self, source: BandSource) -> None:
        self.failure: Exception | None = None
        """Why they could not be read."""
        self.skipped = False
        """True where they were only planned."""
        self._source = source

    def describe(self) -> str:
        return described(self._source.scene_id, [self._source.band])

    def skip(self) -> None:
        self.skipped = True

    def fail(self, error: Exception) -> bool:
        self.failure = error
        return True


class RunsJob(GroupJob):
    """Takes the tiles of some runs.

    Args:
        source: the band.
        level: 0 is full resolution.
        alpha: as `PixelOptions` has it.
        runs: pixels of that level.
    """

    def __init__(self, source: BandSource, level: int, alpha: str, runs: Runs) -> None:
        super().__init__(source)
        self.runs = runs
        self._level = level
        self._alpha = alpha
        self._layers = layers(source.header, level, alpha)
        self.slots = 0
        """Tiles that it waits for."""
        self._slots: list[tuple[TilePieces, int, Sequence[Look]]] = []
        self._lock = threading.Lock()

    def needs(self) -> Iterable[TileNeed]:
        for layer in self._layers:
            level = layer.level
            address, facts = self._source.file_of(level)
            source = TiffTiles(level)
            pieces = self.runs.cut(level.tile_width, level.tile_height, level.tiles_across)
            for number, tile in enumerate(pieces.tiles.tolist()):
                yield TileNeed(address, source, tile, len(self._slots), facts, self._source.backend)
                self._slots.append((pieces, number, layer.looks))
        self.slots = len(self._slots)

    def finish(self) -> None:
        self._slots.clear()

    def skip(self) -> None:
        super().skip()
        self._slots.clear()


class ZoneSums(RunsJob):
    """Sums the pixels of each polygon of the runs, by prefix sums along the rows of a tile."""

    def __init__(self, source: BandSource, level: int, alpha: str, runs: Runs) -> None:
        super().__init__(source, level, alpha, runs)
        self.sums = np.zeros(len(runs.first) - 1)
        """Sum of the valid pixels of each polygon, exact below 2^53."""
        self.invalid: npt.NDArray[np.float64] | None = None
        """Number of invalid pixels of each polygon; None while there are none."""

    @staticmethod
    def can_sum(source: BandSource, level: int, alpha: str) -> bool:
        """True for integers that are in one tile with all that tells their validity, each of these by itself."""
        dtype = source.header.dtype
        if isinstance(source, DerivedBand) or dtype.kind not in "ui" or dtype.itemsize > 4:
            return False
        own, *others = layers(source.header, level, alpha)
        return not others and all(look.kind is not Kind.NODATA_VALUES for look in own.looks)

    def place(self, slot: int, tile: npt.NDArray[np.generic] | None) -> None:
        pieces, number, looks = self._slots[slot]
        some = pieces.of(number)
        polygon, begin, length = pieces.polygon[some], pieces.begin[some], pieces.length[some]
        if tile is None:
            self._place_hole(polygon, length, looks)
            return
        few = int(length.sum()) < tile.shape[0] * tile.shape[1] // _FEW_PIXELS
        if few:
            values = _taken(tile, looks, expand(begin, length))
            begin = np.cumsum(length) - length
        else:
            values = [tile[:, :, look.sample].reshape(-1) for look in looks]
        sums = _sums_one_by_one if few else _sums_between
        pixels = values[0]
        hides = [look.hides(some) for look, some in zip(looks[1:], values[1:], strict=True)]
        hidden = np.asarray(hides[0] if len(hides) == 1 else np.logical_or.reduce(hides) if hides else _NOTHING)
        if hidden.any():
            self._add(polygon, sums(hidden, begin, length), of_invalid=True)
            pixels = np.where(hidden, 0, pixels)
        self._add(polygon, sums(pixels, begin, length))

    def _place_hole(self, polygon: Integers, length: Integers, looks: Sequence[Look]) -> None:
        if any(look.hides(None) for look in looks[1:]):
            self._add(polygon, length, of_invalid=True)
        else:
            self._add(polygon, length * looks[0].default(self._source.header.dtype).astype(np.int64))

    def _add(self, polygon: Integers, sums: Sums, *, of_invalid: bool = False) -> None:
        first, last = int(polygon[0]), int(polygon[-1])  # a tile has neighbours, as a rule
        summed = np.bincount(polygon - first, sums)
        with self._lock:
            if of_invalid and self.invalid is None:
                self.invalid = np.zeros(len(self.sums))
            total = self.invalid if of_invalid else self.sums
            assert total is not None
            total[first : last + 1] += summed


def _taken(tile: npt.NDArray[np.generic], looks: Sequence[Look], at: Integers) -> list[npt.NDArray[np.generic]]:
    """Some pixels of a tile, for each look."""
    flat, samples = tile.reshape(-1), tile.shape[2]
    return [flat.take(at if samples == 1 else at * samples + look.sample) for look in looks]


def _kind_of_sums(values: npt.NDArray[np.generic], length: Integers) -> np.dtype:
    """The type in which sums of so many values are exact, of all signs.

    Sums of many values go round where they pass 2^32, and differences of them come out right if they do not.
    """
    narrow = values.dtype.itemsize <= 2 and int(length.max()) <= _MOST_NARROW
    return np.dtype((np.int32 if values.dtype.kind == "i" else np.uint32) if narrow else np.int64)


def _sums_one_by_one(values: npt.NDArray[np.generic], begin: Integers, length: Integers) -> Sums:
    """Sums of neighbours, of which there are no others: so many, at least one, from each begin; exact."""
    sums: Sums = np.add.reduceat(values, begin, dtype=_kind_of_sums(values, length))
    return sums


def _sums_between(values: npt.NDArray[np.generic], begin: Integers, length: Integers) -> Sums:
    """Sums of so many values, at least one, from each begin; exact."""
    kind = _kind_of_sums(values, length)
    reach = _reach.get((len(values) + 1) * kind.itemsize).view(kind)
    reach[0] = 0
    np.cumsum(values, dtype=kind, out=reach[1:])
    sums: Sums = reach[begin + length] - reach[begin]
    return sums


class PixelGroup(RunsJob):
    """The pixels of some runs: `values`, and where they are not valid."""

    def __init__(self, source: BandSource, level: int, alpha: str, runs: Runs) -> None:
        super().__init__(source, level, alpha, runs)
        self.values = np.empty(0, source.header.dtype)
        """One after the other as in the runs. Made at the start, whole after the last tile."""
        self.invalid: npt.NDArray[np.bool_] | None = None
        """None while all are valid."""
        self._total = int(runs.length.sum())
        self._hidden_by_all: npt.NDArray[np.bool_] | None = None
        self.memory = self._total * (source.header.dtype.itemsize + 16)

    def needs(self) -> Iterable[TileNeed]:
        self.values = np.empty(self._total, self._source.header.dtype)
        return super().needs()

    def place(self, slot: int, tile: npt.NDArray[np.generic] | None) -> None:
        pieces, number, looks = self._slots[slot]
        source, target = pieces.pixels(number)
        for look in looks:
            # One sample lies as it is; of several each is a copy, which costs less than to index in two dimensions.
            pixels = None if tile is None else tile[:, :, look.sample].reshape(-1).take(source)
            if look.kind is Kind.PIXELS:
                self.values[target] = look.default(self.values.dtype) if pixels is None else pixels
            elif look.kind is Kind.NODATA_VALUES:
                self._agree(target, look.hides(pixels))
            else:
                self._hide(target, look.hides(pixels))

    def finish(self) -> None:
        """Settle what is valid."""
        if self._hidden_by_all is not None:
            self._hide(np.arange(self._total), self._hidden_by_all)
        super().finish()

    def _hide(self, target: npt.NDArray[np.int64], hidden: npt.NDArray[np.bool_] | np.bool_) -> None:
        if not hidden.any():
            return
        with self._lock:  # the mask and the data of a place may come at once
            if self.invalid is None:
                self.invalid = np.zeros(self._total, bool)
            self.invalid[target] |= hidden

    def _agree(self, target: npt.NDArray[np.int64], hidden: npt.NDArray[np.bool_] | np.bool_) -> None:
        with self._lock:
            if self._hidden_by_all is None:
                self._hidden_by_all = np.ones(self._total, bool)
            self._hidden_by_all[target] &= hidden


class DerivedGroup(PixelGroup):
    """The pixels of some runs of a band that is computed from others."""

    def __init__(self, source: DerivedBand, level: int, alpha: str, runs: Runs) -> None:
        """Read the pixels of runs that `can_group` allows."""
        super().__init__(source, level, alpha, runs)
        self._derived = source
        self._inputs: list[tuple[BandSource, PixelGroup, npt.NDArray[np.int64] | None]] = []
        """Each input, what reads it, and which of its pixels lies under each of the runs; None: they are the same."""
        self._first: list[int] = []
        """First slot of each input."""
        self.memory += self._total * sum(one.header.dtype.itemsize + 16 for one in source.inputs)

    @staticmethod
    def can_group(source: BandSource) -> bool:
        """False where pixels depend on others around them: of a mask that grows, of inputs that are resampled."""
        if not isinstance(source, DerivedBand):
            return True
        grid = source.header.transform, source.header.width, source.header.height
        inputs = [source.input(name) for name in source.computation().bands]
        moved = [one for one in inputs if (one.header.transform, one.header.width, one.header.height) != grid]
        return not source.dilate and all(is_of_classes(one) for one in moved)

    def needs(self) -> Iterable[TileNeed]:
        self._inputs.clear()
        self._first.clear()
        self.slots = 0
        for one in self._derived.inputs:
            level = level_of_input(one, self._derived.header, self._level)
            runs, under = self._runs_of(one, level)
            group = PixelGroup(one, level, self._alpha, runs)
            self._inputs.append((one, group, under))
            self._first.append(self.slots)
            for need in group.needs():
                yield need.at(self.slots + need.slot)
            self.slots += group.slots

    def _runs_of(self, source: BandSource, level: int) -> tuple[Runs, npt.NDArray[np.int64] | None]:
        """The pixels of an input under those of the runs."""
        own, header = self._derived.header, source.header
        grid, other = own.level_transform(self._level), header.level_transform(level)
        size, of_other = own.levels[self._level], header.levels[level]
        if (grid, size.width, size.height) == (other, of_other.width, of_other.height):
            return self.runs, None
        assert grid is not None and other is not None  # noqa: PT018 - derive() refuses others
        return self.runs.under(grid, other, of_other.width, of_other.height)

    def place(self, slot: int, tile: npt.NDArray[np.generic] | None) -> None:
        number = bisect_right(self._first, slot) - 1
        self._inputs[number][1].place(slot - self._first[number], tile)

    def finish(self) -> None:
        """Compute the pixels of those of the inputs."""
        pixels: dict[str, Pixels] = {}
        for source, group, under in self._inputs:
            group.finish()
            valid = None if group.invalid is None else ~group.invalid
            pixels[source.band] = (group.values, valid) if under is None else _under(group.values, valid, under)
        self._inputs.clear()
        values = self._derived.computation()
        self.values, valid = values.compute({name: pixels[name] for name in values.bands})
        mask = self._derived.mask
        if mask is not None:
            masked = mask.true({name: pixels[name] for name in mask.bands})
            if self._derived.fill is not None:
                self.values[masked] = self._derived.fill
            elif masked.any():
                valid = ~masked if valid is None else valid & ~masked
        self.invalid = None if valid is None or valid.all() else ~valid


def _under(
    values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_] | None, under: npt.NDArray[np.int64]
) -> Pixels:
    """Pixels of an input at some places; those of -1 are not valid."""
    inside = under >= 0
    if not len(values):
        return np.zeros(len(under), values.dtype), inside
    found = values[np.maximum(under, 0)]
    if valid is not None:
        inside &= valid[np.maximum(under, 0)]
    return found, None if inside.all() else inside


def pixel_group(source: BandSource, options: PixelOptions, runs: Runs) -> PixelGroup:
    """The job that reads the pixels of some runs of a band."""
    if isinstance(source, DerivedBand):
        return DerivedGroup(source, options.level, options.alpha, runs)
    return PixelGroup(source, options.level, options.alpha, runs)


def statistics_job(source: BandSource, options: PixelOptions, names: Collection[str], runs: Runs) -> RunsJob:
    """The job that reads what statistics of zones need.

    Args:
        source: the band.
        options: of the call.
        names: statistics wanted.
        runs: pixels of the zones.
    """
    level, alpha = options.level, options.alpha
    if runs.weights is None and SUMS.issuperset(names) and ZoneSums.can_sum(source, level, alpha):
        return ZoneSums(source, level, alpha, runs)
    return pixel_group(source, options, runs)


def statistics_of(job: RunsJob, names: Sequence[str]) -> tuple[Statistics, Missing]:
    """Statistics of the zones of a job that is done, as `statistics_of_zones` has them."""
    if isinstance(job, ZoneSums):
        return statistics_of_sums(job.sums, job.invalid, job.runs.pixels, names)
    assert isinstance(job, PixelGroup)
    return statistics_of_pixels(job.values, job.invalid, job.runs, names)


def statistics_of_pixels(
    values: npt.NDArray[np.generic], invalid: npt.NDArray[np.bool_] | None, runs: Runs, names: Sequence[str]
) -> tuple[Statistics, Missing]:
    """Statistics of zones, from the pixels of their runs and where these are not valid."""
    if runs.weights is not None:
        return statistics_of_weighted_zones(values, invalid, runs.weights, runs.pixels, names)
    return statistics_of_zones(values, invalid, runs.pixels, names)
