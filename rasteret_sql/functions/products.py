"""Declares the functions that list the bands of collections and the spectral indices."""

from __future__ import annotations

import pyarrow as pa

from rasteret_sql.functions.kinds import TEXT
from rasteret_sql.functions.spec import Argument, Function

INDEX = pa.struct(
    [
        ("name", pa.string()),
        ("long_name", pa.string()),
        ("domain", pa.string()),
        ("formula", pa.string()),
        ("bands", pa.list_(pa.string())),
        ("reference", pa.string()),
        ("computable", pa.bool_()),
        ("missing", pa.list_(pa.string())),
    ]
)
BAND = pa.struct(
    [
        ("band", pa.string()),
        ("common_name", pa.string()),
        ("dtype", pa.string()),
        ("nodata", pa.string()),
        ("resolution", pa.float64()),
        ("scale", pa.float64()),
        ("offset", pa.float64()),
        ("unit", pa.string()),
        ("scaled", pa.string()),
        ("description", pa.string()),
    ]
)

PRODUCT_FUNCTIONS = (
    Function(
        name="rasteret_indices",
        family="catalog",
        body="rows",
        arguments=(Argument("collection", TEXT, "tell which of them this collection has the bands for", "NULL"),),
        returns=INDEX,
        doc="Lists the spectral indices that can stand where a band does. bands are letters: N near infrared, R red, "
        "S1 and S2 short wave infrared. computable and missing are NULL without a collection.",
        example="SELECT name, formula FROM rasteret_indices() WHERE name = 'NDVI'",
        run="products.list_indices",
    ),
    Function(
        name="rasteret_bands",
        family="catalog",
        body="rows",
        arguments=(Argument("collection", TEXT, "name of a collection"),),
        returns=BAND,
        doc="Lists the bands of a collection, as one of its scenes has them: dtype and nodata as text, resolution in "
        "units of the CRS, scale, offset and unit of the item or else the file, and what scaled := true computes of "
        "the stored v.",
        example="SELECT band, common_name, dtype, resolution FROM rasteret_bands('dunes')",
        run="products.list_bands",
    ),
)
