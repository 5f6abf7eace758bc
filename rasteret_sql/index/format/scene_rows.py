"""Makes the Arrow tables of an index from scenes, in the order in which they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.index.format.band_encode import BandRecord, encode_headers
from rasteret_sql.index.format.property_columns import property_columns
from rasteret_sql.index.format.scene_status import Problem, problems_column, status_text
from rasteret_sql.scenes.scene import SceneItem
from rasteret_sql.schema import (
    ASSET_TYPE,
    BBOX_TYPE,
    CORE_FIELDS,
    assets_type,
    header_column,
    metadata_column,
)


@dataclass(frozen=True, slots=True)
class SceneRow:
    """A scene with what was read of its files."""

    item: SceneItem
    bands: dict[str, BandRecord] = field(default_factory=dict)
    """Band → parsed header."""
    problems: dict[str, str] = field(default_factory=dict)
    """Band → why its file could not be read."""
    notes: list[str] = field(default_factory=list)
    """Files beside those of its bands that do not count, and why."""

    @property
    def said_problems(self) -> list[Problem]:
        """All that could not be read: bands first, then columns."""
        return [*self.problems.items(), *self.item.unread.items()]

    @property
    def crs(self) -> str | None:
        """CRS of the pixels: what the files say where they agree, else what the item says."""
        found = {record.header.crs for record in self.bands.values()} - {None}
        if len(found) == 1:
            return found.pop()
        return None if self.item.epsg is None else f"EPSG:{self.item.epsg}"


def scene_batches(
    rows: Sequence[SceneRow],
    bands: Sequence[str],
    batch_rows: int,
    columns: pa.Table | None = None,
    like: pa.Schema | None = None,
) -> Iterator[tuple[tuple[int, int] | None, pa.Table, pa.Table]]:
    """Give the scenes ordered by month, datetime and id, in tables of one month and at most `batch_rows` rows.

    All tables have the same schema: types are settled over all scenes first.

    Args:
        rows: The scenes.
        bands: Of the collection.
        batch_rows: Most rows of a table.
        columns: Typed columns of the scenes, where they do not stand in their properties.
        like: Columns that the collection has already: the same order, and types where the values fit.

    Yields:
        ((year, month) or None for scenes without datetime, scenes, their `problems` and `{band}_header` columns).
    """
    _check_bands(bands)
    plain = _alike(_plain_columns(rows, bands, columns), like)
    order = pc.sort_indices(plain, [("datetime", "ascending"), ("id", "ascending")]).to_pylist()
    start = 0
    while start < len(order):
        key = _month(rows[order[start]])
        end = start + 1
        while end < len(order) and end - start < batch_rows and _month(rows[order[end]]) == key:
            end += 1
        part = order[start:end]
        yield key, plain.take(pa.array(part)), _headers([rows[at] for at in part], bands)
        start = end


def _alike(table: pa.Table, like: pa.Schema | None) -> pa.Table:
    if like is None:
        return table
    columns: dict[str, pa.ChunkedArray] = {}
    for column in like:
        if column.name not in table.column_names:
            columns[column.name] = pa.nulls(table.num_rows, column.type)
            continue
        values = table[column.name]
        try:
            columns[column.name] = values.cast(column.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            columns[column.name] = values  # of another type in these files; a scan takes what holds both
    more = {name: table[name] for name in table.column_names if name not in columns}
    return pa.table(columns | more)


def _month(row: SceneRow) -> tuple[int, int] | None:
    when = row.item.datetime
    return None if when is None else (when.year, when.month)


def _check_bands(bands: Sequence[str]) -> None:
    """DuckDB reads names without regard to case, and a Parquet struct needs a child."""
    seen: dict[str, str] = {}
    for band in bands:
        twin = seen.setdefault(band.lower(), band)
        if twin is not band or not band:
            msg = (
                f'"{twin}" and "{band}" cannot both be bands: SQL does not tell upper from lower case.'
                " Name one STAC collection, or rename a band with band_map"
                if band
                else "a band needs a name; give it one with band_map"
            )
            raise InvalidArgumentError(msg)
    if not bands:
        msg = "a collection needs at least one band, and none was found. Name bands and their assets with band_map"
        raise InvalidArgumentError(msg)


def _plain_columns(rows: Sequence[SceneRow], bands: Sequence[str], typed: pa.Table | None) -> pa.Table:
    items = [row.item for row in rows]
    crs = [row.crs for row in rows]
    values = {
        "id": [item.id for item in items],
        "datetime": [item.datetime for item in items],
        "geometry": [item.geometry for item in items],
        "bbox": [_bbox(item.bbox) for item in items],
        "collection": [item.collection for item in items],
        "proj:epsg": [_epsg(text) for text in crs],
        "crs": crs,
        "status": [status_text(row.said_problems) for row in rows],
    }
    columns = {field.name: pa.array(values[field.name], field.type) for field in CORE_FIELDS}
    columns["assets"] = _assets(items, bands)
    if typed is not None:
        return pa.table(columns | dict(zip(typed.column_names, typed.columns, strict=True)))
    taken = [name for band in bands for name in (metadata_column(band), header_column(band))]
    return pa.table(columns | property_columns([item.properties for item in items], taken))


def _bbox(bounds: Bounds | None) -> dict[str, float] | None:
    return None if bounds is None else dict(zip((f.name for f in BBOX_TYPE), bounds, strict=True))


def _epsg(crs: str | None) -> int | None:
    code = crs[5:] if crs and crs.startswith("EPSG:") else ""
    return int(code) if code.isdigit() else None


def _assets(items: Sequence[SceneItem], bands: Sequence[str]) -> pa.StructArray:
    children = []
    for band in bands:
        assets = [item.bands.get(band) for item in items]
        values = [None if a is None else {"href": a.href, "band_index": a.band_index or 0} for a in assets]
        children.append(pa.array(values, ASSET_TYPE))
    return pa.StructArray.from_arrays(children, fields=list(assets_type(tuple(bands))))


def _headers(rows: Sequence[SceneRow], bands: Sequence[str]) -> pa.Table:
    problems = {"problems": problems_column(row.said_problems for row in rows)}
    headers = {header_column(band): encode_headers([row.bands.get(band) for row in rows]) for band in bands}
    return pa.table(problems | headers)
