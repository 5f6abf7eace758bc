"""Shows the scenes of a collection as a DataFrame, which Spark reads from the files of the index by itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from rasteret_sql.hosts.spark.executor_setup import setup_of
from rasteret_sql.hosts.spark.scalar_functions import open_for_calls
from rasteret_sql.hosts.spark.spark_types import plain_type
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.place.location import workspace_of
from rasteret_sql.index.read.scene_scan import is_naive_instant
from rasteret_sql.io.remote_directory import stores_of
from rasteret_sql.lazy import lazy_module
from rasteret_sql.library.load import find_loaded
from rasteret_sql.schema import PARTITION_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql import functions as sql
    from pyspark.sql.pandas import types as arrow_types
else:
    sql = lazy_module("pyspark.sql.functions")
    arrow_types = lazy_module("pyspark.sql.pandas.types")

_GLOB = re.compile(r"[][{}*?\\]")


def scenes(
    spark: SparkSession, collection: str | os.PathLike[str], *, workspace_dir: str | os.PathLike[str] | None = None
) -> DataFrame:
    """The scenes of a collection, a row each, with the columns that `rasteret.<name>` has in DuckDB.

    Times are instants (TIMESTAMP), footprints WKB in lon/lat. Conditions reach the Parquet files, whose partitions are
    `year` and `month`. From now on calls find its scenes by their ids, without `collection`. The files are those
    that the collection has now: ask again after it was changed.

    Args:
        spark: The session.
        collection: Its name in the workspace, or path or URL.
        workspace_dir: The directory or URL of the workspace; by default that of `register`.

    Raises:
        MissingObjectError: there is no such collection.
    """
    workspace = setup_of(spark).workspace if workspace_dir is None else workspace_of(workspace_dir)
    index = find_loaded(workspace, collection, "", stores_of(None))
    open_for_calls(spark, collection if workspace_dir is None else index.place)
    return _shown(_read(spark, index), index)


def _read(spark: SparkSession, index: CollectionIndex) -> DataFrame:
    """The rows of the files."""
    stored = [name for name in index.scene_columns if name in {*index.schema.names, *index.hive}]
    # Said, so that Spark looks into no file, and takes times without a zone for the instants in UTC that they are.
    fields = [pa.field(name, _kind(index, name)) for name in stored]
    reader = spark.read.schema(arrow_types.from_arrow_schema(pa.schema(fields)))
    if index.path.is_dir():
        reader = reader.option("basePath", _address(index, index.path))
    return reader.parquet(*(_address(index, Path(file)) for file in index.files))


def _kind(index: CollectionIndex, name: str) -> pa.DataType:
    if name in index.hive:
        return pa.int32()
    kind = index.schema.field(name).type
    return pa.timestamp(kind.unit, "UTC") if is_naive_instant(index, name) else plain_type(kind, large=False)


def _address(index: CollectionIndex, file: Path) -> str:
    """The address of a file of an index: where the index is, not its copy on this machine."""
    if index.origin is None:
        return "file://" + _GLOB.sub(r"\\\g<0>", file.as_posix())  # Spark looks for patterns in paths
    below = file.relative_to(index.path).as_posix()
    return index.origin if below == "." else f"{index.origin}/{below}"


def _shown(rows: DataFrame, index: CollectionIndex) -> DataFrame:
    """The columns as SQL shows them."""
    if pa.types.is_string(index.schema.field("collection").type):
        rows = rows.withColumn("collection", sql.coalesce("collection", sql.lit(index.name)))
    for name in PARTITION_COLUMNS:
        if name not in rows.columns:
            at = sql.convert_timezone(sql.lit("UTC"), sql.lit("UTC"), sql.col("datetime"))
            rows = rows.withColumn(name, getattr(sql, name)(at))
    return rows
