"""Lists files: of paths, folders, patterns and prefixes of object stores, with the JSON documents beside them."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Any

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InterruptedQueryError, InvalidArgumentError, MissingObjectError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.remote_directory import HasStores, RemoteDirectory
from rasteret_sql.stac.address import is_url

TIFF = re.compile(r"\.(?:tiff?|gtiff?|cog)$", re.IGNORECASE)
"""Endings of the files that a folder or a prefix stands for."""
_BESIDE = re.compile(
    r"\.(?:aux\.xml|ovr|msk|tfw|tifw|wld|prj|xml|json|geojson|txt|csv|md|html?)$|\.(?:ovr|msk)\.", re.IGNORECASE
)
"""Endings of files beside images, which a pattern such as `tifs/*` fits as well."""
_SIGNS = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file."""

    address: str
    """URL or absolute path."""
    relative: str
    """The path below the folder that was asked for, with `/`; its name where it was named itself."""

    @property
    def name(self) -> str:
        return self.relative.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """Address of its folder, without a slash at the end."""
        return self.address.rpartition("/")[0]


@dataclass(slots=True)
class Listing:
    """The files that were found."""

    files: list[ListedFile] = field(default_factory=list)
    documents: set[str] = field(default_factory=set)
    """Addresses of JSON documents in their folders."""
    stores: HasStores | None = None

    def document(self, address: str) -> dict[str, Any] | None:
        """A JSON object; None where it is something else, or is not there."""
        if is_url(address):
            folder, _, name = address.rpartition("/")
            found = RemoteDirectory(folder, self.stores).read(name)
            raw = None if found is None else found[0]
        else:
            path = Path(address)
            raw = path.read_bytes() if path.is_file() else None
        try:
            read = None if raw is None else json.loads(raw.decode("utf-8-sig"))
        except ValueError:
            return None
        return read if isinstance(read, dict) else None


def checked_paths(paths: Any) -> list[str]:
    """Paths as texts: one, or a list of them.

    Raises:
        InvalidArgumentError: there is none, or one is no text.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, Sequence) or not given or not all(isinstance(one, str | os.PathLike) for one in given):
        raise InvalidArgumentError(
            f"paths are a path, a folder, a pattern such as 'tifs/**/*.tif', a prefix such as 's3://bucket/tifs/', or "
            f"a list of these, not {paths!r}"
        )
    texts = [os.fspath(one) for one in given]
    if "" in texts:
        raise InvalidArgumentError("one of the paths is an empty text; '.' is the current folder")
    return texts


def list_files(paths: Sequence[str], stores: HasStores | None, cancelled: Cancelled | None = None) -> Listing:
    """List the files of paths, each once, in the order of the paths and then of their names.

    Args:
        paths: as `checked_paths` gives them. A folder and a prefix that ends with a slash stand for all files below
            whose names end as TIFFs do; a pattern for what it fits, without documents and masks beside images.
        stores: whose credentials list object stores.
        cancelled: polled from path to path.

    Raises:
        MissingObjectError: a path has no file.
        InvalidArgumentError: a web server cannot be listed.
        StorageError: an object store cannot be listed.
    """
    found = Listing(stores=stores)
    known: set[str] = set()
    for path in paths:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError("the build was interrupted while it listed its files")
        files = _remote(path, found) if is_url(path) else _local(path, found)
        if not files:
            raise MissingObjectError(_nothing(path))
        found.files += [one for one in files if one.address not in known]
        known |= {one.address for one in files}
    return found


def _nothing(path: str) -> str:
    shown = safe_address(path)
    if _SIGNS.search(path):
        what = "no file fits it"
    elif is_url(path) or Path(path).is_dir():
        what = "no file below it ends with .tif, .tiff, .gtif or .cog; a pattern such as '**/*' takes others"
    elif Path(path).exists():
        what = "it is neither a file nor a folder"
    else:
        what = "there is no such file or folder"
    where = "" if is_url(path) or Path(path).is_absolute() else f" (the current folder is {Path.cwd()})"
    return f"{shown} has no files: {what}{where}"


def _local(path: str, into: Listing) -> list[ListedFile]:
    text = path.removeprefix("file://")
    text = os.path.expanduser(text)  # noqa: PTH111 - a pattern is no path
    if Path(text).is_file():
        base, names = Path(text).absolute().parent, [Path(text).name]
    elif Path(text).is_dir():
        base = Path(text).absolute()
        names = [one for one in glob.glob("**/*", root_dir=base, recursive=True) if TIFF.search(one)]  # noqa: PTH207
    elif _SIGNS.search(text):
        start = _SIGNS.split(text)[0]
        base = Path(start[: start.rfind("/") + 1] or ".").absolute()
        below = text[start.rfind("/") + 1 :]
        names = [one for one in glob.glob(below, root_dir=base, recursive=True) if not _BESIDE.search(one)]  # noqa: PTH207
    else:
        return []
    files = [(base / name, Path(name).as_posix()) for name in sorted(names)]
    listed = []
    for file, relative in files:
        if file.is_file():
            listed.append(ListedFile(file.as_posix(), relative))
    for folder in sorted({one.folder for one in listed}):
        into.documents |= {one.as_posix() for ending in ("json", "geojson") for one in Path(folder).glob(f"*.{ending}")}
    return listed


def _remote(path: str, into: Listing) -> list[ListedFile]:
    if not _SIGNS.search(path) and not path.endswith("/"):
        if TIFF.search(path.partition("?")[0]):
            return [ListedFile(path, path.partition("?")[0].rpartition("/")[2])]
        path += "/"
    start = _SIGNS.split(path)[0]
    base = start[: start.rfind("/")]
    fits = re.compile(_pattern(path[len(base) + 1 :])).match if _SIGNS.search(path) else None
    names = sorted(RemoteDirectory(base, into.stores).files())
    chosen = [one for one in names if (fits(one) and not _BESIDE.search(one) if fits else TIFF.search(one))]
    into.documents |= {f"{base}/{one}" for one in names if one.endswith((".json", ".geojson"))}
    return [ListedFile(f"{base}/{one}", one) for one in chosen]


def _pattern(below: str) -> str:
    """A pattern of paths as a regular expression, in which `**/` is any number of folders and `*` stays in one."""
    parts: Iterable[str] = below.split("/")
    written = [".*" if part == "**" else translate(part)[4:-3].replace(".*", "[^/]*") for part in parts]
    return "/".join(written).replace(".*/", "(?:.*/)?") + r"\Z"
