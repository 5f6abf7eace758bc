"""Collections in object stores: a copy here that is brought up to date, and changes that are carried there.

Files of a collection never change under their name, and the manifest, which names them, is written last and only over
the one that was read: so a reader sees the collection as it was or as it is, and of two writers one is told to try
again. A copy lies in the user's cache directory and is filled once; what is queried are its files.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from rasteret_sql.errors import IndexFormatError, MissingObjectError
from rasteret_sql.index.journal import writing
from rasteret_sql.index.manifest import Manifest, read_manifest
from rasteret_sql.index.names import RECORDS_SUFFIX, STAC_SUFFIX
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.tree import HasStores, RemoteTree
from rasteret_sql.schema import MANIFEST

CACHE_VARIABLE = "RASTERET_SQL_CACHE"
"""Environment variable that names the directory of copies."""
_TRANSFERS = 16
_TOKEN = re.compile(r"-[0-9a-f]{8}$")
_backend: ContextVar[HasStores | None] = ContextVar("backend", default=None)
"""Whose stores are used; the process's own by default."""
_ETAG = "_etag"
"""File of a copy that keeps the ETag of the manifest that it is a copy of."""


def cache_directory() -> Path:
    """Where copies are kept: `RASTERET_SQL_CACHE`, else below the user's cache directory."""
    said = os.environ.get(CACHE_VARIABLE)
    if said:
        return Path(said).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rasteret-sql"


def staging_directory(url: str) -> Path:
    """A workspace of this machine in which collections of the workspace at a URL are built."""
    return cache_directory() / "staging" / _key(url)


def mirrored(url: str) -> Path:
    """The copy of the collection at a URL, as it is there now.

    Raises:
        MissingObjectError: Nothing is there.
        IndexFormatError: What is there is no collection.
        StorageError: It cannot be read.
    """
    url = url.rstrip("/")
    copy = cache_directory() / "copies" / _key(url) / url.rpartition("/")[2]
    tree = _tree(url)
    with writing(copy, f"the copy of {safe_address(url)}", None):
        if url.endswith(".parquet"):
            _copy_file(tree, copy)
            return copy
        found = tree.read(MANIFEST)
        if found is None:
            _copy_listed(tree, copy)
            return copy
        text, etag = found
        if etag is None or _etag_of(copy) != etag:
            manifest = read_manifest(text, safe_address(url))
            _fetch(tree, copy, {name: manifest.sizes().get(name) for name in manifest.files()})
            (copy / MANIFEST).write_bytes(text)
            (copy / _ETAG).write_text(etag or "", "utf-8")
            _leave_only(copy, {*manifest.files(), MANIFEST, _ETAG})
        return copy


@contextmanager
def stores_of(backend: StorageBackend) -> Iterator[None]:
    """Reach collections elsewhere through a backend's stores, with its credentials, while the block runs."""
    token = _backend.set(backend if isinstance(backend, HasStores) else None)
    try:
        yield
    finally:
        _backend.reset(token)


def _tree(url: str) -> RemoteTree:
    return RemoteTree(url, _backend.get())


@contextmanager
def changing(url: str) -> Iterator[Path]:
    """Give the copy of a collection to be changed; when the block ends well the changes are carried to the URL.

    Raises:
        ChangedMeanwhileError: Another process changed the collection meanwhile, which stays as that one left it.
    """
    copy = mirrored(url)
    etag = _etag_of(copy)
    before = read_manifest((copy / MANIFEST).read_bytes(), safe_address(url)) if (copy / MANIFEST).exists() else None
    try:
        yield copy
        after = read_manifest((copy / MANIFEST).read_bytes(), safe_address(url))
        _carry(_tree(url), copy, before, after, etag)
    except BaseException:
        # The copy is not what is there; the next look fetches it anew.
        shutil.rmtree(copy, ignore_errors=True)
        raise


def publish(directory: Path, url: str) -> None:
    """Carry a collection that was built here to a URL, in place of what is there, and make it the copy.

    Files get other names than those that are there, so that no reader of the old ones is disturbed.
    """
    tree = _tree(url)
    there = tree.read(MANIFEST)
    before = None if there is None else read_manifest(there[0], safe_address(url))
    manifest = read_manifest((directory / MANIFEST).read_bytes(), str(directory))
    manifest = _with_names_of_its_own(directory, manifest)
    _carry(tree, directory, before, manifest, there[1] if there else None)
    copy = cache_directory() / "copies" / _key(url) / url.rpartition("/")[2]
    with writing(copy, f"the copy of {safe_address(url)}", None):
        shutil.rmtree(copy, ignore_errors=True)
        directory.rename(copy)


def upload(directory: Path, url: str) -> None:
    """Carry the files of a directory that has no manifest, an export, to a URL; others there are removed."""
    tree = _tree(url)
    old = set(tree.files())
    names = [file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file()]
    _each(names, lambda name: tree.upload(directory / name, name))
    tree.remove(old - set(names))


def remove(url: str) -> None:
    """Remove a collection; without its manifest it is none any more, so that goes first."""
    tree = _tree(url)
    names = tree.files()
    if not names:
        raise MissingObjectError(f"there is no collection at {safe_address(url)} any more")
    tree.remove([name for name in (MANIFEST,) if name in names])
    tree.remove(name for name in names if name != MANIFEST)
    shutil.rmtree(cache_directory() / "copies" / _key(url), ignore_errors=True)


def collection_urls(workspace: str) -> list[str]:
    """URLs of the collections of a workspace elsewhere, by their directories' names."""
    root = workspace.rstrip("/")
    return [f"{root}/{name}" for name in _tree(root).folders() if name.endswith((STAC_SUFFIX, RECORDS_SUFFIX))]


def remote_manifest(url: str) -> Manifest | None:
    """What the collection at a URL says of itself; None where there is none, or it has no manifest."""
    found = _tree(url).read(MANIFEST)
    return None if found is None else read_manifest(found[0], safe_address(url))


def _with_names_of_its_own(directory: Path, manifest: Manifest) -> Manifest:
    """Rename the files of a directory so that no other build has had such names."""
    token = secrets.token_hex(4)
    names = {}
    for name in manifest.files():
        stem, dot, suffix = name.rpartition(".")
        # A build that died on its way there has such names already.
        names[name] = name if _TOKEN.search(stem) else f"{stem}-{token}{dot}{suffix}"
        (directory / name).rename(directory / names[name])
    renamed = replace(
        manifest,
        parts=tuple(replace(part, path=names[part.path]) for part in manifest.parts),
        headers=tuple(replace(file, path=names[file.path]) for file in manifest.headers),
        ids=tuple(names[name] for name in manifest.ids),
    )
    (directory / MANIFEST).write_text(renamed.text(), "utf-8")
    return renamed


def _carry(tree: RemoteTree, directory: Path, before: Manifest | None, after: Manifest, etag: str | None) -> None:
    old = {} if before is None else {name: before.sizes().get(name) for name in before.files()}
    new = {name: after.sizes().get(name) for name in after.files()}
    _each([name for name in new if name not in old], lambda name: tree.upload(directory / name, name))
    tree.write(MANIFEST, (directory / MANIFEST).read_bytes(), replacing=etag)
    found = tree.read(MANIFEST)
    (directory / _ETAG).write_text((found and found[1]) or "", "utf-8")
    tree.remove(name for name in old if name not in new)


def _copy_file(tree: RemoteTree, copy: Path) -> None:
    parent, _, name = tree.url.rpartition("/")
    _tree(parent).download(name, copy)


def _copy_listed(tree: RemoteTree, copy: Path) -> None:
    """A directory without manifest: an export, or one that rasteret wrote."""
    wanted = {
        name: size
        for name, size in tree.files().items()
        if name.endswith(".parquet") and all("=" in part for part in name.split("/")[:-1])
    }
    if not wanted:
        raise MissingObjectError(
            f"there is no collection at {safe_address(tree.url)}: neither a manifest nor Parquet files; give the "
            "directory that a build or export wrote"
        )
    _fetch(tree, copy, wanted)
    _leave_only(copy, set(wanted))


def _fetch(tree: RemoteTree, copy: Path, wanted: Mapping[str, int | None]) -> None:
    """Files that are not here yet. Those of a manifest never change under their name."""
    copy.mkdir(parents=True, exist_ok=True)
    missing = [name for name, size in wanted.items() if size is None or _size(copy / name) != size]
    try:
        _each(missing, lambda name: tree.download(name, copy / name))
    except FileNotFoundError as error:
        raise IndexFormatError(
            f"the collection at {safe_address(tree.url)} lacks a file that it names, or was changed meanwhile: "
            f"{error}; try again"
        ) from None


def _leave_only(copy: Path, names: set[str]) -> None:
    for file in copy.rglob("*"):
        if file.is_file() and file.relative_to(copy).as_posix() not in names:
            file.unlink(missing_ok=True)


def _each(names: list[str], action: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(_TRANSFERS, "rasteret-transfer") as threads:
        for _ in threads.map(action, names):
            pass


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _etag_of(copy: Path) -> str | None:
    try:
        return (copy / _ETAG).read_text("utf-8") or None
    except FileNotFoundError:
        return None


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]
