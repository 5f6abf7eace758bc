"""Maps the columns of a table to those of a collection, and gives the others names that are free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from rasteret_sql.errors import TableError
from rasteret_sql.geo.geoparquet import GeoMetadata
from rasteret_sql.scenes.projection_fields import PLACE_FIELDS
from rasteret_sql.schema import HEADER_SUFFIX, METADATA_SUFFIX, PACKED_FIELDS
from rasteret_sql.tables.arrow_filter import column_named

_SUFFIX = "_property"
_REQUIRED = ("id", "datetime", "geometry", "assets")
PARTS = (
    *_REQUIRED,
    "bbox",
    "collection",
    "proj:epsg",
    "proj:code",
    "crs",
    *PLACE_FIELDS,
    "start_datetime",
    "end_datetime",
    "updated",
)
"""Columns that a collection knows by name; all others are the table's own."""
_SIDES = ("minx", "miny", "maxx", "maxy")


@dataclass(frozen=True, slots=True)
class Mapped:
    """The caller's words on a table's columns."""

    column_map: Mapping[str, str] = field(default_factory=dict)
    """Column of the table → name in the collection."""
    href_column: str | None = None
    """Column with the address of a scene's file."""
    bbox_columns: Mapping[str, str] = field(default_factory=dict)
    """minx, miny, maxx, maxy → column."""
    columns: Sequence[str] | None = None
    """Columns of the table that stay; None for all."""

    def __post_init__(self) -> None:
        for what, given in (("column_map", self.column_map), ("bbox_columns", self.bbox_columns)):
            if not isinstance(given, Mapping) or not all(
                isinstance(key, str) and isinstance(value, str) and value for key, value in given.items()
            ):
                raise TableError(f"{what} maps names to names, not {given!r}")
        targets = list(self.column_map.values())
        for target in targets:
            if targets.count(target) > 1:
                both = ", ".join(f'"{s}"' for s, t in self.column_map.items() if t == target)
                raise TableError(f'column_map gives the name "{target}" to several columns: {both}')
        sides = set(self.bbox_columns)
        if sides and sides != set(_SIDES):
            raise TableError(
                f"bbox_columns names {', '.join(sorted(sides))}; it takes each of {', '.join(_SIDES)}, "
                "such as {'minx': 'west', 'miny': 'south', 'maxx': 'east', 'maxy': 'north'}"
            )


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one table by the part that they play."""

    parts: Mapping[str, str]
    """Name in the collection → column of the table."""
    href: str | None
    sides: tuple[str, str, str, str] | None
    """Columns of the west, south, east and north in lon/lat."""
    kept: Mapping[str, str]
    """Column of the table that stays → its name in the collection."""

    def part(self, name: str) -> str | None:
        """Column of a part, None where the table has none."""
        return self.parts.get(name)

    @property
    def needed(self) -> list[str]:
        """Columns to read."""
        return list(dict.fromkeys([*self.parts.values(), *filter(None, [self.href]), *(self.sides or ()), *self.kept]))


def lay_out(schema: pa.Schema, mapped: Mapped) -> Layout:
    """Find the parts among a table's columns.

    Raises:
        TableError: a column that was named, or that a collection cannot do without, is not there.
    """
    names = schema.names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise TableError(f'the table has several columns "{doubled[0]}"; rename them before building')
    _check_direction(mapped.column_map, names)
    aliases = {
        target: column_named(source, names, f"column_map ({source} as {target})")
        for source, target in mapped.column_map.items()
    }
    parts = {part: aliases.get(part, part) for part in PARTS if part in aliases or part in names}
    href = None if mapped.href_column is None else column_named(mapped.href_column, names, "href_column")
    sides = None
    if mapped.bbox_columns:
        sides = tuple(column_named(mapped.bbox_columns[side], names, f"bbox_columns ({side})") for side in _SIDES)
    _require(parts, href, sides, names)
    wanted = names if mapped.columns is None else [column_named(name, names, "columns") for name in mapped.columns]
    own = {source for part, source in parts.items() if part == source and part in _CONSUMED}
    own |= {one.name for one in schema if _is_stored_header(one)}
    kept = dict(zip(keep := [n for n in wanted if n not in own], keep, strict=True))
    others = {target: source for target, source in aliases.items() if target not in PARTS}
    for target, source in others.items():
        if target in names:
            raise TableError(f'column_map gives "{source}" the name "{target}", which the table has already')
        kept[source] = target
    return Layout(parts, href, sides, kept)  # type: ignore[arg-type]  # four sides


_CONSUMED = frozenset({*_REQUIRED, "bbox", "collection", "proj:epsg", "proj:code"})
"""Parts that stand in columns of ours; the others stay as they are, too."""


def _is_stored_header(column: pa.Field) -> bool:
    """True for headers of a collection's bands, which are read anew."""
    kind = column.type
    names = {child.name for child in kind} if pa.types.is_struct(kind) else set()
    of_rasteret = column.name.endswith(METADATA_SUFFIX) and "tile_offsets" in names
    return of_rasteret or (column.name.endswith(HEADER_SUFFIX) and bool(names & set(PACKED_FIELDS)))


def _check_direction(column_map: Mapping[str, str], names: Sequence[str]) -> None:
    """A map that was written the wrong way round is the likeliest mistake."""
    if column_map and not set(column_map) & set(names) and set(column_map.values()) <= set(names):
        turned = {target: source for source, target in column_map.items()}
        raise TableError(f"column_map maps the table's columns to ours: {turned}, not the other way round")


def _require(parts: Mapping[str, str], href: str | None, sides: object, names: Sequence[str]) -> None:
    has = {
        "id": "id" in parts,
        "datetime": "datetime" in parts or "start_datetime" in parts,
        "geometry": "geometry" in parts or "bbox" in parts or sides is not None,
        "assets": "assets" in parts or href is not None,
    }
    missing = [part for part in _REQUIRED if not has[part]]
    if missing:
        hints = {
            "id": "column_map",
            "datetime": "column_map",
            "geometry": "column_map or bbox_columns",
            "assets": "column_map or href_column",
        }
        remedy = dict.fromkeys(hints[part] for part in missing)
        raise TableError(
            f"the table lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which a collection needs; it "
            f"has {', '.join(names[:40]) or 'none'}{', ...' * (len(names) > 40)}. Name what stands for "
            f"{'them' if len(missing) > 1 else 'it'} with {' and '.join(remedy)}"
        )


def free_name(name: str, used: Iterable[str]) -> str:
    """A name that is no other column's, read by DuckDB without regard to case, and that no reader takes for a band.

    Args:
        name: as the source has it.
        used: names that are taken, in lower case.
    """
    taken = set(used)
    free = name if name and not name.endswith((METADATA_SUFFIX, HEADER_SUFFIX)) else name + _SUFFIX
    if free.lower() in taken and not free.endswith(_SUFFIX):
        free += _SUFFIX
    base, number = free, 2
    while free.lower() in taken:
        free = f"{base}_{number}"
        number += 1
    return free


def geo_metadata(schema: pa.Schema) -> GeoMetadata:
    """The metadata of the columns in GeoParquet.

    Raises:
        TableError: it is no JSON object.
    """
    try:
        return GeoMetadata.of(schema)
    except ValueError:
        raise TableError("the table's GeoParquet metadata (key geo) is no JSON object") from None
