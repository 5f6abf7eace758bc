"""Brings the columns of a call from Spark into the form in which a declared function takes them.

DuckDB's macros do this in SQL. Spark has no macros that take arguments of any type, but hands over Arrow arrays with
their types: a GEOMETRY as STRUCT(srid, wkb), a constant as an array of equal values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import ArgumentTypeError, did_you_mean
from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Argument, Function
from rasteret_sql.functions.sql_types import sql_type
from rasteret_sql.hosts.spark.declared_types import declared
from rasteret_sql.hosts.spark.sedona_geometries import is_of_sedona, wkb_of
from rasteret_sql.result_types import CHIP

_GEOMETRY_FIELDS = ["srid", "wkb"]
_NAMED_CHIPS = types.CHIPS.field("named").type


def argument_columns(function: Function, given: Sequence[pa.Array], named: Mapping[str, pa.Array]) -> list[pa.Array]:
    """The columns of the private function under a public one.

    Args:
        function: What is called.
        given: Arguments by their place.
        named: Arguments by their name.

    Raises:
        ArgumentTypeError: an argument is missing, one too many, unknown, or of a type that is not taken.
    """
    bound = _bound(function, given, named)
    count = len(next(iter(bound.values())))
    columns = [_column(function, argument, bound.get(argument.name), count) for argument in function.columns]
    if function.named:
        asked = {argument.name: bound[argument.name] for argument in function.named if argument.name in bound}
        columns.append(_objects(asked, count))
    return columns


def _bound(function: Function, given: Sequence[pa.Array], named: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """The arguments of a call by name."""
    placed = [argument.name for argument in function.arguments if argument.required or argument.column is not None]
    known = [argument.name for argument in function.arguments]
    if len(given) > len(placed):
        raise ArgumentTypeError(
            f"{function.name} takes {len(placed)} arguments by their place ({', '.join(placed)}), and got "
            f"{len(given)}; the others are named: mask => 'SCL = 3'"
        )
    bound = dict(zip(placed, given, strict=False))
    for name, column in named.items():
        if name not in known:
            raise ArgumentTypeError(f'{function.name} has no argument "{name}"; {did_you_mean(name, known)}')
        if name in bound:
            raise ArgumentTypeError(f'{function.name} got "{name}" twice, by its place and by its name')
        bound[name] = column
    missing = [argument.name for argument in function.arguments if argument.required and argument.name not in bound]
    if missing:
        raise ArgumentTypeError(f"{function.name} lacks {', '.join(missing)}; it is {function.signature}")
    return bound


def _column(function: Function, argument: Argument, value: pa.Array | None, count: int) -> pa.Array:
    """A column in the type that is declared."""
    form = argument.column
    assert form is not None
    if value is None:
        value = pa.nulls(count) if argument.default == "NULL" else pa.array([_literal(argument.default)] * count)
    convert = _CONVERTERS.get(form, lambda column: declared(column, form.type))
    try:
        return convert(value)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise ArgumentTypeError(
            f"{function.name}: {argument.name} is of type {value.type}; expected {argument.kind.sql}"
        ) from None


def _literal(default: object) -> int | str:
    """The value of a default: a number, or the text that stands for a whole image."""
    sql = str(default)
    return int(sql) if sql.isdigit() else sql


def _objects(named: Mapping[str, pa.Array], count: int) -> pa.Array:
    """A JSON object of the named arguments for each row; equal ones are written once."""
    values = {name: _values(column) for name, column in named.items()}
    if all(len(column) == 1 for column in values.values()):
        return pa.array([_dump({name: column[0] for name, column in values.items()})] * count, pa.string())
    rows = {name: column * count if len(column) == 1 else column for name, column in values.items()}
    return pa.array([_dump({name: column[row] for name, column in rows.items()}) for row in range(count)], pa.string())


def _values(column: pa.Array) -> list[Any]:
    """The values of a column for JSON; one where all rows have the same."""
    maps = pa.types.is_map(column.type)
    some = column[:1] if _is_constant(column) else column
    return [dict(value) if maps and value is not None else value for value in some.to_pylist()]


def _is_constant(column: pa.Array) -> bool:
    return len(column) > 0 and column[1:].equals(column[:-1])


def _dump(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    """Numbers of DECIMAL as JSON has them; other values as text."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _json(column: pa.Array) -> pa.Array:
    """JSON of each row; NULL where it is NULL."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        encoded = column.dictionary_encode()
        texts = pa.array(map(_dump, encoded.dictionary.to_pylist()), pa.string())
        return texts.take(encoded.indices)
    values = _values(column)
    texts = [None if value is None else _dump(value) for value in values]
    return pa.array(texts * len(column) if len(values) < len(column) else texts, pa.string())


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_nested(column.type):
        raise pa.ArrowTypeError
    return column.cast(pa.string())


def geometries(column: pa.Array) -> pa.StructArray:
    """STRUCT(kind, wkb, text) of a column of geometries in any form, as the macro `__geometry` makes it."""
    kind, count = column.type, len(column)
    nothing = pa.nulls(count, pa.string())
    if pa.types.is_struct(kind) and [field.name for field in kind] == _GEOMETRY_FIELDS:
        srids = pc.struct_field(column, "srid")  # of each row, for a column may be of any
        return _geometry(_kinds(srids), pc.struct_field(column, "wkb").cast(pa.binary()), nothing)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        if is_of_sedona(column):
            values = [None if value is None else wkb_of(value) for value in column.to_pylist()]
            wkbs, srids = ([None if value is None else value[at] for value in values] for at in (0, 1))
            return _geometry(_kinds(pa.array(srids, pa.int32())), pa.array(wkbs, pa.binary()), nothing)
        return _geometry(pa.array(["BLOB"] * count), column.cast(pa.binary()), nothing)
    if pa.types.is_null(kind):
        return _geometry(pa.array(["VARCHAR"] * count), pa.nulls(count, pa.binary()), nothing)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts, name = column.cast(pa.string()), "VARCHAR"
    elif pa.types.is_nested(kind):  # a box, GeoJSON in columns, [x, y]
        texts, name = _json(column), "JSON"
    else:
        raise pa.ArrowTypeError
    return _geometry(pa.array([name] * count), pa.nulls(count, pa.binary()), texts)


def _kinds(srids: pa.Array) -> pa.Array:
    """The type of each geometry as DuckDB names it, by its SRID."""
    return pc.if_else(
        pc.greater(pc.fill_null(srids, 0), 0),
        pc.binary_join_element_wise("GEOMETRY('EPSG:", srids.cast(pa.string()), "')", ""),
        "GEOMETRY",
    )


def _geometry(kinds: pa.Array, wkbs: pa.Array, texts: pa.Array) -> pa.StructArray:
    return pa.StructArray.from_arrays([kinds, wkbs, texts], fields=list(types.GEOMETRY))


def _chips(column: pa.Array) -> pa.StructArray:
    """A CHIP, CHIPs by name or a text, as the macro `__chips` makes it."""
    kind, count = column.type, len(column)
    one, named, text = (
        pa.nulls(count, CHIP),
        pa.nulls(count, _NAMED_CHIPS),
        pa.nulls(count, pa.string()),
    )
    if _is_chip(kind):
        one = declared(column, CHIP)
    elif pa.types.is_struct(kind):
        names = [field.name for field in kind]
        # What is no CHIP is told of by its name among the kinds.
        chips = [declared(part, CHIP) if _is_chip(part.type) else pa.nulls(count, CHIP) for part in column.flatten()]
        order = [part * count + row for row in range(count) for part in range(len(names))]
        keys = pa.array(names * count, pa.string())
        offsets = pa.array(range(0, len(order) + 1, max(len(names), 1)), pa.int32())
        named = pa.MapArray.from_arrays(offsets, keys, pa.concat_arrays(chips).take(pa.array(order, pa.int64())))
    elif pa.types.is_map(kind) and _is_chip(kind.item_type):
        named = declared(column, _NAMED_CHIPS)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = column.cast(pa.string())
    kinds = pa.array([_name(kind)] * count, pa.string())
    return pa.StructArray.from_arrays([kinds, one, named, text], fields=list(types.CHIPS))


def _is_chip(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind)) and [field.name for field in kind] == [field.name for field in CHIP]


def _name(kind: pa.DataType) -> str:
    """The type as DuckDB names it."""
    if pa.types.is_null(kind):
        return '"NULL"'
    if pa.types.is_struct(kind) and not _is_chip(kind):
        return f"STRUCT({', '.join(f'{field.name} {_name(field.type)}' for field in kind)})"
    try:
        return sql_type(kind)
    except TypeError:
        return str(kind)


_CONVERTERS: dict[Any, Callable[[pa.Array], pa.Array]] = {
    types.AS_TEXT: _text,
    types.AS_JSON: _json,
    types.AS_GEOMETRY: geometries,
    types.AS_CHIPS: _chips,
}
"""By the form in which an argument crosses; others are cast."""
