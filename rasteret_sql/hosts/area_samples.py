"""Reads areas on the scenes of a collection, for the arrays of Python."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Progress
from rasteret_sql.errors import InvalidArgumentError, UnknownBandError
from rasteret_sql.functions.python_arguments import progress_listener
from rasteret_sql.geo.crs import LONLAT, reaches
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.reading.asked_band import Asked, ask
from rasteret_sql.reading.band_names import is_name
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.target_plan import ChipPlan
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.call_access import own_bands
from rasteret_sql.selection.common_grid import on_common_grid
from rasteret_sql.selection.conditions import near_areas
from rasteret_sql.selection.filters import filtered
from rasteret_sql.selection.pixels import Samples, read_samples
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session
from rasteret_sql.warning import warn

Bands = str | Sequence[str] | Mapping[str, str]
"""A band or an expression over bands, several of them, or names for these."""


def read_area_samples(
    session: Session,
    selection: Selection,
    known: Sequence[str],
    *,
    areas: Areas,
    bands: Bands,
    options: PixelOptions,
    reader: StorageBackend | None,
    data_source: str | None,
    progress: bool | Progress | None,
    filters: Mapping[str, Any],
    one_grid: bool,
    check: Callable[[Sequence[ChipPlan]], None] | None = None,
) -> tuple[Samples, pa.Table]:
    """Read areas; scenes that cannot be read are left out and told of, unless the options say 'raise'.

    Args:
        session: of the collection.
        selection: its scenes.
        known: its bands.
        areas: what is read.
        bands: what is read of each.
        options: as `read_chip` takes them.
        reader: who reads the files; None: who their dataset asks for.
        data_source: whose names of bands serve as well.
        progress: as `progress_listener` takes it.
        filters: of `subset`: which of the scenes.
        one_grid: True: all scenes on one grid, of what the options say.
        check: as `read_samples` takes it.

    Returns:
        Samples, at least one; id and datetime of the scenes near the areas.

    Raises:
        InvalidArgumentError: there is none, or a band is not known.
        RasteretError: why a scene cannot be read, if the options say so.
    """
    chosen = filtered(selection, filters)
    asked = _asked(session, selection.index, known, bands, data_source, options)
    scenes = _near(chosen, areas).batches(["id", "datetime"]).read_all()
    near = scenes["id"].to_pylist()
    told = dataclasses.replace(options, on_error="raise")  # scenes that fail are told of here
    with session.receipts.begin("get_numpy") as receipt:
        context = session.paying(receipt).reading(backend=reader, progress=progress_listener(progress))
        if one_grid:
            told = on_common_grid(context, near, asked, told, only_crs=check is None)
        samples = read_samples(context, near, areas, asked, told, check=check)
        if samples.failures and options.on_error == "raise":
            raise next(iter(samples.failures.values()))
    if samples.failures:
        scene, error = next(iter(samples.failures.items()))
        failed = f'{len(samples.failures)} of {len(near)} scenes could not be read, first "{scene}": {error}'
        if not samples.places:
            raise InvalidArgumentError(f"no valid data found: {failed}") from error
        warn(f"{failed}; they are left out")
    if not samples.places:
        raise InvalidArgumentError(
            f'no valid data found: no scene of "{selection.index.name}" meets the areas ({areas.describe()})'
        )
    return samples, scenes


def _asked(  # noqa: PLR0917 - of one call
    session: Session,
    index: CollectionIndex,
    own: Sequence[str],
    bands: Bands,
    data_source: str | None,
    options: PixelOptions,
) -> tuple[Asked, ...]:
    """The bands of a call; raises where one is none of the collection's, nor can be computed from these."""
    given = [bands] if isinstance(bands, str) else bands
    parts = list(given.values()) if isinstance(given, Mapping) else list(given)
    names = own_bands(list(own), parts, data_source)
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
    if not reaches(areas.crs, LONLAT):
        return chosen
    return chosen.where(near_areas(areas.lonlat()))
