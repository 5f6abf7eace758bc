"""Reads points in time from texts, as naive UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_instant(text: str) -> datetime:
    """RFC 3339 (or ISO without a zone, read as UTC) to naive UTC; finer than microseconds is cut off.

    Raises:
        ValueError: The text is no date-time.
    """
    # RFC 3339 allows lower case letters, Python's parser does not.
    at = datetime.fromisoformat(text.strip().upper())
    try:
        return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"{text} is beyond the calendar in UTC") from error


def as_instant(text: str) -> datetime | None:
    """The instant that a text is; None where it is another text."""
    # "2018" and "20180405" parse as dates too, but are more often codes: only texts with dashes count as time.
    if len(text) < 10 or text[4:5] != "-" or text[7:8] != "-":
        return None
    try:
        return parse_instant(text)
    except ValueError:
        return None


def rfc_3339(at: datetime) -> str:
    """`2024-01-31T12:00:00Z` of a naive UTC datetime, with a fraction where it has one."""
    return f"{at.isoformat()}Z"
