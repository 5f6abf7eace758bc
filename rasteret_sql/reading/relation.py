"""`Relation`: keeps the zones or points of a call over relations, and finds those that meet the image of a scene."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rasteret_sql.callbacks import Progress
from rasteret_sql.errors import InvalidCrsError, RasteretError
from rasteret_sql.geo.crs import no_place
from rasteret_sql.geo.grid import Affine, Grid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.runs import Runs
from rasteret_sql.raster.zone_runs import are_zones, runs_of
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.context import FailedRow, Found, ReadContext
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.relation_geometries import Geometries, Numbers, Placed, Windows, bytes_of
from rasteret_sql.reading.request import Request, Scene, each_or_error
from rasteret_sql.reading.resolve import check_level, unplaced
from rasteret_sql.reading.swapped_axes import TRIED, Missed, warn_if_swapped

_GRIDS = 8
"""Grids on which the geometries are known at a time, at least; scenes come one after the other."""
_MOST_ON_GRIDS = 1 << 18
"""Geometries that are known on more grids than these, at most."""
_MOST_OF_ZONE = 1 << 20
"""Pixels of the window of a zone that is read together with others."""
_MOST_KNOWN = 1 << 24
"""Pixels of zones, at most, of which the fractions are kept for the next scene."""
_MISSED = 16
"""Scenes for which it is tried whether geometries have their axes swapped."""
_NEIGHBOURHOOD = 256
"""Pixels on a side of the squares in which geometries are read one after the other, so that tiles are read once."""


@dataclass(slots=True, eq=False)
class OnGrid:
    """The geometries of a relation that meet the images of one grid."""

    numbers: Numbers
    """In the relation, from 0; neighbours together."""
    placed: Placed
    """In the CRS of the images; none of points where the windows say all."""
    windows: Windows
    transform: Affine
    """Of the level that is read."""
    size: tuple[int, int]
    """Width and height of that level."""
    count: int
    """Geometries of the relation."""
    _known: Runs | None = None
    """Runs of the first so many zones: each scene asks for them anew."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _places: Numbers | None = None
    _small: npt.NDArray[np.bool_] | None = None

    def are_small_zones(self, positions: Numbers) -> npt.NDArray[np.bool_]:
        """True for those that are polygons with few enough pixels to be read together with others."""
        if self._small is None:
            self._small = are_zones(self.placed) & (self.windows[:, 2] * self.windows[:, 3] <= _MOST_OF_ZONE)
        return self._small[positions]

    def runs(self, positions: Numbers, options: PixelOptions) -> Runs:
        """Runs of the pixels of some small zones, at least one, that these hold, touch or cover."""
        find = runs_of(weighted=options.weighted, all_touched=options.all_touched)
        is_plain = not (options.weighted or options.all_touched)
        with self._lock:
            known = self._known
            begin = 0 if known is None else len(known.first) - 1
            more = np.arange(begin, int(positions[-1]) + 1)
            # Fractions have a number for each pixel, plain zones one for each row of pixels.
            size = 0 if is_plain else int(self.windows[more, 2:].prod(1).sum())
            if size + (0 if known is None or is_plain else int(known.length.sum())) > _MOST_KNOWN:
                return self._found(find, positions)
            if len(more):
                found = self._found(find, more)
                known = self._known = found if known is None else known.and_then(found)
            assert known is not None
            return known.of(positions)

    def _found(self, find: Callable[[npt.NDArray[np.object_], Affine, Numbers], Runs], positions: Numbers) -> Runs:
        small, windows = self.are_small_zones(positions), self.windows[positions]
        if not small.all():
            windows[~small] = 0
        return find(self.placed[positions], self.transform, windows)

    def places(self) -> Numbers:
        """Position in `numbers` of each geometry of the relation; -1 for those that are not among them."""
        if self._places is None:
            places = np.full(self.count, -1, np.int64)
            places[self.numbers] = np.arange(len(self.numbers))
            self._places = places
        return self._places

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, of shapes about."""
        arrays = [self.numbers, self.windows, *([] if self._places is None else [self._places])]
        placed = self.placed.nbytes if self.placed.dtype != object else bytes_of(self.placed)
        return sum(one.nbytes for one in arrays) + placed + (0 if self._known is None else self._known.nbytes)


class Part(NamedTuple):
    """A scene of which the geometries that meet it are read."""

    scene: Scene
    band: Asked | None
    """The band; None: all together."""


class Met(NamedTuple):
    """The geometries that meet a scene, or one of its bands."""

    part: int
    """Number of the scene and band in `Relation.parts`; of points that of the first band."""
    numbers: Numbers
    """Of the geometries, from 0; neighbours together."""
    names: tuple[str, ...]
    """Of the bands that are read."""


@dataclass(slots=True, eq=False)
class Relation:
    """Geometries with all that a call over relations says of how they are read."""

    function: str
    """What was called, for messages."""
    call: str
    """What reads the pairs: the same, or the function whose cost is asked for."""
    geometries: Geometries
    bands: tuple[Asked, ...]
    """As the call names them."""
    options: PixelOptions
    statistics: tuple[str, ...] = ()
    """Those that are asked for, where zones are measured."""
    apart: bool = False
    """True: each band is read apart; False: all together."""
    of_points: bool = False
    """True: points, which meet an image by their pixel; False: any geometries, which do by their window."""
    max_bytes: int | None = None
    """Most bytes that the call may fetch; None: as many as it takes."""
    total: int = 0
    """Pairs found so far."""
    done: int = 0
    """Pairs read so far."""
    parts: list[Part] = field(default_factory=list)
    """Scenes and bands that meet geometries, in the order in which they were found."""
    _grids: OrderedDict[tuple[str, Affine, int, int, tuple[int, int]], OnGrid] = field(default_factory=OrderedDict)
    _missed: list[Missed] = field(default_factory=list)
    """The first scenes that no geometry met, of those that are looked at."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def nbytes(self) -> int:
        """Bytes that the geometries hold on the grids on which they are known."""
        with self._lock:
            return sum(one.nbytes for one in self._grids.values())

    def pairs(self, scenes: Sequence[Scene], context: ReadContext) -> list[list[Met]]:
        """Find what each scene meets, band by band where these are read apart.

        Args:
            scenes: some rows of their relation.
            context: what they are looked up with.

        Raises:
            RasteretError: of a scene that cannot be read, unless `on_error` is 'null': then it meets nothing, and is
                reported.
        """
        bands: list[tuple[Asked, ...]] = [(band,) for band in self.bands] if self.apart else [self.bands]
        with context.receipt.plan:
            found = self.look_up(scenes, bands, context)
            met = [[self.met(scene, some, found[scene, some], context) for some in bands] for scene in scenes]
        context.receipt.saw(len(self.geometries) * len(bands) * len(scenes))
        pairs = sum(len(numbers) for of_scene in met for numbers, _ in of_scene)
        context.receipt.planned(pairs)
        with self._lock:
            self.warn_of_missed(self.total + pairs)
            return [
                [self._counted(scene, some, *one) for some, one in zip(bands, of_scene, strict=True)]
                for scene, of_scene in zip(scenes, met, strict=True)
            ]

    def look_up(
        self, scenes: Sequence[Scene], bands: Sequence[tuple[Asked, ...]], context: ReadContext
    ) -> dict[tuple[Scene, tuple[Asked, ...]], Found]:
        """The files of each scene and bands, or why there are none; those of a collection are looked up together."""
        found: dict[tuple[Scene, tuple[Asked, ...]], Found] = {}
        for collection in dict.fromkeys(scene.collection for scene in scenes):
            some = [scene for scene in dict.fromkeys(scenes) if scene.collection == collection]
            options = self.options.of_scene(collection)

            def answers(asked: Sequence[Any], options: PixelOptions = options) -> list[Found]:
                got = context.look_up(asked, options.collection, context.backend)
                return [got[each] for each in asked]

            asked = [(scene.id, each) for scene in some for each in bands]
            keys = [(scene, each) for scene in some for each in bands]
            found |= zip(keys, each_or_error(answers, asked, options.on_error == "null"), strict=True)
        return found

    def _counted(self, scene: Scene, bands: tuple[Asked, ...], numbers: Numbers, names: tuple[str, ...]) -> Met:
        """Make what a scene meets a part of the relation."""
        band = bands[0] if self.apart else None
        part = len(self.parts)
        if len(numbers):
            self.total += len(numbers)
            # Points are found once for all bands, which are read one after the other.
            self.parts += [Part(scene, each) for each in (self.bands if self.of_points else (band,))]
        return Met(part, numbers, names)

    def warn_of_missed(self, pairs: int) -> None:
        """Look whether geometries have their axes swapped, where no pair was found."""
        missed, self._missed = self._missed, []
        if not pairs:  # geometries may well miss some of the scenes
            for group in missed:
                warn_if_swapped(group)

    def met(
        self, scene: Scene, bands: tuple[Asked, ...], found: Found, context: ReadContext
    ) -> tuple[Numbers, tuple[str, ...]]:
        """Numbers of the geometries that meet a scene, and names of the bands that are read.

        Raises:
            RasteretError: the scene cannot be read, unless `on_error` is 'null': then it is reported.
        """
        try:
            if isinstance(found, RasteretError):
                raise found
            for source in found:
                check_level(source, self.options.level)
            numbers = self.on_grid(found, context).numbers
        except RasteretError as error:
            if not self.options.tolerates(error):
                raise
            named = self.options.of_scene(scene.collection).collection_name
            context.report(FailedRow(named, scene.id, ", ".join(map(str, bands)), error))
            return np.empty(0, np.int64), ()
        return numbers, tuple(source.band for source in found)

    def on_grid(self, sources: tuple[BandSource, ...], context: ReadContext) -> OnGrid:
        """The geometries on the grid of a file, known for every file that has it.

        Raises:
            InvalidCrsError: the file has no place, or geometries cannot be moved to its CRS.
        """
        header = sources[0].header
        lacking = unplaced(sources)
        if lacking is not None:
            raise lacking
        transform = header.level_transform(self.options.level)
        level = header.levels[self.options.level]
        assert header.crs is not None and header.transform is not None and transform is not None  # noqa: PT018
        tile = level.tile_width, level.tile_height
        key = (header.crs, transform, level.width, level.height, tile)
        with self._lock:
            known = self._grids.get(key)
            if known is not None:
                self._grids.move_to_end(key)
                return known
        placed = self._placed(header.crs, Grid(header.transform, header.width, header.height), sources[0], context)
        windows = self.geometries.windows(placed, transform, (level.width, level.height), tile)
        numbers = np.flatnonzero(windows[:, 2] > 0)
        cols, rows = (windows[numbers, axis] // _NEIGHBOURHOOD for axis in (0, 1))
        numbers = numbers[np.lexsort((cols, rows))]
        kept = np.empty(0, object) if self.of_points and self.options.interpolation is None else placed[numbers]
        size = level.width, level.height
        found = OnGrid(numbers, kept, windows[numbers], transform, size, len(self.geometries))
        with self._lock:
            self._grids[key] = found
            held = sum(len(one.numbers) for one in self._grids.values())
            while len(self._grids) > _GRIDS and held > _MOST_ON_GRIDS:
                held -= len(self._grids.popitem(last=False)[1].numbers)
        return found

    def _placed(self, native: str, grid: Grid, source: BandSource, context: ReadContext) -> Placed:
        """Geometries in the CRS of an image."""
        known = self.geometries
        placed = known.nowhere()
        where = f'scene "{source.scene_id}", band {source.band}'
        for crs, numbers in known.groups.items():
            try:
                some, lacking = known.place(numbers, crs, native, grid)
            except InvalidCrsError as error:
                raise InvalidCrsError(f"{where}: {error}") from error
            for geometry in known.of(lacking):
                assert geometry is not None
                self._complain(InvalidCrsError(str(no_place(geometry, crs, native))), source, context)
            if len(self._missed) < _MISSED and not known.meet(some, grid):
                tried = [each for each in known.of(numbers[:TRIED].tolist()) if each is not None]
                self._missed.append(Missed(tried, crs, native, [grid] * len(tried), where))
            placed[numbers] = some
        return placed

    def _complain(self, error: RasteretError, source: BandSource, context: ReadContext) -> None:
        """Raise an error of a geometry, or report it where the call asks for NULL."""
        if not self.options.tolerates(error):
            raise error
        context.report(FailedRow(self.options.collection_name, source.scene_id, source.band, error))

    def request(self, parts: Sequence[int], numbers: Sequence[int]) -> Request:
        """The request of some pairs: a part, and the number of a geometry from 0."""
        options = {part: self.options.of_scene(self.parts[part].scene.collection) for part in set(parts)}
        of_pairs = [self.parts[part] for part in parts]
        return Request(
            [scene.id for scene, _ in of_pairs],
            [self.bands if band is None else (band,) for _, band in of_pairs],
            self.geometries.of(numbers),
            [self.geometries.crs[number] for number in numbers],
            [options[part] for part in parts],
        )

    def counted(self, progress: Progress) -> Progress:
        """The progress of reading some pairs as that of all."""

        def tell(done: int, _total: int | None, _what: str) -> None:
            progress(self.done + done, self.total, "pairs")

        return tell

    def read(self, pairs: int) -> None:
        """Take note that so many pairs were read."""
        with self._lock:
            self.done += pairs
