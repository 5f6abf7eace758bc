"""STAC items made for tests, and those of a search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from rasteret_sql.stac.search import iter_pages

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def search_items(*search: Any, **options: Any) -> Iterator[dict[str, Any]]:
    """The items of a search one by one; closing it closes the search."""
    with closing(iter_pages(*search, **options)) as pages:
        for page in pages:
            yield from page


def make_item(name: str, day: str = "2024-01-01T10:30:00Z", west: float = 0, south: float = 0, **more: Any) -> dict:
    """A one-degree item with one TIFF asset, `data`."""
    east, north = west + 1, south + 1
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    properties = {"datetime": day, "eo:cloud_cover": 5, **more.pop("properties", {})}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": properties,
        "links": [],
        "assets": {"data": {"href": f"./{name}.tif", "type": TIFF, "roles": ["data"]}},
        **more,
    }


def make_asset(href: str, *bands: str, key: str = "eo:bands", **more: Any) -> dict[str, Any]:
    listed = {key: [{"name": band} for band in bands]} if bands else {}
    return {"href": href, "type": TIFF, "roles": ["data"], **listed, **more}
