"""Declares the functions that list datasets and functions."""

from __future__ import annotations

from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Function

CATALOG_FUNCTIONS = (
    Function(
        name="rasteret_datasets",
        family="catalog",
        body="rows",
        arguments=(),
        returns=types.DATASET,
        doc="Lists the registered datasets with all their fields; filter with WHERE id ILIKE '%sentinel%'.",
        example="SELECT id, name FROM rasteret_datasets() WHERE id ILIKE '%sentinel-2%' ORDER BY id",
        run="catalog.datasets",
        pure=True,
    ),
    Function(
        name="rasteret_functions",
        family="catalog",
        body="rows",
        arguments=(),
        returns=types.FUNCTION,
        doc="Lists every function of rasteret_sql with its signature, description and an example.",
        example="SELECT signature FROM rasteret_functions() WHERE name = 'read_chip'",
        run="catalog.functions",
        pure=True,
    ),
)
