"""Gives Spark's types for Arrow's, and brings arrays into the types that Spark takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import MemoryLimitError

if TYPE_CHECKING:
    from pyspark.sql.types import DataType

_MOST = (1 << 31) - 1
"""Bytes that an Arrow column of binary values has at most."""


def spark_type(kind: pa.DataType) -> DataType:
    """The type of Spark for an Arrow type."""
    from pyspark.sql.pandas.types import from_arrow_type  # noqa: PLC0415 - an extra

    return from_arrow_type(plain_type(kind, large=False))


def plain_type(kind: pa.DataType, *, large: bool) -> pa.DataType:
    """The Arrow type in which Spark takes values of a type: without sizes of lists; with large binaries if it asks."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type, large=large)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(plain_type(kind.key_type, large=large), plain_type(kind.item_type, large=large))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type, large=large))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.large_binary() if large else pa.binary()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.large_string() if large else pa.string()
    return kind


def is_large(kind: pa.DataType) -> bool:
    """True for types with large texts or binaries, which Spark gives if `useLargeVarTypes` is set."""
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return True
    return any(is_large(kind.field(at).type) for at in range(kind.num_fields))


def as_spark_takes(values: pa.Array, kind: pa.DataType, *, large: bool) -> pa.Array:
    """An array in the type that Spark takes.

    Args:
        values: Of the type `kind`.
        kind: What a function is declared to give.
        large: True where texts and binaries are large ones.

    Raises:
        MemoryLimitError: a binary column has more bytes than Arrow's type holds.
    """
    wanted = plain_type(kind, large=large)
    if values.type == wanted:
        return values
    if not large and values.nbytes > _MOST:
        raise MemoryLimitError(
            f"{len(values)} rows have {values.nbytes:,} bytes, and a column of Spark holds 2 GiB at a time. Ask for "
            "fewer rows at a time (SET spark.sql.execution.arrow.maxRecordsPerBatch = 100), set "
            "spark.sql.execution.arrow.useLargeVarTypes to true, or use read_chips over DataFrames"
        )
    return pc.cast(values, wanted)
