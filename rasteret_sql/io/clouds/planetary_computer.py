"""`SasTokenEndpoint`: asks the Planetary Computer, or an endpoint like its own, for SAS tokens of Azure containers.

A token is asked for by obstore's provider. That knows one container, needs the package `requests`, waits for an answer
without end, and asks again for each store that is opened; so there is one for each container here, with a session of
the standard library and a token that is kept until it is about to expire or is refused.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.clouds.credential_source import CredentialSource, FoundCredential
from rasteret_sql.io.credentials import CredentialsUnavailableError, Provider
from rasteret_sql.lazy import lazy_module

if TYPE_CHECKING:
    from obstore.auth import planetary_computer
else:
    planetary_computer = lazy_module("obstore.auth.planetary_computer")

PLANETARY_COMPUTER_HOST = "planetarycomputer.microsoft.com"
PLANETARY_COMPUTER = f"https://{PLANETARY_COMPUTER_HOST}/api/sas/v1/token"
SUBSCRIPTION_KEY = "PC_SDK_SUBSCRIPTION_KEY"
_TIMEOUT_SECONDS = 30
_RENEW_BEFORE = timedelta(seconds=60)
_LONGEST_ANSWER = 1 << 20


class SasTokenEndpoint:
    """Credentials for every container that a token endpoint serves: one request each, renewed before expiry.

    `GET <endpoint>/<account>/<container>` answers `{"token": ..., "msft:expiry": ...}`. A subscription key, where
    `PC_SDK_SUBSCRIPTION_KEY` has one, goes along.
    """

    def __init__(self, endpoint: str = PLANETARY_COMPUTER) -> None:
        """Take the endpoint's address.

        Raises:
            InvalidArgumentError: it is no http or https address.
        """
        if not isinstance(endpoint, str) or not endpoint.lower().startswith(("https://", "http://")):
            raise InvalidArgumentError(
                f"the token endpoint is an address such as {PLANETARY_COMPUTER}, not "
                f"{safe_address(endpoint) if isinstance(endpoint, str) else type(endpoint).__name__}"
            )
        self.endpoint = endpoint.rstrip("/")
        self._containers: dict[tuple[str, str], _ContainerTokens] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"SasTokenEndpoint({safe_address(self.endpoint)!r})"

    def of_container(self, account: str, container: str) -> Callable[[], Any]:
        """The provider of one container, in obstore's words."""
        with self._lock:
            key = (account, container)
            if key not in self._containers:
                self._containers[key] = _ContainerTokens(self.endpoint, account, container)
            return self._containers[key]

    def forget(self, account: str, container: str) -> None:
        """Ask for another token of a container with the next request: this one was refused."""
        with self._lock:
            tokens = self._containers.get((account, container))
        if tokens is not None:
            tokens.forget()


class _ContainerTokens:
    """The token of one container, kept until it is about to expire."""

    def __init__(self, endpoint: str, account: str, container: str) -> None:
        self._endpoint, self._account, self._container = endpoint, account, container
        self._lock = threading.Lock()
        self._kept: dict[str, Any] | None = None

    def forget(self) -> None:
        with self._lock:
            self._kept = None

    async def __call__(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._token)

    def _token(self) -> dict[str, Any]:
        with self._lock:
            if self._kept is None or self._kept["expires_at"] - datetime.now(UTC) < _RENEW_BEFORE:
                self._kept = self._request()
            return self._kept

    def _request(self) -> dict[str, Any]:
        where = f"the token endpoint {safe_address(self._endpoint)}"
        try:
            given = planetary_computer.PlanetaryComputerCredentialProvider(
                account_name=self._account,
                container_name=self._container,
                session=_Session(),
                subscription_key=os.environ.get(SUBSCRIPTION_KEY) or None,
                sas_url=self._endpoint,
            )()
            expiry = given["expires_at"]
            expires_at = expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)
            return {"sas_token": str(given["sas_token"]), "expires_at": expires_at}
        except HTTPError as error:
            words = f"{where} answered HTTP {error.code}"
            error.close()
        except ImportError:
            words = f"{SUBSCRIPTION_KEY} stands in a file that needs python-dotenv to be read"
        except (URLError, OSError):
            words = f"{where} cannot be reached"
        except (ValueError, KeyError, TypeError):
            words = f"{where} gave no token"
        raise CredentialsUnavailableError(words)


class _Session:
    """A session of requests as obstore's provider asks for it, by the standard library: with a timeout and a bound."""

    def get(self, url: str, headers: Mapping[str, str]) -> _Answer:
        request = urllib.request.Request(url, headers={**headers, "User-Agent": "rasteret-sql"})  # noqa: S310 - checked
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return _Answer(answer.read(_LONGEST_ANSWER))


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer of a server that did not refuse: a refusal is raised before."""

    body: bytes

    def raise_for_status(self) -> None:
        """It is no refusal."""

    def json(self) -> Any:
        return json.loads(self.body)


class PlanetaryComputer(CredentialSource):
    """Tokens of the Planetary Computer, or of the endpoint whose address is given as the word."""

    name = word = extra = "planetary-computer"
    modules = ("requests",)

    def answers(self, word: str) -> bool:
        return super().answers(word) or word.lower().startswith(("https://", "http://"))

    def credentials(self, word: str, given: Mapping[str, str]) -> Provider:  # noqa: ARG002
        return Provider(SasTokenEndpoint(PLANETARY_COMPUTER if word == self.word else word))

    def found(self, variables: Mapping[str, str], credential: Callable[[str], str]) -> FoundCredential:  # noqa: ARG002
        key = bool(variables.get(SUBSCRIPTION_KEY))
        source = f"{SUBSCRIPTION_KEY} of the environment" if key else "needs none"
        effect = f"tokens are asked for by create_backend({PLANETARY_COMPUTER!r})"
        return FoundCredential(self.name, True, source, effect)
