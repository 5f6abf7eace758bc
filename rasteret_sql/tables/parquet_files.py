"""Gives Parquet files behind any storage backend to Arrow, as a file system of footers and row groups."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import fs

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import TableError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.fetch import fetch, fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.receipt import Receipt, carrying, current_receipt

_PREFIX = 256 * 1024
"""Bytes read of a file at first, in one request: small tables are there with it."""
_PREFIX_OF_MANY = 16 * 1024
_END = 64 * 1024
"""Bytes that Arrow reads for a footer, asked for of all files at once."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredFile:
    """A file of a store, with its first and last bytes."""

    backend: StorageBackend
    address: str
    start: bytes
    end: bytes
    length: int
    """Bytes of the whole file."""
    cancelled: Cancelled | None
    receipt: Receipt
    """Of the statement: Arrow reads on threads that do not know it."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file; what came when it was opened is not asked for again."""
        if offset + length <= len(self.start):
            return self.start[offset : offset + length]
        last = offset - (self.length - len(self.end))
        if last >= 0:
            return self.end[last : last + length]
        with carrying(self.receipt):
            return bytes(run(fetch(self.backend, self.address, ByteRange(offset, length)), self.cancelled))


def open_stored(
    backend: StorageBackend, addresses: Sequence[str], cancelled: Cancelled | None
) -> Mapping[str, StoredFile]:
    """Open files, all at once: with one request each, and one more for the footer of a large one.

    Returns:
        Address → file.

    Raises:
        StorageError: one cannot be read.
        TableError: the backend does not tell its size, which a Parquet file is read from.
    """
    parts = run(_ends(backend, addresses), cancelled)
    return {
        address: StoredFile(backend, address, start, end, length, cancelled, current_receipt())
        for address, (start, end, length) in zip(addresses, parts, strict=True)
    }


async def _ends(backend: StorageBackend, addresses: Sequence[str]) -> list[tuple[bytes, bytes, int]]:
    """First and last bytes of each file, and its length."""
    first = _PREFIX if len(addresses) == 1 else _PREFIX_OF_MANY

    async def one(address: str) -> tuple[bytes, bytes, int]:
        start, facts = await fetch_prefix(backend, address, first)
        if facts.size is None:
            raise TableError(
                f"{safe_address(address)} cannot be read as a table: its backend does not tell the file's size; give a "
                "backend that has get_part, or a filesystem"
            )
        if facts.size <= len(start):
            return start, b"", facts.size
        last = min(_END, facts.size)
        return start, bytes(await fetch(backend, address, ByteRange(facts.size - last, last))), facts.size

    return list(await asyncio.gather(*map(one, addresses)))


class _Reader(io.RawIOBase):
    """A position in a file."""

    def __init__(self, file: StoredFile) -> None:
        super().__init__()
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.length}[whence] + offset
        return self._at

    def size(self) -> int:
        """Bytes of the file, as Arrow asks for it."""
        return self._file.length

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._file.length - self._at)
        length = left if size is None or size < 0 else min(size, left)
        self._at += length
        return self._file.read(self._at - length, length)


class StoredFiles(fs.FileSystemHandler):  # type: ignore[misc]  # Arrow has no types
    """Opened files of stores, each under a path; nothing is listed and nothing is written."""

    def __init__(self, files: Mapping[str, StoredFile]) -> None:
        self._files = dict(files)

    def get_type_name(self) -> str:
        return "rasteret"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Sequence[str]) -> list[fs.FileInfo]:
        return [
            fs.FileInfo(path, fs.FileType.File, size=self._files[path].length)
            if path in self._files
            else fs.FileInfo(path, fs.FileType.NotFound)
            for path in paths
        ]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        return self.get_file_info([path for path in self._files if path.startswith(selector.base_dir)])

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(_Reader(self._files[path]), mode="r")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def _read_only(self, *_: Any, **__: Any) -> Any:
        raise OSError("tables are read, not written")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _read_only
    move = copy_file = open_output_stream = open_append_stream = _read_only
