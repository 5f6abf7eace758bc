"""Makes the session of a database when its first function is called, and imports then what reads and builds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rasteret_sql.index.place.location import Workspace, workspace_of
from rasteret_sql.lazy import lazy_module
from rasteret_sql.session.memory import require_call_bytes
from rasteret_sql.session.progress_hook import ProgressHook

if TYPE_CHECKING:
    from concurrent import futures

    from rasteret_sql.io.backend import StorageBackend
    from rasteret_sql.session import session
else:
    futures = lazy_module("concurrent.futures")
    session = lazy_module("rasteret_sql.session.session")


class LateSession:
    """Makes a session once, when it is first asked for.

    Args:
        make: makes it, with nothing of a host in it.
        workspace: where its collections are kept.
        progress: whom it tells how far builds and reads are.
        backend: how it reads; None: as datasets ask for.
    """

    __slots__ = ("__weakref__", "_host", "_lock", "_make", "_session", "backend", "progress", "workspace")

    def __init__(
        self,
        make: Callable[[], session.Session],
        workspace: Workspace,
        progress: ProgressHook | None = None,
        backend: StorageBackend | None = None,
    ) -> None:
        self._make = make
        self.workspace = workspace
        self.backend = backend
        self.progress = progress or ProgressHook()
        self._host: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._session: session.Session | None = None

    def serve(self, **host: Any) -> None:
        """Say what the database does for the session, as `Session.for_host` takes it."""
        self._host = host

    def made(self) -> session.Session | None:
        """The session where somebody asked for it before, else None."""
        return self._session

    def get(self) -> session.Session:
        """The session. It is made on a thread of ours.

        DuckDB's worker threads have a Python thread state for each call, which pyproj does not survive, and Ctrl-C
        would leave modules half imported on the main thread.
        """
        if self._session is None:
            with self._lock:
                if self._session is None:
                    with futures.ThreadPoolExecutor(1, "rasteret-session") as pool:
                        made = pool.submit(self._make).result()
                    self._session = made.for_host(progress=self.progress, **self._host)
        return self._session


def late_session(
    workspace_dir: str | os.PathLike[str] | None = None,
    max_call_bytes: int | None = None,
    backend: StorageBackend | None = None,
) -> LateSession:
    """A session that is made when it is first asked for; arguments as for `new_session`.

    Raises:
        InvalidArgumentError: `max_call_bytes` is no number of bytes.
    """
    require_call_bytes(max_call_bytes)
    return LateSession(
        lambda: session.new_session(workspace_dir, max_call_bytes, backend),
        workspace_of(workspace_dir),
        backend=backend,
    )
