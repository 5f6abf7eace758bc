"""SAS tokens of Azure containers from a token endpoint, such as the Planetary Computer's."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.credentials import CredentialsUnavailableError

PLANETARY_COMPUTER_HOST = "planetarycomputer.microsoft.com"
PLANETARY_COMPUTER = f"https://{PLANETARY_COMPUTER_HOST}/api/sas/v1/token"
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
                self._containers[key] = _ContainerTokens(f"{self.endpoint}/{quote(account)}/{quote(container)}")
            return self._containers[key]

    def forget(self, account: str, container: str) -> None:
        """Ask for another token of a container with the next request: this one was refused."""
        with self._lock:
            tokens = self._containers.get((account, container))
        if tokens is not None:
            tokens.forget()


class _ContainerTokens:
    """The token of one container, kept until it is about to expire."""

    def __init__(self, address: str) -> None:
        self._address = address
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
        key = os.environ.get("PC_SDK_SUBSCRIPTION_KEY")
        headers = {"User-Agent": "rasteret-sql", **({"Ocp-Apim-Subscription-Key": key} if key else {})}
        request = urllib.request.Request(self._address, headers=headers)  # noqa: S310 - http(s), checked above
        where = f"the token endpoint {safe_address(self._address)}"
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                document = json.loads(answer.read(_LONGEST_ANSWER))
            expiry = datetime.fromisoformat(document["msft:expiry"])
            expires_at = expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)
            return {"sas_token": str(document["token"]), "expires_at": expires_at}
        except HTTPError as error:
            words = f"{where} answered HTTP {error.code}"
            error.close()
        except (URLError, OSError):
            words = f"{where} cannot be reached"
        except (ValueError, KeyError, TypeError):
            words = f"{where} gave no token"
        raise CredentialsUnavailableError(words)
