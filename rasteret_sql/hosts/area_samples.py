"""Reads areas on the scenes of a collection, for the arrays of Python."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.callbacks import Progress
from rasteret_sql.errors import InvalidArgumentError, UnknownBandError
from rasteret_sql.functions.python_arguments import band_names
from rasteret_sql.geo.crs import LONLAT, reaches
from rasteret_sql.geo.placement import is_place
from rasteret_sql.hosts.left_out import tell_left_out
from rasteret_sql.hosts.progress_listener import progress_listener
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.reading.asked_band import Asked, ask
from rasteret_sql.reading.band_names import is_name
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.target_plan import ChipPlan
from rasteret_sql.receipt import Receipt
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.call_access import own_bands
from rasteret_sql.selection.common_grid import on_common_grid
from rasteret_sql.selection.conditions import near_areas
from rasteret_sql.selection.filters import filtered
from rasteret_sql.selection.missed_areas import explain_missed, mistake_of
from rasteret_sql.selection.pixels import Part, Planned, Samples, plan_samples, read_samples
from rasteret_sql.selection.point_samples import PointCall, PointGroup, PointRules, read_points_of
from rasteret_sql.selection.points import Points
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session
from rasteret_sql.warning import warn

_FEW = 16
"""Areas of which it is found out beforehand that they are places."""
Bands = str | Sequence[str] | Mapping[str, str]
"""A band or an expression over bands, several of them, or names for these."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class AreaRead:
    """A read of areas on the scenes of a collection, as a call asks for it."""

    session: Session
    selection: Selection
    """The scenes of the collection."""
    known: Sequence[str]
    """Its bands."""
    function: str
    """The call, for receipts."""
    areas: Areas
    bands: Bands
    options: PixelOptions
    """As `read_chip` takes them."""
    reader: StorageBackend | None
    """Who reads the files; None: who their dataset asks for."""
    data_source: str | None
    """Dataset whose names of bands serve as well."""
    progress: bool | Progress | None
    """As `progress_listener` takes it."""
    filters: Mapping[str, Any]
    """Of `subset`: which of the scenes."""
    one_grid: bool
    """True: all scenes on one grid, of what the options say."""

    @property
    def asked(self) -> tuple[Asked, ...]:
        """The bands by the names that the collection has; raises where one is none of these, nor computed from them."""
        return asked_bands(self.session, self.selection.index, self.known, self.bands, self.data_source, self.options)

    @property
    def names(self) -> list[str]:
        """The bands by the names that the call has for them."""
        return [self.bands] if isinstance(self.bands, str) else list(self.bands)

    def scenes(self, columns: Sequence[str] = ("id", "datetime")) -> pa.Table:
        """Columns of the scenes near the areas."""
        return _near(filtered(self.selection, self.filters), self.areas).batches(list(columns)).read_all()

    def read(
        self,
        check: Callable[[Sequence[ChipPlan]], None] | None = None,
        *,
        columns: Sequence[str] = ("id", "datetime"),
        apart: bool = False,
        each_band: bool = False,
        into: Callable[[Sequence[Planned], pa.Table], Sequence[np.ndarray | None]] | None = None,
    ) -> tuple[Samples, pa.Table]:
        """Read; scenes that cannot be read are left out and told of, unless the options say 'raise'.

        Args:
            check: as `read_samples` takes it.
            columns: of the scenes that are wanted; `id` is among them.
            apart: as `read_samples` takes it.
            each_band: as `read_samples` takes it.
            into: the same of plans and `scenes`.

        Returns:
            Samples, at least one; and `scenes`.

        Raises:
            InvalidArgumentError: there is none, or a band is not known.
            RasteretError: why a scene cannot be read, if the options say so.
        """
        scenes = self.scenes(columns)
        asked = self.asked
        near = scenes["id"].to_pylist()
        with self.session.receipts.begin(self.function) as receipt:
            context = self._context(receipt)
            options = self._on_grid(context, near, asked, only_crs=check is None or apart)
            samples = read_samples(
                context,
                near,
                self.areas,
                asked,
                options,
                check=check,
                apart=apart,
                each_band=each_band,
                into=None if into is None else lambda planned: into(planned, scenes),
            )
            self._raise(samples.failures)
        self._tell(samples.failures, near, found=bool(samples.places))
        return samples, scenes

    def plan(self) -> tuple[list[Planned], Mapping[Part, Exception], PixelOptions, pa.Table]:
        """Plan the same, each band by itself, and read nothing.

        Returns:
            The plan of each sample, why bands of scenes have none, the options with the grid of all, and `scenes`.
        """
        scenes = self.scenes()
        asked = self.asked
        near = scenes["id"].to_pylist()
        with self.session.receipts.begin(self.function) as receipt:
            context = self._context(receipt)
            options = self._on_grid(context, near, asked, only_crs=False)
            plans, failures = plan_samples(context, near, self.areas, asked, options)
            self._raise(failures)
        self._tell(failures, near, found=bool(plans))
        return plans, failures, options, scenes

    def sample(
        self, points: Points, rules: PointRules, columns: Sequence[str]
    ) -> tuple[Sequence[PointGroup], pa.Table]:
        """Read values at points; scenes that cannot be read are left out and told of, as by `read`.

        Args:
            points: of which the areas are those that are not missing.
            rules: what is wanted.
            columns: of the scenes that are wanted; `id` and `datetime` are among them.

        Returns:
            A group for each band of a scene that has points, and the scenes; the newest first, unless all are wanted.

        Raises:
            InvalidArgumentError: no scene could be read, or a band is not known.
            RasteretError: why a scene cannot be read, if the options say so.
        """
        asked = self.asked
        chosen = filtered(self.selection, self.filters)
        there = bool(len(self.areas.geometries))
        scenes = (_near(chosen, self.areas) if there else chosen).batches(list(columns)).read_all()
        scenes = scenes if there else scenes.slice(0, 0)
        if rules.match != "all":
            scenes = scenes.sort_by([("datetime", "descending")])
        near = scenes["id"].to_pylist()
        with self.session.receipts.begin(self.function) as receipt:
            told = dataclasses.replace(self.options, on_error="raise")  # scenes that fail are told of here
            samples = read_points_of(self._context(receipt), near, PointCall(points, asked, told, rules))
            self._raise(samples.failures)
        count = len(near) * len(asked)
        self._warn(samples.failures, near, found=len(samples.failures) < count)
        mistake = mistake_of(chosen, self.areas) if there and not samples.groups and not samples.failures else None
        if mistake is not None:
            warn(f'no scene of "{self.selection.index.name}" meets the points ({self.areas.describe()}); {mistake}')
        return samples.groups, scenes

    def _context(self, receipt: Receipt) -> ReadContext:
        return self.session.paying(receipt).reading(backend=self.reader, progress=progress_listener(self.progress))

    def _on_grid(
        self, context: ReadContext, near: Sequence[str], asked: Sequence[Asked], *, only_crs: bool
    ) -> PixelOptions:
        told = dataclasses.replace(self.options, on_error="raise")  # scenes that fail are told of here
        return on_common_grid(context, near, asked, told, only_crs=only_crs) if self.one_grid else told

    def _raise(self, failures: Mapping[Part, Exception]) -> None:
        if failures and self.options.on_error == "raise":
            raise next(iter(failures.values()))

    def _tell(self, failures: Mapping[Part, Exception], near: Sequence[str], *, found: bool) -> None:
        """Warn of scenes that are left out; where nothing was found, that is an error."""
        self._warn(failures, near, found=found)
        if not found:
            chosen = filtered(self.selection, self.filters)
            raise InvalidArgumentError(
                f'no valid data found: no scene of "{self.selection.index.name}" meets the areas '
                f"({self.areas.describe()}); {explain_missed(chosen, self.areas)}"
            )

    def _warn(self, failures: Mapping[Part, Exception], near: Sequence[str], *, found: bool) -> None:
        """Warn of scenes that are left out; where nothing else was found, that is an error."""
        names = self.names
        bands = Counter(part.scene_id for part in failures for _ in part.bands)
        if any(count < len(names) for count in bands.values()):
            labels = {part: f"{part.scene_id} {', '.join(names[band] for band in part.bands)}" for part in failures}
            of_bands = {labels[part]: error for part, error in failures.items()}
            tell_left_out(of_bands, len(near) * len(names), "bands of scenes", found=found)
        else:
            errors: dict[str, Exception] = {}
            for part, error in failures.items():
                errors.setdefault(part.scene_id, error)
            tell_left_out(errors, len(near), found=found)


def asked_bands(  # noqa: PLR0917 - of one call
    session: Session,
    index: CollectionIndex,
    own: Sequence[str],
    bands: Bands,
    data_source: str | None,
    options: PixelOptions,
) -> tuple[Asked, ...]:
    """The bands of a call; raises where one is none of the collection's, nor can be computed from these."""
    given = [bands] if isinstance(bands, str) else bands
    names = own_bands(list(own), band_names(bands), data_source)
    if not names:
        raise InvalidArgumentError(f"bands is empty; expected names out of {', '.join(own)}")
    asked = ask(dict(zip(given, names, strict=True)) if isinstance(given, Mapping) else names, options.of_bands())
    known = session.band_names(index)
    for name, band in zip(names, asked, strict=True):
        try:
            known.meant(band)
        except UnknownBandError:
            if is_name(name):
                index.require_band(name)  # says so of the collection
            raise
    return asked


def _near(chosen: Selection, areas: Areas) -> Selection:
    """Scenes that may meet the areas by their box; all where the areas are of another globe than boxes."""
    if areas.geometries[0] is Whole.IMAGE or not reaches(areas.crs, LONLAT):
        return chosen
    found = chosen.where(near_areas(areas.lonlat()))
    for area in areas.geometries[:_FEW]:
        is_place(area, areas.crs)  # kept for the thread that reads: it would have to begin with PROJ for it
    return found
