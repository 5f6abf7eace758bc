"""Which credentials a process has, for which cloud, and what reads do with them. Nothing is asked over the network."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.credentials import EARTHDATA_HOST, has_boto3, netrc_file, netrc_has
from rasteret_sql.io.opening import BrokenCredentialsError
from rasteret_sql.io.s3_settings import SIGNING_VARIABLES
from rasteret_sql.io.sas_tokens import PLANETARY_COMPUTER
from rasteret_sql.io.stores import RoutedBackend

_SUBSCRIPTION = "PC_SDK_SUBSCRIPTION_KEY"
_LIKELY = {
    "aws": "s3://bucket/key",
    "gcp": "gs://bucket/key",
    "azure": "abfs://container@account.dfs.core.windows.net/x",
}
_EXTRAS = {
    "aws": ("boto3",),
    "gcp": ("google.auth",),
    "azure": ("azure.identity",),
    "earthdata": ("requests",),
    "planetary-computer": ("requests",),
}
"""Extra → modules that it brings."""


@dataclass(frozen=True, slots=True)
class FoundCredential:
    """What there is for one provider; never the credential itself."""

    provider: str
    """aws, gcp, azure, earthdata or planetary-computer."""
    found: bool
    source: str
    """Where it is from, or where one was looked for."""
    effect: str
    """What reads do, in words."""


def found_credentials(environment: Mapping[str, str] | None = None) -> list[FoundCredential]:
    """Look for the credentials of each provider, as reads do.

    Args:
        environment: In place of the variables of the process.
    """
    variables = os.environ if environment is None else environment
    return [
        _aws(variables),
        _cloud("gcp", variables),
        _cloud("azure", variables),
        _earthdata(variables),
        _pc(variables),
    ]


def installed_extras() -> dict[str, bool]:
    """Extra of this package → whether what it brings is there."""
    return {extra: all(_there(module) for module in modules) for extra, modules in _EXTRAS.items()}


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is not there
        return False


def _cloud(cloud: str, variables: Mapping[str, str]) -> FoundCredential:
    try:
        words = RoutedBackend(environment=variables).credential(_LIKELY[cloud])
    except BrokenCredentialsError as error:
        return FoundCredential(cloud, False, f"{error.source} of the environment", f"requests fail: {error.mend}")
    found = not words.startswith("anonymous")
    source = words.removeprefix("signed by ") if found else words.removeprefix("anonymous: ")
    return FoundCredential(cloud, found, source, f"requests are {'signed' if found else 'anonymous'}")


def _aws(variables: Mapping[str, str]) -> FoundCredential:
    if variables.get("AWS_PROFILE") and not any(variables.get(name) for name in SIGNING_VARIABLES):
        profile = f'profile "{variables["AWS_PROFILE"]}" of AWS_PROFILE'
        if not has_boto3():
            return FoundCredential("aws", False, profile, "an error: pip install 'rasteret-sql[aws]' to use profiles")
        known = variables["AWS_PROFILE"] in _profiles(variables)
        words = "requests are signed with it" if known else "requests will fail: no file of AWS has that profile"
        return FoundCredential("aws", known, profile, words)
    plain = _cloud("aws", variables)
    if plain.found and not any(variables.get(name) for name in SIGNING_VARIABLES):
        # Requester pays: boto3's chain or a role is asked with the first request, over the network perhaps.
        looked = ", ".join(_profiles(variables)) or "none"
        source = f"to be looked for, in profiles ({looked}) and the role of this machine"
        return FoundCredential("aws", bool(_profiles(variables)), source, "requests are signed with it, or fail")
    if plain.found or plain.effect.startswith("requests fail") or not (profiles := _profiles(variables)):
        return plain
    named = ", ".join(profiles)
    how = "signed in requester-pays buckets" if has_boto3() else "never signed: the extra aws is not installed"
    return FoundCredential(
        "aws",
        False,
        f"no variable; profiles in files: {named}",
        f"requests are anonymous, {how}; set AWS_PROFILE to sign all",
    )


def _profiles(variables: Mapping[str, str]) -> list[str]:
    """Names of the profiles in AWS's own files."""
    home = Path(variables.get("HOME") or Path.home()) / ".aws"
    names: dict[str, None] = {}
    for variable, name in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config")):
        parsed = configparser.RawConfigParser(strict=False)
        try:
            parsed.read(Path(variables.get(variable) or home / name).expanduser(), "utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # boto3 says what is wrong with the file, when it is used
        names |= {section.removeprefix("profile ").strip(): None for section in parsed.sections()}
    return [name for name in names if not name.startswith(("sso-session ", "services "))]


def _earthdata(variables: Mapping[str, str]) -> FoundCredential:
    where, host = "", variables.get("EARTHDATA_HOST") or EARTHDATA_HOST
    if variables.get("EARTHDATA_TOKEN"):
        where = "EARTHDATA_TOKEN of the environment"
    elif variables.get("EARTHDATA_USERNAME") and variables.get("EARTHDATA_PASSWORD"):
        where = "EARTHDATA_USERNAME and EARTHDATA_PASSWORD of the environment"
    else:
        try:
            where = f"{netrc_file(variables)}, machine {host}" if netrc_has(host, variables) else ""
        except InvalidArgumentError as error:
            return FoundCredential("earthdata", False, str(error), "datasets that need a login cannot be built")
    if not where:
        looked = f"neither EARTHDATA_TOKEN, EARTHDATA_USERNAME, nor {netrc_file(variables)} has a login"
        return FoundCredential("earthdata", False, looked, "datasets that need a login cannot be built")
    if not installed_extras()["earthdata"]:
        return FoundCredential("earthdata", True, where, "not used: pip install 'rasteret-sql[earthdata]'")
    return FoundCredential("earthdata", True, where, "temporary S3 keys are asked for when they are needed")


def _pc(variables: Mapping[str, str]) -> FoundCredential:
    key = bool(variables.get(_SUBSCRIPTION))
    source = f"{_SUBSCRIPTION} of the environment" if key else "needs none"
    return FoundCredential(
        "planetary-computer", True, source, f"tokens are asked for by create_backend({PLANETARY_COMPUTER!r})"
    )
