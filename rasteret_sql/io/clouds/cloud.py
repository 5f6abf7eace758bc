"""`Cloud`: says which addresses belong to a provider of files, opens its stores, and has the words for messages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.access import Access
from rasteret_sql.io.addresses import Place, safe_address
from rasteret_sql.io.clouds.credential_source import CredentialSource, FoundCredential
from rasteret_sql.io.credentials import Provider
from rasteret_sql.io.settings import IoSettings

_POOL_IDLE_SECONDS = 90
"""How long an unused connection is kept."""


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
class Opening:
    """By what a store is opened: the environment, and over it what a backend was given."""

    environment: Mapping[str, str]
    access: Access
    settings: IoSettings
    region: str | None = None
    """Where the bucket is known to be, whatever else is said."""

    def first(self, names: Sequence[str]) -> str | None:
        """The first of the variables that is set."""
        return next((name for name in names if self.environment.get(name)), None)

    @property
    def retries(self) -> dict[str, Any]:
        """None by the store: fetch sees short bodies too, waits for one host at a time, and is bounded in time."""
        return {"retry_config": {"max_retries": 0, "retry_timeout": timedelta(seconds=self.settings.request_timeout)}}

    def client(self, *, allow_http: bool) -> dict[str, Any]:
        """Timeouts in obstore's words."""
        return {
            "connect_timeout": timedelta(seconds=self.settings.connect_timeout),
            "timeout": timedelta(seconds=self.settings.request_timeout),
            "pool_idle_timeout": timedelta(seconds=_POOL_IDLE_SECONDS),
            "allow_http": allow_http,
            "user_agent": "rasteret-sql",
        }


@dataclass(frozen=True, slots=True)
class HostSecret:
    """A secret of the host."""

    name: str
    type: str
    scope: tuple[str, ...]
    """Prefixes of the addresses that it is for."""
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretAccess:
    """The access that a secret gives."""

    access: Access
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that the secret says in place of the process's."""


class Cloud(CredentialSource):
    """One provider of stores."""

    kind: str
    """The scheme under which all spellings of its addresses come together."""
    schemes: tuple[str, ...] = ()
    """Of its addresses, without `://`."""
    example: str
    """What its addresses look like, for messages."""
    variables: tuple[str, ...] = ()
    """Whoever sets one of these wants requests signed; without them they are anonymous, as open data needs it."""
    prefixes: tuple[str, ...] = ()
    """How the names of all variables begin that its stores read when they are made."""
    whereabouts: tuple[str, ...] = ()
    """Variables that tell where requests go, and hold nothing secret but for what `safe_address` takes off."""
    likely: str = ""
    """An address of it, by which `found` looks for credentials."""
    secret_types: tuple[str, ...] = ()
    """Types of DuckDB's secrets for it."""

    @abstractmethod
    def route(self, address: str) -> Place:
        """The place that an address with one of its schemes means.

        Raises:
            InvalidArgumentError: the address lacks a part.
        """

    def of_host(self, host: str, path: str) -> Place | None:  # noqa: ARG002
        """The place that a web address without port, user and query means; None where the host is another's."""
        return None

    @abstractmethod
    def open(self, place: Place, opening: Opening) -> Opened:
        """Open the store of a place.

        Raises:
            InvalidArgumentError: what it needs is not said.
        """

    def signing(self, opening: Opening, provider: Any, *, machine: str, anonymous: str) -> tuple[dict[str, Any], str]:
        """Choose how requests are signed: the store's settings for it, and words that go after "the request was".

        Args:
            opening: by what the store is opened.
            provider: gives credentials, in obstore's words; None where the access has none for it.
            machine: in words, what signs where the access says that requests are to be.
            anonymous: in words, why nothing does otherwise.
        """
        access = opening.access
        if provider is not None:
            assert access.credentials is not None
            return {"credential_provider": provider}, access.credentials.words
        if variable := opening.first(self.variables):
            return {}, f"signed by {variable} of the environment"
        if self.name in access.signed:
            return {}, f"signed with {machine}"
        return {"skip_signature": True}, f"anonymous: {anonymous}"

    def mend(self, opening: Opening) -> str:  # noqa: ARG002
        """Say what to do about credentials with which no store can be opened, as far as it is told without them."""
        return "what it holds cannot be parsed; copy it anew"

    def remedy(self, said: str) -> str:  # noqa: ARG002
        """Say what helps where access is denied.

        Args:
            said: what the server answered.
        """
        return ""

    def found(self, variables: Mapping[str, str], credential: Callable[[str], str]) -> FoundCredential:  # noqa: ARG002
        try:
            words = credential(self.likely)
        except BrokenCredentialsError as error:
            return FoundCredential(
                self.name, False, f"{error.source} of the environment", f"requests fail: {error.mend}"
            )
        found = not words.startswith("anonymous")
        source = words.removeprefix("signed by ") if found else words.removeprefix("anonymous: ")
        return FoundCredential(self.name, found, source, f"requests are {'signed' if found else 'anonymous'}")

    def of_secret(self, secret: HostSecret) -> SecretAccess:
        """Make the access that a secret of one of its types gives.

        Raises:
            InvalidArgumentError: it holds what cannot be used; values are never shown.
        """
        raise NotImplementedError(f"no secret of type {secret.type} is of {type(self).__name__}")


def bucket_place(kind: str, address: str) -> Place:
    """The place of an address such as s3://bucket/key.

    Raises:
        InvalidArgumentError: bucket or key are missing.
    """
    bucket, _, key = address.partition("://")[2].partition("/")
    bucket = bucket.rpartition("@")[2]
    if not bucket or not key:
        msg = f'"{safe_address(address)}" lacks a {"key" if bucket else "bucket"}: expected {kind}://bucket/key'
        raise InvalidArgumentError(msg)
    return Place(kind, bucket, key)


def words(text: str) -> Callable[[], str]:
    """Words that are known beforehand."""
    return lambda: text


def renewal(provider: Provider | None) -> Callable[[], None] | None:
    """The function that lets go of credentials of a provider."""
    return None if provider is None else provider.forget


class SecretCredentials:
    """The credentials in a secret, as obstore asks for them."""

    def __init__(self, name: str, given: Mapping[str, str], account: str | None = None) -> None:
        self.__name__ = f'the secret "{name}"'
        self._given = dict(given)
        self.config = {"account_name": account} if account else {}
        """For no other account of Azure."""

    def __call__(self) -> dict[str, Any]:
        return {**self._given, "expires_at": None}


def keys_of(secret: HostSecret) -> Provider | None:
    """Keys in the manner of S3; None where the secret has none."""
    values = secret.values
    if "key_id" not in values or "secret" not in values:
        return None
    given = {"access_key_id": values["key_id"], "secret_access_key": values["secret"]}
    if "session_token" in values:
        given["token"] = values["session_token"]
    return Provider(SecretCredentials(secret.name, given), "aws")


def with_scheme(endpoint: str, values: Mapping[str, str]) -> str:
    """An endpoint as a secret has it, as an address."""
    if "://" in endpoint:
        return endpoint
    return f"{'http' if values.get('use_ssl') == 'false' else 'https'}://{endpoint}"
