"""Functions on CHIPs that are already read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.kernels import chip_ops
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.session import Session

_CHIP = Argument("chip", "CHIP", "a value of read_chip; NULL gives NULL")
_BAND = Argument("band", "VARCHAR or INTEGER", "name of a band of the chip, or its number from 1", "1")
_POLYGON = "'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))'"
_READ = f"read_chip('S2A_29RKH_20200219_0_L2A', 'B04', {_POLYGON})"


def _values(_session: Session, cancelled: Cancelled, chips: pa.StructArray, bands: pa.Array) -> pa.Array:
    return chip_ops.chip_values(chips, bands.to_pylist(), cancelled)


def _stats(_session: Session, cancelled: Cancelled, chips: pa.StructArray, bands: pa.Array) -> pa.Array:
    return chip_ops.chip_stats(chips, bands.to_pylist(), cancelled)


def _png(_session: Session, cancelled: Cancelled, chips: pa.StructArray, *columns: Any) -> pa.Array:
    vmins, vmaxs, colormaps = (column.to_pylist() for column in columns)
    return chip_ops.chip_png(chips, vmins, vmaxs, colormaps, cancelled)


def _geotiff(_session: Session, cancelled: Cancelled, chips: pa.StructArray) -> pa.Array:
    return chip_ops.chip_geotiff(chips, cancelled)


CHIP_FUNCTIONS = (
    Function(
        name="chip_values",
        family="chips",
        table=False,
        arguments=(_CHIP, _BAND),
        returns="DOUBLE[]",
        doc="Pixels of one band, row by row from the top left; NULL where a pixel is not valid. 64-bit integers "
        "beyond 2^53 are rounded.",
        example=f"SELECT len(chip_values({_READ}))",
        udfs=(Udf("__rasteret_chip_values", (types.CHIP, "VARCHAR"), "DOUBLE[]", pure=True, run=_values),),
    ),
    Function(
        name="chip_stats",
        family="chips",
        table=False,
        arguments=(_CHIP, _BAND),
        returns=types.STATISTICS,
        doc="The statistics of zonal_stats over the valid pixels of one band of a chip.",
        example=f"SELECT chip_stats({_READ}, band := 'B04').median",
        udfs=(Udf("__rasteret_chip_stats", (types.CHIP, "VARCHAR"), types.STATISTICS, pure=True, run=_stats),),
    ),
    Function(
        name="chip_png",
        family="chips",
        table=False,
        arguments=(
            _CHIP,
            Argument("vmin", "DOUBLE", "value shown darkest; not given: the 2nd percentile", "NULL"),
            Argument("vmax", "DOUBLE", "value shown brightest; not given: the 98th percentile", "NULL"),
            Argument("colormap", "VARCHAR", "colours of a single band, such as 'viridis'; not given: grey", "NULL"),
        ),
        returns="BLOB",
        doc="The chip as a PNG picture: one band grey or in colours, three or more as red, green and blue; pixels that "
        "are not valid are transparent.",
        example=f"SELECT octet_length(chip_png({_READ}, colormap := 'viridis')) > 0",
        udfs=(Udf("__rasteret_chip_png", (types.CHIP, "DOUBLE", "DOUBLE", "VARCHAR"), "BLOB", pure=True, run=_png),),
    ),
    Function(
        name="chip_geotiff",
        family="chips",
        table=False,
        arguments=(_CHIP,),
        returns="BLOB",
        doc="The chip as a GeoTIFF file with its grid, CRS, nodata, mask and band names; write it with "
        "COPY (SELECT chip_geotiff(...)) TO 'chip.tif' (FORMAT blob).",
        example=f"SELECT octet_length(chip_geotiff({_READ})) > 0",
        udfs=(Udf("__rasteret_chip_geotiff", (types.CHIP,), "BLOB", pure=True, run=_geotiff),),
    ),
)
