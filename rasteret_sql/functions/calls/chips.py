"""Runs the functions on CHIPs that are already read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions.calls.pixel_request import band_request
from rasteret_sql.reading import chip_functions as chip_ops
from rasteret_sql.session.session import Session


def _bands(column: pa.Array) -> list[chip_ops.Bands | None]:
    return [None if text is None else band_request(text) for text in column.to_pylist()]


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
