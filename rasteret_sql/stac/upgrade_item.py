"""Makes items of older STAC versions current, and adds what an item leaves to its collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def complete(item: dict[str, Any], collection: Mapping[str, Any] | None) -> dict[str, Any]:
    """The item with what its collection says for it; the item given stays as it is.

    - `collection`, where the item does not name the one that links it.
    - STAC 0.9 `commons`: properties that the collection holds for all its items.
    - STAC 0.8 `eo:bands`: assets that refer by number to a list in the properties.
    - `item_assets`: types, roles and bands that the collection declares once for each asset key.
    """
    out = dict(item)
    properties = dict(item["properties"])
    if collection is not None:
        out.setdefault("collection", collection.get("id"))
        if _major(item) < 1 and isinstance(collection.get("properties"), Mapping):
            properties = {**collection["properties"], **properties}
    out["properties"] = properties
    if isinstance(item.get("assets"), Mapping):
        declared = _declared(collection)
        out["assets"] = {
            key: _complete_asset(asset, declared.get(key), properties.get("eo:bands"))
            for key, asset in item["assets"].items()
        }
    return out


def _major(item: Mapping[str, Any]) -> int:
    head = str(item.get("stac_version", "1")).split(".")[0]
    return int(head) if head.isdigit() else 1


def _declared(collection: Mapping[str, Any] | None) -> Mapping[str, Any]:
    declared = (collection or {}).get("item_assets")
    return declared if isinstance(declared, Mapping) else {}


def _complete_asset(asset: Any, declared: Any, bands: Any) -> Any:
    if not isinstance(asset, Mapping):
        return asset
    out = {**declared, **asset} if isinstance(declared, Mapping) else dict(asset)
    own = out.get("eo:bands")
    if isinstance(own, list) and isinstance(bands, list) and all(isinstance(n, int) for n in own):
        out["eo:bands"] = [bands[n] if 0 <= n < len(bands) else {} for n in own]
    return out
