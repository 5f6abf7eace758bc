"""Makes `SceneItem` values of item dicts: checked, bands named, each id once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shapely.geometry.base import BaseGeometry

from rasteret_sql.errors import StacError
from rasteret_sql.geo.lonlat_boxes import given_box
from rasteret_sql.io.redact import plain_address, plain_values
from rasteret_sql.io.signed_addresses import PlainAddresses
from rasteret_sql.scenes.dates import parse_instant
from rasteret_sql.scenes.projection_fields import SaidPlace, epsg_of, said_place
from rasteret_sql.scenes.scene import BandAsset, SceneItem
from rasteret_sql.stac.address import absolute
from rasteret_sql.stac.bands import BandNaming, name_bands
from rasteret_sql.stac.check_item import checked_item
from rasteret_sql.stac.hrefs import rewrite, with_s3_siblings
from rasteret_sql.stac.item_area import item_geometry, kept_places
from rasteret_sql.stac.item_band import with_offset_of_item
from rasteret_sql.stac.unreadable_values import clean_text, readable, shown

_CODES = range(1, 2**31)
"""Numbers that the column `proj:epsg` can hold."""
_CODE_DIGITS = 12


class _Notes:
    """Warnings gathered by kind, each with the items it is about."""

    def __init__(self) -> None:
        self._items: dict[str, list[str]] = {}

    def add(self, what: str, item_id: str) -> None:
        self._items.setdefault(what, []).append(item_id)

    def texts(self, limit: int = 3) -> list[str]:
        return [
            f"{len(ids)} {'item' if len(ids) == 1 else 'items'} {what}: {', '.join(ids[:limit])}"
            + (", ..." if len(ids) > limit else "")
            for what, ids in self._items.items()
        ]


def scene_items(
    items: Iterable[Mapping[str, Any]],
    naming: BandNaming,
    url_patterns: Mapping[str, str] | None = None,
    *,
    prefer_s3: bool = False,
) -> tuple[list[SceneItem], list[str]]:
    """Make scenes of items.

    An item without geometry or datetime is kept, with NULL there, and so is one without bands. Of several items with
    one id the first stays where their files are the same, else the one with the latest `updated`. Addresses are plain;
    how they were signed is kept in this process alone.

    Args:
        items: STAC items with absolute asset hrefs, as `iter_pages` gives them.
        naming: How bands get their names.
        url_patterns: Prefix → replacement for hrefs; the longest prefix that fits is used.
        prefer_s3: True: an asset `x` is read where its copy `s3_x` is stored.

    Returns:
        The scenes in the order of the items, and warnings that name what is odd about the items.

    Raises:
        StacError: An item has no id, no item has a TIFF, or items of two collections have one id and different files.
        InvalidArgumentError: The naming does not fit the items, or only credentials tell two of their files apart.
    """
    notes, plain = _Notes(), PlainAddresses()
    unique = _unique([checked_item(item, f"item {n} of the search") for n, item in enumerate(items, 1)], notes)
    if prefer_s3:
        unique = [with_s3_siblings(item) for item in unique]
    named = name_bands(unique, naming)
    patterns = url_patterns or {}
    made = [_scene(item, bands, patterns, notes, plain) for item, bands in zip(unique, named.of_item, strict=True)]
    places = kept_places(unique, [geometry for _, geometry in made])
    scenes = [
        replace(scene, geometry=footprint, bbox=box) for (scene, _), (footprint, box) in zip(made, places, strict=True)
    ]
    return scenes, [*named.warnings, *notes.texts()]


def band_names(scenes: Iterable[SceneItem], naming: BandNaming) -> tuple[str, ...]:
    """The collection's bands in order: those of the map that some scene has, else as the scenes bring them."""
    seen = dict.fromkeys(name for scene in scenes for name in scene.bands)
    mapped = [name for name in naming.band_map or {} if name in seen]
    return tuple(dict.fromkeys([*mapped, *seen]))


def _unique(items: Sequence[Mapping[str, Any]], notes: _Notes) -> list[Mapping[str, Any]]:
    kept: dict[str, Mapping[str, Any]] = {}
    for item in items:
        item_id = str(item["id"])
        other = kept.setdefault(item_id, item)
        if other is item or _hrefs(other) == _hrefs(item):
            continue
        refuse_two_collections(item_id, [one["collection"] for one in (other, item) if "collection" in one])
        notes.add("given twice with different files, the one updated last is used", item_id)
        if _updated(item) > _updated(other):
            kept[item_id] = item
    return list(kept.values())


def refuse_two_collections(item_id: str, collections: Iterable[object]) -> None:
    """An id is unique within its collection only, and scenes are read by their id alone.

    Args:
        item_id: id of two items with different files.
        collections: of the items; what is no name counts for nothing.

    Raises:
        StacError: they are of different collections.
    """
    names = {name for name in collections if isinstance(name, str)}
    if len(names) > 1:
        first, second = sorted(names)
        raise StacError(
            f'the id "{item_id}" is that of two items with different files, of the collections "{first}" and '
            f'"{second}"; '
            f"build each under a name of its own, with collection := '{first}' and collection := '{second}'"
        )


def _hrefs(item: Mapping[str, Any]) -> dict[str, Any]:
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        return {}
    return {key: plain_address(str(asset.get("href"))) for key, asset in assets.items() if isinstance(asset, Mapping)}


def _updated(item: Mapping[str, Any]) -> datetime:
    try:
        return parse_instant(str((item.get("properties") or {})["updated"]))
    except (KeyError, ValueError):
        return datetime.min  # noqa: DTZ901 - naive UTC; never updated


def _scene(
    item: Mapping[str, Any],
    bands: Mapping[str, BandAsset],
    url_patterns: Mapping[str, str],
    notes: _Notes,
    plain: PlainAddresses,
) -> tuple[SceneItem, BaseGeometry | None]:
    """The scene of an item, still without its place, and its geometry."""
    item_id = str(item["id"])
    properties, unread = readable(plain_values(item.get("properties") or {}))
    try:
        geometry = item_geometry(item)
    except ValueError:
        geometry = None
        notes.add("with a geometry that is not GeoJSON, which is left out", item_id)
        unread["geometry"] = f"{shown(item.get('geometry'))} is no GeoJSON geometry"
    else:
        if geometry is None:
            notes.add("without geometry", item_id)
    given = item.get("bbox")
    if given is not None and given_box(given) is None:
        unread["bbox"] = f"{shown(given)} is no box of four or six numbers"
    if not bands:
        notes.add("without an asset for any band", item_id)
    places = _places(item, bands)
    collection = item.get("collection")
    scene = SceneItem(
        id=clean_text(item_id),
        collection=clean_text(collection) if isinstance(collection, str) else None,
        datetime=_datetime(properties, item_id, notes, unread),
        geometry=None,
        bbox=None,
        epsg=_epsg(item, bands, places.values(), unread),
        bands={
            clean_text(name): replace(
                band,
                href=clean_text(plain(absolute(rewrite(band.href, url_patterns)))),
                place=places[name],
                item=with_offset_of_item(band.item, band.key, item),
            )
            for name, band in bands.items()
        },
        properties=properties,
        unread=unread,
    )
    properties.pop("datetime", None)
    if set(unread) - {"geometry", "datetime"}:
        notes.add("with values that could not be read, NULL in their scenes, whose column status says why", item_id)
    return scene, geometry


def _datetime(properties: Mapping[str, Any], item_id: str, notes: _Notes, unread: dict[str, str]) -> datetime | None:
    value = properties.get("datetime") or properties.get("start_datetime")
    if value is None:
        notes.add("without datetime", item_id)
        return None
    try:
        return parse_instant(str(value))
    except ValueError:
        notes.add("with a datetime that is not RFC 3339, which is left out", item_id)
        unread["datetime"] = f"{shown(value)} is no time of RFC 3339"
        return None


def _places(item: Mapping[str, Any], bands: Mapping[str, BandAsset]) -> dict[str, SaidPlace]:
    """The place of each band's file, as the item says it."""
    assets, properties = item.get("assets") or {}, item.get("properties") or {}
    return {name: said_place(assets.get(band.key) or {}, properties) for name, band in bands.items()}


def _epsg(
    item: Mapping[str, Any], bands: Mapping[str, BandAsset], places: Iterable[SaidPlace], unread: dict[str, str]
) -> int | None:
    """Code of the item, else the one that the assets of its bands agree on; the files' headers have the last word."""
    properties = item.get("properties") or {}
    own = _code(properties)
    if own is not None:
        return own
    number = properties.get("proj:epsg")
    if isinstance(number, int) and number not in _CODES:
        unread["proj:epsg"] = f"{shown(number)} is no EPSG code"
    used = {band.href for band in bands.values()}
    assets = item.get("assets")
    codes = {
        code
        for asset in (assets.values() if isinstance(assets, Mapping) else ())
        if isinstance(asset, Mapping) and asset.get("href") in used and (code := _code(asset)) is not None
    }
    if codes:
        return codes.pop() if len(codes) == 1 else None
    said = {place.crs for place in places} - {None}
    return epsg_of(said.pop()) if len(said) == 1 else None


def _code(fields: Mapping[str, Any]) -> int | None:
    """`proj:code` (projection extension 2) or `proj:epsg` (1) as a number."""
    code = fields.get("proj:code")
    if isinstance(code, str) and code.upper().startswith("EPSG:") and code[5:].isascii() and code[5:].isdigit():
        number = int(code[5:][:_CODE_DIGITS])
        return number if number in _CODES else None
    epsg = fields.get("proj:epsg")
    return epsg if isinstance(epsg, int) and not isinstance(epsg, bool) and epsg in _CODES else None
