"""Puts together the bands of a scene that a call asks for, of what the index has of the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rasteret_sql.errors import RasteretError, UnknownBandError
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
    with_nodata: dict[tuple[str, float | None], BandSource] = {}

    def source(name: str, nodata: float | None) -> BandSource:
        # One object for a band: what is computed from several reads it once.
        if (name, nodata) not in with_nodata:
            with_nodata[name, nodata] = there[name] if nodata is None else _with_nodata(there[name], nodata)
        return with_nodata[name, nodata]

    return tuple(
        source(one.bands[0], one.nodata)
        if one.recipe is None
        else derive(one.recipe, {name: source(name, one.nodata) for name in one.bands})
        for one in asked
    )


def _with_nodata(source: BandSource, nodata: float) -> BandSource:
    """The band with another nodata, which alone tells which pixels are valid."""
    where = f', the dtype of band "{source.band}" of scene "{source.scene_id}"'
    value = held_nodata(nodata, source.header.dtype, where)
    header = replace(source.header, nodata=value, nodata_of_item=False, validity=Validity())
    return replace(source, header=header)
