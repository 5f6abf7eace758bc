"""Makes directory names of collection names, in rasteret's form: `{custom}_{dates}_{source}_stac`."""

from __future__ import annotations

import re
from typing import Literal

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.scenes.dates import DateRange

STAC_SUFFIX = "_stac"
RECORDS_SUFFIX = "_records"
_LONGEST_PART = 80


def require_name(name: object) -> str:
    """The name if a collection can have it: any text that is not blank.

    Raises:
        InvalidArgumentError: it is something else, or holds a NUL, at which SQL text ends.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InvalidArgumentError(f"name is what to call the collection, such as 'bay', not {name!r}")
    return name


def slug(text: str, empty: str) -> str:
    """Lower case a-z, 0-9 and `-`; so different texts may give one slug."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9-]+", "-", text.lower()))[:_LONGEST_PART].strip("-") or empty


def directory_name(
    name: str, dates: DateRange | None, source: str, digest: str, kind: Literal["stac", "records"] = "stac"
) -> str:
    """Directory of a build.

    Args:
        name: The user's own name.
        dates: Of the search; left out where an end is open.
        source: Dataset or STAC collection id.
        digest: Of all that shapes the build, so that no two builds share a directory. It stands within the third
            part, since rasteret splits the name at `_` into three.
        kind: What the scenes come from, which the suffix says.
    """
    parts = [slug(name, "collection"), f"{slug(source, 'source')}-{digest}"]
    if dates is not None and dates.start is not None and dates.end is not None:
        start, end = dates.start, dates.end
        year = "" if start.year == end.year else f"{end.year:04d}"
        parts.insert(1, f"{start.year:04d}{start.month:02d}-{year}{end.month:02d}")
    return "_".join(parts) + (STAC_SUFFIX if kind == "stac" else RECORDS_SUFFIX)


def plain_name(directory: str) -> str:
    """A directory's name without the suffix that marks a collection."""
    for suffix in (STAC_SUFFIX, RECORDS_SUFFIX):
        if directory.endswith(suffix):
            return directory.removesuffix(suffix)
    return directory
