"""Item dicts to `SceneItem` values: checked, bands named, each id once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import shapely

from rasteret_sql.io.plain import plain_address, plain_values
from rasteret_sql.io.signed import PlainAddresses
from rasteret_sql.stac.address import absolute
from rasteret_sql.stac.area import item_bbox, item_geometry
from rasteret_sql.stac.bands import BandNaming, name_bands
from rasteret_sql.stac.dates import parse_instant
from rasteret_sql.stac.feature import checked_item
from rasteret_sql.stac.hrefs import rewrite, with_s3_siblings
from rasteret_sql.stac.item import BandAsset, SceneItem
from rasteret_sql.types import Bounds


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
        items: STAC items with absolute asset hrefs, as `iter_items` gives them.
        naming: How bands get their names.
        url_patterns: Prefix → replacement for hrefs; the longest prefix that fits is used.
        prefer_s3: True: an asset `x` is read where its copy `s3_x` is stored.

    Returns:
        The scenes in the order of the items, and warnings that name what is odd about the items.

    Raises:
        StacError: An item has no id, or no item has a TIFF.
        InvalidArgumentError: The naming does not fit the items, or only credentials tell two of their files apart.
    """
    notes, plain = _Notes(), PlainAddresses()
    unique = _unique([checked_item(item, f"item {n} of the search") for n, item in enumerate(items, 1)], notes)
    if prefer_s3:
        unique = [with_s3_siblings(item) for item in unique]
    named = name_bands(unique, naming)
    patterns = url_patterns or {}
    scenes = [_scene(item, bands, patterns, notes, plain) for item, bands in zip(unique, named.of_item, strict=True)]
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
        notes.add("given twice with different files, the one updated last is used", item_id)
        if _updated(item) > _updated(other):
            kept[item_id] = item
    return list(kept.values())


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
) -> SceneItem:
    item_id = str(item["id"])
    properties: dict[str, Any] = plain_values(item.get("properties") or {})
    try:
        geometry = item_geometry(item)
    except ValueError:
        geometry = None
        notes.add("with a geometry that is not GeoJSON, which is left out", item_id)
    else:
        if geometry is None:
            notes.add("without geometry", item_id)
    if not bands:
        notes.add("without an asset for any band", item_id)
    bounds: Bounds | None = item_bbox(item)
    if bounds is None and geometry is not None:
        bounds = tuple(map(float, geometry.bounds))  # type: ignore[assignment]  # four numbers
    collection = item.get("collection")
    scene = SceneItem(
        id=item_id,
        collection=collection if isinstance(collection, str) else None,
        datetime=_datetime(properties, item_id, notes),
        geometry=None if geometry is None else shapely.to_wkb(geometry),
        bbox=bounds,
        epsg=_epsg(item, bands),
        bands={
            name: BandAsset(plain(absolute(rewrite(band.href, url_patterns))), band.band_index)
            for name, band in bands.items()
        },
        properties=properties,
    )
    properties.pop("datetime", None)
    return scene


def _datetime(properties: Mapping[str, Any], item_id: str, notes: _Notes) -> datetime | None:
    value = properties.get("datetime") or properties.get("start_datetime")
    if value is None:
        notes.add("without datetime", item_id)
        return None
    try:
        return parse_instant(str(value))
    except ValueError:
        notes.add("with a datetime that is not RFC 3339, which is left out", item_id)
        return None


def _epsg(item: Mapping[str, Any], bands: Mapping[str, BandAsset]) -> int | None:
    """Code of the item, else the one that the assets of its bands agree on; the files' headers have the last word."""
    own = _code(item.get("properties") or {})
    if own is not None:
        return own
    used = {band.href for band in bands.values()}
    assets = item.get("assets")
    codes = {
        code
        for asset in (assets.values() if isinstance(assets, Mapping) else ())
        if isinstance(asset, Mapping) and asset.get("href") in used and (code := _code(asset)) is not None
    }
    return codes.pop() if len(codes) == 1 else None


def _code(fields: Mapping[str, Any]) -> int | None:
    """`proj:code` (projection extension 2) or `proj:epsg` (1) as a number."""
    code = fields.get("proj:code")
    if isinstance(code, str) and code.upper().startswith("EPSG:") and code[5:].isdigit():
        return int(code[5:])
    epsg = fields.get("proj:epsg")
    return epsg if isinstance(epsg, int) and not isinstance(epsg, bool) else None
