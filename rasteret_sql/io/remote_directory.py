"""`RemoteDirectory`: lists, reads, writes and removes files of a directory in an object store. Calls wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError, PreconditionError

from rasteret_sql.errors import InvalidArgumentError, StorageError
from rasteret_sql.io.addresses import Kind, safe_address
from rasteret_sql.io.clouds.registry import route
from rasteret_sql.io.failures import failure_of
from rasteret_sql.io.loop import connecting
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.receipt import current_receipt

T = TypeVar("T")

_ANSWERS = (AlreadyExistsError, PreconditionError, NotSupportedError)
"""What a store may say to a conditional write, which is no failure."""
_RETRIES = 5
_FIRST_WAIT = 0.2


@runtime_checkable
class HasStores(Protocol):
    """A backend that reads from stores of obstore."""

    def store_of(self, url: str) -> tuple[Any, str]:
        """The store of an address, and the path in it."""
        ...


def stores_of(backend: object | None) -> HasStores | None:
    """A backend whose stores list and write files; None for one that only reads them."""
    return backend if isinstance(backend, HasStores) else None


class ChangedMeanwhileError(StorageError):
    """Another writer was faster."""


class RemoteDirectory:
    """The files below a URL.

    Args:
        url: Of the directory: s3://, gs://, az://, or http(s):// for reading files whose names are known.
        backend: Whose stores, with their credentials; by default the process's own.

    Raises:
        InvalidArgumentError: It is no such URL.
    """

    def __init__(self, url: str, backend: HasStores | None = None) -> None:
        self.url = url.rstrip("/")
        if route(f"{self.url}/x").kind == Kind.FILE or "?" in url:
            raise InvalidArgumentError(
                f"{safe_address(url)} is no directory of an object store, such as s3://bucket/path"
            )
        self._is_http = route(f"{self.url}/x").kind == Kind.HTTP
        self._store, path = (backend or default_backend()).store_of(f"{self.url}/x")
        self._root = path[:-1]

    def files(self) -> dict[str, int]:
        """Path below the URL → bytes, of every file, however deep."""
        self._require_listing()
        pages = self._do("list", lambda: list(obstore.list(self._store, self._root or None)))
        found = {meta["path"]: meta["size"] for page in pages for meta in page}
        return {path.removeprefix(self._root): size for path, size in found.items() if path.startswith(self._root)}

    def folders(self) -> list[str]:
        """Names of the directories right below the URL."""
        self._require_listing()
        listed = self._do("list", lambda: obstore.list_with_delimiter(self._store, self._root or None))
        return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"])

    def read(self, name: str) -> tuple[bytes, str | None] | None:
        """Bytes and ETag of a file; None where there is none."""

        def get() -> tuple[bytes, str | None]:
            result = obstore.get(self._store, self._root + name)
            data = bytes(result.bytes())
            current_receipt().received(len(data))
            return data, result.meta["e_tag"]

        try:
            return self._do("read", get, name)
        except FileNotFoundError:
            return None

    def download(self, name: str, target: Path) -> None:
        """Copy a file here, whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.part")

        receipt = current_receipt()

        def get() -> None:
            with unfinished.open("wb") as file:
                for chunk in obstore.get(self._store, self._root + name).stream(min_chunk_size=4 * 2**20):
                    file.write(chunk)
                    receipt.received(len(chunk))

        self._do("read", get, name)
        unfinished.replace(target)

    def upload(self, source: Path, name: str) -> None:
        """Copy a file there."""
        self._do("write", lambda: obstore.put(self._store, self._root + name, source), name)

    def write(self, name: str, data: bytes, *, replacing: str | None) -> None:
        """Write a small file, unless another writer was faster.

        Args:
            name: Of the file.
            data: What it holds.
            replacing: ETag of the file that may be replaced; None where there has to be none.

        Raises:
            ChangedMeanwhileError: There is another one.
        """
        mode: Any = "create" if replacing is None else {"e_tag": replacing}
        path = self._root + name
        try:
            self._do("write", lambda: obstore.put(self._store, path, data, mode=mode), name)
        except (AlreadyExistsError, PreconditionError):
            found = self.read(name)
            if found is not None and found[0] == data:
                return  # by us: the answer to an earlier try was lost
            raise ChangedMeanwhileError(
                f"{self.url}/{name} was written by another process meanwhile; run the same again"
            ) from None
        except (NotImplementedError, NotSupportedError):  # a store without conditional writes: the last one wins
            self._do("write", lambda: obstore.put(self._store, path, data), name)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone already is fine."""
        for name in names:
            try:
                self._do("remove", partial(obstore.delete, self._store, self._root + name), name)
            except FileNotFoundError:
                continue

    def _require_listing(self) -> None:
        if self._is_http:
            raise InvalidArgumentError(
                f"{safe_address(self.url)} is on a web server, which does not list its files; give an object store "
                "(s3://, gs://, az://), or a single Parquet file"
            )

    def _do(self, what: str, action: Callable[[], T], name: str = "") -> T:
        """Do one thing, again where that may help."""
        connecting()
        attempts, receipt = 0, current_receipt()
        while True:
            attempts += 1
            receipt.sent(again=attempts > 1)
            try:
                with receipt.fetch:
                    return action()
            except _ANSWERS:
                raise
            except (BaseError, OSError) as error:
                failure = failure_of(error)
                if failure is None:
                    raise
            if not failure.cause.retryable or attempts > _RETRIES:
                # Raised outside of `except`: the store's own error may hold a signed URL, and tracebacks show causes.
                raise failure.error_of(what, f"{self.url}/{name}", attempts)
            time.sleep(_FIRST_WAIT * 2 ** (attempts - 1))
