"""Describes a collection, as facts to look up and as a table to look at."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import whole_turn
from rasteret_sql.index.read.scene_scan import column
from rasteret_sql.scenes.dates import parse_date_range
from rasteret_sql.selection.selection import Selection

Row = tuple[str, str]
"""What, and what it is."""


class DescribeResult:
    """Facts, which print as a table.

    Args:
        rows: what is shown.
        title: above it.
        data: the facts as values.
    """

    def __init__(self, rows: list[Row], title: str, data: dict[str, Any]) -> None:
        self._rows = rows
        self._title = title
        self._data = data

    @property
    def data(self) -> dict[str, Any]:
        """The facts as values, a copy."""
        return dict(self._data)

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __repr__(self) -> str:
        width = max(len(what) for what, _ in self._rows)
        return "\n".join([self._title, *(f"  {what.ljust(width)}  {value}" for what, value in self._rows)])

    def _repr_html_(self) -> str:
        return html_table(self._title, self._rows)


def html_table(title: str, rows: Sequence[Row]) -> str:
    """A table for notebooks."""
    lines = "".join(
        f'<tr><th style="text-align:left">{html.escape(what)}</th>'
        f'<td style="text-align:left">{html.escape(value)}</td></tr>'
        for what, value in rows
    )
    return f"<table><caption>{html.escape(title)}</caption>{lines}</table>"


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of scenes together."""

    name: str
    records: int
    bands: list[str]
    bounds: Bounds | None
    crs: list[str]
    dates: tuple[str, str] | None
    """ISO days of the first and the last scene."""
    source: str

    def rows(self) -> list[Row]:
        """As shown."""
        return [
            ("name", self.name),
            ("source", self.source or "unknown"),
            ("records", f"{self.records:,}"),
            ("bands", shown_bands(self.bands)),
            ("dates", " to ".join(self.dates) if self.dates else "none"),
            ("bounds", "none" if self.bounds is None else ", ".join(f"{side:.6g}" for side in self.bounds)),
            ("crs", ", ".join(self.crs) or "none"),
        ]

    def data(self) -> dict[str, Any]:
        """As values."""
        return {
            "name": self.name,
            "records": self.records,
            "bands": self.bands,
            "bounds": self.bounds,
            "crs": self.crs,
            "dates": self.dates,
            "source": self.source,
        }


def shown_bands(bands: Sequence[str], limit: int = 12) -> str:
    """Their number and the first names."""
    names = ", ".join(bands[:limit]) + (", …" if len(bands) > limit else "")
    return f"{len(bands)}: {names}" if bands else "0"


def bounds_of(selection: Selection) -> Bounds | None:
    """Lon/lat box that holds all scenes; the whole turn where one crosses the antimeridian. None without scenes."""
    west, south, east, north, turned = selection.one(
        "min(bbox.xmin)", "min(bbox.ymin)", "max(bbox.xmax)", "max(bbox.ymax)", "bool_or(bbox.xmin > bbox.xmax)"
    )
    if west is None or south is None or east is None or north is None:
        return None
    return whole_turn(south, north) if turned else (west, south, east, north)


def epsg_of(selection: Selection) -> list[int]:
    """EPSG codes of the scenes' images, sorted."""
    if "proj:epsg" in selection.index.scene_columns:
        return sorted(int(code) for code in selection.values("proj:epsg", distinct=True) if code is not None)
    if "crs" in selection.index.scene_columns:
        texts = [str(text) for text in selection.values("crs", distinct=True) if text is not None]
        return sorted(int(text[5:]) for text in texts if text.startswith("EPSG:") and text[5:].isdecimal())
    return []


def dates_of(selection: Selection) -> tuple[datetime, datetime] | None:
    """Naive UTC of the first and the last scene; None where none has a time."""
    zone = getattr(selection.index.schema.field("datetime").type, "tz", None)
    when = "datetime"
    if zone:
        # Without a detour through the time zone of the machine.
        when = "make_timestamp(epoch_us(datetime))"
    first, last = selection.one(f"min({when})", f"max({when})")
    return None if first is None else (first, last)


def source_of(selection: Selection) -> str:
    """The source of the scenes: as the index says, else their STAC collection, else nothing."""
    if selection.index.data_source or "collection" not in selection.index.scene_columns:
        return selection.index.data_source
    name = column("collection").sql("duckdb")
    found = selection.one(f"any_value({name}) FILTER ({name} <> '')")[0]
    return "" if found is None else str(found)


def asked_dates(selection: Selection) -> tuple[datetime | None, datetime | None]:
    """Start and end that the build asked for; of a part of the scenes, or where it did not say, those of the scenes."""
    stated = selection.index.date_range
    if stated is not None and selection.is_whole:
        dates = parse_date_range(stated)
        if dates is not None:
            return dates.start, dates.end
    return dates_of(selection) or (None, None)


def facts_of(selection: Selection) -> Facts:
    """All facts, by a few queries."""
    dates = dates_of(selection)
    return Facts(
        name=selection.index.name,
        records=selection.count(),
        bands=list(selection.index.bands),
        bounds=bounds_of(selection),
        crs=[f"EPSG:{code}" for code in epsg_of(selection)],
        dates=None if dates is None else (dates[0].date().isoformat(), dates[1].date().isoformat()),
        source=source_of(selection),
    )


def compare(facts: Facts) -> DescribeResult:
    """A collection beside the dataset that it was built of.

    Raises:
        InvalidArgumentError: no dataset of that source is registered.
    """
    found = DatasetRegistry.get(facts.source) if facts.source else None
    if found is None:
        raise InvalidArgumentError(
            f'collection "{facts.name}" cannot be compared: no dataset "{facts.source}" is registered; register one '
            "of that id, or see DatasetRegistry.list()"
        )
    return DescribeResult(_compared(facts, found), f"{facts.name} and {found.id}", _comparison(facts, found))


def _dataset_bands(descriptor: DatasetDescriptor) -> list[str]:
    return list(descriptor.band_map or descriptor.band_index_map or {})


def _comparison(facts: Facts, found: DatasetDescriptor) -> dict[str, Any]:
    bands = _dataset_bands(found)
    return {
        **facts.data(),
        "catalog": {
            "id": found.id,
            "name": found.name,
            "bands": bands,
            "temporal_range": found.temporal_range,
            "spatial_coverage": found.spatial_coverage,
            "requires_auth": found.requires_auth,
            "license": found.license,
        },
        "missing_bands": [band for band in bands if band not in facts.bands],
        "extra_bands": [band for band in facts.bands if band not in bands] if bands else [],
    }


def _compared(facts: Facts, found: DatasetDescriptor) -> list[Row]:
    bands = _dataset_bands(found)
    of = found.temporal_range
    missing = [band for band in bands if band not in facts.bands]
    return [
        ("dataset", f"{found.id} ({found.name})"),
        ("records", f"{facts.records:,}"),
        (
            "bands",
            f"{len(facts.bands)} of {len(bands) or '?'}" + (f", without {', '.join(missing)}" if missing else ""),
        ),
        ("dates", f"{' to '.join(facts.dates) if facts.dates else 'none'} of {' to '.join(of) if of else 'unknown'}"),
        ("bounds", dict(facts.rows())["bounds"]),
        ("coverage", found.spatial_coverage or "unknown"),
        ("sign-in", "required" if found.requires_auth else "none"),
        ("license", found.license or "unknown"),
    ]
