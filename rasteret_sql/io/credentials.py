"""Who gives credentials to stores: obstore's providers or the user's own, boto3's chain, NASA Earthdata, SAS tokens.

A provider is called by obstore when it first needs credentials, and again shortly before they expire. What it raises
would come out as text of the store, so it is turned into words of ours that hold no address, key or answer.
"""

from __future__ import annotations

import inspect
import netrc
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.failures import NO_CREDENTIALS

EARTHDATA_HOST = "urs.earthdata.nasa.gov"
_CLOUD_OF_MODULE = {
    "obstore.auth.boto3": "aws",
    "obstore.auth.earthdata": "aws",
    "obstore.auth.google": "gcp",
    "obstore.auth.azure": "azure",
    "obstore.auth.planetary_computer": "azure",
}


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
        """What its credentials are, after "the request was"."""
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
        """What a store is to call; None where the provider is of another cloud or Azure container."""
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
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    said = f"HTTP {status}" if isinstance(status, int) else type(error).__name__
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
        """Where the credentials are from, in words."""
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


def netrc_file(environment: Mapping[str, str]) -> Path:
    """Where logins for hosts are kept."""
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
