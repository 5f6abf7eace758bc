"""Lists all declarations, with the SQL text of their macros and the code under them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from rasteret_sql.errors import RasteretError
from rasteret_sql.functions.access import ACCESS_FUNCTIONS
from rasteret_sql.functions.catalog import CATALOG_FUNCTIONS
from rasteret_sql.functions.chips import CHIP_FUNCTIONS
from rasteret_sql.functions.collections import COLLECTION_FUNCTIONS, LIFE_FUNCTIONS
from rasteret_sql.functions.explain_table import EXPLAIN_FUNCTIONS
from rasteret_sql.functions.files import FILE_FUNCTIONS
from rasteret_sql.functions.mosaics import MOSAIC_FUNCTIONS
from rasteret_sql.functions.pixels import PIXEL_FUNCTIONS
from rasteret_sql.functions.products import PRODUCT_FUNCTIONS
from rasteret_sql.functions.register import REGISTRATION_FUNCTIONS
from rasteret_sql.functions.relations import RELATION_FUNCTIONS
from rasteret_sql.functions.search import SEARCH_FUNCTIONS
from rasteret_sql.functions.series import SERIES_FUNCTIONS
from rasteret_sql.functions.settings import SETTING_FUNCTIONS
from rasteret_sql.functions.spec import Function, Udf

FUNCTIONS: tuple[Function, ...] = (
    *CATALOG_FUNCTIONS,
    *PRODUCT_FUNCTIONS,
    *REGISTRATION_FUNCTIONS,
    *COLLECTION_FUNCTIONS,
    *FILE_FUNCTIONS,
    *SEARCH_FUNCTIONS,
    *LIFE_FUNCTIONS,
    *PIXEL_FUNCTIONS,
    *RELATION_FUNCTIONS,
    *MOSAIC_FUNCTIONS,
    *EXPLAIN_FUNCTIONS,
    *SERIES_FUNCTIONS,
    *CHIP_FUNCTIONS,
    *ACCESS_FUNCTIONS,
    *SETTING_FUNCTIONS,
)
"""Every public function."""
DECLARED = {function.name: function for function in FUNCTIONS}
"""They by name."""

PRIVATE_MACROS = ("__geometry", "__chips")
"""Macros under the public ones, made first."""


@cache
def sql_directory() -> Path:
    """The directory of the macro files: inside an installed package, else at the top of the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed, checkout = package / "sql", package.parent / "sql"
    if installed.is_dir():
        return installed
    if not checkout.is_dir():
        raise RasteretError("the macro files of rasteret_sql are missing from the installation; install it again")
    return checkout


def macro_sql(function: Function) -> str:
    """Text of a public function's macro file."""
    return (sql_directory() / function.family / f"{function.name}.sql").read_text("utf-8")


def private_sql(name: str) -> str:
    """Text of a private macro's file."""
    return (sql_directory() / "private" / f"{name}.sql").read_text("utf-8")


def geometry_sql(column: str) -> str:
    """Give what the private macro `__geometry` makes of a column, as an expression: for SQL that knows no catalog."""
    return _inline("__geometry", "geom", column)


def chips_sql(column: str) -> str:
    """Give what the private macro `__chips` makes of a column, as an expression."""
    return _inline("__chips", "chips", column)


def _inline(macro: str, parameter: str, column: str) -> str:
    body = private_sql(macro).split(f"({parameter}) AS\n", 1)[1].rstrip().rstrip(";")
    return re.sub(rf"\b{parameter}\b", column, body)


def call_of(udf: Udf, function: Function) -> Callable[..., Any]:
    """The code of a private function, imported now.

    Args:
        udf: One of the private functions.
        function: The public function that it is of.

    Returns:
        (session, cancelled, *columns) → a column, one value each row.
    """
    call = _named(f"rasteret_sql.functions.calls.{udf.run}")
    return call(function, _named(f"rasteret_sql.reading.{udf.kernel}")) if udf.kernel else call


@cache
def _named(path: str) -> Callable[..., Any]:
    module, name = path.rsplit(".", 1)
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
