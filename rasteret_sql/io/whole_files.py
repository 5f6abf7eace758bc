"""`WholeFiles`: reads files whole where servers do not serve parts, up to a size, and keeps them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Any

import obstore

from rasteret_sql.errors import StorageError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import FileFacts, facts_of

_KEPT_FILES = 4
"""Times the largest size that a file may have, in bytes, of files are kept."""
_KEPT_SECONDS = 60.0

Whole = tuple[memoryview, FileFacts]


class WholeFiles:
    """The latest files, each read once however many parts of it are asked for. Used on the I/O loop alone."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[float, asyncio.Task[Whole]]] = OrderedDict()

    def has(self, address: str) -> bool:
        """True where a file is here, or on its way: its server was seen to ignore ranges."""
        known = self._files.get(address)
        return known is not None and time.monotonic() - known[0] < _KEPT_SECONDS and not _failed(known[1])

    async def part(  # noqa: PLR0917
        self, store: Any, path: str, address: str, start: int, length: int, limit: int
    ) -> tuple[memoryview, FileFacts]:
        """A part of a file, fewer bytes only where it ends.

        Raises:
            StorageError: The file is larger than `limit`.
        """
        if not self.has(address):
            self._files[address] = (time.monotonic(), asyncio.create_task(_read(store, path, address, limit)))
            self._files.move_to_end(address)
        # Shielded: other parts wait for the same file.
        body, facts = await asyncio.shield(self._files[address][1])
        self._drop(_KEPT_FILES * limit)
        return body[start : start + length], facts

    def _drop(self, room: int) -> None:
        held = 0
        for address, (begun, task) in list(self._files.items())[::-1]:
            if not task.done():
                continue
            held += 0 if _failed(task) else task.result()[0].nbytes
            if _failed(task) or held > room or time.monotonic() - begun > _KEPT_SECONDS:
                self._files.pop(address, None)


def _failed(task: asyncio.Task[Whole]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _read(store: Any, path: str, address: str, limit: int) -> Whole:
    result = await obstore.get_async(store, path)
    facts = facts_of(result.meta)
    if facts.size is None or facts.size > limit:
        raise StorageError(
            f"cannot read parts of {safe_address(address)}: the server ignores range requests and sends whole files, "
            f"and this one has {facts.size} bytes. Serve it from one that supports ranges (any object store, nginx, "
            f"Apache), copy it to this machine, or raise whole_file_bytes ({limit}) in rasteret_settings()."
        )
    body = memoryview(await result.bytes_async())
    return body, facts
