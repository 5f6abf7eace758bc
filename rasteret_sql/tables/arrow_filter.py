"""Writes an SQL condition as an Arrow expression, so that a Parquet scan leaves out row groups that cannot fit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import InvalidArgumentError, TableError, did_you_mean, name_meant
from rasteret_sql.expr.condition import parse_condition
from rasteret_sql.expr.instant import parse_instant
from rasteret_sql.expr.tree import (
    And,
    Column,
    Compare,
    Contains,
    In,
    IsNull,
    Like,
    Literal,
    Node,
    Not,
    Or,
)
from rasteret_sql.geo.geoarrow import is_text
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import longitude_limits
from rasteret_sql.scenes.dates import DateRange

_OPERATORS = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_TRUTH = {"true": True, "t": True, "false": False, "f": False}


def arrow_condition(condition: str | Node, schema: pa.Schema) -> pc.Expression:
    """Make an Arrow expression of an SQL condition over columns of a table.

    Args:
        condition: What may stand after WHERE, as text or read already.
        schema: Of the table; names are compared as DuckDB does, without regard to case where only one fits.

    Raises:
        InvalidArgumentError: It is no condition, or compares what cannot be compared.
        TableError: The table has no such column.
    """
    return _Writer(schema).condition(parse_condition(condition) if isinstance(condition, str) else condition)


def column_named(name: str, names: Iterable[str], what: str) -> str:
    """The column that a name means.

    Raises:
        TableError: There is none; the message says which there are.
    """
    known = list(names)
    found = name_meant(name, known)
    if found is not None:
        return found
    raise TableError(
        f'{what} names the column "{name}", which the table does not have: {did_you_mean(name, known, 40)}'
    )


class _Writer:
    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def condition(self, node: Node) -> pc.Expression:
        match node:
            case And(terms):
                return _joined(pc.and_kleene, [self.condition(term) for term in terms])
            case Or(terms):
                return _joined(pc.or_kleene, [self.condition(term) for term in terms])
            case Compare(op, Column() as left, Column() as right):
                return _OPERATORS[op](self._field(left), self._field(right))
            case Compare(op, Column() as left, Literal(value)):
                return _OPERATORS[op](*self._pair(left, value))
            case Not(In() as term):
                if any(choice.value is None for choice in term.choices):
                    return pc.scalar(False)  # NOT IN with a NULL among the choices is never true
                return pc.and_kleene(self._field(term.value).is_valid(), pc.invert(self.condition(term)))
            case Not(IsNull(Column() as column)):
                return self._field(column).is_valid()
            case Not(term):
                return pc.invert(self.condition(term))
            case In(Column() as column, choices):
                values = [self._value(column, choice.value) for choice in choices if choice.value is not None]
                kind = self._comparable(column)
                if pa.types.is_floating(kind) and 0 in values:
                    # is_in tells -0.0 from 0.0, and Parquet's statistics call a column of zeros a column of -0.0.
                    values += [0.0, -0.0]
                return pc.is_in(self._field(column), pa.array(values, kind))
            case Like(Column() as column, pattern, ignore_case):
                self._require(column, "LIKE", is_text(self._type(column)))
                return pc.match_like(self._field(column), pattern, ignore_case=ignore_case)
            case Contains(Column() as column, Literal(str() as part)):
                self._require(column, "contains", is_text(self._type(column)))
                return pc.match_substring(self._field(column), part)
            case IsNull(Column() as column):
                return self._field(column).is_null()
            case Literal(bool() | None as truth):
                return pc.scalar(bool(truth))
        raise InvalidArgumentError(f"filter_expr compares constants with each other ({node}); name a column")

    def _name(self, column: Node) -> str:
        if not isinstance(column, Column):
            raise InvalidArgumentError(f"filter_expr has {column}, where a column is expected")
        return column_named(column.name, self._schema.names, "filter_expr")

    def _type(self, column: Node) -> pa.DataType:
        return self._schema.field(self._name(column)).type

    def _comparable(self, column: Node) -> pa.DataType:
        kind = self._type(column)
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
            return pa.string()
        return pa.timestamp("us") if pa.types.is_date(kind) else kind

    def _field(self, column: Node) -> pc.Expression:
        field, kind = pc.field(self._name(column)), self._comparable(column)
        return field if kind == self._type(column) else field.cast(kind)

    def _pair(self, column: Column, value: Any) -> tuple[pc.Expression, pc.Expression]:
        kind = self._comparable(column)
        if value is None:
            return self._field(column), pc.scalar(pa.scalar(None, kind))
        made = self._value(column, value)
        # Numbers keep a type of their own: 20.5 is no integer, and Arrow compares both as floats.
        plain = isinstance(made, int | float) and not isinstance(made, bool)
        return self._field(column), pc.scalar(made if plain else pa.scalar(made, kind))

    def _value(self, column: Node, value: Any) -> Any:
        """The constant as a value of the column's kind."""
        kind = self._comparable(column)
        if pa.types.is_timestamp(kind):
            return self._instant(column, value, kind)
        if pa.types.is_boolean(kind):
            value = _TRUTH.get(value.lower(), value) if isinstance(value, str) else value
            self._require(column, repr(value), isinstance(value, bool))
        elif is_number(kind):
            if isinstance(value, str):
                try:
                    value = float(value) if not value.strip().lstrip("+-").isdigit() else int(value)
                except ValueError:
                    self._require(column, repr(value), False)
            self._require(column, repr(value), isinstance(value, int | float) and not isinstance(value, bool))
        elif is_text(kind):
            self._require(column, repr(value), isinstance(value, str))
        else:
            self._require(column, repr(value), False)
        return value

    def _instant(self, column: Node, value: Any, kind: pa.TimestampType) -> datetime:
        if isinstance(value, str):
            try:
                value = parse_instant(value)
            except ValueError:
                self._require(column, repr(value), False)
        self._require(column, repr(value), isinstance(value, datetime))
        made: datetime = value.replace(tzinfo=UTC) if kind.tz else value
        return made

    def _require(self, column: Node, what: str, fits: bool) -> None:
        if not fits:
            name = self._name(column)
            raise InvalidArgumentError(
                f'filter_expr compares the column "{name}" ({self._schema.field(name).type}) with {what}, which does '
                "not fit its type"
            )


def is_number(kind: pa.DataType) -> bool:
    """True for integers, floats and decimals."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _joined(join: Any, terms: list[pc.Expression]) -> pc.Expression:
    joined = terms[0]
    for term in terms[1:]:
        joined = join(joined, term)
    return joined


def box_condition(sides: tuple[pc.Expression, ...], box: Bounds, *, longitudes: bool = True) -> pc.Expression:
    """Rows whose box may meet `box`: exact tests come later, this is what a scan can leave out by statistics.

    Args:
        sides: west, south, east and north of the rows.
        box: (west, south, east, north), east > west.
        longitudes: False: x are no longitudes, and count in no turns.
    """
    west, south, east, north = sides
    limits = longitude_limits(box[0], box[2]) if longitudes else [(box[2], box[0])]
    near = [pc.and_kleene(west <= last, east >= first) for last, first in limits]
    across = _joined(pc.or_kleene, [*near, west > east])
    missing = pc.or_kleene(west.is_null(), pc.or_kleene(south.is_null(), pc.or_kleene(east.is_null(), north.is_null())))
    fits = pc.and_kleene(pc.and_kleene(south <= box[3], north >= box[1]), across)
    return pc.or_kleene(missing, fits)  # a row without a box may have a geometry


def date_condition(name: str, kind: pa.DataType, dates: DateRange, *, keep_null: bool) -> pc.Expression | None:
    """Rows whose datetime may lie in the range; None where the type cannot be compared in a scan.

    Args:
        name: of the column.
        kind: its type: timestamps and dates as they are, integers as years.
        dates: the range.
        keep_null: True: rows without a value stay, for another column may hold their time.
    """
    field = pc.field(name)
    ends: list[Any]
    if pa.types.is_integer(kind):
        ends = [None if end is None else end.year for end in (dates.start, dates.end)]
    elif pa.types.is_date(kind):
        field = field.cast(pa.date32())
        ends = [None if end is None else pa.scalar(end.date(), pa.date32()) for end in (dates.start, dates.end)]
    elif pa.types.is_timestamp(kind):
        zone = UTC if kind.tz else None
        ends = [
            None if end is None else pa.scalar(end.replace(tzinfo=zone), pa.timestamp("us", tz=kind.tz))
            for end in (dates.start, dates.end)
        ]
    else:
        return None
    terms = [
        test(field, end) for test, end in zip((pc.greater_equal, pc.less_equal), ends, strict=True) if end is not None
    ]
    if not terms:
        return None
    condition = _joined(pc.and_kleene, terms)
    return pc.or_kleene(field.is_null(), condition) if keep_null else condition
