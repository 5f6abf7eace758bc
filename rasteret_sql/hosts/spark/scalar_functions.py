"""Registers the declared functions that give a value as SQL functions of a Spark session."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.functions.spec import Function
from rasteret_sql.hosts.spark.errand import errand
from rasteret_sql.hosts.spark.executor_setup import Setup, keep_setup, make_setup
from rasteret_sql.hosts.spark.spark_types import spark_type

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def scalar_functions() -> tuple[Function, ...]:
    """The functions that Spark has as DuckDB has them: those that give a value for each row."""
    given = (function for function in FUNCTIONS if function.family in ("pixels", "chips"))
    return tuple(function for function in given if function.body in ("value", "field"))


def register(
    spark: SparkSession,
    *,
    workspace_dir: str | os.PathLike[str] | None = None,
    collections: Sequence[str | os.PathLike[str]] = (),
    backend: str | None = None,
    backends: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    deterministic: bool = False,
) -> None:
    """Make the functions known in a Spark session: `SELECT zonal_stat(id, 'B04', geometry, 'mean') FROM bay`.

    Named arguments are written with `=>`: `mask => 'SCL IN (3, 8, 9)'`. The executors need this package, and read the
    collections at the same paths or URLs as the driver.

    Args:
        spark: The session, classic or of Spark Connect.
        workspace_dir: Directory or URL of collections, as all executors reach it; `~/rasteret_workspace` by default.
        collections: Names or paths of those in which scenes are looked up where a call has no `collection`.
        backend: The one of `backends` that reads, where a call names none; by default the credentials that each
            executor has.
        backends: Name → `'module:function'`, which each executor imports and calls to make it; or arguments of
            `rasteret_create_backend` without secrets. Only the names and these words lie in plans.
        settings: As `rasteret_settings` takes them, of each Python process of executors: `{'max_requests': 16}`.
        deterministic: True: conditions on other columns pass below a call that is in a subquery, and calls may be
            aggregated, but a condition on the result of a call makes Spark run it twice.

    Raises:
        InvalidArgumentError: an argument cannot be used, or would put a secret into plans.
    """
    setup = make_setup(workspace_dir, collections, backend, backends, settings)
    keep_setup(spark, setup)
    for function in scalar_functions():
        made = _udf(function, setup)
        spark.udf.register(function.name, made if deterministic else made.asNondeterministic())


def _udf(function: Function, setup: Setup) -> Any:
    try:
        from pyspark.sql.functions import ArrowUDFType, arrow_udf  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InvalidArgumentError(
            f"Spark {_version()} has no Arrow functions ({error}); pip install 'rasteret-sql[spark]'"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of type hints, which a function with any arguments cannot have
        return arrow_udf(
            errand("scalar", function=function.name, setup=setup.words()),
            spark_type(function.returns),
            ArrowUDFType.SCALAR,
        )


def _version() -> str:
    from pyspark import __version__  # noqa: PLC0415 - an extra

    return str(__version__)
