"""Puts together the bands of a scene that a call asks for, of what the index has of the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rasteret_sql.errors import InvalidArgumentError, RasteretError, UnknownBandError
from rasteret_sql.index.read.band_source import BandSource, UnreadableBand
from rasteret_sql.reading.band_names import MeantBand
from rasteret_sql.reading.derived_band import derive
from rasteret_sql.tiff.header import Validity
from rasteret_sql.tiff.nodata import held_nodata


def sources_of(
    scene_id: str,
    asked: Sequence[MeantBand],
    found: Mapping[str, BandSource | UnreadableBand | RasteretError | None],
    where: str,
) -> tuple[BandSource, ...]:
    """The bands that a call asks for, as they can be read.

    Args:
        scene_id: of the scene.
        asked: the bands.
        found: name → what the index has of each band that they are read from.
        where: the collection, for messages.

    Raises:
        RasteretError: a band is not there, cannot be read, or does not go with others.
    """
    there: dict[str, BandSource] = {}
    for name, part in found.items():
        if isinstance(part, RasteretError):
            raise part
        if isinstance(part, UnreadableBand):
            raise UnknownBandError(
                f'band "{part.band}" of scene "{part.scene_id}" in {where} could not be indexed: {part.reason}; filter '
                "such scenes with WHERE status = 'ok', or build again with force := true once the file can be read"
            )
        if part is None:
            raise UnknownBandError(f'scene "{scene_id}" of {where} has no band "{name}"; other scenes of it do')
        there[name] = part
    made: dict[tuple[str, float | None, str | None], BandSource] = {}

    def source(name: str, one: MeantBand) -> BandSource:
        # One object for a band: what is computed from several reads it once.
        key = name, one.nodata, one.gcp
        if key not in made:
            placed = _placed(there[name], one.gcp)
            made[key] = placed if one.nodata is None else _with_nodata(placed, one.nodata)
        return made[key]

    return tuple(
        source(one.bands[0], one)
        if one.recipe is None
        else derive(one.recipe, {name: source(name, one) for name in one.bands})
        for one in asked
    )


def _placed(source: BandSource, method: str | None) -> BandSource:
    """The band on the plane of its pixels, where ground control points place these.

    Raises:
        InvalidArgumentError: a method is asked for, and the file has none.
    """
    header = source.header
    if method is not None and header.gcps is None:
        lies = "has a transform" if header.transform is not None else "has RPCs" if header.rpcs else "has no place"
        raise InvalidArgumentError(
            f'gcp := {method!r} cannot be used: the file of scene "{source.scene_id}", band {source.band} {lies} and '
            "no ground control points; leave gcp out"
        )
    placed = header.by_points(method)
    return source if placed is header else replace(source, header=placed)


def _with_nodata(source: BandSource, nodata: float) -> BandSource:
    """The band with another nodata, which alone tells which pixels are valid."""
    where = f', the dtype of band "{source.band}" of scene "{source.scene_id}"'
    value = held_nodata(nodata, source.header.dtype, where)
    header = replace(source.header, nodata=value, nodata_of_item=False, validity=Validity())
    return replace(source, header=header)
