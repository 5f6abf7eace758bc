"""Keeps signed addresses in this process alone: indexes hold plain ones, which they make readable.

A search or table may give addresses that are signed for an hour or a day. The signature goes on being used while it
holds, so that a build reads headers and the same process reads pixels. It is written nowhere, so a later process needs
credentials of its own, or addresses that are signed anew.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.clouds.registry import cloud_name
from rasteret_sql.io.redact import expiry_of, take_apart

MOST_KEPT = 2**20
"""Addresses; the oldest are forgotten where there are more."""


class _Signature(NamedTuple):
    user: str
    query: str
    """The whole query of the signed address. One object for all files of a container that share a token."""
    expires: float | None
    """Seconds since 1970."""

    def is_over(self) -> bool:
        return self.expires is not None and self.expires <= time.time()


_kept: dict[str, _Signature] = {}
"""Plain address → how it was signed last."""
_signed_places: set[str] = set()
"""Scheme and host of addresses that were signed when they were indexed, by this process or another."""
_lock = threading.Lock()


class PlainAddresses:
    """Makes the addresses of one search or table plain, and keeps their signed forms for this process."""

    def __init__(self) -> None:
        self._opaque: dict[str, tuple[str, str]] = {}

    def __call__(self, address: str) -> str:
        """The plain form.

        Raises:
            InvalidArgumentError: two files differ in nothing but what looks like a credential, so that their plain
                addresses would be the same.
        """
        if "?" not in address and "@" not in address and "#" not in address:
            return address  # as most are
        taken = take_apart(address)
        if not taken.query and not taken.user:
            return taken.plain
        signature = (taken.user, taken.query)
        if taken.is_opaque and self._opaque.setdefault(taken.plain, signature) != signature:
            raise InvalidArgumentError(
                f"two files at {safe_address(taken.plain)} differ only in "
                f"{' and '.join(sorted(taken.names)) or 'their user'}, which looks like a credential: those are never "
                "stored, and without them the files cannot be told apart. Use addresses that name the file"
            )
        # The signature of an object-store address (s3://, gs://, az://) could not be sent with a request.
        if address[:4].lower() == "http":
            _keep(taken.plain, signature)
        return taken.plain


def keep_signature(address: str) -> None:
    """Keep how an address is signed that is only shown, in its plain form, to be read perhaps."""
    if "?" not in address and "@" not in address:
        return
    taken = take_apart(address)
    if (taken.query or taken.user) and not taken.is_opaque and address[:4].lower() == "http":
        _keep(taken.plain, (taken.user, taken.query))


def signed_form(address: str, has_credentials: Callable[[str], bool] | None = None) -> str:
    """The address to ask for: signed where this process knows a signature that still holds, else as it is.

    Args:
        address: As an index has it.
        has_credentials: Whether there are credentials for files of a cloud (aws, gcp, azure), which then count.
    """
    if not _kept:
        return address
    signature = _kept.get(address)
    if signature is None or signature.is_over():
        return address
    if has_credentials is not None and has_credentials(cloud_name(address)):
        return address
    scheme, _, rest = address.partition("#")[0].partition("?")[0].partition("://")
    user = f"{signature.user}@" if signature.user else ""
    return f"{scheme}://{user}{rest}" + (f"?{signature.query}" if signature.query else "")


def is_signed(address: str) -> bool:
    """True where the address was signed, and this process knows how, be it over or not."""
    return address in _kept


def can_be_read(addresses: Iterable[str]) -> int:
    """The number of the addresses that have a signature that still holds."""
    return sum(1 for address in addresses if address in _kept and not _kept[address].is_over()) if _kept else 0


def signed_places(addresses: Iterable[str]) -> list[str]:
    """Scheme and host of those addresses that were signed, sorted; an index keeps them for `know_places`."""
    return sorted({_place(address) for address in addresses if address in _kept}) if _kept else []


def know_places(places: Iterable[str]) -> None:
    """Remember where addresses were signed when they were indexed, for `remedy`."""
    _signed_places.update(places)


def remedy(address: str) -> str:
    """Say what helps where access to a plain address is denied that was signed when it was indexed; else empty."""
    plain = take_apart(address).plain
    signature = _kept.get(plain)
    if signature is not None and not signature.is_over():
        return ""
    if signature is None and _place(plain) not in _signed_places:
        return ""
    return (
        "Its address was signed when it was indexed; signatures are not stored, and "
        + ("that one has expired" if signature is not None else "this process has none")
        + ": search again with rasteret_refresh('name'), append or a build with force, or pass a backend with "
        "credentials of its own (rasteret_create_backend, create_backend)."
    )


def forget() -> None:
    """Forget all signatures."""
    with _lock:
        _kept.clear()
        _signed_places.clear()


def _keep(plain: str, signature: tuple[str, str]) -> None:
    user, query = signature
    with _lock:
        _kept.pop(plain, None)  # the newest come last
        while len(_kept) >= MOST_KEPT:
            del _kept[next(iter(_kept))]
        _kept[plain] = _Signature(user, sys.intern(query), _expiry(query))
        _signed_places.add(_place(plain))


_expiries: dict[str, float | None] = {}
"""Of the queries seen last: a token is shared by many files."""


def _expiry(query: str) -> float | None:
    if query not in _expiries:
        if len(_expiries) >= 64:
            _expiries.clear()
        _expiries[query] = expiry_of(query)
    return _expiries[query]


def _place(address: str) -> str:
    scheme, _, rest = address.partition("://")
    return f"{scheme.lower()}://{rest.partition('/')[0]}"
