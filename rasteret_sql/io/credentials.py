"""Gives credentials to stores: from obstore's providers, the user's own, boto3's chain, Earthdata, SAS tokens.

A provider is called by obstore when it first needs credentials, and again shortly before they expire. What it raises
would come out as text of the store, so it is turned into words of ours that hold no address, key or answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from rasteret_sql.errors import InvalidArgumentError

_CLOUD_OF_MODULE = {
    "obstore.auth.boto3": "aws",
    "obstore.auth.earthdata": "aws",
    "obstore.auth.google": "gcp",
    "obstore.auth.azure": "azure",
    "obstore.auth.planetary_computer": "azure",
}


NO_CREDENTIALS = "rasteret-credentials"
"""Marks what our credential providers say, in the text of a store's error."""


class CredentialsUnavailableError(RuntimeError):
    """Raised inside a provider, for obstore, which shows it as text; `failures.failure_of` knows it again."""

    def __init__(self, words: str) -> None:
        super().__init__(f"{NO_CREDENTIALS}[{words}]")


@runtime_checkable
class ContainerCredentials(Protocol):
    """Credentials of which each Azure container has its own."""

    def of_container(self, account: str, container: str) -> Callable[[], Any]:
        """The provider of one container, the same each time."""
        ...

    def forget(self, account: str, container: str) -> None:
        """Let go of the credentials of a container, which were refused."""
        ...


class Provider:
    """A credential provider as stores may have it: only called, for its own cloud and container, silent on failure."""

    def __init__(self, provider: Any, cloud: str | None = None) -> None:
        """Take a provider.

        Args:
            provider: a callable, plain or async, that gives credentials in obstore's words, or one by container.
            cloud: aws, gcp or azure; by default as its class tells, and for an unknown class all three.

        Raises:
            InvalidArgumentError: it cannot be called.
        """
        by_container = isinstance(provider, ContainerCredentials)
        if not (callable(provider) or by_container) or isinstance(provider, type):
            kind = (
                f"the class {provider.__name__}" if isinstance(provider, type) else f"of type {type(provider).__name__}"
            )
            raise InvalidArgumentError(
                "credential_provider is an object that gives credentials when called, such as one of obstore.auth "
                f"(PlanetaryComputerCredentialProvider(...), NasaEarthdataCredentialProvider(...)), not {kind}"
            )
        self.provider = provider
        self.cloud = "azure" if by_container else cloud or _CLOUD_OF_MODULE.get(type(provider).__module__)
        config = getattr(provider, "config", None)
        self._config: Mapping[str, Any] = config if isinstance(config, Mapping) else {}

    def __repr__(self) -> str:
        return f"Provider({type(self.provider).__name__})"

    @property
    def region(self) -> str | None:
        """AWS region that the provider knows its files to be in."""
        region = self._config.get("region")
        return region if isinstance(region, str) else None

    @property
    def words(self) -> str:
        """Words for its credentials, after "the request was"."""
        if isinstance(self.provider, AwsChain):
            return f"signed with {self.provider.source}"
        named = getattr(self.provider, "__name__", None) or type(self.provider).__name__
        shown = repr(self.provider) if isinstance(self.provider, ContainerCredentials) else named
        return f"signed with what {shown} gave"

    def forget(self) -> None:
        """Let go of what was given so far, of a provider of ours; others keep nothing, or renew it by themselves."""
        if isinstance(self.provider, AwsChain):
            self.provider.forget()

    def forget_container(self, account: str, container: str) -> None:
        """The same for one Azure container."""
        if isinstance(self.provider, ContainerCredentials):
            self.provider.forget(account, container)

    def serves(self, cloud: str) -> bool:
        """True where it may give credentials for a cloud."""
        return self.cloud in (None, cloud)

    def of(self, cloud: str, account: str | None = None, container: str | None = None) -> Callable[[], Any] | None:
        """The provider that a store is to call; None where it is of another cloud or Azure container."""
        if not self.serves(cloud):
            return None
        if isinstance(self.provider, ContainerCredentials):
            return _silent(self.provider.of_container(account or "", container or ""))
        for name, here in (("account_name", account), ("container_name", container)):
            own = self._config.get(name)
            if own is not None and here is not None and own != here:
                return None
        return _silent(self.provider)


def _silent(provider: Callable[[], Any]) -> Callable[[], Any]:
    """Without the provider's config and prefix, which the store has from the address, and with errors in our words."""

    def call() -> Any:
        try:
            given = provider()
        except CredentialsUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a foreign object; it is raised again in words of ours
            # Whatever it is, its text may hold a signed address or an answer with keys in it.
            raise CredentialsUnavailableError(_refused(provider, error)) from None
        return _awaited(given, provider) if inspect.isawaitable(given) else given

    return call


async def _awaited(given: Awaitable[Any], provider: Any) -> Any:
    try:
        return await given
    except CredentialsUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001
        raise CredentialsUnavailableError(_refused(provider, error)) from None


def _refused(provider: Any, error: Exception) -> str:
    status = status_of(error)
    said = type(error).__name__ if status is None else f"HTTP {status}"
    return f"{getattr(provider, '__name__', type(provider).__name__)} gave no credentials: {said}"


class AwsChain:
    """boto3's chain: environment, profile, config files, SSO caches, container and instance roles.

    Looked for when first called, on a thread of the store: roles are asked for over the network.
    """

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile
        self._provider: Callable[[], Any] | None = None
        self._method = ""

    @property
    def source(self) -> str:
        """The origin of the credentials, in words."""
        profile = f', profile "{self._profile}"' if self._profile else ""
        return f"what boto3 found{f' ({self._method}{profile})' if self._method else profile}"

    def forget(self) -> None:
        """Look again: files may have been changed, a login renewed."""
        self._provider = None

    def __call__(self) -> Any:
        if self._provider is None:
            from boto3.session import Session  # noqa: PLC0415
            from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415

            session = Session(profile_name=self._profile)
            found = session.get_credentials()
            if found is None:
                raise CredentialsUnavailableError("no AWS credentials were found by boto3")
            self._method = str(found.method)
            self._provider = Boto3CredentialProvider(session)
        return self._provider()


def has_boto3() -> bool:
    """True where the extra `aws` is installed."""
    try:
        import obstore.auth.boto3  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def profile_region(profile: str | None) -> str | None:
    """Region that an AWS profile names; None without one or without boto3."""
    if not has_boto3():
        return None
    from boto3.session import Session  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        region = Session(profile_name=profile).region_name
    except BotoCoreError:  # no such profile: said when credentials are asked for
        return None
    return str(region) if region else None


def status_of(error: Exception) -> int | None:
    """The HTTP status that an error of urllib, requests, aiohttp or httpx is about; None where it is about none."""
    response = getattr(error, "response", None)
    said = (getattr(error, "code", None), getattr(error, "status", None), getattr(response, "status_code", None))
    return next((status for status in said if isinstance(status, int) and 100 <= status < 600), None)
