"""Looks for the credentials of a process, and says what reads do with them. Nothing is asked over the network."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rasteret_sql.io.clouds.credential_source import FoundCredential
from rasteret_sql.io.clouds.registry import PROVIDERS
from rasteret_sql.io.routed_backend import RoutedBackend

__all__ = ["FoundCredential", "found_credentials", "installed_extras"]


def found_credentials(environment: Mapping[str, str] | None = None) -> list[FoundCredential]:
    """Look for the credentials of each provider, as reads do.

    Args:
        environment: In place of the variables of the process.
    """
    variables = os.environ if environment is None else environment
    credential = RoutedBackend(environment=variables).credential
    return [provider.found(variables, credential) for provider in PROVIDERS if provider.name]


def installed_extras() -> dict[str, bool]:
    """Extra of this package → whether what it brings is there."""
    return {provider.extra: provider.is_installed() for provider in PROVIDERS if provider.extra}
