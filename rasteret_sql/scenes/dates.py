"""Reads times of items and of searches: RFC 3339 texts to naive UTC, and a closed range of dates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.instant import parse_instant

__all__ = ["DateLike", "DateRange", "parse_date_range", "parse_instant"]

DateLike = str | date | datetime | None

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - naive UTC throughout
_RANGE_FORM = "a pair of ISO dates such as ('2024-01-01', '2024-01-31'), both days included"


@dataclass(frozen=True, slots=True)
class DateRange:
    """A closed interval of instants, naive UTC; None leaves an end open."""

    start: datetime | None
    end: datetime | None

    def overlaps(self, first: datetime, last: datetime) -> bool:
        """True where the closed interval first..last has an instant in common with this one."""
        return (self.start is None or last >= self.start) and (self.end is None or first <= self.end)

    def interval(self) -> str:
        """The interval as RFC 3339 has it: `2024-01-01T00:00:00Z/2024-01-31T23:59:59.999999Z`."""
        return "/".join(".." if at is None else f"{at.isoformat()}Z" for at in (self.start, self.end))

    def whole_seconds(self) -> DateRange:
        """The interval with its ends at whole seconds, outwards: not all servers read fractions."""
        start, end = self.start, self.end
        if start is not None:
            start = start.replace(microsecond=0)
        if end is not None and end.microsecond:
            end = end.replace(microsecond=0)
            end = end + timedelta(seconds=1) if end < _LAST_SECOND else end
        return DateRange(start, end)


def parse_date_range(value: Sequence[DateLike] | str | None) -> DateRange | None:
    """Read (start, end), `'start/end'` or one date; an end given as a day, month or year includes all of it.

    Raises:
        InvalidArgumentError: Not two dates, unparsable, or start after end.
    """
    if value is None:
        return None
    ends: Sequence[Any] = value.split("/") if isinstance(value, str) else value
    if isinstance(value, str) and len(ends) == 1:
        ends = (value, value)
    if not isinstance(ends, Sequence) or len(ends) != 2:
        raise InvalidArgumentError(f"date_range {value!r} has to be {_RANGE_FORM}")
    start, end = _edge(ends[0], value)[0], _edge(ends[1], value)[1]
    if start is None and end is None:
        return None
    if start is not None and end is not None and start > end:
        raise InvalidArgumentError(f"date_range {value!r} starts after it ends; give it as (start, end)")
    return DateRange(start, end)


def _edge(value: Any, whole: object) -> tuple[datetime | None, datetime | None]:
    """First and last instant that a date names; both None for an open end."""
    if value is None or (isinstance(value, str) and value.strip() in ("", "..")):
        return None, None
    if isinstance(value, datetime):
        at = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        return at, at
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, str):
        try:
            return _text_edge(value.strip())
        except ValueError:
            pass
    raise InvalidArgumentError(f"date_range {whole!r}: {value!r} is not an ISO date; expected {_RANGE_FORM}")


def _text_edge(text: str) -> tuple[datetime, datetime]:
    """First and last instant of `2024`, `2024-05`, `2024-05-17` or a date-time."""
    match = _DATE.fullmatch(text)
    if match is None:
        at = parse_instant(text)
        return at, at
    year, month, day = (int(part) if part else None for part in match.groups())
    assert year is not None
    first = datetime(year, month or 1, day or 1)  # noqa: DTZ001 - naive UTC throughout
    if day:
        after = first.date() + timedelta(days=1) if first.date() < date.max else None
    elif month:
        after = None if (year, month) == (9999, 12) else date(year + month // 12, month % 12 + 1, 1)
    else:
        after = date(year + 1, 1, 1) if year < 9999 else None
    if after is None:  # 9999 stands for "no end" in many places
        return first, datetime.max  # noqa: DTZ901
    return first, datetime.combine(after, time()) - timedelta(microseconds=1)
