"""Draws chips as PNG pictures, one by one or many on a sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rasteret_sql.errors import InvalidArgumentError, UnknownBandError
from rasteret_sql.raster.contact_sheet import contact_sheet
from rasteret_sql.raster.render import Image, encode, picture, render_png, resize, valid_values
from rasteret_sql.raster.stretch import DEFAULT_STRETCH, Stretch
from rasteret_sql.reading.chip_column import Chip
from rasteret_sql.reading.options import require
from rasteret_sql.reading.resolve import one_of_bands

_LARGEST = 16_384
"""Pixels of a side of a picture."""
_CELL = 128
"""Pixels to which small chips are enlarged on a sheet."""
_SHEET = 1 << 28
"""Pixels of a sheet, at most."""


@dataclass(frozen=True, slots=True)
class PictureStyle:
    """The named arguments of a picture."""

    colormap: str | None = None
    """Of one band; None: grey."""
    stretch: Stretch = DEFAULT_STRETCH
    bands: tuple[str | int, ...] = ()
    """Names or numbers from 1, one or three; empty: the first three, or the first of fewer."""
    size: int | None = None
    """Pixels of the longer side."""

    def __post_init__(self) -> None:
        require(
            self.size is None or 1 <= self.size <= _LARGEST,
            "size",
            self.size,
            f"pixels of the longer side, 1 to {_LARGEST}",
        )
        require(len(self.bands) in (0, 1, 3), "bands", list(self.bands), "one band, or three as red, green and blue")

    def of(self, chip: Chip) -> tuple[np.ndarray, np.ndarray | None]:
        """The pixels that are shown, and which are valid."""
        try:
            names = [one_of_bands(band, chip.bands, "the chip") for band in self.bands]
        except UnknownBandError as error:
            raise UnknownBandError(f"{error}; read the band into the chip first") from None
        at = [chip.bands.index(name) for name in names] or list(range(3 if len(chip.bands) >= 3 else 1))
        return chip.data[at], None if chip.valid is None else chip.valid[at]


def png_of(chip: Chip, style: PictureStyle) -> bytes:
    """The PNG of a chip."""
    data, valid = style.of(chip)
    return render_png(data, valid, stretch=style.stretch, colormap=style.colormap, size=style.size)


def sheet_of(
    chips: Sequence[Chip | None], style: PictureStyle, labels: Sequence[str | None] | None, columns: int | None
) -> bytes:
    """The PNG of many chips, all stretched alike.

    Args:
        chips: At least one; None leaves a cell empty.
        style: Of all; its size is that of the largest chip.
        labels: Text under each.
        columns: Pictures in a row; None: about as many as rows.
    """
    require(columns is None or columns >= 1, "columns", columns, "a number of pictures in a row, 1 or more")
    there = [None if chip is None else style.of(chip) for chip in chips]
    shown = [one for one in there if one is not None]
    if len({len(data) for data, _ in shown}) > 1:
        raise InvalidArgumentError(
            "some chips of the sheet are shown by one band and others by three; say which with bands := "
        )
    limits = style.stretch.of_bands(valid_values(shown))
    longest = max(max(data.shape[1:]) for data, _ in shown)
    factor = max(1, _CELL // longest) if style.size is None else style.size / longest
    columns = columns or math.ceil(math.sqrt(len(chips)))
    if len(chips) * (factor * longest) ** 2 > _SHEET:
        raise InvalidArgumentError(
            f"a sheet of {len(chips)} pictures of up to {round(factor * longest)} pixels a side is too large; expected "
            f"{_SHEET:,} pixels at most: say size := , such as 128, or take fewer chips"
        )

    def one(data: np.ndarray, valid: np.ndarray | None) -> Image:
        image = picture(data, valid, limits, style.colormap)
        return resize(image, factor, averages=not style.stretch.is_of_levels)

    cells = [None if part is None else one(*part) for part in there]
    return encode(contact_sheet(cells, columns, labels=labels))
