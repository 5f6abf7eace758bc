"""Makes and reads names of built collections as rasteret does: `{custom}_{dates}_{source}`."""

from __future__ import annotations

from collections.abc import Sequence

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.directory_names import plain_name, slug
from rasteret_sql.scenes.dates import DateLike, parse_date_range

_SHORT = {"sentinel-2-l2a": "sentinel", "landsat-c2-l2": "landsat"}
"""STAC collections that rasteret abbreviates."""


def create_name(custom_name: str, date_range: Sequence[DateLike] | str, data_source: str) -> str:
    """`bay-area_202401-03_earthsearch-sentinel-2-l2a`, of a name, the months of a time, and a source.

    Raises:
        InvalidArgumentError: the dates are not two, or cannot be read.
    """
    dates = parse_date_range(date_range)
    if dates is None or dates.start is None or dates.end is None:
        raise InvalidArgumentError(f"date_range {date_range!r} has to be a pair of ISO dates, both given")
    start, end = dates.start, dates.end
    year = "" if start.year == end.year else f"{end.year:04d}"
    months = f"{start.year:04d}{start.month:02d}-{year}{end.month:02d}"
    return f"{slug(custom_name, 'collection')}_{months}_{_SHORT.get(data_source) or slug(data_source, 'source')}"


def parse_name(name: str) -> dict[str, str | None]:
    """The parts of a name: custom_name, data_source and name; a name of another form is its own custom_name."""
    parts = plain_name(name).split("_")
    if len(parts) != 3:
        return {"custom_name": name, "data_source": None, "name": name}
    return {"custom_name": parts[0], "data_source": parts[2], "name": name}
