"""Finds the target grid of rows that ask for one, and places their geometries on it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import shapely

from rasteret_sql.errors import InvalidArgumentError, InvalidCrsError, RasteretError
from rasteret_sql.geo.crs import crs_or_code, lonlat_of, no_place, require_way, same_crs
from rasteret_sql.geo.grid import Affine, Grid
from rasteret_sql.geo.placement import is_place
from rasteret_sql.geo.target_grid import TargetGrid, lattice_through, resolution_in
from rasteret_sql.geo.wanted_grid import WantedGrid
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.lack_of_place import lack_of_place, remedy
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.own_lattice import own_lattice
from rasteret_sql.reading.request import RowRead

_MOST_PIXELS = 1 << 32
"""Pixels of a target that are made of however few of the source; they take minutes."""
_FINEST = 1000
"""Pixels of a larger target across one of the source: more is a mistake in the resolution, as degrees where metres are
meant. Statistics are computed in blocks, so that no limit of memory would tell it."""

_COARSEST = 5
"""Degrees of pixels that may be larger than the image: cells of climate models are."""


def place_on_targets(reads: list[RowRead], places: Sequence[int], crs: Sequence[str], context: ReadContext) -> set[int]:
    """Give each read its target, and its geometry in the CRS of that.

    Args:
        reads: changed in place.
        places: those that ask for a target; their geometries are as the call gave them.
        crs: of the geometry of each of them.
        context: looks up scenes that targets are aligned with.

    Returns:
        Places of reads that give NULL.

    Raises:
        RasteretError: one has no target, unless its `on_error` is 'null'.
    """
    lost: set[int] = set()
    known: dict[tuple[PixelOptions, int], WantedGrid | RasteretError] = {}
    groups: dict[tuple[str, WantedGrid], list[int]] = defaultdict(list)
    for at, given in zip(places, crs, strict=True):
        read = reads[at]
        key = read.options, id(finest(read.sources).header)
        if key not in known:
            try:
                known[key] = wanted_grid(read, context)
            except RasteretError as error:
                known[key] = error
        wanted = known[key]
        if isinstance(wanted, RasteretError):
            _lose(lost, at, read, wanted)
            continue
        native = finest(read.sources).header.crs
        groups[native if read.geometry is Whole.IMAGE and native else given, wanted].append(at)
    for (given, wanted), group in groups.items():
        for at, placed in zip(group, _placed([reads[at] for at in group], given, wanted), strict=True):
            if isinstance(placed, RasteretError):
                _lose(lost, at, reads[at], placed)
            else:
                reads[at] = placed
    return lost


def finest(sources: Sequence[BandSource]) -> BandSource:
    """The band with the smallest pixels, the first of these."""
    return min(sources, key=_pixel_area)


def _pixel_area(source: BandSource) -> float:
    transform = source.header.transform
    return math.inf if transform is None else abs(transform.determinant)


def _lose(lost: set[int], at: int, read: RowRead, error: RasteretError) -> None:
    if not read.tolerates(error):
        raise error
    lost.add(at)


def wanted_grid(read: RowRead, context: ReadContext) -> WantedGrid:
    """The target of a row but for the area.

    Raises:
        RasteretError: it has none.
    """
    options, source = read.options, finest(read.sources)
    # Where no grid is asked for, an overview is one of its own.
    transform, native = _own(read, source, 0 if options.has_target else options.level)
    asked = None if options.crs is None else crs_or_code(options.crs)
    if isinstance(options.align, str):
        aligned = _aligned(options.align, read, context)
        of_scene, scene_crs = _own(read, aligned, 0)
        if asked is not None and not same_crs(asked, scene_crs):
            raise InvalidArgumentError(
                f"{read.describe()}: scene {options.align!r} of align := is in {scene_crs}, not in crs := {asked}; "
                "leave crs out, or align with [x, y]"
            )
        if options.resolution is None:
            return WantedGrid(scene_crs, of_scene, None)
        _require_degrees(options.resolution, scene_crs, native, transform, read)
        return WantedGrid(scene_crs, lattice_through(options.resolution, (of_scene.c, of_scene.f)), None)
    crs = asked or native
    if not same_crs(native, crs):
        require_way(native, crs)
    if options.shape is not None:
        return WantedGrid(crs, None, options.shape)
    if options.resolution is None and options.align is None and same_crs(crs, native):
        return WantedGrid(native, transform, None)
    if options.resolution is not None:
        _require_degrees(options.resolution, crs, native, transform, read)
    resolution = options.resolution or resolution_in(crs, native, transform)
    return WantedGrid(crs, lattice_through(resolution, options.align or (0.0, 0.0)), None)


def _require_degrees(asked: tuple[float, float], crs: str, native: str, transform: Affine, read: RowRead) -> None:
    """Raise if a resolution on a grid of longitudes is larger than the image: metres where degrees are meant.

    Such a pixel has its centre beside what is read, so that nothing tells the mistake but a count of 0.

    Raises:
        InvalidArgumentError: it is.
    """
    if lonlat_of(crs) is None or min(asked) <= _COARSEST:
        return
    header, own = finest(read.sources).header, resolution_in(crs, native, transform)
    extent = max(header.width, header.height) * max(own)
    if min(asked) <= extent:
        return
    raise InvalidArgumentError(
        f"{read.describe()}: resolution := {asked[0]:g} is in units of {crs}, degrees, and the whole image is "
        f"{extent:.3g} across. Its pixels are {own[0]:.3g} by {own[1]:.3g}: use resolution := {own[0]:.3g}, "
        "or a crs := in metres"
    )


def _own(read: RowRead, source: BandSource, level: int) -> tuple[Affine, str]:
    """The lattice on which a level of a band is shown, and its CRS.

    Raises:
        InvalidCrsError: the band has no place.
    """
    try:
        lattice, crs = own_lattice(source.header, level), source.header.map_crs
    except InvalidCrsError as error:
        raise InvalidCrsError(f"{read.describe()}: {error}") from error
    if lattice is None or crs is None:
        raise InvalidCrsError(
            f"{read.describe()}: {lack_of_place(source)}, so its pixels have no place on another grid; "
            f"{remedy(source)}leave crs, resolution, shape and align out"
        )
    return lattice, crs


def _aligned(scene: str, read: RowRead, context: ReadContext) -> BandSource:
    """The band of a scene whose pixels those of the target are to be in line with."""
    # Those of the files: bands that are computed may have any name.
    asked = scene, tuple(name for source in read.sources for name in _stored(source))
    found = context.look_up([asked], read.options.collection, context.backend)[asked]
    if isinstance(found, RasteretError):
        raise InvalidArgumentError(f"align := {scene!r} names no scene to align with: {found}") from found
    source = finest(found)
    if source.header.transform is None or source.header.crs is None:
        raise InvalidArgumentError(f"align := {scene!r} names a scene whose file has no georeference")
    return source


def _stored(source: BandSource) -> tuple[str, ...]:
    """Names of the bands that give a band its pixels."""
    return tuple(source.computation().bands) if isinstance(source, DerivedBand) else (source.band,)


def _placed(reads: Sequence[RowRead], given: str, wanted: WantedGrid) -> list[RowRead | RasteretError]:
    """Reads with their target and their geometry on it, or why one has none."""
    assert wanted.crs is not None  # of a file that has a place
    shapes = [_outline(read, given, wanted.crs) if read.geometry is Whole.IMAGE else read.geometry for read in reads]
    distinct = {id(shape): shape for shape in shapes}  # many scenes may have one in common
    moved = dict(zip(distinct, wanted.moved([*distinct.values()], given), strict=True))
    targets: dict[int, TargetGrid] = {}
    found: list[RowRead | RasteretError] = []
    for read, shape in zip(reads, shapes, strict=True):
        geometry, target = moved[id(shape)], targets.get(id(shape))
        if isinstance(geometry, InvalidArgumentError):
            found.append(InvalidArgumentError(f"{read.describe()}: {geometry}"))
            continue
        is_image = read.geometry is Whole.IMAGE and same_crs(given, wanted.crs)
        if geometry is None or geometry.is_empty or not (is_image or target or is_place(shape, given)):
            found.append(InvalidCrsError(f"{read.describe()}: {no_place(shape, given, wanted.crs)}"))
            continue
        if target is None:
            try:
                target = wanted.target(geometry)
                _require_coarser(target, read)
            except InvalidArgumentError as error:
                found.append(InvalidArgumentError(f"{read.describe()}: {error}"))
                continue
        targets[id(shape)] = target
        found.append(read.on_target(read.geometry if read.geometry is Whole.IMAGE else geometry, target))
    return found


def _require_coarser(target: TargetGrid, read: RowRead) -> None:
    """Raise if a large target has far smaller pixels than the source.

    Raises:
        InvalidArgumentError: it has.
    """
    size = target.window.width * target.window.height
    header = finest(read.sources).header
    if size <= _MOST_PIXELS or header.transform is None or header.crs is None or target.crs is None:
        return
    asked = math.sqrt(abs(target.lattice.determinant))
    own = resolution_in(target.crs, header.crs, header.transform)
    if math.sqrt(own[0] * own[1]) > _FINEST * asked:
        raise InvalidArgumentError(
            f"the grid has {size:,} pixels of {asked:g} in {target.crs} over this area, where those of the file "
            f"have {math.sqrt(own[0] * own[1]):.3g}; resolution := is in units of its CRS (degrees in EPSG:4326). "
            "Nothing was fetched. Use a coarser resolution :=, or a smaller geometry"
        )


def _outline(read: RowRead, native: str, crs: str) -> shapely.Geometry:
    """The image of a read that wants all of it, in its CRS; in another one there is nothing beyond the poles."""
    header = finest(read.sources).header
    assert header.transform is not None
    outline = Grid(header.transform, header.width, header.height).outline()
    lonlat = lonlat_of(native)
    if lonlat is None or same_crs(native, crs):
        return outline
    # Pixels of models have their centres on the poles.
    west, _, east, _ = outline.bounds
    return shapely.intersection(outline, shapely.box(west, -lonlat.turn / 4, east, lonlat.turn / 4))
