"""Brings arrays of Spark into the types that functions declare.

Arrow casts them as well, but not lists of any length to those of a fixed length where some are NULL: it refuses, or
reads beyond their values. Spark has no lists of a fixed length, and a NULL CHIP has a NULL transform.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def declared(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column in a type that is declared.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: it cannot be brought into it.
    """
    given = column.type
    if given == kind:
        return column
    if pa.types.is_fixed_size_list(kind) and pa.types.is_list(given):
        return _of_fixed_size(column, kind)
    if pa.types.is_struct(kind) and pa.types.is_struct(given) and _names(given) == _names(kind):
        parts = [declared(part, field.type) for part, field in zip(column.flatten(), kind, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=column.is_null())
    if pa.types.is_list(kind) and pa.types.is_list(given):
        whole = _whole(column)
        return pa.ListArray.from_arrays(_offsets(whole), declared(whole.values, kind.value_type), type=kind)
    if pa.types.is_map(kind) and pa.types.is_map(given):
        whole = _whole(column)
        keys, items = whole.keys.cast(kind.key_type), declared(whole.items, kind.item_type)
        return pa.MapArray.from_arrays(_offsets(whole), keys, items, type=kind)
    return column.cast(kind)


def _of_fixed_size(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Lists of one length."""
    lists = column.drop_null()
    if not pc.all(pc.equal(pc.list_value_length(lists), kind.list_size)).as_py() and len(lists):
        raise pa.ArrowInvalid(f"not all lists have {kind.list_size} values")
    there = column.is_valid()
    places = pc.if_else(there, pc.subtract(pc.cumulative_sum(there.cast(pa.int64())), 1), pa.scalar(None, pa.int64()))
    fixed = pa.FixedSizeListArray.from_arrays(lists.flatten().cast(kind.value_type), type=kind)
    return fixed.take(places)


def _whole(column: pa.Array) -> pa.Array:
    """The same as no part of another array, and without values under what is NULL."""
    return column.take(pa.array(range(len(column)), pa.int64()))


def _offsets(whole: pa.Array) -> pa.Array:
    """The beginnings of the rows among the values; NULL where a row is."""
    valid = pa.array([*whole.is_valid().to_pylist(), True])
    return pc.if_else(valid, whole.offsets, pa.scalar(None, pa.int32()))


def _names(kind: pa.StructType) -> list[str]:
    return [field.name for field in kind]
