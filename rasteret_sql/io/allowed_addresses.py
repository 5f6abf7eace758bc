"""`AllowedAddresses`: limits the files and hosts that a process which serves others reads for them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rasteret_sql.errors import AccessDeniedError
from rasteret_sql.io.addresses import Kind, Place, is_local, safe_address
from rasteret_sql.io.clouds.registry import route


class AllowedAddresses:
    """Addresses that clients may name. Everything is allowed until `restrict` is called.

    Files of collections are none of these: whoever built a collection chose them.
    """

    def __init__(self) -> None:
        self._places: list[Place] | None = None
        self._shown: list[str] = []

    def restrict(self, addresses: Iterable[str]) -> None:
        """Allow only what lies in some folders and prefixes, and these themselves.

        Args:
            addresses: Local paths, or addresses such as `s3://bucket/prefix/` and `https://host/`.
        """
        self._shown = list(addresses)
        self._places = [_folder(address) for address in self._shown]

    def require(self, address: str) -> None:
        """Raise where a client may not name an address.

        Raises:
            AccessDeniedError: it is not in what is allowed.
        """
        if self._places is None:
            return
        place = _place(address)
        if any(_holds(allowed, place) for allowed in self._places):
            return
        shown = ", ".join(safe_address(one) for one in self._shown) or "nothing"
        raise AccessDeniedError(
            f"clients of this server may not name {safe_address(address)}, only what lies in {shown}; whoever serves "
            "allows more with --allow"
        )


def _folder(address: str) -> Place:
    """The place of a folder, a prefix or a file: a bucket or host alone is a prefix, too."""
    if is_local(address):
        return _place(address)
    inside = _place(f"{address.rstrip('/')}/x")
    return Place(inside.kind, inside.root, inside.path[:-1], account=inside.account)


def _place(address: str) -> Place:
    """The place of an address, a local one without links and dots."""
    place = route(address if is_local(address) else safe_address(address))
    if place.kind != Kind.FILE:
        return place
    return Place(Kind.FILE, "", os.path.realpath(place.path if place.path.startswith("/") else f"/{place.path}"))


def _holds(allowed: Place, place: Place) -> bool:
    if (allowed.kind, allowed.root, allowed.account) != (place.kind, place.root, place.account):
        return False
    folder = allowed.path.rstrip("/")
    inside = not folder or place.path == folder or place.path.startswith(f"{folder}/")
    return inside and ".." not in place.path.split("/")
