"""Runs the functions on CHIPs that are already read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.pixel_request import band_request
from rasteret_sql.reading import chip_functions as chip_ops
from rasteret_sql.reading.asked_band import Asked, AskedBand
from rasteret_sql.session.session import Session


def _bands(column: pa.Array) -> list[chip_ops.Bands | None]:
    """The bands of chips: names and numbers, since a chip has no others."""
    asked = [None if text is None else band_request(text) for text in column.to_pylist()]
    return [None if bands is None else tuple(_plain(band) for band in bands) for bands in asked]


def _plain(band: Asked) -> str | int:
    if isinstance(band, AskedBand):
        raise InvalidArgumentError(
            f"band := {{'{band}': ...}} cannot be used on a chip; expected the name of a band, or its number from 1"
        )
    return band


def values(_session: Session, cancelled: Cancelled, chips: pa.StructArray, bands: pa.Array) -> pa.Array:
    """Pixels of one band of each chip."""
    return chip_ops.chip_values(chips, _bands(bands), cancelled)


def stats(_session: Session, cancelled: Cancelled, chips: pa.StructArray, bands: pa.Array) -> pa.Array:
    """Statistics of one band of each chip."""
    return chip_ops.chip_stats(chips, _bands(bands), cancelled)


def png(_session: Session, cancelled: Cancelled, chips: pa.StructArray, *columns: Any) -> pa.Array:
    """Each chip as a picture."""
    vmins, vmaxs, colormaps = (column.to_pylist() for column in columns)
    return chip_ops.chip_png(chips, vmins, vmaxs, colormaps, cancelled)


def geotiff(_session: Session, cancelled: Cancelled, chips: pa.StructArray) -> pa.Array:
    """Each chip as a file."""
    return chip_ops.chip_geotiff(chips, cancelled)
