"""Checks the form of an item before it is used: an object with an id, and properties that are an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rasteret_sql.errors import StacError


def checked_item(feature: Any, where: str) -> dict[str, Any]:
    """The feature as an item whose `properties` is an object.

    Args:
        feature: What stands where an item is expected.
        where: Its document or position, for the message.

    Raises:
        StacError: It is no GeoJSON Feature with an id, or its properties are no object.
    """
    name = feature.get("id") if isinstance(feature, Mapping) else None
    if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
        raise StacError(f"{where} is no STAC item: expected a GeoJSON Feature with an id")
    properties = feature.get("properties")
    if properties is not None and not isinstance(properties, Mapping):
        raise StacError(f'{where}: item "{name}" has properties that are no JSON object')
    return {**feature, "properties": dict(properties or {})}
