"""All declarations together, and the SQL text of their macros."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from rasteret_sql.errors import RasteretError
from rasteret_sql.functions.access import ACCESS_FUNCTIONS
from rasteret_sql.functions.catalog import catalog_functions
from rasteret_sql.functions.chips import CHIP_FUNCTIONS
from rasteret_sql.functions.collections import COLLECTION_FUNCTIONS
from rasteret_sql.functions.life import LIFE_FUNCTIONS
from rasteret_sql.functions.pixels import PIXEL_FUNCTIONS
from rasteret_sql.functions.registration import REGISTRATION_FUNCTIONS
from rasteret_sql.functions.search import SEARCH_FUNCTIONS
from rasteret_sql.functions.settings import SETTING_FUNCTIONS
from rasteret_sql.functions.spec import Function
from rasteret_sql.functions.tables import TABLE_FUNCTIONS

_DECLARED = (
    *REGISTRATION_FUNCTIONS,
    *COLLECTION_FUNCTIONS,
    *TABLE_FUNCTIONS,
    *SEARCH_FUNCTIONS,
    *LIFE_FUNCTIONS,
    *PIXEL_FUNCTIONS,
    *CHIP_FUNCTIONS,
    *ACCESS_FUNCTIONS,
    *SETTING_FUNCTIONS,
)
FUNCTIONS: tuple[Function, ...] = (*catalog_functions(_DECLARED), *_DECLARED)
"""Every public function."""

PRIVATE_MACROS = ("__geometry",)
"""Macros under the public ones, made first."""


@cache
def sql_directory() -> Traversable:
    """Where the macro files are: inside an installed package, else at the top of the checkout."""
    installed = files("rasteret_sql") / "sql"
    if installed.is_dir():
        return installed
    checkout = Path(__file__).resolve().parents[2] / "sql"
    if not checkout.is_dir():
        raise RasteretError("the macro files of rasteret_sql are missing from the installation; install it again")
    return checkout


def macro_sql(function: Function) -> str:
    """Text of a public function's macro file."""
    return (sql_directory() / function.family / f"{function.name}.sql").read_text("utf-8")


def private_sql(name: str) -> str:
    """Text of a private macro's file."""
    return (sql_directory() / "private" / f"{name}.sql").read_text("utf-8")
