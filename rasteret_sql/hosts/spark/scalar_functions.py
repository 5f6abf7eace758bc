"""Registers the declared functions that give a value as SQL functions of a Spark session."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rasteret_sql.functions.registry import FUNCTIONS
from rasteret_sql.functions.spec import Function
from rasteret_sql.hosts.spark.errand import arrow_errand
from rasteret_sql.hosts.spark.executor_setup import Setup, keep_setup, make_setup, setup_of, with_collection
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
    _register(spark, setup, deterministic=deterministic)


def open_for_calls(spark: SparkSession, collection: str | os.PathLike[str]) -> None:
    """Let calls look for scenes in one more collection, as a query of it does in DuckDB."""
    before = setup_of(spark)
    setup = with_collection(before, collection)
    if setup is before:
        return
    if spark in _deterministic:
        _register(spark, setup, deterministic=_deterministic[spark])
    else:
        keep_setup(spark, setup)


_deterministic: weakref.WeakKeyDictionary[SparkSession, bool] = weakref.WeakKeyDictionary()
"""Sessions that have the functions, and how these were registered."""


def _register(spark: SparkSession, setup: Setup, *, deterministic: bool) -> None:
    keep_setup(spark, setup)
    _deterministic[spark] = deterministic
    for function in scalar_functions():
        made = arrow_errand("scalar", spark_type(function.returns), function=function.name, setup=setup.words())
        spark.udf.register(function.name, made if deterministic else made.asNondeterministic())
