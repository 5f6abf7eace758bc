"""`S3`: routes addresses of Amazon S3 and of what speaks its protocol, opens buckets, finds credentials."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from obstore.store import S3Store

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Kind, Place
from rasteret_sql.io.clouds.cloud import (
    Cloud,
    HostSecret,
    Opened,
    Opening,
    SecretAccess,
    bucket_place,
    keys_of,
    renewal,
    with_scheme,
    words,
)
from rasteret_sql.io.clouds.credential_source import FoundCredential
from rasteret_sql.io.clouds.s3_settings import SIGNING_VARIABLES, client_options, environment_settings, s3_settings
from rasteret_sql.io.credentials import AwsChain, Provider, has_boto3, profile_region

_VIRTUAL = re.compile(r"(?P<bucket>.+?)\.s3(?:[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?")
_PATH = re.compile(r"s3(?:[.-](?:dualstack\.)?(?P<region>[a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?")
_SECRETS = ("access_key_id", "secret_access_key", "session_token")


class S3(Cloud):
    """Buckets of S3."""

    kind = Kind.S3
    name = word = "aws"
    arguments = ("profile",)
    schemes = ("s3", "s3a", "s3n")
    example = "s3://"
    variables = SIGNING_VARIABLES
    prefixes = ("AWS_",)
    whereabouts = (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_REQUEST_PAYER",
    )
    likely = "s3://bucket/key"
    extra = "aws"
    modules = ("boto3",)
    secret_types = ("s3", "aws", "r2")

    def route(self, address: str) -> Place:
        return bucket_place(self.kind, address)

    def of_host(self, host: str, path: str) -> Place | None:
        path = unquote(path)
        first, _, rest = path.partition("/")
        if match := _PATH.fullmatch(host):
            return Place(self.kind, first, rest, region=match["region"]) if rest else None
        if match := _VIRTUAL.fullmatch(host):
            return Place(self.kind, match["bucket"], path, region=match["region"]) if path else None
        return None

    def open(self, place: Place, opening: Opening) -> Opened:
        config, credential, provider = self._config(place, opening)
        if opening.region is not None:
            config["region"] = opening.region
        options = opening.client(allow_http=config.get("endpoint", "").startswith("http://"))
        options |= client_options(config)
        store = S3Store(place.root, client_options=options, **config, **opening.retries)
        return Opened(store, credential, renewal(provider))

    def endpoint(self, place: Place, opening: Opening) -> str | None:
        """The address to which requests to S3 go in place of AWS, None for AWS."""
        endpoint = self._config(place, opening)[0].get("endpoint")
        return None if endpoint is None else str(endpoint)

    def mend(self, opening: Opening) -> str:
        if opening.first(("AWS_ACCESS_KEY_ID",)) and not opening.first(("AWS_SECRET_ACCESS_KEY",)):
            return "AWS_SECRET_ACCESS_KEY is not set beside it"
        return super().mend(opening)

    def remedy(self, said: str) -> str:  # noqa: ARG002
        return (
            "Private or requester-pays buckets need credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(and AWS_REQUEST_PAYER=requester); S3 answers the same for a key that does not exist."
        )

    def credentials(self, word: str, given: Mapping[str, str]) -> Provider:
        if not has_boto3():
            raise InvalidArgumentError(f"credential_provider := '{word}' needs boto3: pip install 'rasteret-sql[aws]'")
        return Provider(AwsChain(given.get("profile")), self.name)

    def region(self, given: Mapping[str, str]) -> str | None:
        return profile_region(given.get("profile"))

    def found(self, variables: Mapping[str, str], credential: Callable[[str], str]) -> FoundCredential:
        if variables.get("AWS_PROFILE") and not any(variables.get(name) for name in self.variables):
            profile = f'profile "{variables["AWS_PROFILE"]}" of AWS_PROFILE'
            if not has_boto3():
                return FoundCredential(
                    "aws", False, profile, "an error: pip install 'rasteret-sql[aws]' to use profiles"
                )
            known = variables["AWS_PROFILE"] in _profiles(variables)
            words = "requests are signed with it" if known else "requests will fail: no file of AWS has that profile"
            return FoundCredential("aws", known, profile, words)
        plain = super().found(variables, credential)
        if plain.found and not any(variables.get(name) for name in self.variables):
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

    def of_secret(self, secret: HostSecret) -> SecretAccess:
        values, endpoint = secret.values, secret.values.get("endpoint", "")
        own = endpoint and not endpoint.endswith("amazonaws.com")
        settings = {
            "region": values.get("region") or ("auto" if secret.type == "r2" else None),
            "endpoint": with_scheme(endpoint, values) if own else None,
            "request_payer": True if values.get("requester_pays") == "true" else None,
        }
        patterns = {"r2://": "s3://"} if secret.type == "r2" else {}
        return SecretAccess(
            Access(url_patterns=patterns, s3=s3_settings(settings, "secret"), credentials=keys_of(secret))
        )

    def _config(self, place: Place, opening: Opening) -> tuple[dict[str, Any], Callable[[], str], Any]:
        """Settings of a bucket: environment < address < the access's fallback < its own < the bucket's."""
        access, profile = opening.access, opening.environment.get("AWS_PROFILE") or None
        own, provider = access.s3_of(place.root), None
        known = {} if place.region is None else {"region": place.region}
        if access.credentials is not None and (provider := access.credentials.of("aws")) is not None:
            known = ({"region": access.credentials.region} if access.credentials.region else {}) | known
        config = {**environment_settings(opening.environment), **known, **access.s3_fallback, **own}
        anonymous = config.pop("skip_signature", None)
        if provider is not None or anonymous:
            for name in _SECRETS:
                config.pop(name, None)
            if provider is None:
                return config | {"skip_signature": True}, words("anonymous, as skip_signature says"), None
            assert access.credentials is not None
            return config | {"credential_provider": provider}, words(access.credentials.words), access.credentials
        if "access_key_id" in own:
            if "session_token" not in own:
                config.pop("session_token", None)  # the environment's belongs to the environment's key
            return config, words("signed with access_key_id of default_s3_config"), None
        if variable := opening.first(self.variables):
            return config, words(f"signed by {variable} of the environment"), None
        if not config.get("request_payer") and profile is None and anonymous is None:
            found = "anonymous: neither AWS_ACCESS_KEY_ID nor AWS_PROFILE is set, and no backend gives credentials"
            return config | {"skip_signature": True}, words(found), None
        if has_boto3():
            chain = AwsChain(profile)
            config["credential_provider"] = Provider(chain, "aws").of("aws")
            if "region" not in config and (region := profile_region(profile)):
                config["region"] = region
            return config, lambda: f"signed with {chain.source}", Provider(chain, "aws")
        if profile is not None:
            raise InvalidArgumentError(
                "AWS_PROFILE is set, but profiles are read by boto3: pip install 'rasteret-sql[aws]', set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or unset AWS_PROFILE"
            )
        return config, words("signed with the role of this machine, if it has one"), None


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
