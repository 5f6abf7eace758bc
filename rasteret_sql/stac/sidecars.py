"""Finds assets of an item that are files beside another one, as GDAL names them: mask, overviews, .aux.xml."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

_SUFFIXES = (".msk", ".ovr", ".msk.ovr", ".aux.xml")


def sidecars_of(href: str, hrefs: AbstractSet[str]) -> tuple[str, ...]:
    """Suffixes of the files beside `href` that are among the item's hrefs, which are without query strings."""
    plain = href.partition("?")[0]
    return tuple(suffix for suffix in _SUFFIXES if plain + suffix in hrefs)


def is_sidecar(href: str, hrefs: AbstractSet[str]) -> bool:
    """True where the href is another's with such a suffix, so that it is no band of its own."""
    plain = href.partition("?")[0]
    return any(plain.endswith(suffix) and plain[: -len(suffix)] in hrefs for suffix in _SUFFIXES)
