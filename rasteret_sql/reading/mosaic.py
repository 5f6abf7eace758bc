"""`Mosaic`: finds the scenes of each composite of a call, and the one grid that all composites of a zone have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rasteret_sql.engine.cache import CacheShare
from rasteret_sql.errors import InvalidArgumentError, InvalidCrsError, RasteretError
from rasteret_sql.geo.crs import crs_or_code, metres_a_unit, same_crs
from rasteret_sql.geo.grid import Window
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.composite import AVERAGES, result_dtype
from rasteret_sql.reading.chips import require_fill
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.options import Whole
from rasteret_sql.reading.own_lattice import own_lattice
from rasteret_sql.reading.relation import Relation
from rasteret_sql.reading.relation_geometries import Numbers
from rasteret_sql.reading.request import RowRead, Scene
from rasteret_sql.reading.target_grids import finest, place_on_targets
from rasteret_sql.reading.window_plan import common_dtype
from rasteret_sql.tiff.header import BandHeader

_LOOKED_UP = 256
"""Scenes whose files are looked up together."""
_MOST_FILES = 4 * _LOOKED_UP
"""Scenes whose files are at hand when they are read."""
_GROUP_BYTES = 64 * 1024 * 1024
"""Bytes of the chips that are made together."""
GROUP_ROWS = 2048
"""Chips that are made together, at most: as many rows as DuckDB asks for at a time."""
_FINER = 1 - 1e-6
"""Part of the pixels of one scene that those of another must be less than to be finer."""


@dataclass(frozen=True, slots=True, eq=False)
class Composite:
    """One chip to be made."""

    zone: int
    """Number of the geometry in its relation, from 0."""
    scenes: Numbers
    """Numbers in `Mosaic.scenes`, in the order in which the method takes them."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Composites of one period that are made together."""

    period: int
    """Number of the period, from 0."""
    first: int
    """Number of the first composite in `Mosaic.composites`."""
    zones: tuple[int, ...]
    """Number of the geometry of each, from 0."""

    @property
    def numbers(self) -> range:
        """Of its composites."""
        return range(self.first, self.first + len(self.zones))


def _tile_bytes(header: BandHeader, window: Window) -> int:
    """Bytes of the tiles under a window of about the image's pixels: a tile more than fit into it, on each axis."""
    level = header.levels[0]
    return (window.width + level.tile_width) * (window.height + level.tile_height) * header.dtype.itemsize


@dataclass(slots=True, eq=False)
class Mosaic:
    """The composites of a call.

    Args:
        relation: The zones, and how they are read. Where the method compares scores, their band is the last.
        method: One of `METHODS`.
    """

    relation: Relation
    method: str
    scenes: list[Scene] = field(default_factory=list)
    """Those that meet a geometry."""
    composites: list[Composite] = field(default_factory=list)
    places: dict[int, RowRead] = field(default_factory=dict)
    """Zone → a read of the scene that decides its grid, with the target, and the geometry on that."""
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))
    """Of the scenes' pixels: it holds those of all."""
    files: dict[int, tuple[BandSource, ...]] = field(default_factory=dict)
    """Number of a scene → the files with which it was found, until they are read; not of more than some hundreds."""
    tile_bytes: int = 0
    """Of the tiles of all composites, about."""
    _has_common_files: bool = False
    """True where several scenes have a file."""
    share: CacheShare | None = None
    """The part of the cache that its tiles may take; None: all of it, since they are few."""

    @property
    def result_dtype(self) -> np.dtype:
        """Of the chips."""
        return result_dtype(self.method, self.dtype)

    @property
    def reads_files_once(self) -> bool:
        """True where no file is read for several geometries or scenes."""
        return len(self.places) == 1 and not self._has_common_files

    def pixel_bands(self, sources: tuple[BandSource, ...]) -> tuple[BandSource, ...]:
        """The bands of the result among those that are read."""
        return sources[:-1] if self.method == "best" else sources

    def find(self, periods: Sequence[Sequence[Scene]], context: ReadContext) -> list[Group]:
        """Find the composites, period by period.

        Args:
            periods: Scenes of each, in the order in which the method takes them; one that is there twice counts once.
            context: What scenes are looked up with.

        Returns:
            Neighbours that are made together: of one period, with chips that take little memory.

        Raises:
            RasteretError: a scene cannot be read, or a geometry has no grid, unless `on_error` is 'null': then it is
                reported, and left out.
        """
        distinct = list(dict.fromkeys(scene for period in periods for scene in period))
        grids = _Grids(self.relation)
        zones: list[Numbers] = []
        addresses: set[str] = set()
        with context.receipt.plan:
            for scene, sources, met in self._met(distinct, context):
                self._take_dtype(self.row(scene, self.pixel_bands(sources), context), is_first=not zones)
                grids.add(scene, sources, met)
                if len(self.files) < _MOST_FILES:
                    self.files[len(self.scenes)] = sources
                of_scene = {file.address for file in files_of(sources)}
                self._has_common_files |= not addresses.isdisjoint(of_scene)
                addresses |= of_scene
                self.scenes.append(scene)
                zones.append(met)
            self._place(grids, context)
            numbers = {scene: number for number, scene in enumerate(self.scenes)}
            of_periods = [[numbers[one] for one in dict.fromkeys(period) if one in numbers] for period in periods]
            groups = [group for at, some in enumerate(of_periods) for group in self._groups(at, some, zones)]
        context.receipt.saw(len(self.relation.geometries) * len(distinct))
        context.receipt.planned(sum(len(one.scenes) for one in self.composites))
        self.relation.warn_of_missed(sum(map(len, zones)))
        self.relation.total = len(self.composites)
        self._take_share(context.engine.cache.max_bytes)
        return groups

    def _take_share(self, cache_bytes: int) -> None:
        """Leave the cache to others where tiles would take much of it: most are used once."""
        self.tile_bytes = 0
        for one in self.composites:
            read = self.places[one.zone]
            assert read.target is not None
            files = {id(file): file.header for file in files_of(read.sources)}.values()
            self.tile_bytes += len(one.scenes) * sum(_tile_bytes(header, read.target.window) for header in files)
        if CacheShare.is_much(self.tile_bytes, cache_bytes):
            self.share = CacheShare.of(cache_bytes)

    def row(self, scene: Scene, sources: tuple[BandSource, ...], context: ReadContext) -> RowRead:
        """A read of a scene, without its place."""
        options = self.relation.options.of_scene(scene.collection)
        return RowRead(0, scene.id, sources, Whole.IMAGE, options, context.report, [])

    def _met(
        self, scenes: Sequence[Scene], context: ReadContext
    ) -> Iterator[tuple[Scene, tuple[BandSource, ...], Numbers]]:
        """The scenes that meet geometries, with their files and the numbers of these geometries."""
        bands = self.relation.bands
        for begin in range(0, len(scenes), _LOOKED_UP):
            some = scenes[begin : begin + _LOOKED_UP]
            found = self.relation.look_up(some, [bands], context)
            for scene in some:
                files = found[scene, bands]
                met, _ = self.relation.met(scene, bands, files, context)
                if len(met) and not isinstance(files, RasteretError):
                    yield scene, files, met

    def _take_dtype(self, read: RowRead, *, is_first: bool) -> None:
        """Widen the dtype to that of a scene."""
        dtype = common_dtype(read)
        held = dtype if is_first else np.result_type(self.dtype, dtype)
        if held.kind == "f" and any(each.kind in "iu" and each.itemsize == 8 for each in (self.dtype, dtype)):
            raise InvalidArgumentError(
                f"{read.describe()}: no dtype holds its {dtype} and the {self.dtype} of other scenes exactly; make "
                "composites of them apart"
            )
        self.dtype = held

    def _place(self, grids: _Grids, context: ReadContext) -> None:
        """Give each zone its grid."""
        reads, crs, zones = [], [], []
        for zone, scene, sources in grids.deciding():
            read = replace(self.row(scene, self.pixel_bands(sources), context), row=zone)
            (geometry,) = self.relation.geometries.of([zone])
            assert geometry is not None  # it meets a scene
            try:
                require_fill(read.options.fill, self.result_dtype, read.describe())
                grids.require_one_crs(zone)
            except RasteretError as error:
                if not read.tolerates(error):
                    raise
                continue
            reads.append(replace(read, geometry=geometry))
            crs.append(self.relation.geometries.crs[zone])
            zones.append(zone)
        lost = place_on_targets(reads, range(len(reads)), crs, context)
        self.places = {zone: read for at, (zone, read) in enumerate(zip(zones, reads, strict=True)) if at not in lost}

    def _groups(self, period: int, scenes: Sequence[int], zones: Sequence[Numbers]) -> Iterator[Group]:
        """The composites of a period, of neighbouring zones one after the other."""
        of_zones: dict[int, list[int]] = {}
        for scene in scenes:
            for zone in zones[scene].tolist():
                of_zones.setdefault(zone, []).append(scene)
        first, some, held = len(self.composites), list[int](), 0
        for zone, its_scenes in of_zones.items():
            if zone not in self.places:
                continue
            size = self.chip_bytes(zone)
            if some and (held + size > _GROUP_BYTES or len(some) == GROUP_ROWS):
                yield Group(period, first, tuple(some))
                first, some, held = len(self.composites), [], 0
            # The last scene is the first of all in the reverse order.
            order = its_scenes[::-1] if self.method == "last" else its_scenes
            self.composites.append(Composite(zone, np.array(order, np.int64)))
            some.append(zone)
            held += size
        if some:
            yield Group(period, first, tuple(some))

    def chip_bytes(self, zone: int) -> int:
        """Bytes of the pixels and the mask of a chip."""
        read = self.places[zone]
        assert read.target is not None
        window = read.target.window
        return window.width * window.height * len(read.sources) * (self.result_dtype.itemsize + 1)

    def nodata(self, place: RowRead, band: int) -> float | None:
        """Value of pixels of a band that have none, in a chip of a zone; None: there is no such value."""
        if self.method == "count":
            return None
        if self.method in AVERAGES:
            return float("nan")
        nodata = place.sources[band].header.nodata
        return None if nodata is None else float(nodata)


class _Grids:
    """Finds the scene that decides the grid of each zone: of the finest pixels, the first one.

    Args:
        relation: The zones, and what is said of their grids.
    """

    def __init__(self, relation: Relation) -> None:
        count = len(relation.geometries)
        options = relation.options
        self._asked = None if options.crs is None else crs_or_code(options.crs)
        self._is_said = self._asked is not None or isinstance(options.align, str)
        self._scenes: list[tuple[Scene, tuple[BandSource, ...]]] = []
        self._deciding = np.full(count, -1, np.int64)
        """Number in `_scenes`; -1 for zones that none meets."""
        self._metres = np.full(count, np.inf)
        """Side of a pixel of that scene."""
        self._crs: list[str] = []
        self._first_crs = np.full(count, -1, np.int64)
        self._has_several = np.zeros(count, bool)
        self._counts: Counter[str] = Counter()

    def add(self, scene: Scene, sources: tuple[BandSource, ...], zones: Numbers) -> None:
        """Take a scene that meets some zones."""
        header = finest(sources).header
        lattice, its_crs = own_lattice(header), header.map_crs
        assert its_crs is not None and lattice is not None  # noqa: PT018 - it has a place
        number = next((at for at, crs in enumerate(self._crs) if same_crs(crs, its_crs)), len(self._crs))
        if number == len(self._crs):
            self._crs.append(its_crs)
        self._counts[self._crs[number]] += 1
        new = self._first_crs[zones] < 0
        self._has_several[zones] |= ~new & (self._first_crs[zones] != number)
        self._first_crs[zones[new]] = number
        metres = abs(lattice.determinant) ** 0.5 * metres_a_unit(its_crs)
        if self._asked is not None and same_crs(self._asked, its_crs):
            metres /= 1e9  # whatever its pixels are, before those in other CRSs
        finer = zones[metres < self._metres[zones] * _FINER]
        if len(finer):
            self._metres[finer] = metres
            self._deciding[finer] = len(self._scenes)
            self._scenes.append((scene, sources))

    def deciding(self) -> Iterator[tuple[int, Scene, tuple[BandSource, ...]]]:
        """The scene and files that decide the grid of each zone that meets any."""
        for zone in np.flatnonzero(self._deciding >= 0).tolist():
            yield zone, *self._scenes[self._deciding[zone]]

    def require_one_crs(self, zone: int) -> None:
        """Raise where the scenes of a zone are in several CRSs, and the call does not say which its grid has."""
        if self._is_said or not self._has_several[zone]:
            return
        told = ", ".join(f"{count} in {crs}" for crs, count in self._counts.most_common())
        raise InvalidCrsError(
            f"the scenes are in several CRSs ({told}), and a composite has one grid; say which, as crs := "
            f"'{self._counts.most_common(1)[0][0]}', or name a scene to be in line with, as align := 'id of a scene'"
        )
