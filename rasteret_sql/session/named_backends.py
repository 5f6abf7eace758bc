"""Keeps the backends of a session by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.clouds.cloud import HostSecret
from rasteret_sql.library.named_backends import NamedBackend
from rasteret_sql.library.secret_backends import backend_of_secret


class NamedBackends:
    """The backends of a session, by name; a name of none may be that of a secret of the host."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, NamedBackend]] = {}
        self._of_secrets: dict[str, tuple[HostSecret, StorageBackend]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, backend: NamedBackend) -> None:
        """Know a backend by a name; one of the same name is replaced."""
        if not isinstance(name, str) or not name.strip():
            raise InvalidArgumentError(f"the name of a backend is a text that is not empty, not {name!r}")
        with self._lock:
            self._named[name.strip().casefold()] = name.strip(), backend

    def get(self, name: str, secret: Callable[[str], HostSecret | None]) -> StorageBackend:
        """The backend of a name, without regard to case.

        Args:
            name: As in `backend :=`.
            secret: Gives the host's secret of that name, None where there is none.

        Raises:
            InvalidArgumentError: There is neither.
        """
        known = self._named.get(name.strip().casefold())
        if known is not None:
            return known[1].backend
        held = secret(name)
        if held is not None:
            return self.of_secret(held)
        there = f"{did_you_mean(name, self.shown())}. " if self._named else ""
        raise InvalidArgumentError(
            f'no backend "{name}" in this session, and no DuckDB secret of that name. {there}'
            f"Make one with rasteret_create_backend('{name}', ...)"
        )

    def of_secret(self, secret: HostSecret) -> StorageBackend:
        """The backend of a secret, the same as long as the secret is."""
        with self._lock:
            known = self._of_secrets.get(secret.name)
            if known is None or known[0] != secret:
                known = self._of_secrets[secret.name] = secret, backend_of_secret(secret)
            return known[1]

    def shown(self) -> Mapping[str, NamedBackend]:
        """All of them by name."""
        with self._lock:
            return dict(sorted(self._named.values(), key=lambda named: named[0]))
