"""Copies collections from object stores, keeps the copies up to date, and carries changes there.

Files of a collection never change under their name, and the manifest, which names them, is written last and only over
the one that was read: so a reader sees the collection as it was or as it is, and of two writers one is told to try
again. A copy lies in the user's cache directory and is filled once; what is queried are its files.

Each function takes the backend whose stores it uses, with their credentials; None: the process's own.
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
from dataclasses import replace
from pathlib import Path

from rasteret_sql.errors import IndexFormatError, MissingObjectError
from rasteret_sql.index.format.manifest import Manifest, read_manifest
from rasteret_sql.index.place.atomic_directory import writing
from rasteret_sql.index.place.directory_names import RECORDS_SUFFIX, STAC_SUFFIX
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.remote_directory import HasStores, RemoteDirectory
from rasteret_sql.receipt import carried
from rasteret_sql.schema import MANIFEST

CACHE_VARIABLE = "RASTERET_SQL_CACHE"
"""Environment variable that names the directory of copies."""
_TRANSFERS = 16
_TOKEN = re.compile(r"-[0-9a-f]{8}$")
_ETAG = "_etag"
"""File of a copy that keeps the ETag of the manifest that it is a copy of."""


def cache_directory() -> Path:
    """The directory of copies: `RASTERET_SQL_CACHE`, else below the user's cache directory."""
    said = os.environ.get(CACHE_VARIABLE)
    if said:
        return Path(said).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rasteret-sql"


def staging_directory(url: str) -> Path:
    """A workspace of this machine in which collections of the workspace at a URL are built."""
    return cache_directory() / "staging" / _key(url)


def mirrored(url: str, stores: HasStores | None) -> Path:
    """The copy of the collection at a URL, as it is there now.

    Raises:
        MissingObjectError: Nothing is there.
        IndexFormatError: What is there is no collection.
        StorageError: It cannot be read.
    """
    url = url.rstrip("/")
    copy = cache_directory() / "copies" / _key(url) / url.rpartition("/")[2]
    remote = RemoteDirectory(url, stores)
    with writing(copy, f"the copy of {safe_address(url)}", None):
        if url.endswith(".parquet"):
            _copy_file(url, copy, stores)
            return copy
        found = remote.read(MANIFEST)
        if found is None:
            _copy_listed(remote, copy)
            return copy
        text, etag = found
        if etag is None or _etag_of(copy) != etag:
            manifest = read_manifest(text, safe_address(url))
            _fetch(remote, copy, {name: manifest.sizes().get(name) for name in manifest.files()})
            (copy / MANIFEST).write_bytes(text)
            (copy / _ETAG).write_text(etag or "", "utf-8")
            _leave_only(copy, {*manifest.files(), MANIFEST, _ETAG})
        return copy


def workspace_directory(url: str, stores: HasStores | None) -> RemoteDirectory:
    """The files below the URL of a workspace, reached as collections in it are."""
    return RemoteDirectory(url, stores)


@contextmanager
def changing(url: str, stores: HasStores | None) -> Iterator[Path]:
    """Give the copy of a collection to be changed; when the block ends well the changes are carried to the URL.

    Raises:
        ChangedMeanwhileError: Another process changed the collection meanwhile, which stays as that one left it.
    """
    copy = mirrored(url, stores)
    etag = _etag_of(copy)
    before = read_manifest((copy / MANIFEST).read_bytes(), safe_address(url)) if (copy / MANIFEST).exists() else None
    try:
        yield copy
        after = read_manifest((copy / MANIFEST).read_bytes(), safe_address(url))
        _carry(RemoteDirectory(url, stores), copy, before, after, etag)
    except BaseException:
        # The copy is not what is there; the next look fetches it anew.
        shutil.rmtree(copy, ignore_errors=True)
        raise


def publish(directory: Path, url: str, stores: HasStores | None) -> None:
    """Carry a collection that was built here to a URL, in place of what is there, and make it the copy.

    Files get other names than those that are there, so that no reader of the old ones is disturbed.
    """
    remote = RemoteDirectory(url, stores)
    there = remote.read(MANIFEST)
    before = None if there is None else read_manifest(there[0], safe_address(url))
    manifest = read_manifest((directory / MANIFEST).read_bytes(), str(directory))
    manifest = _with_names_of_its_own(directory, manifest)
    _carry(remote, directory, before, manifest, there[1] if there else None)
    copy = cache_directory() / "copies" / _key(url) / url.rpartition("/")[2]
    with writing(copy, f"the copy of {safe_address(url)}", None):
        shutil.rmtree(copy, ignore_errors=True)
        directory.rename(copy)


def upload(directory: Path, url: str, stores: HasStores | None) -> None:
    """Carry the files of a directory that has no manifest, an export, to a URL; others there are removed."""
    remote = RemoteDirectory(url, stores)
    old = set(remote.files())
    names = [file.relative_to(directory).as_posix() for file in directory.rglob("*") if file.is_file()]
    _each(names, lambda name: remote.upload(directory / name, name))
    remote.remove(old - set(names))


def remove(url: str, stores: HasStores | None) -> None:
    """Remove a collection; without its manifest it is none any more, so that goes first."""
    remote = RemoteDirectory(url, stores)
    names = remote.files()
    if not names:
        raise MissingObjectError(f"there is no collection at {safe_address(url)} any more")
    remote.remove([name for name in (MANIFEST,) if name in names])
    remote.remove(name for name in names if name != MANIFEST)
    shutil.rmtree(cache_directory() / "copies" / _key(url), ignore_errors=True)


def collection_urls(workspace: str, stores: HasStores | None) -> list[str]:
    """URLs of the collections of a workspace elsewhere, by their directories' names."""
    root = workspace.rstrip("/")
    return [
        f"{root}/{name}"
        for name in RemoteDirectory(root, stores).folders()
        if name.endswith((STAC_SUFFIX, RECORDS_SUFFIX))
    ]


def remote_manifest(url: str, stores: HasStores | None) -> Manifest | None:
    """The manifest of the collection at a URL; None where there is none, or it has no manifest."""
    found = RemoteDirectory(url, stores).read(MANIFEST)
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


def _carry(
    remote: RemoteDirectory, directory: Path, before: Manifest | None, after: Manifest, etag: str | None
) -> None:
    old = {} if before is None else {name: before.sizes().get(name) for name in before.files()}
    new = {name: after.sizes().get(name) for name in after.files()}
    _each([name for name in new if name not in old], lambda name: remote.upload(directory / name, name))
    remote.write(MANIFEST, (directory / MANIFEST).read_bytes(), replacing=etag)
    found = remote.read(MANIFEST)
    (directory / _ETAG).write_text((found and found[1]) or "", "utf-8")
    remote.remove(name for name in old if name not in new)


def _copy_file(url: str, copy: Path, stores: HasStores | None) -> None:
    parent, _, name = url.rpartition("/")
    RemoteDirectory(parent, stores).download(name, copy)


def _copy_listed(remote: RemoteDirectory, copy: Path) -> None:
    """A directory without manifest: an export, or one that rasteret wrote."""
    wanted = {
        name: size
        for name, size in remote.files().items()
        if name.endswith(".parquet") and all("=" in part for part in name.split("/")[:-1])
    }
    if not wanted:
        raise MissingObjectError(
            f"there is no collection at {safe_address(remote.url)}: neither a manifest nor Parquet files; give the "
            "directory that a build or export wrote"
        )
    _fetch(remote, copy, wanted)
    _leave_only(copy, set(wanted))


def _fetch(remote: RemoteDirectory, copy: Path, wanted: Mapping[str, int | None]) -> None:
    """Files that are not here yet. Those of a manifest never change under their name."""
    copy.mkdir(parents=True, exist_ok=True)
    missing = [name for name, size in wanted.items() if size is None or _size(copy / name) != size]
    try:
        _each(missing, lambda name: remote.download(name, copy / name))
    except FileNotFoundError as error:
        raise IndexFormatError(
            f"the collection at {safe_address(remote.url)} lacks a file that it names, or was changed meanwhile: "
            f"{error}; try again"
        ) from None


def _leave_only(copy: Path, names: set[str]) -> None:
    for file in copy.rglob("*"):
        if file.is_file() and file.relative_to(copy).as_posix() not in names:
            file.unlink(missing_ok=True)


def _each(names: list[str], action: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(_TRANSFERS, "rasteret-transfer") as threads:
        for _ in threads.map(carried(action), names):
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
