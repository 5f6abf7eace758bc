"""Computes expressions over chips that are already read, and masks chips by conditions or by other chips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.pixel_chunk import Pixels
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.expr.tree import Column, Node, columns
from rasteret_sql.raster.dilate import dilate
from rasteret_sql.reading.asked_band import Asked, AskedBand
from rasteret_sql.reading.band_names import BandNames
from rasteret_sql.reading.chip_column import Chip
from rasteret_sql.reading.chip_grid import require_one_grid

_CHIP = "the chip"


def over_bands(chip: Chip, asked: Sequence[Asked]) -> Chip:
    """Compute expressions over the bands of a chip: a band for each expression.

    Args:
        chip: The chip; the expressions name its bands.
        asked: Names, numbers from 1, indices or expressions, with the names that they have in the result.

    Returns:
        A chip of the dtype that holds all values, in which pixels of which an expression is NULL are not valid.
    """
    check_names(chip)
    names = BandNames(chip.bands, _CHIP)
    bands = {name: _pixels(chip, at) for at, name in enumerate(chip.bands)}
    found = [(_name(one), _computed(_node(names, one), bands)) for one in asked]
    return _chip(chip, found)


def over_chips(chips: Mapping[str, Chip], asked: Sequence[Asked]) -> Chip:
    """Compute expressions over chips on one grid.

    Args:
        chips: Name in the expressions → chip. Those of one band go with each band of the others.
        asked: Expressions; a single one, where a chip has several bands: it is computed for each of these.

    Raises:
        InvalidArgumentError: Grids or numbers of bands differ.
    """
    require_one_grid({f'"{name}"': chip for name, chip in chips.items()})
    wide = {name: chip for name, chip in chips.items() if len(chip.bands) != 1}
    counts = {len(chip.bands) for chip in wide.values()}
    if len(counts) > 1:
        each = ", ".join(f'"{name}" has {len(chip.bands)}' for name, chip in chips.items())
        raise InvalidArgumentError(
            f"the chips differ in how many bands they have: {each}; expected one number, or one band"
        )
    if counts and len(asked) > 1:
        raise InvalidArgumentError(
            f"{len(asked)} expressions over chips of {counts.pop()} bands; expected one, which is computed for each "
            "band, or chips of one band"
        )
    names = BandNames(list(chips), "the chips")
    found = []
    for one in asked:
        node = _node(names, one)
        for at, band in enumerate(next(iter(wide.values())).bands if wide else [_name(one)]):
            bands = {name: _pixels(chip, at if name in wide else 0) for name, chip in chips.items()}
            found.append((band, _computed(node, bands)))
    return _chip(next(iter(chips.values())), found)


def masked(chip: Chip, mask: Chip | str, pixels: int) -> Chip:
    """Make pixels of a chip not valid.

    Args:
        chip: The chip.
        mask: A condition over its bands, or words such as clouds: where it is true, no band is valid. Or a chip on the
            same grid, of one band or as many: where a band is valid and not 0.
        pixels: By which the mask grows.

    Returns:
        The chip; pixels that were valid have its nodata now, if it has one.
    """
    if isinstance(mask, Chip):
        dropped = _where_true(chip, mask)
    else:
        check_names(chip)
        recipe = BandNames(chip.bands, _CHIP).meant(AskedBand(chip.bands[0], mask=mask)).recipe
        assert recipe is not None and recipe.mask is not None  # noqa: PT018 - it was asked for
        bands = {name: _pixels(chip, chip.bands.index(name)) for name in columns(recipe.mask)}
        condition = Computation.of(recipe.mask, _dtypes(bands)).true(bands)
        dropped = np.broadcast_to(condition, chip.data.shape)
    if pixels:
        grown = [dilate(band, pixels) for band in (dropped if isinstance(mask, Chip) else dropped[:1])]
        dropped = np.broadcast_to(np.stack(grown), chip.data.shape)
    valid = np.ones(chip.data.shape, bool) if chip.valid is None else chip.valid
    data = chip.data
    if chip.nodata is not None and (dropped & valid).any():
        data = np.where(dropped & valid, data.dtype.type(chip.nodata), data)
    return replace(chip, data=data, valid=valid & ~dropped)


def _where_true(chip: Chip, mask: Chip) -> np.ndarray:
    """True where a band of the mask is valid and not 0, in the shape of the chip."""
    require_one_grid({_CHIP: chip, "the mask": mask})
    if len(mask.bands) not in (1, len(chip.bands)):
        raise InvalidArgumentError(
            f"the mask has {len(mask.bands)} bands and the chip {len(chip.bands)}; expected one band, or as many"
        )
    true = mask.data != 0
    if mask.data.dtype.kind == "f":
        true &= ~np.isnan(mask.data)
    return np.broadcast_to(true if mask.valid is None else true & mask.valid, chip.data.shape)


def check_names(chip: Chip) -> None:
    """Raise where two bands of a chip have one name, which tells no expression which is meant."""
    twice = sorted({name for name in chip.bands if chip.bands.count(name) > 1})
    if twice:
        raise InvalidArgumentError(
            f'the chip has several bands of the name "{twice[0]}"; name them when they are read: '
            "read_chip(id, {'a': ..., 'b': ...})"
        )


def _node(names: BandNames, asked: Asked) -> Node:
    meant = names.meant(asked)
    return Column(meant.bands[0]) if meant.recipe is None else meant.recipe.node


def _name(asked: Asked) -> str:
    text = str(asked)
    return " ".join(text.split())


def _pixels(chip: Chip, band: int) -> Pixels:
    return chip.data[band], None if chip.valid is None else chip.valid[band]


def _dtypes(bands: Mapping[str, Pixels]) -> dict[str, np.dtype]:
    return {name: pixels.dtype.newbyteorder("=") for name, (pixels, _) in bands.items()}


def _computed(node: Node, bands: Mapping[str, Pixels]) -> Pixels:
    used = {name: bands[name] for name in columns(node)}
    return Computation.of(node, _dtypes(used)).compute(used)


def _chip(like: Chip, bands: Sequence[tuple[str, Pixels]]) -> Chip:
    """A chip on the grid of another, of named bands; what is not valid has nodata, NaN for floats, else 0."""
    dtype = np.result_type(*(pixels.dtype for _, (pixels, _) in bands)).newbyteorder("=")
    nodata = float("nan") if dtype.kind == "f" else None
    data = np.empty((len(bands), *like.data.shape[1:]), dtype)
    valid = np.ones(data.shape, bool)
    for at, (_, (pixels, ok)) in enumerate(bands):
        data[at] = pixels
        if ok is not None:
            valid[at] = ok
    if dtype.kind == "f":
        valid &= ~np.isnan(data)
    data[~valid] = 0 if nodata is None else nodata
    return replace(like, data=data, valid=valid, bands=tuple(name for name, _ in bands), nodata=nodata)
