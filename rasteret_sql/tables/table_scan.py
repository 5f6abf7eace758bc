"""Reads the rows of a table that a build needs, and leaves out row groups by their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.errors import InterruptedQueryError, RasteretError, TableError
from rasteret_sql.geo.crs import LONLAT, same_crs
from rasteret_sql.geo.geoarrow import box_keys, side_columns
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import box_in
from rasteret_sql.scenes.dates import DateRange
from rasteret_sql.tables.arrow_filter import box_condition, date_condition
from rasteret_sql.tables.columns import Layout, geo_metadata
from rasteret_sql.tables.footprints import (
    Footprints,
    bbox_column,
    column_crs,
    read_footprints,
)
from rasteret_sql.tables.values import Unread

_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a table's rows, as it says it."""

    geometry: pa.Field | None
    crs: str
    """Of the geometry."""
    bbox: pa.Field | None
    """In the geometry's CRS."""
    sides: tuple[str, str, str, str] | None
    """Columns in lon/lat."""

    def footprints(self, table: pa.Table) -> Footprints:
        """Footprints of the rows.

        Raises:
            InvalidCrsError, TableError: as `read_footprints`.
        """
        box, unread = None, Unread()
        if self.sides is not None:
            box = side_columns([table.column(name) for name in self.sides])
        elif self.bbox is not None:
            box = bbox_column(self.bbox, table.column(self.bbox.name), unread)
        geometry = None if self.geometry is None else (self.geometry, table.column(self.geometry.name))
        return read_footprints(geometry, self.crs, box, len(table), unread)


def place_of(schema: pa.Schema, layout: Layout) -> Place:
    """Find what a table says of its rows' places."""
    geometry, bbox = layout.part("geometry"), layout.part("bbox")
    return Place(
        geometry=None if geometry is None else schema.field(geometry),
        crs=LONLAT if geometry is None else column_crs(schema.field(geometry), geo_metadata(schema)),
        bbox=None if bbox is None else schema.field(bbox),
        sides=layout.sides,
    )


def narrowed(
    condition: pc.Expression | None,
    schema: pa.Schema,
    layout: Layout,
    place: Place,
    *,
    area: Bounds | None,
    dates: DateRange | None,
) -> pc.Expression | None:
    """The caller's condition with all that the area and the dates rule out by a look at single columns.

    Rows that fit it may still miss the area: footprints are looked at later.
    """
    terms = [] if condition is None else [condition]
    if area is not None and (box := _box_term(schema, place, area)) is not None:
        terms.append(box)
    name = layout.part("datetime")
    if dates is not None and name is not None:
        keep_null = layout.part("start_datetime") is not None
        when = date_condition(name, schema.field(name).type, dates, keep_null=keep_null)
        if when is not None:
            terms.append(when)
    joined = None
    for term in terms:
        joined = term if joined is None else pc.and_kleene(joined, term)
    return joined


def _box_term(schema: pa.Schema, place: Place, area: Bounds) -> pc.Expression | None:
    if place.sides is not None:
        sides = [pc.field(name) for name in place.sides]
        return box_condition(tuple(sides), area)
    keys = box_keys(place.bbox.type) if place.bbox is not None else None
    if place.bbox is not None and keys is not None:
        paths: list[tuple[str, ...]] | None = [(place.bbox.name, key) for key in keys]
    else:
        paths = None if place.geometry is None else geo_metadata(schema).covering(place.geometry.name)
    if paths is None or not all(path[0] in schema.names for path in paths):
        return None
    columns = tuple(pc.field(*path) for path in paths)
    if same_crs(place.crs, LONLAT):
        return box_condition(columns, area)
    moved = box_in(area, place.crs)
    return None if moved is None else box_condition(columns, moved, longitudes=False)


def read_rows(
    dataset: pads.Dataset,
    columns: Sequence[str],
    condition: pc.Expression | None,
    tell: Progress,
    cancelled: Cancelled | None,
) -> pa.Table:
    """Read the rows that fit; row groups whose statistics rule them out are not read.

    Raises:
        TableError: the condition does not suit the table, or the table is broken.
        InterruptedQueryError: `cancelled` said so.
    """
    batches, done = [], 0
    try:
        scanner = dataset.scanner(columns=list(columns), filter=condition, batch_size=_BATCH_ROWS)
        for batch in scanner.to_batches():
            if cancelled is not None and cancelled():
                raise InterruptedQueryError("the build was interrupted while it read its table")
            if batch.num_rows:
                batches.append(batch)
                done += batch.num_rows
                tell(done, None, "items")
    except RasteretError:
        raise
    except (pa.ArrowException, KeyError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        if condition is None:
            raise TableError(f"its rows cannot be read: {first}") from error
        known = ", ".join(dataset.schema.names[:40])
        raise TableError(f"its rows cannot be read with filter_expr {condition}: {first}. It has {known}") from error
    tell(done, done, "items")
    table = pa.Table.from_batches(batches, scanner.projected_schema)
    for position, column in enumerate(table.columns):
        plain = plain_layout(column)
        if plain is not column:
            table = table.set_column(position, table.column_names[position], plain)
    return table


def plain_layout(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without views and extensions, which not all of Arrow can work with; UUIDs as text."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.chunked_array([pa.array([value and str(value) for value in column.to_pylist()], pa.string())])
        return plain_layout(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column.cast(pa.binary()) if pa.types.is_binary_view(kind) else column
