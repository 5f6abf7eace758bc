"""Reads values at points of many scenes, with the pixels around them: a group of values for each scene and band."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.job import Job
from rasteret_sql.errors import FileChangedError, InvalidArgumentError, MemoryLimitError, RasteretError
from rasteret_sql.geo.crs import no_place
from rasteret_sql.geo.grid import Affine, Grid
from rasteret_sql.geo.placement import are_places, place_points
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.raster.edges import Floats, Ints
from rasteret_sql.raster.window import inside_of
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.byte_limit import within_limit
from rasteret_sql.reading.changed_files import ChangedFiles, repeat_while_changed
from rasteret_sql.reading.context import Found, ReadContext
from rasteret_sql.reading.derived_band import files_of
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.points_around import Around, Centres, PointsOnImage
from rasteret_sql.reading.resolve import unplaced
from rasteret_sql.selection.pixels import Part
from rasteret_sql.selection.points import Points

MATCHES = ("all", "latest", "latest_valid")
"""Scenes of which a point gets values: all; the newest that has the point; the newest with a valid value there."""
NEIGHBOURHOODS = ("off", "always", "if_center_nodata")
_ROW_BYTES = 128
"""Memory of a row of the result, at least."""
_SQUARE_BYTES = 64 << 20
"""Memory of the pixels around points that are computed with at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class PointRules:
    """Says what is wanted at points."""

    match: str = "all"
    """One of `MATCHES`."""
    reach: int = 0
    """Rings of pixels around the point's own that are searched for a valid one."""
    neighbourhood: str = "off"
    """One of `NEIGHBOURHOODS`."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("match", self.match, MATCHES),
            ("return_neighbourhood", self.neighbourhood, NEIGHBOURHOODS),
        ):
            if value not in known:
                raise InvalidArgumentError(f"{name}={value!r} cannot be used; expected one of {', '.join(known)}")
        if isinstance(self.reach, bool) or not isinstance(self.reach, int | np.integer) or not 0 <= self.reach <= 256:
            raise InvalidArgumentError(f"max_distance_pixels={self.reach!r} cannot be used; expected 0 to 256 pixels")
        if self.neighbourhood != "off" and not self.reach:
            raise InvalidArgumentError(
                f"return_neighbourhood={self.neighbourhood!r} needs max_distance_pixels above 0, which says how far it "
                "reaches"
            )


@dataclass(slots=True, eq=False)
class PointGroup:
    """The values of some points of a band of a scene."""

    part: Part
    crs: str
    """Of the image."""
    numbers: Ints
    """Of the points, ascending."""
    values: Floats
    valid: npt.NDArray[np.bool_]
    """False where a value is that of a pixel that is not valid."""
    squares: Floats | None = None
    """The pixels around each point, shape (n, side²), row-major, NaN outside of the image; None: none are wanted."""
    has_square: npt.NDArray[np.bool_] | None = None
    """False for points of which these are not wanted."""

    def only(self, kept: npt.NDArray[np.bool_]) -> PointGroup:
        """Some of the points."""
        return self._each(lambda _, values: values[kept])

    def joined(self, other: PointGroup | None) -> PointGroup:
        """These and other points of the same band."""
        if other is None:
            return self
        order = np.argsort(np.concatenate([self.numbers, other.numbers]), kind="stable")
        return self._each(lambda name, values: np.concatenate([values, getattr(other, name)])[order])

    def _each(self, change: Callable[[str, Any], Any]) -> PointGroup:
        """The same with other points; `change` takes the name and the values of a field."""
        names = ("numbers", "values", "valid", "squares", "has_square")
        fields = {name: getattr(self, name) for name in names}
        changed: dict[str, Any] = {
            name: None if values is None else change(name, values) for name, values in fields.items()
        }
        return replace(self, **changed)


@dataclass(frozen=True, slots=True, eq=False)
class PointCall:
    """Holds what a call asks of points."""

    points: Points
    bands: Sequence[Asked]
    """In the order of the result."""
    options: PixelOptions
    """As `sample_point` takes them."""
    rules: PointRules


@dataclass(slots=True, eq=False)
class PointSamples:
    """Holds what was read."""

    groups: list[PointGroup] = field(default_factory=list)
    """In the order of scenes and bands, each with a point at least."""
    failures: dict[Part, Exception] = field(default_factory=dict)
    """Why a band of a scene could not be read."""


def read_points_of(context: ReadContext, ids: Sequence[str], call: PointCall) -> PointSamples:
    """Read the value of the pixel that holds each point, on every scene or on the newest.

    Args:
        context: what they are read with.
        ids: scenes, in the order of the result; the newest first where only that is wanted.
        call: what is wanted.

    Raises:
        InvalidCrsError: a point is no place.
        MemoryLimitError: before any request, when the values together exceed `max_call_bytes`.
        ByteLimitError: before any request, when they take more than `max_bytes` to fetch.
    """
    return context.engine.call(lambda cancelled: _Reader(context, call, cancelled).read(ids))


class _Reader:
    """Reads the points of a call."""

    def __init__(self, context: ReadContext, call: PointCall, cancelled: Cancelled) -> None:
        self._context = context
        self._points, self._bands, self._options, self._rules = call.points, call.bands, call.options, call.rules
        self._cancelled = cancelled
        self._there = np.flatnonzero(np.isfinite(call.points.xy).all(axis=1))
        self._placed: dict[tuple[str, Affine, int, int], tuple[Ints, Floats, Floats, Floats]] = {}
        self._failures: dict[Part, Exception] = {}

    def read(self, ids: Sequence[str]) -> PointSamples:
        """Read, and again where files were changed and that is wanted."""
        samples = PointSamples()

        def attempt(_: ChangedFiles) -> list[BandSource]:
            nonlocal samples
            self._failures = {}
            changed: list[BandSource] = []
            groups = self._all(ids, changed) if self._rules.match == "all" else self._newest(ids, changed)
            samples = PointSamples(groups, self._failures)
            return changed if self._options.on_change == "refresh" else []

        repeat_while_changed(attempt, self._context, self._cancelled)
        order = {scene: at for at, scene in enumerate(ids)}
        samples.groups.sort(key=lambda group: (order[group.part.scene_id], group.part.bands))
        samples.failures = dict(
            sorted(samples.failures.items(), key=lambda one: (order[one[0].scene_id], one[0].bands))
        )
        return samples

    def _all(self, ids: Sequence[str], changed: list[BandSource]) -> list[PointGroup]:
        return self._values(self._images(ids), changed)

    def _newest(self, ids: Sequence[str], changed: list[BandSource]) -> list[PointGroup]:
        """Read each point of the first scene that has it; where that cannot be read or does not do, of the next."""
        images = self._images(ids)
        order = {scene: at for at, scene in enumerate(ids)}
        begin = np.zeros((len(self._bands), len(self._points.xy)), np.int64)
        """The scene from which on each point of a band is looked for; none where it is found."""
        groups: dict[Part, PointGroup] = {}
        while True:
            asked = begin.copy()
            some: dict[Part, PointsOnImage] = {}
            for part, image in images.items():
                at, places = order[part.scene_id], (part.bands[0], image.numbers)
                mine = asked[places] <= at
                if mine.any() and part not in self._failures:
                    some[part] = image.of(mine)
                    asked[places[0], image.numbers[mine]] = len(ids)
            if not some:
                return list(groups.values())
            found = {group.part: group for group in self._values(some, changed)}
            begin[:] = len(ids)
            for part, image in some.items():
                next_one = order[part.scene_id] + 1
                group = found.get(part)
                if group is None:
                    begin[part.bands[0], image.numbers] = next_one
                    continue
                taken = group.valid if self._rules.match == "latest_valid" else np.ones(len(group.numbers), bool)
                begin[part.bands[0], group.numbers[~taken]] = next_one
                if taken.any():
                    groups[part] = group.only(taken).joined(groups.get(part))

    def _images(self, ids: Sequence[str]) -> dict[Part, PointsOnImage]:
        """The bands of scenes that have points, scene by scene."""
        context = self._context
        parts = [Part(scene_id, (band,)) for scene_id in ids for band in range(len(self._bands))]
        asked = [(part.scene_id, (self._bands[part.bands[0]],)) for part in parts]
        images: dict[Part, PointsOnImage] = {}
        with context.receipt.plan:
            found = context.look_up(asked, self._options.collection, context.backend)
            for part, one in zip(parts, asked, strict=True):
                try:
                    image = self._image(found[one])
                except RasteretError as error:
                    self._failures[part] = error
                    continue
                if len(image.numbers):
                    images[part] = image
        context.plan_pairs(0, seen=len(parts) * len(self._there))
        self._check_memory(sum(len(image.numbers) for image in images.values()))
        return images

    def _image(self, found: Found) -> PointsOnImage:
        if isinstance(found, RasteretError):
            raise found
        lacking = unplaced(found)
        if lacking is not None:
            raise lacking
        (source,) = found
        header = source.header
        assert header.crs is not None and header.transform is not None  # noqa: PT018
        key = header.crs, header.transform, header.width, header.height
        if key not in self._placed:
            self._placed[key] = self._place(*key)
        return PointsOnImage(source, header.transform, *self._placed[key])

    def _place(self, native: str, transform: Affine, width: int, height: int) -> tuple[Ints, Floats, Floats, Floats]:
        """Numbers of the points inside an image, their positions in it, and they in its CRS."""
        points, crs = self._points.xy[self._there], self._points.crs
        placed = place_points(points, crs, native, Grid(transform, width, height))
        lost = np.isnan(placed[:, 0])
        if lost.any():
            wrong = np.flatnonzero(lost)[~are_places(points[lost], crs)]
            if len(wrong):
                raise no_place(shapely.Point(points[wrong[0]]), crs, native)
        x, y, inside = inside_of(placed[:, 0], placed[:, 1], transform, width, height)
        return self._there[inside], x[inside], y[inside], placed[inside]

    def _check_memory(self, rows: int) -> None:
        if self._rules.match != "all":
            rows = min(rows, len(self._there) * len(self._bands))
        side = 0 if self._rules.neighbourhood == "off" else 2 * self._rules.reach + 1
        size = rows * (_ROW_BYTES + 8 * side * side)
        if size > self._context.max_call_bytes:
            raise MemoryLimitError(
                f"the table of {rows:,} values needs about {size:,} bytes, more than max_call_bytes = "
                f"{self._context.max_call_bytes:,}; nothing was fetched. Sample fewer points, scenes or bands a call, "
                "or use sample_points of SQL, whose rows stream"
            )

    def _run(self, jobs: Sequence[Job]) -> None:
        with within_limit(self._options.max_bytes, lambda dry: dry.stream(jobs, self._cancelled), self._context):
            self._context.stream(jobs, self._cancelled)

    def _values(self, images: Mapping[Part, PointsOnImage], changed: list[BandSource]) -> list[PointGroup]:
        """Read the values of the points of images; those that fail are among the failures."""
        self._context.plan_pairs(sum(len(image.numbers) for image in images.values()))
        centres = {part: Centres(image, self._options, self._context.report) for part, image in images.items()}
        self._run([job for one in centres.values() for job in one.jobs])
        groups: list[PointGroup] = []
        for part, one in centres.items():
            image = images[part]
            if one.failure is not None:
                self._fail(part, image, one.failure, changed)
                continue
            group = PointGroup(part, image.source.header.crs or "", image.numbers, *one.values())
            if not self._rules.reach or self._look_around(group, image, changed):
                groups.append(group)
        return groups

    def _fail(self, part: Part, image: PointsOnImage, error: Exception, changed: list[BandSource]) -> None:
        self._failures[part] = error
        if isinstance(error, FileChangedError):
            changed += [source for source in files_of((image.source,)) if source.address == error.address]

    def _look_around(self, group: PointGroup, image: PointsOnImage, changed: list[BandSource]) -> bool:
        """Read the pixels around points: of those that are not valid, and of all whose neighbourhood is wanted.

        Returns:
            False where that failed.
        """
        rules = self._rules
        side = 2 * rules.reach + 1
        wanted = ~group.valid if rules.neighbourhood != "always" else np.ones(len(group.numbers), bool)
        if rules.neighbourhood != "off":
            group.squares, group.has_square = np.full((len(wanted), side * side), np.nan), wanted.copy()
        at_once = max(1, _SQUARE_BYTES // (side * side * 32))
        for start in range(0, int(wanted.sum()), at_once):
            some = np.flatnonzero(wanted)[start : start + at_once]
            part = image.of(some)
            around = Around(part, rules.reach, self._options, self._context.report)
            self._run(around.jobs)
            if around.failure is not None:
                self._fail(group.part, image, around.failure, changed)
                return False
            values, valid = around.values()
            each = values.reshape(len(some), -1)
            if group.squares is not None:
                group.squares[some] = each
            at, found = around.squares.nearest(valid, image.grid)
            taken = found & ~group.valid[some]
            group.values[some[taken]] = each[taken, at[taken]]
            group.valid[some[taken]] = True
        return True
