"""Runs the functions on CHIPs that are already read."""

from __future__ import annotations

import json
import re
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.pixel_request import band_request
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.kinds import CRS
from rasteret_sql.quoting import quote_value
from rasteret_sql.raster.stretch import Stretch
from rasteret_sql.reading import chip_functions as chip_ops
from rasteret_sql.reading.asked_band import Asked, AskedBand
from rasteret_sql.reading.chip_column import Chip, chips_of
from rasteret_sql.reading.chip_files import CogOptions
from rasteret_sql.reading.chip_mosaic import MosaicMethod
from rasteret_sql.reading.chip_pictures import PictureStyle
from rasteret_sql.reading.options import PixelOptions, require
from rasteret_sql.session.session import Session

_CHIP_KIND = re.compile(r'STRUCT\("?data"? BLOB')
"""The beginning of the SQL type of a CHIP."""


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


def hist(_session: Session, cancelled: Cancelled, chips: pa.StructArray, bands: pa.Array) -> pa.StructArray:
    """Pixels of each value of one band of each chip, as STRUCT(value)."""
    found = chip_ops.chip_hist(chips, _bands(bands), cancelled)
    return pa.StructArray.from_arrays([found], names=["value"])


def math(_session: Session, cancelled: Cancelled, expressions: pa.Array, chips: pa.StructArray) -> pa.Array:
    """Expressions over the bands of each chip, or over chips by their names."""
    asked = [None if text is None else band_request(text) for text in expressions.to_pylist()]
    return chip_ops.chip_math(_chips(chips), asked, cancelled)


def _chips(column: pa.StructArray) -> list[Chip | dict[str, Chip] | None]:
    """The chip of each row, or its chips by name; None where there is none, or one of them is NULL.

    Raises:
        InvalidArgumentError: something else was given.
    """
    kinds, ones, named, _ = (column.field(at) for at in range(4))
    single, several = chips_of(ones), chips_of(named.items)
    found: list[Chip | dict[str, Chip] | None] = []
    for row, kind in enumerate(kinds.to_pylist()):
        if single[row] is not None or not named[row].is_valid:
            found.append(single[row])
            _check_kind(kind, 1)
            continue
        begin, end = named.offsets[row].as_py(), named.offsets[row + 1].as_py()
        names = named.keys[begin:end].to_pylist()
        _check_kind(kind, 1 if kind.startswith("MAP") else len(names))
        chips = dict(zip(names, several[begin:end], strict=True))
        there = {name: chip for name, chip in chips.items() if chip is not None}
        found.append(there if there and len(there) == len(chips) else None)
    return found


def _check_kind(kind: str, least: int) -> None:
    """Raise where the SQL type of an argument is not made of so many CHIPs, or NULL in their place."""
    if _CHIP_KIND.search(kind) and kind.endswith("[]"):
        raise InvalidArgumentError(
            "chips := is a list of CHIPs; expected one CHIP, or a STRUCT that names several: {'before': a, 'after': b}"
        )
    if len(_CHIP_KIND.findall(kind)) + kind.count('"NULL"') < least:
        shown = kind if len(kind) <= 80 else kind[:77] + "..."
        raise InvalidArgumentError(
            f"expected a CHIP, such as read_chip gives it, or a STRUCT of CHIPs; got a value of type {shown}"
        )


def mask(
    _session: Session, cancelled: Cancelled, chips: pa.StructArray, masks: pa.StructArray, named: pa.Array
) -> pa.Array:
    """Each chip without what its mask drops."""
    texts = masks.field("text").to_pylist()
    kinds, ones = masks.field("kind").to_pylist(), chips_of(masks.field("one"))
    for kind, text in zip(kinds, texts, strict=True):
        if text is None and kind != "VARCHAR":
            _check_kind(kind, 1)
    given = [one if text is None else text for one, text in zip(ones, texts, strict=True)]
    grown = [named_arguments("chip_mask", text).get("dilate", 0) for text in named.to_pylist()]
    for pixels in grown:
        require(0 <= pixels <= 256, "dilate", pixels, "0 to 256 pixels")
    return chip_ops.chip_mask(chips, given, grown, cancelled)


def resample(
    session: Session, cancelled: Cancelled, chips: pa.StructArray, likes: pa.StructArray, named: pa.Array
) -> pa.Array:
    """Each chip on another grid."""
    read = {text: _grid_options(named_arguments("chip_resample", text)) for text in named.unique().to_pylist()}
    options = [read[text] for text in named.to_pylist()]
    given = chips_of(likes)
    for like, option in zip(given, options, strict=True):
        for name in ("resolution", "shape", "align"):
            value = getattr(option, name)
            require(like is None or value is None, name, value, "no value with onto :=, which has all of it")
    return chip_ops.chip_resample(chips, given, options, session.settings.max_call_bytes, cancelled)


def reproject(
    session: Session, cancelled: Cancelled, chips: pa.StructArray, crs: pa.Array, named: pa.Array
) -> pa.Array:
    """Each chip in another CRS; NULL where that is NULL."""
    read = [None if text in (None, "null") else _crs(text) for text in crs.to_pylist()]
    options = [
        _grid_options(named_arguments("chip_reproject", text), one)
        for text, one in zip(named.to_pylist(), read, strict=True)
    ]
    there = pa.array([one is not None for one in read])
    column = pa.compute.if_else(there, chips, pa.scalar(None, chips.type))
    nobody = [None] * len(options)
    return chip_ops.chip_resample(column, nobody, options, session.settings.max_call_bytes, cancelled)


def _crs(text: str) -> str:
    try:
        return str(CRS.read(json.loads(text)))
    except ValueError:
        raise InvalidArgumentError(f"crs := {text} cannot be used; expected {CRS.expected}") from None


def _grid_options(given: dict[str, Any], crs: str | None = None) -> PixelOptions:
    return PixelOptions(crs=crs, **given)


def mosaic(session: Session, cancelled: Cancelled, chips: pa.ListArray, named: pa.Array) -> pa.Array:
    """The chips of each list as one."""
    methods = [MosaicMethod(**named_arguments("chip_mosaic", text)) for text in named.to_pylist()]
    return chip_ops.chip_mosaic(chips, methods, session.settings.max_call_bytes, cancelled)


def png(_session: Session, cancelled: Cancelled, chips: pa.StructArray, named: pa.Array) -> pa.Array:
    """Each chip as a picture."""
    styles = {text: _style(named_arguments("chip_png", text)) for text in named.unique().to_pylist()}
    return chip_ops.chip_png(chips, [styles[text] for text in named.to_pylist()], cancelled)


def sheet(_session: Session, cancelled: Cancelled, chips: pa.ListArray, labels: pa.Array, named: pa.Array) -> pa.Array:
    """Chips of each list on a sheet."""
    given = [named_arguments("chip_sheet", text) for text in named.to_pylist()]
    columns = [one.pop("columns", None) for one in given]
    return chip_ops.chip_sheet(chips, labels.to_pylist(), [_style(one) for one in given], columns, cancelled)


def _style(given: dict[str, Any]) -> PictureStyle:
    """The style that named arguments describe."""
    stretch = Stretch.of(given.get("stretch"), given.get("vmin"), given.get("vmax"))
    bands = given.get("bands", [])
    bands = bands if isinstance(bands, list) else [bands]
    for band in bands:
        if isinstance(band, bool) or not isinstance(band, str | int):
            raise InvalidArgumentError(
                f"bands := {quote_value(band)} cannot be used; expected names of bands or their numbers from 1"
            )
    return PictureStyle(given.get("colormap"), stretch, tuple(bands), given.get("size"))


def geotiff(_session: Session, cancelled: Cancelled, chips: pa.StructArray) -> pa.Array:
    """Each chip as a file."""
    return chip_ops.chip_geotiff(chips, cancelled)


def cog(_session: Session, cancelled: Cancelled, chips: pa.StructArray, named: pa.Array) -> pa.Array:
    """Each chip as a Cloud-Optimized GeoTIFF."""
    options = {text: CogOptions(**named_arguments("chip_cog", text)) for text in named.unique().to_pylist()}
    return chip_ops.chip_cog(chips, [options[text] for text in named.to_pylist()], cancelled)
