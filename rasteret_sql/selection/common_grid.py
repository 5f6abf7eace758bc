"""Chooses one grid for all scenes of a read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.crs import crs_or_code, same_crs
from rasteret_sql.geo.target_grid import resolution_in
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.reading.own_lattice import lattice_if_placed
from rasteret_sql.reading.target_grids import finest
from rasteret_sql.warning import warn


def on_common_grid(
    context: ReadContext, ids: Sequence[str], bands: Sequence[Asked], options: PixelOptions, *, only_crs: bool = False
) -> PixelOptions:
    """The options with a grid that does not depend on the scene.

    Its CRS is that of most scenes (of equally many the first's), unless the options say one. Its pixels are as large as
    those of the first such scene's finest band, and in line with these where they are in its CRS.

    Args:
        context: looks the scenes up.
        ids: scenes; those of which no band can be read have no say.
        bands: names.
        options: what is said of the grid.
        only_crs: True: scenes that are all in its CRS are read on their own grids, where nothing else is said.
    """
    sources = [finest(each) for each in map(_found(context, ids, bands, options).__getitem__, ids) if each]
    sources = [source for source in sources if source.header.crs and lattice_if_placed(source.header)]
    if not sources:
        return options
    crs = crs_or_code(options.crs) if options.crs is not None else _most_common(sources)
    said = options.resolution, options.shape, options.align
    if only_crs and not any(said) and all(same_crs(_crs(source), crs) for source in sources):
        return replace(options, crs=None)
    if options.shape is not None or isinstance(options.align, str):
        return replace(options, crs=crs)
    first = next((source for source in sources if same_crs(_crs(source), crs)), sources[0])
    transform = lattice_if_placed(first.header)
    assert transform is not None
    native = resolution_in(crs, _crs(first), transform)
    align = options.align
    if align is None and options.resolution in (None, native) and same_crs(_crs(first), crs):
        align = transform.c, transform.f
    return replace(options, crs=crs, resolution=options.resolution or native, align=align)


def _found(
    context: ReadContext, ids: Sequence[str], bands: Sequence[Asked], options: PixelOptions
) -> dict[str, list[BandSource]]:
    """Scene → the bands of it whose headers are there."""
    asked = [(scene, tuple(bands)) for scene in ids]
    found = context.look_up(asked, options.collection, context.backend)
    sources = {one[0]: [] if isinstance(each := found[one], RasteretError) else list(each) for one in asked}
    lacking = [(scene, (band,)) for scene, some in sources.items() if not some and len(bands) > 1 for band in bands]
    if lacking:
        found = context.look_up(lacking, options.collection, context.backend)
        for one in lacking:
            if not isinstance(each := found[one], RasteretError):
                sources[one[0]] += each
    return sources


def _crs(source: BandSource) -> str:
    crs = source.header.map_crs
    assert crs is not None
    return crs


def _most_common(sources: Sequence[BandSource]) -> str:
    """The CRS of most scenes; tells which where they are in several."""
    counts = Counter(map(_crs, sources))
    crs, _ = counts.most_common(1)[0]
    if len(counts) > 1:
        told = ", ".join(f"{count} in {name}" for name, count in counts.most_common())
        warn(f"scenes are in several CRS ({told}); all are put into {crs}. Choose with target_crs=")
    return crs
