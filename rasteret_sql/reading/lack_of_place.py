"""Says why the file of a band does not tell where its pixels lie."""

from __future__ import annotations

from rasteret_sql.index.read.band_source import BandSource


def lack_of_place(source: BandSource) -> str:
    """Words for a band whose header has no CRS or no transform."""
    header = source.header
    if header.gcps is not None:
        return "the file has ground control points, and neither it nor the item says their CRS"
    if header.rpcs and header.transform is None:
        return "the file is placed by RPCs (rational polynomial coefficients), which are not supported"
    return "the file has no georeference"


def remedy(source: BandSource) -> str:
    """Words for what helps, beside to do without a place; empty where that is all."""
    is_by_rpcs = source.header.rpcs and source.header.transform is None
    return "orthorectify it first, for example with gdalwarp -rpc, or " if is_by_rpcs else ""
