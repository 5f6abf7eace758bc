"""Makes a table of scenes the source of a build."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.errors import InterruptedQueryError, InvalidArgumentError, TableError
from rasteret_sql.expr.render import to_sql
from rasteret_sql.expr.tree import Node
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import box_of_row, parse_bbox
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.redact import known_by, plain_address
from rasteret_sql.scenes.dates import DateLike, DateRange, parse_date_range
from rasteret_sql.scenes.projection_fields import NO_PLACE, PLACE_FIELDS, SaidPlace, epsg_of, said_place
from rasteret_sql.scenes.scene import BandAsset, SceneItem
from rasteret_sql.scenes.source import FoundScenes
from rasteret_sql.stac.hrefs import rewrite
from rasteret_sql.stac.item_band import PROPERTIES, with_offset_of_item
from rasteret_sql.stac.unreadable_values import shown
from rasteret_sql.tables.arrow_filter import arrow_condition
from rasteret_sql.tables.assets import Addresses, BandChoice, TableBands, bands_of_assets, bands_of_hrefs
from rasteret_sql.tables.columns import Layout, Mapped, lay_out
from rasteret_sql.tables.open_table import as_given, fingerprint, open_table
from rasteret_sql.tables.table_scan import Place, narrowed, place_of, read_rows
from rasteret_sql.tables.user_columns import kept_columns
from rasteret_sql.tables.values import Unread, epsg_codes, in_calendar, instants, last_instants, scene_ids, updated_at


@dataclass(frozen=True, slots=True, eq=False)
class TableSource:
    """Scenes of the rows of a table. Arguments are checked when it is made; the table itself when it is read."""

    table: Any
    """Path or URI of Parquet, or Arrow data; a stream is read at once."""
    mapped: Mapped = field(default_factory=Mapped)
    bands: BandChoice = field(default_factory=BandChoice)
    bbox: Bounds | Sequence[float] | str | None = None
    """(west, south, east, north) in lon/lat: rows whose footprint meets it."""
    date_range: Sequence[DateLike] | str | None = None
    """(start, end): rows whose time overlaps it; the end day is included, and a year lasts until its end."""
    filter_expr: pc.Expression | str | Node | None = None
    """An Arrow expression or an SQL condition over the table's own columns."""
    url_patterns: Mapping[str, str] = field(default_factory=dict)
    """Prefix → what replaces it, for hrefs and for the table's own address."""
    backend: StorageBackend | None = field(default=None, repr=False)
    """Who reads the table where it is a URL."""
    filesystem: Any = field(default=None, repr=False)
    """Of pyarrow or fsspec, in place of a backend."""
    label: str = ""
    """What to call a table in memory in messages."""
    dates: DateRange | None = field(init=False, default=None)
    content: Any = field(init=False, default=None, repr=False)
    """What changes when the table does."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.filter_expr is not None and not isinstance(self.filter_expr, str | pc.Expression | Node):
            raise InvalidArgumentError(
                "filter_expr is an Arrow expression such as ds.field('eo:cloud_cover') < 20, or an SQL condition as "
                f"text, not {self.filter_expr!r}"
            )
        put(self, "bbox", parse_bbox(self.bbox))
        put(self, "dates", parse_date_range(self.date_range))
        table = as_given(self.table)
        put(self, "table", rewrite(table, self.url_patterns) if isinstance(table, str) else table)
        put(self, "content", None if self.filesystem is not None else fingerprint(self.table))

    @property
    def kind(self) -> Literal["records"]:
        return "records"

    @property
    def key(self) -> str:
        return ""

    @property
    def area(self) -> Bounds | None:
        """The checked bbox."""
        return self.bbox  # type: ignore[return-value]  # __post_init__ made it Bounds

    def identity(self, *, secrets: bool = False) -> dict[str, Any]:
        address = self.table if isinstance(self.table, str) else None
        mapped, bands = self.mapped, self.bands
        return {
            "kind": self.kind,
            "table": address and (known_by(address) if secrets else safe_address(address)),
            "content": self.content,
            "filesystem": None if self.filesystem is None else type(self.filesystem).__name__,
            "column_map": _pairs(mapped.column_map),
            "href_column": mapped.href_column,
            "bbox_columns": _pairs(mapped.bbox_columns),
            "columns": None if mapped.columns is None else list(mapped.columns),
            # The order of bands is part of the result.
            "band_map": [list(pair) for pair in (bands.band_map or {}).items()],
            "band_index_map": [list(pair) for pair in (bands.band_index_map or {}).items()],
            "band_codes": None if bands.codes is None else list(bands.codes),
            "known": [[[*map(list, one.band_map.items())], _pairs(one.band_index_map or {})] for one in bands.known],
            "bbox": None if self.area is None else list(self.area),
            "dates": self.dates.interval() if self.dates else None,
            "filter": _filter_identity(self.filter_expr),
            "url_patterns": _pairs({start: plain_address(other) for start, other in self.url_patterns.items()}),
        }

    def describe(self) -> str:
        asked = []
        if self.filter_expr is not None:
            asked.append(f"filter {self.filter_expr}")
        if self.area:
            asked.append(f"bbox {list(self.area)}")
        if self.dates:
            asked.append(f"dates {self.dates.interval()}")
        return self._where() + (f" with {', '.join(asked)}" if asked else "")

    def _where(self) -> str:
        return f"the table {safe_address(self.table)}" if isinstance(self.table, str) else self.label or "the table"

    def find(self, tell: Progress, cancelled: Cancelled | None) -> FoundScenes:
        opened = open_table(self.table, self.backend, self.filesystem, cancelled)
        try:
            layout = lay_out(opened.dataset.schema, self.mapped)
            place = place_of(opened.dataset.schema, layout)
            condition = self._condition(opened.dataset.schema)
            condition = narrowed(condition, opened.dataset.schema, layout, place, area=self.area, dates=self.dates)
            table = read_rows(opened.dataset, layout.needed, condition, tell, cancelled)
            return self._scenes(table, layout, place, opened.base, cancelled)
        except TableError as error:
            raise error.retold(f"{self._where()}: {error}") from error

    def _condition(self, schema: pa.Schema) -> pc.Expression | None:
        if self.filter_expr is None or isinstance(self.filter_expr, pc.Expression):
            return self.filter_expr
        return arrow_condition(self.filter_expr, schema)

    def _scenes(
        self, table: pa.Table, layout: Layout, place: Place, base: str | None, cancelled: Cancelled | None
    ) -> FoundScenes:
        times, footprints = self._times(table, layout), place.footprints(table)
        keep = times.fits if self.area is None else times.fits & footprints.meet(self.area)
        if not keep.any():
            return FoundScenes([], ())
        rows = np.flatnonzero(keep)
        table = table.take(pa.array(rows))
        bands = self._bands(table, layout, Addresses(self.url_patterns, base))
        first = [times.first[row] for row in rows]
        geometries, bounds = footprints.geometries[rows], footprints.bounds[rows]
        unread = [footprints.unread[row] | times.unread.get(row, {}) for row in rows.tolist()]
        table = _in_calendar(table, layout, unread)
        for row, why in bands.unread.items():
            unread[row]["assets"] = why
        ids = scene_ids(layout.parts["id"], table.column(layout.parts["id"]))
        places = _places(table, layout)
        codes, notes = _codes(table, layout, ids, places, unread)
        collections = _texts(table, layout.part("collection"))
        scenes = [
            SceneItem(
                id=ids[row],
                collection=collections[row],
                datetime=first[row],
                geometry=wkb,
                bbox=box_of_row(box),
                epsg=codes[row] if codes[row] is not None else epsg_of(places[row].crs),
                bands={name: _with_place(asset, places[row]) for name, asset in bands.of_row[row].items()},
                unread=unread[row],
            )
            for row, (wkb, box) in enumerate(zip(shapely.to_wkb(geometries), bounds, strict=True))
        ]
        _stop(cancelled)
        unique, doubles = _unique(scenes, table, layout)
        if len(unique) < len(scenes):
            table, scenes = table.take(pa.array(unique)), [scenes[row] for row in unique]
        columns = kept_columns(table, layout.kept, scenes, bands.names)
        gaps = _gaps(scenes)
        return FoundScenes(scenes, bands.names, bands.named, (*bands.notes, *notes, *doubles, *gaps), columns)

    def _times(self, table: pa.Table, layout: Layout) -> _Times:
        """First and last instant of each row, and whether it overlaps the dates asked for."""
        name = layout.part("datetime")
        count = len(table)
        unread: dict[int, dict[str, str]] = {}

        def read(part: str, column: str) -> list[datetime | None]:
            lost: Unread = {}
            found = instants(column, table.column(column), lost)
            for row, why in lost.items():
                unread.setdefault(row, {})[part] = why
            return found

        first: list[datetime | None] = [None] * count
        last = first
        if name is not None:
            first = read("datetime", name)
            last = last_instants(table.column(name), first)
        if None in first and (start := layout.part("start_datetime")) is not None:
            starts = read("start_datetime", start)
            end = layout.part("end_datetime")
            ends = starts if end is None else read("end_datetime", end)
            last = [at or until or since for at, until, since in zip(last, ends, starts, strict=True)]
            first = [at or since for at, since in zip(first, starts, strict=True)]
        dates = self.dates
        if dates is None:
            return _Times(first, np.ones(count, dtype=bool), unread)
        fits = [a is not None and dates.overlaps(a, b or a) for a, b in zip(first, last, strict=True)]
        return _Times(first, np.array(fits, dtype=bool), unread)

    def _bands(self, table: pa.Table, layout: Layout, address: Addresses) -> TableBands:
        if layout.href is not None:
            return bands_of_hrefs(layout.href, _texts(table, layout.href), self.bands, address)
        name = layout.parts["assets"]
        found = bands_of_assets(name, table.column(name), self.bands, address)
        return replace(found, of_row=_with_offsets(found.of_row, table))

    def over(self, table: Any) -> TableSource:
        """The same questions to another table."""
        return replace(self, table=table)


def _with_offsets(rows: Sequence[dict[str, BandAsset]], table: pa.Table) -> list[dict[str, BandAsset]]:
    """The bands of rows with the scale and offset that the columns of these ask for, as properties of an item do."""
    said = {name: table.column(name).to_pylist() for name in PROPERTIES if name in table.column_names}
    if not said:
        return list(rows)
    collections = table.column("collection").to_pylist() if "collection" in table.column_names else [None] * len(rows)
    found = []
    for row, bands in enumerate(rows):
        properties = {name: values[row] for name, values in said.items() if values[row] is not None}
        item = {"collection": collections[row], "properties": properties}
        found.append(
            {
                band: replace(asset, item=with_offset_of_item(asset.item, asset.key or band, item))
                for band, asset in bands.items()
            }
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    first: list[datetime | None]
    fits: npt.NDArray[np.bool_]
    unread: Mapping[int, dict[str, str]]
    """Row → column → why its time could not be read."""


_UNREAD = "with values that could not be read, NULL in their scenes, whose column status says why"
_SAID_BY_FILES = ("proj:epsg", "proj:code", "crs")
_PLACED_BY = ("proj:code", "crs", *PLACE_FIELDS)


def _stop(cancelled: Cancelled | None) -> None:
    if cancelled is not None and cancelled():
        raise InterruptedQueryError("the build was interrupted while it read its table")


def _pairs(mapping: Mapping[str, Any]) -> list[list[Any]]:
    return sorted(list(pair) for pair in mapping.items())


def _filter_identity(condition: pc.Expression | str | Node | None) -> Any:
    if condition is None or isinstance(condition, str):
        return condition
    if not isinstance(condition, pc.Expression):
        return to_sql(condition)
    # Its text leaves long lists out.
    return [str(condition)[:1000], hashlib.blake2b(pickle.dumps(condition), digest_size=12).hexdigest()]


def _texts(table: pa.Table, name: str | None) -> list[str | None]:
    if name is None:
        return [None] * len(table)
    return [None if value is None else str(value) for value in table.column(name).to_pylist()]


def _in_calendar(table: pa.Table, layout: Layout, unread: Sequence[dict[str, str]]) -> pa.Table:
    """The table with NULL for times in its own columns that no calendar has; the rows get to know why."""
    for source, name in layout.kept.items():
        column, lost = in_calendar(table.column(source))
        for row, why in lost.items():
            unread[row].setdefault(name, why)
        if lost:
            table = table.set_column(table.column_names.index(source), table.schema.field(source), column)
    return table


def _codes(
    table: pa.Table,
    layout: Layout,
    ids: Sequence[str],
    places: Sequence[SaidPlace],
    unread: Sequence[dict[str, str]],
) -> tuple[list[int | None], list[str]]:
    """EPSG codes: of the column that was mapped, else of `proj:epsg`, `proj:code` and `crs`, the first that has one."""
    codes: list[int | None] = [None] * len(table)
    notes = []
    for part in ("proj:epsg", "proj:code", "crs"):
        name = layout.part(part)
        if name is None:
            continue
        found, lost = epsg_codes(table.column(name))
        codes = [own if own is not None else new for own, new in zip(codes, found, strict=True)]
        lost = [row for row in lost if codes[row] is None and places[row].crs is None]
        for row in lost:
            unread[row][part] = f"{shown(table.column(name)[row].as_py())} is no EPSG code"
        if lost and part != "crs":
            notes.append(f'{_rows(ids, lost)} with a "{name}" that is no EPSG code; the files say their CRS')
    return codes, notes


def _places(table: pa.Table, layout: Layout) -> list[SaidPlace]:
    """The place of each row's files, as it says it."""
    names = {part: name for part in _PLACED_BY if (name := layout.part(part)) is not None}
    columns = {part: table.column(name).to_pylist() for part, name in names.items()}
    if not columns:
        return [NO_PLACE] * len(table)
    return [said_place({}, {part: values[row] for part, values in columns.items()}) for row in range(len(table))]


def _with_place(asset: BandAsset, row: SaidPlace) -> BandAsset:
    """The asset with what its row says of its place, where it does not say it itself."""
    own = asset.place
    if own.transform is not None:
        row = replace(row, transform=own.transform, shape=own.shape)
    return replace(asset, place=replace(row, crs=own.crs or row.crs))


def _rows(ids: Sequence[str], rows: Sequence[int], limit: int = 3) -> str:
    shown = ", ".join(ids[row] for row in rows[:limit]) + (", ..." if len(rows) > limit else "")
    return f"{len(rows)} {'scene' if len(rows) == 1 else 'scenes'} ({shown})"


def _gaps(scenes: Sequence[SceneItem]) -> Iterable[str]:
    lacks: dict[str, Callable[[SceneItem], bool]] = {
        "without geometry": lambda scene: scene.geometry is None,
        "without datetime": lambda scene: scene.datetime is None,
        "without a file for any band": lambda scene: not scene.bands,
        _UNREAD: lambda scene: bool(set(scene.unread) - {"geometry", "datetime", "assets", *_SAID_BY_FILES}),
    }
    ids = [scene.id for scene in scenes]
    for what, is_so in lacks.items():
        rows = [row for row, scene in enumerate(scenes) if is_so(scene)]
        if rows:
            yield f"{_rows(ids, rows)} {what}"


def _unique(scenes: Sequence[SceneItem], table: pa.Table, layout: Layout) -> tuple[list[int], list[str]]:
    """Rows to keep, each id once: the first where their files agree, else the one updated last.

    Raises:
        TableError: rows of one id differ, and nothing says which is the newest, or they are of two collections.
    """
    by_id: dict[str, int] = {}
    column = layout.part("updated")
    updated: list[datetime] | None = None
    newer: list[int] = []
    for row, scene in enumerate(scenes):
        other = by_id.setdefault(scene.id, row)
        if other == row or scenes[other].bands == scene.bands:
            continue
        names = sorted({name for name in (scene.collection, scenes[other].collection) if name is not None})
        if len(names) > 1:
            raise TableError(
                f'the id "{scene.id}" stands in rows with different files of the collections "{names[0]}" and '
                f'"{names[1]}"; build each under a name of its own, with filter_expr, or map a column that tells rows '
                "apart to id with column_map"
            )
        updated = updated or updated_at(None if column is None else table.column(column), len(table))
        if updated[row] == updated[other]:
            raise TableError(
                f'the id "{scene.id}" stands in several rows with different files, and '
                + ("they were updated at the same time" if column else "no column `updated` says which is the newest")
                + "; map a column that tells rows apart to id with column_map, or leave rows out with filter_expr"
            )
        newer.append(row)
        if updated[row] > updated[other]:
            by_id[scene.id] = row
    ids = [scene.id for scene in scenes]
    notes = [f"{_rows(ids, newer)} given twice with different files, the one updated last is used"] if newer else []
    return sorted(by_id.values()), notes
