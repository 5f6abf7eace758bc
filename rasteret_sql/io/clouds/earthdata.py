"""`Earthdata`: finds logins of NASA Earthdata, and asks its archives for temporary S3 credentials."""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.clouds.credential_source import CredentialSource, FoundCredential
from rasteret_sql.io.credentials import Provider

EARTHDATA_HOST = "urs.earthdata.nasa.gov"
VARIABLES = ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD", "EARTHDATA_HOST", "NETRC", "HOME")
"""By which a login is found."""


def earthdata(credentials_url: str, environment: Mapping[str, str] | None = None) -> Provider | None:
    """NASA Earthdata's temporary S3 credentials, renewed by themselves; None where no login is found.

    A login is `EARTHDATA_TOKEN`, `EARTHDATA_USERNAME` with `EARTHDATA_PASSWORD`, or the machine
    urs.earthdata.nasa.gov (or `EARTHDATA_HOST`) of ~/.netrc (or `NETRC`).

    Raises:
        InvalidArgumentError: the extra is not installed, or ~/.netrc cannot be parsed.
    """
    variables = os.environ if environment is None else environment
    token = variables.get("EARTHDATA_TOKEN")
    user, password = variables.get("EARTHDATA_USERNAME"), variables.get("EARTHDATA_PASSWORD")
    host = variables.get("EARTHDATA_HOST") or EARTHDATA_HOST
    if not token and not (user and password) and not netrc_has(host, variables):
        return None
    try:
        import requests  # noqa: F401, PLC0415
        from obstore.auth.earthdata import NasaEarthdataCredentialProvider  # noqa: PLC0415
    except ImportError:
        raise InvalidArgumentError(
            "signing in to NASA Earthdata needs more packages: pip install 'rasteret-sql[earthdata]', or pass backend="
        ) from None
    auth: Any = token or ((user, password) if user and password else None)
    return Provider(NasaEarthdataCredentialProvider(credentials_url, host=host, auth=auth), "aws")


class Earthdata(CredentialSource):
    """Logins of NASA Earthdata, whose archives are in buckets of S3."""

    name = word = extra = "earthdata"
    arguments = ("credentials_url",)
    modules = ("requests",)

    def credentials(self, word: str, given: Mapping[str, str]) -> Provider:
        if "credentials_url" not in given:
            raise InvalidArgumentError(
                f"credential_provider := '{word}' needs credentials_url := the address of the archive that gives S3 "
                "credentials, such as 'https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials'"
            )
        login = earthdata(given["credentials_url"])
        if login is None:
            raise InvalidArgumentError(
                f'no Earthdata login was found: add "machine {EARTHDATA_HOST} login ... password ..." to ~/.netrc, or '
                "set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD"
            )
        return login

    def found(self, variables: Mapping[str, str], credential: Callable[[str], str]) -> FoundCredential:  # noqa: ARG002
        where, host = "", variables.get("EARTHDATA_HOST") or EARTHDATA_HOST
        if variables.get("EARTHDATA_TOKEN"):
            where = "EARTHDATA_TOKEN of the environment"
        elif variables.get("EARTHDATA_USERNAME") and variables.get("EARTHDATA_PASSWORD"):
            where = "EARTHDATA_USERNAME and EARTHDATA_PASSWORD of the environment"
        else:
            try:
                where = f"{netrc_file(variables)}, machine {host}" if netrc_has(host, variables) else ""
            except InvalidArgumentError as error:
                return FoundCredential(self.name, False, str(error), "datasets that need a login cannot be built")
        if not where:
            looked = f"neither EARTHDATA_TOKEN, EARTHDATA_USERNAME, nor {netrc_file(variables)} has a login"
            return FoundCredential(self.name, False, looked, "datasets that need a login cannot be built")
        if not self.is_installed():
            return FoundCredential(self.name, True, where, "not used: pip install 'rasteret-sql[earthdata]'")
        return FoundCredential(self.name, True, where, "temporary S3 keys are asked for when they are needed")


def netrc_file(environment: Mapping[str, str]) -> Path:
    """The file that keeps logins for hosts."""
    home = Path(environment.get("HOME") or Path.home())
    return Path(environment.get("NETRC") or home / ("_netrc" if os.name == "nt" else ".netrc")).expanduser()


def netrc_has(host: str, environment: Mapping[str, str]) -> bool:
    """True where that file has a login for a host.

    Raises:
        InvalidArgumentError: it cannot be parsed.
    """
    file = netrc_file(environment)
    if not file.is_file():
        return False
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except netrc.NetrcParseError as error:
        raise InvalidArgumentError(f"{file} cannot be parsed, at line {error.lineno}: mend or remove it") from None
