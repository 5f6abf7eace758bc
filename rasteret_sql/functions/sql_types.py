"""Names Arrow types as DuckDB does."""

from __future__ import annotations

import pyarrow as pa

_JSON = {b"sql": b"JSON"}
_PLAIN = {
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}


def json_field(name: str) -> pa.Field:
    """A field of text that DuckDB takes for JSON."""
    return pa.field(name, pa.string(), metadata=_JSON)


def sql_type(kind: pa.DataType) -> str:
    """The SQL name of an Arrow type.

    Raises:
        TypeError: no function gives or takes values of that type yet.
    """
    if kind in _PLAIN:
        return _PLAIN[kind]
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{field.name}" {_field_type(field)}' for field in kind) + ")"
    if pa.types.is_map(kind):
        return f"MAP({sql_type(kind.key_type)}, {sql_type(kind.item_type)})"
    if pa.types.is_fixed_size_list(kind):
        return f"{sql_type(kind.value_type)}[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    raise TypeError(f"no SQL type is known for {kind}")


def _field_type(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"sql", b"").decode() or sql_type(field.type)
