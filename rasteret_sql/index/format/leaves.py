"""Names the primitive columns of a Parquet file, and those whose bounds a reader may trust."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa


def leaves(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Parquet paths of the primitive columns, with their types."""
    return [leaf for column in schema for leaf in leaves_below(column.name, column.type)]


def leaves_below(path: str, type_: pa.DataType) -> list[tuple[str, pa.DataType]]:
    """Parquet paths of the primitive columns below a field."""
    if pa.types.is_struct(type_):
        return [leaf for child in type_ for leaf in leaves_below(f"{path}.{child.name}", child.type)]
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return leaves_below(f"{path}.list.element", type_.value_type)
    return [(path, type_)]


def bounded_leaves(schema: pa.Schema, without_nan: Collection[str] = ()) -> list[str]:
    """Columns to write statistics of: all but floats that may be NaN.

    Parquet's smallest and largest value leave NaN out, and DuckDB takes them for bounds of all values: a filter such as
    BETWEEN would find NaN, and isnan would not. Boxes have no NaN, and areas are looked for by their bounds.

    Args:
        schema: of the file.
        without_nan: columns in which there is none.
    """
    return [
        leaf
        for leaf, type_ in leaves(schema)
        if not pa.types.is_floating(type_) or leaf.startswith("bbox.") or leaf in without_nan
    ]
