"""Makes hrefs of an item's assets absolute beside its document, rewrites them, chooses among alternates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rasteret_sql.io.addresses import rewrite_url
from rasteret_sql.stac.address import is_url, resolve

_ALTERNATE_ORDER = ("s3", "aws", "https", "http", "cloudfront")


def self_address(item: Mapping[str, Any], document: str) -> str:
    """The address that relative hrefs are relative to, of an item that a document holds among others: its own.

    That is its self link, as pystac has it. Without one, or where a file that it names lies beside the document on
    this machine, it is the document.
    """
    own = next(
        (
            resolve(document, link["href"])
            for link in _members(item.get("links"))
            if link.get("rel") == "self" and isinstance(link.get("href"), str)
        ),
        document,
    )
    if own == document or is_url(document):
        return own
    assets = item.get("assets")
    hrefs = [asset.get("href") for asset in _members(list(assets.values()) if isinstance(assets, Mapping) else None)]
    beside = (resolve(document, href) for href in hrefs if isinstance(href, str) and href)
    return document if any(not is_url(one) and Path(one).is_file() for one in beside) else own


def _members(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def absolute_hrefs(item: dict[str, Any], base: str) -> dict[str, Any]:
    """The item with every asset href resolved against the document at `base`; the item given stays as it is."""
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        return item
    return {**item, "assets": {key: _absolute_asset(asset, base) for key, asset in assets.items()}}


def _absolute_asset(asset: Any, base: str) -> Any:
    if not isinstance(asset, Mapping):
        return asset
    changed = dict(asset)
    if isinstance(asset.get("href"), str) and asset["href"]:
        changed["href"] = resolve(base, asset["href"])
    alternate = asset.get("alternate")
    if isinstance(alternate, Mapping):
        changed["alternate"] = {name: _absolute_asset(other, base) for name, other in alternate.items()}
    return changed


def with_s3_siblings(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item with the s3:// address of each asset `x` that has a copy `s3_x`, for readers with credentials."""
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        return item
    return {**item, "assets": {key: _sibling(asset, assets.get(f"s3_{key}")) for key, asset in assets.items()}}


def _sibling(asset: Any, copy: Any) -> Any:
    href = copy.get("href") if isinstance(copy, Mapping) else None
    if not isinstance(asset, Mapping) or not isinstance(href, str) or not href.startswith("s3://"):
        return asset
    return {**asset, "href": href}


def asset_href(asset: Mapping[str, Any]) -> str | None:
    """The address of an asset: its href, else the first of its alternates, s3 first."""
    if isinstance(asset.get("href"), str) and asset["href"]:
        return str(asset["href"])
    alternate = asset.get("alternate")
    if not isinstance(alternate, Mapping):
        return None
    for name in (*_ALTERNATE_ORDER, *alternate):
        other = alternate.get(name)
        if isinstance(other, Mapping) and isinstance(other.get("href"), str) and other["href"]:
            return str(other["href"])
    return None


def rewrite(href: str, url_patterns: Mapping[str, str]) -> str:
    """Replace the longest prefix of `url_patterns` that the href starts with; unchanged where none fits.

    >>> rewrite("https://landsatlook.usgs.gov/data/a.tif", {"https://landsatlook.usgs.gov/data/": "s3://usgs-landsat/"})
    's3://usgs-landsat/a.tif'
    """
    return rewrite_url(href, url_patterns)
