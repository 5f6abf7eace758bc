"""Knows the scales of products whose items and files do not say them.

Sources: USGS Landsat Collection 2 Level-2 (surface reflectance · 0.0000275 - 0.2; surface temperature · 0.00341802 +
149, in kelvin); HLS User Guide V2 (reflectance · 0.0001, brightness temperature · 0.01 in degrees Celsius); MOD09A1
and MOD13Q1 (· 0.0001); AlphaEarth Foundations embeddings (sign(v) · (v / 127.5)², -128 is not valid).
"""

from __future__ import annotations

import re

from rasteret_sql.expr.band_expression import parse_band_expression
from rasteret_sql.expr.tree import Column, Node, renamed

_EMBEDDING = "CASE WHEN v <> -128 THEN sign(v) * pow(v / 127.5, 2) END"
_RULES: tuple[tuple[str, str, str], ...] = (
    ("landsat-c2-l2", r"(SR_)?B[1-7]|coastal|blue|green|red|nir08|swir16|swir22", "v * 0.0000275 - 0.2"),
    ("landsat-c2-l2", r"(ST_)?B(6|10)|lwir|lwir11", "v * 0.00341802 + 149.0"),
    ("hls-l30", r"B0[1-79]", "v * 0.0001"),
    ("hls-l30", r"B1[01]", "v * 0.01"),
    ("hls-s30", r"B(0[1-9]|8A|1[0-2])", "v * 0.0001"),
    ("modis-09", r"B0[1-7]|sur_refl_b0[1-7]", "v * 0.0001"),
    ("modis-13", r"NDVI|EVI|RED|NIR|BLUE|MIR", "v * 0.0001"),
    ("aef", r"A[0-9]{2}", _EMBEDDING),
)
"""(product, bands, value in units of the stored `v`); the first that fits holds."""


def in_units(product: str, band: str) -> tuple[Node, str] | None:
    """The value in units of a band, as an expression over it and as text; None where it is not known.

    Args:
        product: of `common_names.product_of`.
        band: its name in the collection.
    """
    value = next((value for of, bands, value in _RULES if of == product and re.fullmatch(bands, band)), None)
    if value is None:
        return None
    return renamed(parse_band_expression(value).node, {"v": Column(band)}), f"{band}: {value}"
