"""Lists the providers, and finds the one that an address, a cloud or a secret belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from obstore.exceptions import BaseError

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import SCHEME, Kind, Place, safe_address
from rasteret_sql.io.clouds.azure import Azure
from rasteret_sql.io.clouds.cloud import BrokenCredentialsError, Cloud, Opened, Opening
from rasteret_sql.io.clouds.credential_source import CredentialSource
from rasteret_sql.io.clouds.earthdata import Earthdata
from rasteret_sql.io.clouds.google import Google
from rasteret_sql.io.clouds.http import Files, Http
from rasteret_sql.io.clouds.planetary_computer import PlanetaryComputer
from rasteret_sql.io.clouds.s3 import S3
from rasteret_sql.io.settings import IoSettings

PROVIDERS: tuple[CredentialSource, ...] = (Files(), Http(), S3(), Google(), Azure(), Earthdata(), PlanetaryComputer())
"""All providers. A new one is a file of this folder and a word here."""
CLOUDS: tuple[Cloud, ...] = tuple(one for one in PROVIDERS if isinstance(one, Cloud))
"""Those that have stores of their own."""
_OF_KIND = {cloud.kind: cloud for cloud in CLOUDS}
_OF_SCHEME = {scheme: cloud for cloud in CLOUDS for scheme in cloud.schemes}
_HTTP = _OF_KIND[Kind.HTTP]
OF_SECRET: Mapping[str, Cloud] = {kind: cloud for cloud in CLOUDS for kind in cloud.secret_types}
"""Type of a secret of DuckDB → whose it is."""
VARIABLES = tuple(prefix for cloud in CLOUDS for prefix in cloud.prefixes)
"""How the names of variables begin that stores read when they are made."""


def route(address: str) -> Place:
    """Find the store and the path that an address means.

    A query string carries a signature, so such a URL is asked for exactly as it stands, whichever host it names.

    Raises:
        InvalidArgumentError: the address has an unknown scheme or lacks a bucket, host or path.
    """
    if not SCHEME.match(address):
        return Place(Kind.FILE, "", address if _is_absolute(address) else str(Path(address).expanduser().absolute()))
    scheme = address.split(":", 1)[0].lower()
    cloud = _OF_SCHEME.get(scheme)
    if cloud is None:
        known = ", ".join(cloud.example for cloud in CLOUDS)
        msg = f'no store is known for "{safe_address(address)}": an address is {known}'
        raise InvalidArgumentError(msg)
    if cloud is _HTTP:
        parts = urlsplit(address)
        if not parts.query and parts.port is None and not parts.username:
            name, path = (parts.hostname or "").lower(), parts.path.lstrip("/")
            found = (place for other in CLOUDS if (place := other.of_host(name, path)) is not None)
            if (place := next(found, None)) is not None:
                return place
    return cloud.route(address)


def _is_absolute(path: str) -> bool:
    """True for a path as pathlib writes one that is absolute; making a Path takes as long as opening the file."""
    return os.sep == "/" and path[:1] == "/" and path[-1:] != "/" and "//" not in path and "/." not in path


def cloud_name(address: str) -> str:
    """The name of the cloud (such as aws) to which an address belongs; empty for none."""
    return _OF_KIND[route(address).kind].name


def remedy(address: str, said: str) -> str:
    """Say what helps where access to an address is denied.

    Args:
        address: As it was asked for.
        said: What the server answered.
    """
    try:
        cloud = _OF_KIND[route(address.partition("?")[0]).kind]
    except InvalidArgumentError:  # a backend of the user's may read addresses of its own
        cloud = _OF_KIND[Kind.FILE]
    return cloud.remedy(said)


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens stores as the environment, and the settings of one backend over it, say."""

    environment: Mapping[str, str]
    access: Access

    def changes(self, place: Place) -> bool:
        """True where the store is another one than by default."""
        if place.kind == Kind.HTTP and self.access.headers:
            return True
        return self.access.changes(_OF_KIND[place.kind].name)

    def open(self, place: Place, settings: IoSettings, region: str | None = None) -> Opened:
        """Open the store of a place.

        Args:
            place: In an object store or on a web server.
            settings: Timeouts.
            region: That the bucket is known to be in, whatever else is said.

        Raises:
            BrokenCredentialsError: What the environment or a setting gives cannot be used.
        """
        cloud, opening = _OF_KIND[place.kind], Opening(self.environment, self.access, settings, region)
        try:
            return cloud.open(place, opening)
        except BaseError:
            pass
        # Raised outside of `except`: the store's own error may show what the variable holds.
        named = opening.first(cloud.variables) or "what the backend was given"
        raise BrokenCredentialsError(named, cloud.mend(opening))

    def endpoint(self, place: Place, settings: IoSettings) -> str | None:
        """The address to which requests to S3 go in place of AWS, None for AWS."""
        cloud = _OF_KIND[place.kind]
        return (
            cloud.endpoint(place, Opening(self.environment, self.access, settings)) if isinstance(cloud, S3) else None
        )
