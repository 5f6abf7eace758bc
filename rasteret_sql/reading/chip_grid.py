"""Finds which pixels of one chip lie under which of another, by their grids."""

from __future__ import annotations

from collections.abc import Mapping

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import same_crs
from rasteret_sql.geo.grid import Affine
from rasteret_sql.reading.chip_column import Chip

_ALIKE = 1e-3
"""Part of a pixel by which grids may lie apart and be one: rounding in the transforms of files."""
_REMEDY = (
    "read them on one grid: read_chip(..., crs := , resolution := , align := ), or put one on the other's: "
    "chip_resample(chip, onto := other)"
)


def require_one_grid(chips: Mapping[str, Chip]) -> None:
    """Raise unless all chips have the same pixels.

    Args:
        chips: Name for messages → the chip.

    Raises:
        InvalidArgumentError: Two differ in size, CRS or place.
    """
    names = list(chips)
    for name in names[1:]:
        first, other = chips[names[0]], chips[name]
        offset = pixel_offset(first, other)
        if first.data.shape[1:] != other.data.shape[1:] or offset != (0, 0):
            raise InvalidArgumentError(
                f"the chips lie on different grids: {names[0]} is {describe_grid(first)}, {name} is "
                f"{describe_grid(other)}; {_REMEDY}"
            )


def pixel_offset(first: Chip, other: Chip) -> tuple[int, int] | None:
    """Column and row of the first chip at which the other begins; None where their pixels do not lie on one grid.

    Chips of which none has a place begin at the same pixel.
    """
    if (first.crs or other.crs) and not (first.crs and other.crs and same_crs(first.crs, other.crs)):
        return None
    if first.transform is None or other.transform is None:
        return (0, 0) if first.transform is None and other.transform is None else None
    to_first = first.transform.inverse()
    col, row = to_first.apply(other.transform.c, other.transform.f)
    height, width = other.data.shape[1:]
    # The opposite corner tells whether pixels are of one size.
    end = to_first.apply(*other.transform.apply(width, height))
    at = round(col), round(row)
    apart = (col - at[0], row - at[1], end[0] - at[0] - width, end[1] - at[1] - height)
    if max(map(abs, apart)) > _ALIKE or not _same_axes(first.transform, other.transform):
        return None
    return at


def _same_axes(one: Affine, other: Affine) -> bool:
    """True where pixels have the same sides: those of a mirrored or turned grid may have the same corners."""
    size = max(map(abs, (one.a, one.b, one.d, one.e)))
    sides = zip((one.a, one.b, one.d, one.e), (other.a, other.b, other.d, other.e), strict=True)
    return all(abs(left - right) <= _ALIKE * size for left, right in sides)


def describe_grid(chip: Chip) -> str:
    """Size, place and CRS, for messages."""
    _, height, width = chip.data.shape
    if chip.transform is None:
        return f"{height} × {width} pixels without a place"
    a, b, c, d, e, f = chip.transform
    turned = "" if b == d == 0 else " (turned)"
    return (
        f"{height} × {width} pixels of {a:g} × {abs(e):g}{turned} from ({c:.10g}, {f:.10g}) in {chip.crs or 'no CRS'}"
    )
