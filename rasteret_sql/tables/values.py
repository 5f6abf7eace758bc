"""Reads ids, times and codes of a table's rows, out of the types that tables have them in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import InvalidCrsError, TableError
from rasteret_sql.geo.crs import normalize_crs
from rasteret_sql.geo.geoarrow import is_text
from rasteret_sql.scenes.dates import parse_instant
from rasteret_sql.stac.unreadable_values import shown

_TIMES = "timestamps, dates, ISO 8601 texts, or integers that are years"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC throughout
_MICROSECONDS = {"D": 86_400_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Thousandths of one in each unit of Arrow."""
_UNITS = {"D": "days", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def scene_ids(name: str, column: pa.ChunkedArray) -> list[str]:
    """Ids as text.

    Raises:
        TableError: one is null or empty, or the column has no type for ids.
    """
    kind = column.type
    if not (is_text(kind) or pa.types.is_integer(kind)):
        raise TableError(f'the id column "{name}" is of type {kind}; expected text or integers')
    ids = [None if value is None else str(value) for value in column.to_pylist()]
    for row, one in enumerate(ids, 1):
        if not one:
            what = "null" if one is None else "empty"
            raise TableError(
                f'row {row} of those read has no id: "{name}" is {what} there; leave such rows out with '
                f"""filter_expr := '"{name}" IS NOT NULL'"""
            )
    return [str(one) for one in ids]


Unread = dict[int, str]
"""Row → why its value could not be read, so that it is NULL."""


def instants(name: str, column: pa.ChunkedArray, unread: Unread) -> list[datetime | None]:
    """Datetimes, naive UTC; an integer is a year and stands for its first day.

    Args:
        name: of the column.
        column: of the table.
        unread: gets the rows whose value is no time.

    Raises:
        TableError: the column is of another type; integers of which none is a year are of another one, too.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _of_timestamps(column, unread)
    if pa.types.is_integer(kind):
        values = column.to_pylist()
        given = [value for value in values if value is not None]
        if given and not any(1 <= value <= 9999 for value in given):
            raise TableError(
                f'the datetime column "{name}" holds integers, which are years, but none of those read is one, such '
                f"as {given[0]}; expected {_TIMES}"
            )
        return [_year(row, value, unread) for row, value in enumerate(values)]
    if is_text(kind):
        return [_text(row, value, unread) for row, value in enumerate(column.to_pylist())]
    if pa.types.is_null(kind):
        return [None] * len(column)
    raise TableError(f'the datetime column "{name}" is of type {kind}; expected {_TIMES}')


def _of_timestamps(column: pa.ChunkedArray, unread: Unread) -> list[datetime | None]:
    """Cut to microseconds; a zone is only how Arrow shows an instant."""
    try:
        naive = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False)
        return list(naive.cast(pa.timestamp("us")).to_pylist())
    except (pa.ArrowInvalid, ValueError, OverflowError):
        return [_counted(row, value, column.type, unread) for row, value in enumerate(_counts(column))]


def _counts(column: pa.ChunkedArray) -> list[int | None]:
    """Units of time since 1970."""
    width = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
    return [value for chunk in column.chunks for value in chunk.view(width).to_pylist()]


def _counted(row: int, value: int | None, kind: pa.DataType, unread: Unread) -> datetime | None:
    if value is None:
        return None
    unit = "D" if pa.types.is_date32(kind) else getattr(kind, "unit", "ms")
    try:
        return _EPOCH + timedelta(microseconds=value * _MICROSECONDS[unit] // 1000)
    except OverflowError:
        unread[row] = f"{value} {_UNITS[unit]} since 1970 are beyond the calendar"
        return None


def in_calendar(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Unread]:
    """A column of times with NULL for those that Python and DuckDB have no date for, and these; others as they are."""
    unread: Unread = {}
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        _of_timestamps(column, unread)
    if not unread:
        return column, unread
    lost = np.zeros(len(column), dtype=bool)
    lost[list(unread)] = True
    return pc.if_else(pa.array(lost), pa.scalar(None, column.type), column), unread


def _year(row: int, value: int | None, unread: Unread) -> datetime | None:
    if value is None:
        return None
    if not 1 <= value <= 9999:
        unread[row] = f"{shown(value)} is no year"
        return None
    return datetime(value, 1, 1)  # noqa: DTZ001 - naive UTC throughout


def _text(row: int, value: str | None, unread: Unread) -> datetime | None:
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) == 4:
        return _year(row, int(text), unread)
    try:
        return parse_instant(text)
    except ValueError as error:
        beyond = isinstance(error.__cause__, OverflowError)
        unread[row] = f"{shown(value)} is {'beyond the calendar in UTC' if beyond else 'no time'}"
        return None


def last_instants(column: pa.ChunkedArray, first: Sequence[datetime | None]) -> list[datetime | None]:
    """Last instant of each row's time: a year and a day last to their end, all else is a moment."""
    kind = column.type
    if pa.types.is_integer(kind):
        return [at and datetime(at.year, 12, 31, 23, 59, 59, 999_999) for at in first]  # noqa: DTZ001
    if pa.types.is_date(kind):
        return [at and at.replace(hour=23, minute=59, second=59, microsecond=999_999) for at in first]
    if is_text(kind):
        texts = column.to_pylist()
        return [
            at and (datetime(at.year, 12, 31, 23, 59, 59, 999_999) if len(text.strip()) == 4 else at)  # noqa: DTZ001
            for at, text in zip(first, texts, strict=True)
        ]
    return list(first)


def epsg_codes(column: pa.ChunkedArray) -> tuple[list[int | None], list[int]]:
    """EPSG codes of numbers, or of texts such as `EPSG:32632`, `32632` or WKT.

    Returns:
        The codes, None where there is none; and the rows whose value is a CRS without a code, or none at all.
    """
    if not (is_text(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return [None] * len(column), [row for row, value in enumerate(column.to_pylist()) if value is not None]
    encoded = pc.dictionary_encode(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    encoded = encoded if isinstance(encoded, pa.Array) else encoded.combine_chunks()
    codes = [_code(value) for value in encoded.dictionary.to_pylist()]
    values = encoded.indices.to_pylist()
    given = [None if at is None else codes[at] for at in values]
    lost = [row for row, at in enumerate(values) if at is not None and codes[at] is None]
    return given, lost


def _code(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 < value < 2**31 else None
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        crs = normalize_crs(value)
    except InvalidCrsError:
        return None
    return int(crs[5:]) if crs.startswith("EPSG:") else None


def updated_at(column: pa.ChunkedArray | None, count: int) -> list[datetime]:
    """The time of each row's last change; the beginning of time where it does not say."""
    if column is None:
        return [datetime.min] * count  # noqa: DTZ901
    try:
        return [at or datetime.min for at in instants("updated", column, {})]  # noqa: DTZ901
    except TableError:
        return [datetime.min] * count  # noqa: DTZ901
