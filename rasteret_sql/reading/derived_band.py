"""`DerivedBand`: computes a band from others: an expression, a masked band, a band in units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.expr.tree import Call, Column, Literal, Node, columns, renamed
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.products import units
from rasteret_sql.tiff.header import BandHeader, Level, Validity

_SAME_PIXEL = 1e-6
"""Part of its size by which the pixels of two grids may differ and be of one size."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A band as a computation over bands of its scene, by their names."""

    name: str
    """Of the band in results."""
    node: Node
    """Its columns are names of bands."""
    mask: Node | None = None
    """Where it is true, pixels are not valid; None: no mask."""
    dilate: int = 0
    """Pixels of the band's grid by which the mask grows."""
    scaled: bool = False
    """True: of values in units; the mask is of stored values."""
    product: str = ""
    """Whose scales hold where neither item nor file says any."""
    fill: float | None = None
    """Value of pixels that are not valid or masked, which are valid then; None: they stay so."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of all bands, each once, those of the mask last."""
        return tuple(dict.fromkeys((*columns(self.node), *(() if self.mask is None else columns(self.mask)))))


@dataclass(frozen=True, slots=True, eq=False)
class DerivedBand(BandSource):
    """A band whose pixels are computed from those of others. Its header has their finest grid, and no tiles."""

    inputs: tuple[BandSource, ...] = ()
    """The bands that are read, each once."""
    values: Computation | None = None
    """Gives the pixels; of the names of inputs."""
    mask: Computation | None = None
    """True where pixels are not valid; None: no mask."""
    dilate: int = 0
    """Pixels by which the mask grows."""
    units: tuple[str, ...] = ()
    """How each input is brought into its units, as text, where it is."""
    fill: float | None = None
    """Value of masked pixels, which are valid then; `values` gives it to the other ones that are not valid."""

    @property
    def files(self) -> tuple[BandSource, ...]:
        return self.inputs

    def computation(self) -> Computation:
        """Gives the pixels."""
        assert self.values is not None
        return self.values

    def input(self, name: str) -> BandSource:
        """The input of that name."""
        return next(one for one in self.inputs if one.band == name)


@dataclass(frozen=True, slots=True, eq=False)
class _TheNode:
    """A node that equals itself alone: 1 and 1.0 are equal, and make computations that are not."""

    node: Node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TheNode) and other.node is self.node

    def __hash__(self) -> int:
        return id(self.node)


@lru_cache(maxsize=64)
def _prepared(the: _TheNode, dtypes: tuple[tuple[str, np.dtype], ...]) -> Computation:
    """The computation of a node; once for all scenes of a call, whose bands have the same dtypes."""
    return Computation.of(the.node, dict(dtypes))


def derive(recipe: Recipe, sources: Mapping[str, BandSource]) -> DerivedBand:
    """Make a band of others.

    Args:
        recipe: How.
        sources: Name → the band, of all that the recipe names.

    Raises:
        InvalidArgumentError: The bands lie in different CRSs, or their dtypes are none that the expression takes.
    """
    inputs = tuple(sources[name] for name in recipe.bands)
    dtypes = {one.band: one.header.dtype for one in inputs}
    node = recipe.node
    scaled = {name: in_units(sources[name], recipe.product) for name in columns(node)} if recipe.scaled else {}
    if scaled:
        node = renamed(node, {name: value for name, (value, _) in scaled.items()})
    try:
        values = _prepared(_TheNode(node), tuple(dtypes.items()))
    except InvalidArgumentError as error:
        raise error.retold(f"{error}, in '{recipe.name}'") from None
    if recipe.fill is not None:
        values = Computation.of(_filled(node, recipe.fill, values.dtype), dtypes)
    mask = None if recipe.mask is None else _prepared(_TheNode(recipe.mask), tuple(dtypes.items()))
    own = [sources[name] for name in columns(recipe.node)]
    finest = _finest(own)
    _check_one_crs(recipe.name, finest, inputs)
    header = _header(finest, values, own)
    return DerivedBand(
        finest.scene_id,
        recipe.name,
        finest.address,
        header,
        finest.facts,
        finest.band_index,
        finest.backend,
        inputs=inputs,
        values=values,
        mask=mask,
        dilate=recipe.dilate,
        units=tuple(text for _, text in scaled.values()),
        fill=recipe.fill,
    )


def _filled(node: Node, fill: float, dtype: np.dtype) -> Node:
    """The value, and `fill` where it is NULL; of 64 bits where the values or `fill` need them."""
    filled = Call("coalesce", (node, Literal(int(fill) if fill == int(fill) else fill)))
    is_wide = dtype == np.float64 or (dtype.kind == "f" and abs(fill) > float(np.finfo(np.float32).max))
    return Call("cast DOUBLE", (filled,)) if is_wide else filled


def in_units(source: BandSource, product: str) -> tuple[Node, str]:
    """The value in units of a band's pixels, and its text: as its item says, else its file, else its product."""
    header = source.header
    column = Column(source.band)
    item = header.item
    scale, offset = header.scale, header.offset
    if item is not None and (item.scale is not None or item.offset is not None):
        scale, offset = 1.0 if item.scale is None else item.scale, item.offset or 0.0
    elif (scale, offset) == (1, 0):
        return units.in_units(product, source.band) or (column, f"{source.band}: as stored")
    if (scale, offset) == (1, 0):
        return column, f"{source.band}: as stored"
    text = f"{source.band}: v * {scale:g}"
    scaled = Call("*", (column, Literal(scale)))
    if not offset:
        return scaled, text
    return Call("+", (scaled, Literal(offset))), f"{text} {'-' if offset < 0 else '+'} {abs(offset):g}"


def _finest(sources: Sequence[BandSource]) -> BandSource:
    """The band with the smallest pixels; the first of several."""

    def size(source: BandSource) -> float:
        transform = source.header.transform
        return 1 / source.header.width if transform is None else abs(transform.determinant) ** 0.5

    smallest = min(map(size, sources))
    return next(source for source in sources if size(source) <= smallest * (1 + _SAME_PIXEL))


def _check_one_crs(name: str, finest: BandSource, inputs: Sequence[BandSource]) -> None:
    for one in inputs:
        header, own = one.header, finest.header
        if header.crs != own.crs:
            raise InvalidArgumentError(
                f'scene "{one.scene_id}": {name} needs bands of one CRS; {finest.band} is in {own.crs or "no CRS"}, '
                f"{one.band} in {header.crs or 'no CRS'}"
            )
        lost = header.transform is None or own.transform is None
        if lost and (header.width, header.height) != (own.width, own.height):
            raise InvalidArgumentError(
                f'scene "{one.scene_id}": {name} needs {finest.band} and {one.band}, which differ in size '
                f"({own.width} × {own.height} and {header.width} × {header.height}) and do not both say where they lie"
            )


def _header(finest: BandSource, values: Computation, own: Sequence[BandSource]) -> BandHeader:
    """The header that the band would have in a file: the grid and overviews of the finest one."""
    header = finest.header
    if len(own) == 1 and values.is_band:
        # A masked band keeps its dtype and nodata; what tells its validity is read with the inputs.
        return replace(header, validity=Validity())
    levels = tuple(_level(level, values.dtype) for level in header.levels)
    nodata = float("nan") if values.dtype.kind == "f" else None
    return BandHeader(
        levels=levels,
        sample=0,
        validity=Validity(),
        transform=header.transform,
        crs=header.crs,
        nodata=nodata,
        scale=1.0,
        offset=0.0,
        description=None,
    )


def _level(level: Level, dtype: np.dtype) -> Level:
    return replace(level, dtype=dtype, bits=dtype.itemsize * 8, samples=1, planar=1)


def files_of(sources: Sequence[BandSource]) -> list[BandSource]:
    """The bands that are read for some: their own, or the inputs of those that are computed."""
    return [one for source in sources for one in source.files]
