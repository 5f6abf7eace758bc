"""How the store of an address is opened: its settings, its credentials, and words for where these are from."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Kind, Place
from rasteret_sql.io.credentials import AwsChain, Provider, has_boto3, profile_region
from rasteret_sql.io.s3_settings import SIGNING_VARIABLES, environment_settings
from rasteret_sql.io.settings import IoSettings

_POOL_IDLE_SECONDS = 90
"""How long an unused connection is kept."""

# Whoever sets one of these wants requests signed; without them they are anonymous, as open data needs it.
GOOGLE_KEYS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)
AZURE_KEYS = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
    "AZURE_CLIENT_ID",
)
_GOOGLE_FILES = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH")
_GOOGLE_PROJECTS = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
_VARIABLES = {Kind.S3: SIGNING_VARIABLES, Kind.GCS: GOOGLE_KEYS, Kind.AZURE: AZURE_KEYS}
_CLOUDS = {Kind.S3: "aws", Kind.GCS: "gcp", Kind.AZURE: "azure"}
_SECRETS = ("access_key_id", "secret_access_key", "session_token")


class BrokenCredentialsError(InvalidArgumentError):
    """Credentials with which no store can be opened.

    Attributes:
        source: Where they are from.
        mend: What to do.
    """

    def __init__(self, source: str, mend: str) -> None:
        super().__init__(f"the credentials of {source} cannot be used: {mend}")
        self.source, self.mend = source, mend


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, with its connections."""

    store: Any
    credential: Callable[[], str]
    """Words that go after "the request was": what it carried, and from where that was."""
    renewable: Callable[[], None] | None = None
    """Lets go of credentials that a provider keeps; None where no provider gives any, or others could not."""


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens stores as the environment, and the settings of one backend over it, say."""

    environment: Mapping[str, str]
    access: Access

    def changes(self, place: Place) -> bool:
        """True where the store is another one than by default."""
        return self.access.changes(_CLOUDS.get(place.kind, ""))

    def open(self, place: Place, settings: IoSettings, region: str | None = None) -> Opened:
        """Open the store of a place.

        Args:
            place: In an object store or on a web server.
            settings: Timeouts.
            region: That the bucket is known to be in, whatever else is said.

        Raises:
            BrokenCredentialsError: What the environment or a setting gives cannot be used.
        """
        try:
            return self._open(place, settings, region)
        except BaseError:
            pass
        # Raised outside of `except`: the store's own error may show what the variable holds.
        named = self._first(_VARIABLES.get(place.kind, ())) or "what the backend was given"
        raise BrokenCredentialsError(named, self._mend(place.kind))

    def _mend(self, kind: Kind) -> str:
        """What to do about credentials with which no store can be opened, as far as it is told without showing them."""
        if kind is Kind.S3 and self._first(("AWS_ACCESS_KEY_ID",)) and not self._first(("AWS_SECRET_ACCESS_KEY",)):
            return "AWS_SECRET_ACCESS_KEY is not set beside it"
        if kind is Kind.GCS and not self._first(("GOOGLE_SERVICE_ACCOUNT_KEY",)):
            return "it has to name a file of credentials (JSON) that can be read"
        return "what it holds cannot be parsed; copy it anew"

    def _open(self, place: Place, settings: IoSettings, region: str | None) -> Opened:
        # fetch retries by itself: it sees short bodies, waits for one host at a time, and is bounded in time.
        common = {"retry_config": {"max_retries": 0, "retry_timeout": timedelta(seconds=settings.request_timeout)}}
        if place.kind is Kind.HTTP:
            options = _options(settings, allow_http=True) | _login(place.root)
            store = HTTPStore.from_url(place.root, client_options=options, **common)
            return Opened(store, _said(_of_url(place.root)))
        if place.kind is Kind.S3:
            config, credential, provider = self._s3(place)
            if region is not None:
                config["region"] = region
            options = _options(settings, allow_http=config.get("endpoint", "").startswith("http://"))
            store = S3Store(place.root, client_options=options, **config, **common)
            return Opened(store, credential, _renewal(provider))
        if place.kind is Kind.GCS:
            return self._google(place, settings, common)
        return self._azure(place, settings, common)

    def endpoint(self, place: Place) -> str | None:
        """Where requests to S3 go in place of AWS, None for AWS."""
        return self._s3(place)[0].get("endpoint")

    def _s3(self, place: Place) -> tuple[dict[str, Any], Callable[[], str], Any]:
        """Settings of a bucket: environment < address < the access's fallback < its own < the bucket's."""
        access, profile = self.access, self.environment.get("AWS_PROFILE") or None
        own, provider = access.s3_of(place.root), None
        known = {} if place.region is None else {"region": place.region}
        if access.credentials is not None and (provider := access.credentials.of("aws")) is not None:
            known = ({"region": access.credentials.region} if access.credentials.region else {}) | known
        config = {**environment_settings(self.environment), **known, **access.s3_fallback, **own}
        anonymous = config.pop("skip_signature", None)
        if provider is not None or anonymous:
            for name in _SECRETS:
                config.pop(name, None)
            if provider is None:
                return config | {"skip_signature": True}, _said("anonymous, as skip_signature says"), None
            assert access.credentials is not None
            return config | {"credential_provider": provider}, _said(access.credentials.words), access.credentials
        if "access_key_id" in own:
            if "session_token" not in own:
                config.pop("session_token", None)  # the environment's belongs to the environment's key
            return config, _said("signed with access_key_id of default_s3_config"), None
        if variable := self._first(SIGNING_VARIABLES):
            return config, _said(f"signed by {variable} of the environment"), None
        if not config.get("request_payer") and profile is None and anonymous is None:
            found = "anonymous: neither AWS_ACCESS_KEY_ID nor AWS_PROFILE is set, and no backend gives credentials"
            return config | {"skip_signature": True}, _said(found), None
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
        return config, _said("signed with the role of this machine, if it has one"), None

    def _google(self, place: Place, settings: IoSettings, common: dict[str, Any]) -> Opened:
        emulator = self.environment.get("STORAGE_EMULATOR_HOST") or self.environment.get("GOOGLE_BASE_URL")
        config: dict[str, Any] = {}
        if emulator:
            config["base_url"] = emulator if "://" in emulator else f"http://{emulator}"
        base = config.get("base_url") or self._google_base()
        options = _options(settings, allow_http=base.startswith("http://"))
        project = next((self.environment[name] for name in _GOOGLE_PROJECTS if self.environment.get(name)), None)
        if "gcp" in self.access.requester_pays and project:
            options["default_headers"] = {"x-goog-user-project": project}
        provider = self.access.credentials and self.access.credentials.of("gcp")
        words = "anonymous: GOOGLE_APPLICATION_CREDENTIALS is not set, and no backend gives credentials"
        if provider is not None:
            assert self.access.credentials is not None
            config["credential_provider"], words = provider, self.access.credentials.words
        elif variable := self._first(GOOGLE_KEYS):
            words = f"signed by {variable} of the environment"
        elif "gcp" in self.access.signed:
            words = "signed with Google's application default credentials"
        else:
            config["skip_signature"] = True
        store = GCSStore(place.root, client_options=options, **config, **common)
        return Opened(store, _said(words), _renewal(provider and self.access.credentials))

    def _google_base(self) -> str:
        """Where the service account's file sends requests, which an emulator's says; empty for Google."""
        named = self._first(_GOOGLE_FILES)
        try:
            said = json.loads(Path(self.environment[named]).read_text("utf-8")).get("gcs_base_url", "") if named else ""
        except (OSError, ValueError, AttributeError):
            return ""  # the store says what is wrong with the file
        return str(said)

    def _azure(self, place: Place, settings: IoSettings, common: dict[str, Any]) -> Opened:
        container, account = place.root, place.account or self.environment.get("AZURE_STORAGE_ACCOUNT_NAME")
        if account is None:
            msg = (
                f'the Azure container "{container}" is in no known account: '
                "write abfs://container@account.dfs.core.windows.net/path or set AZURE_STORAGE_ACCOUNT_NAME"
            )
            raise InvalidArgumentError(msg)
        config: dict[str, Any] = {}
        endpoint = self.environment.get("AZURE_STORAGE_ENDPOINT")
        if endpoint:  # a gateway or an emulator
            config["endpoint"] = endpoint
        provider = self.access.credentials and self.access.credentials.of("azure", account, container)
        words = "anonymous: no AZURE_STORAGE_* variable gives a key or token, and no backend does"
        if provider is not None:
            assert self.access.credentials is not None
            config["credential_provider"], words = provider, self.access.credentials.words
        elif variable := self._first(AZURE_KEYS):
            words = f"signed by {variable} of the environment"
        elif "azure" in self.access.signed:
            words = "signed with the identity of this machine"
        else:
            config["skip_signature"] = True
        options = _options(settings, allow_http=(endpoint or "").startswith("http://"))
        store = AzureStore(container, account_name=account, client_options=options, **config, **common)
        renewal = self.access.credentials.forget_container if provider and self.access.credentials else None
        return Opened(store, _said(words), renewal and (lambda: renewal(account, container)))

    def _first(self, names: Sequence[str]) -> str | None:
        """The first of the variables that is set."""
        return next((name for name in names if self.environment.get(name)), None)


def _options(settings: IoSettings, *, allow_http: bool) -> dict[str, Any]:
    """Timeouts in obstore's words."""
    return {
        "connect_timeout": timedelta(seconds=settings.connect_timeout),
        "timeout": timedelta(seconds=settings.request_timeout),
        "pool_idle_timeout": timedelta(seconds=_POOL_IDLE_SECONDS),
        "allow_http": allow_http,
        "user_agent": "rasteret-sql",
    }


def _of_url(root: str) -> str:
    if "?" in root:
        return "signed by the query string of its address"
    if "@" in root.split("/", 3)[2]:
        return "sent with user and password of its address"
    return "sent without credentials"


def _login(root: str) -> dict[str, Any]:
    """User and password of a URL, which stores do not send by themselves, as the header that they belong in."""
    parts = urlsplit(root)
    if not parts.username:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"default_headers": {"authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}}


def _said(words: str) -> Callable[[], str]:
    return lambda: words


def _renewal(provider: Provider | None) -> Callable[[], None] | None:
    return None if provider is None else provider.forget
