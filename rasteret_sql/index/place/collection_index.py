"""Opens a directory of Parquet files, ours or rasteret's, or one file, as a `CollectionIndex`."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import (
    IndexFormatError,
    MissingObjectError,
    UnknownBandError,
    did_you_mean,
)
from rasteret_sql.index.format.manifest import Manifest, read_manifest
from rasteret_sql.index.place.directory_names import RECORDS_SUFFIX, STAC_SUFFIX, require_name
from rasteret_sql.index.place.location import Workspace, is_remote
from rasteret_sql.index.place.mirror import mirrored
from rasteret_sql.io.remote_directory import HasStores
from rasteret_sql.io.signed_addresses import know_places

_GLOB_CHARACTERS = "[*?"


@dataclass(frozen=True, slots=True, eq=False)
class CollectionIndex:
    """An index on disk as it was when opened: what it holds, without any of its rows."""

    name: str
    path: Path
    """Absolute; a directory, or one Parquet file."""
    files: tuple[str, ...]
    """Its Parquet files, absolute and sorted."""
    bands: tuple[str, ...]
    """In the order of the columns."""
    schema: pa.Schema
    """Columns of the files, without the hive keys `year` and `month`."""
    hive: tuple[str, ...]
    """Hive keys in the paths below `path`, outermost first."""
    uniform: bool
    """True where all files have the same columns."""
    packed: bool
    """True where the index has our `{band}_header` columns, False for one that rasteret wrote."""
    data_source: str
    description: str
    date_range: tuple[str, str] | None
    """ISO (start, end) that the build asked for."""
    created: str
    request: dict[str, Any]
    """The request of the build; empty where the index does not say."""
    stamp: str
    """Changes whenever the files do."""
    origin: str | None = None
    """URL of the collection of which `path` is a copy; None where it lies on this machine."""
    stores: HasStores | None = None
    """By whose stores it was reached, and what lies beside it elsewhere is; None: the process's own."""
    manifest: Manifest | None = None
    """The files of a built collection; None for an export, and one that rasteret wrote."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a query sees, the headers of bands last."""
        headers = [name for band in self.bands for name in (schema.metadata_column(band), schema.header_column(band))]
        there = set(self.schema.names)
        return (*self.scene_columns, *(name for name in headers if name in there))

    @property
    def scene_columns(self) -> tuple[str, ...]:
        """The columns that describe scenes: all but the stored headers."""
        headers = {name for band in self.bands for name in (schema.metadata_column(band), schema.header_column(band))}
        names = [name for name in self.schema.names if name not in headers]
        hive = dict.fromkeys((*self.hive, *schema.PARTITION_COLUMNS))
        return (*names, *(name for name in hive if name not in names))

    def count_rows(self) -> int:
        """Number of scenes."""
        if self.manifest is not None:
            return self.manifest.rows
        return sum(pq.read_metadata(file).num_rows for file in self.files)

    @property
    def place(self) -> str:
        """Its path or URL, for people."""
        return self.origin or str(self.path)

    @property
    def workspace(self) -> Workspace | None:
        """The workspace that caches it; None for what lies somewhere else, as exports do."""
        if not self.place.endswith((STAC_SUFFIX, RECORDS_SUFFIX)):
            return None
        return self.path.parent if self.origin is None else self.origin.rpartition("/")[0]

    def is_current(self) -> bool:
        """False once the files were changed, by this process or another one."""
        try:
            return self.stamp == (_stamp([self.path / schema.MANIFEST]) if self.manifest else _stamp(self.files))
        except FileNotFoundError:
            return False

    def require_band(self, band: str) -> str:
        """Give the band back, or raise UnknownBandError naming those that exist."""
        if band not in self.bands:
            msg = f'collection "{self.name}" has no band "{band}"; {did_you_mean(band, self.bands)}'
            raise UnknownBandError(msg)
        return band


def open_collection(path: str | Path, name: str = "", stores: HasStores | None = None) -> CollectionIndex:
    """Open an index that `build`, `export` or rasteret wrote.

    Args:
        path: Its directory, or one Parquet file; or the URL of either in an object store, which is copied to this
            machine, once.
        name: What to call it; by default what its files say, else the name of the file or directory.
        stores: By whose stores a URL is reached; None: the process's own.

    Raises:
        MissingObjectError: Nothing is there.
        IndexFormatError: What is there is no collection; the message names what is missing.
        InvalidArgumentError: No collection can have that name.
    """
    if is_remote(path):
        url = os.fspath(path).rstrip("/")
        return replace(open_collection(mirrored(url, stores), name), origin=url, stores=stores)
    root = _local_path(path)
    try:
        found = _built(root, name) if (root / schema.MANIFEST).is_file() else _plain(root, name)
        return replace(found, stores=stores)
    except FileNotFoundError as error:
        raise MissingObjectError(f"there is no collection at {root} any more: it was dropped meanwhile") from error


def reopened(index: CollectionIndex) -> CollectionIndex:
    """The collection as its files on this machine are now.

    Raises:
        as `open_collection`.
    """
    return replace(open_collection(index.path, index.name, index.stores), origin=index.origin)


def _plain(root: Path, name: str) -> CollectionIndex:
    """A collection of Parquet files alone."""
    files = scene_files(root)
    first, *others = [_read_schema(file) for file in files[:1]] if _is_ours(files[0]) else map(_read_schema, files)
    combined = _unite(first, others, root)
    _check_columns(combined, root)
    metadata = {key: value.decode("utf-8", "replace") for key, value in (first.metadata or {}).items()}
    _check_version(metadata, root)
    if schema.KEY_INDEX_VERSION in (first.metadata or {}) and not _bands(combined) and _hive_keys(root, files):
        if (root / schema.MANIFEST).is_file():
            return _built(root, name)  # it was dropped and built again since we looked
        msg = f"{root} has lost its {schema.MANIFEST}: copy the directory whole, or build it again with force"
        raise IndexFormatError(msg)
    return CollectionIndex(
        name=_name(name, metadata, root),
        path=root,
        files=tuple(map(str, files)),
        bands=_bands(combined),
        schema=combined.remove_metadata(),
        hive=_hive_keys(root, files),
        uniform=len(_bands(combined)) <= schema.WIDE_BANDS and all(other.equals(first) for other in others),
        packed=_is_packed(combined),
        stamp=_stamp(files),
        **_said(metadata),
    )


def _built(root: Path, name: str) -> CollectionIndex:
    """A collection with a manifest, of which no other file has to be read."""
    file = root / schema.MANIFEST
    while True:
        stamp, text = _stamp([file]), file.read_bytes()
        try:
            return _as_said(root, name, stamp, read_manifest(text, str(root)))
        except IndexFormatError:
            if stamp == _stamp([file]):
                raise  # else another one took its place between the manifest and the look at its files


def _as_said(root: Path, name: str, stamp: str, manifest: Manifest) -> CollectionIndex:
    files = [root / part.path for part in manifest.parts]
    if not files:
        raise IndexFormatError(f"{root} has no scenes; build the collection again with force")
    for path, size in manifest.sizes().items():
        _check_file(root / path, size)
    metadata = {key.encode(): value for key, value in manifest.keys.items()}
    return CollectionIndex(
        name=_name(name, metadata, root),
        path=root,
        files=tuple(map(str, files)),
        bands=manifest.bands,
        schema=manifest.columns,
        hive=_hive_keys(root, files),
        uniform=manifest.uniform,
        packed=True,
        stamp=stamp,
        manifest=manifest,
        **_said(metadata),
    )


def _check_file(file: Path, size: int) -> None:
    """A file that is not as it was written is found now, not in the middle of a query."""
    try:
        found: int | None = file.stat().st_size
    except FileNotFoundError:
        found = None
    if found != size:
        state = "is missing" if found is None else f"has {found} bytes where it was written with {size}"
        raise IndexFormatError(f"{file} {state}; build the collection again with force")


def _name(asked: str, metadata: dict[bytes, str], root: Path) -> str:
    return require_name(asked or metadata.get(schema.KEY_NAME, "").replace("\0", "") or root.stem)


def _said(metadata: dict[bytes, str]) -> dict[str, Any]:
    """Fields of a CollectionIndex that its key/value metadata say."""
    know_places(json.loads(metadata.get(schema.KEY_SIGNED, "[]")))
    dates = tuple(metadata.get(schema.KEY_DATE_RANGE, "").split(","))
    return {
        "data_source": _data_source(metadata),
        "description": metadata.get(schema.KEY_DESCRIPTION, ""),
        "date_range": (dates[0], dates[1]) if len(dates) == 2 and all(dates) else None,
        "created": metadata.get(schema.KEY_CREATED, ""),
        "request": _request(metadata),
    }


def escape_glob(path: str) -> str:
    """A path as a pattern of DuckDB that matches just this path."""
    return "".join(f"[{c}]" if c in _GLOB_CHARACTERS else c for c in path)


def _local_path(path: str | Path) -> Path:
    root = Path(str(path).removeprefix("file://")).expanduser().absolute()
    if not root.exists():
        msg = (
            f"there is no collection at {root}: no such file or directory. rasteret_collections() lists what is cached"
        )
        raise MissingObjectError(msg)
    return root


def scene_files(root: Path) -> list[Path]:
    """The files, leaving out what hidden and underscored directories hold (unfinished writes, summaries)."""
    if root.is_file():
        return [root]
    files = list(_below(root))
    # In the order of time: month=2 comes before month=10.
    files.sort(key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(file))])
    if not files:
        msg = f"{root} holds no Parquet files, so it is no collection; give the directory that build or export wrote"
        raise IndexFormatError(msg)
    return files


def _below(directory: Path) -> Iterator[Path]:
    """Parquet files of a directory and of the hive directories (`key=value`) in it, however many levels deep."""
    for entry in directory.iterdir():
        if entry.name.startswith((".", "_")):
            continue
        if entry.is_dir():
            if "=" in entry.name:
                yield from _below(entry)
        elif entry.suffix == ".parquet":
            yield entry


def _read_schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except pa.ArrowInvalid as error:
        msg = f"{file} is not a readable Parquet file: {error}"
        raise IndexFormatError(msg) from error


def _is_ours(file: Path) -> bool:
    """Our own files have one schema, or the first has the columns of all, so one footer tells it."""
    return schema.KEY_INDEX_VERSION in (_read_schema(file).metadata or {})


def _unite(first: pa.Schema, others: list[pa.Schema], root: Path) -> pa.Schema:
    try:
        return pa.unify_schemas([first, *others], promote_options="permissive") if others else first
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        msg = f"the Parquet files in {root} have columns of different types: {error}"
        raise IndexFormatError(msg) from error


def _check_columns(found: pa.Schema, root: Path) -> None:
    missing = [name for name in schema.REQUIRED_COLUMNS if name not in found.names]
    if missing:
        msg = (
            f"{root} is no collection: it lacks the columns {', '.join(missing)}"
            f" (it has {', '.join(found.names[:20])}). A collection is what a build or export wrote"
        )
        raise IndexFormatError(msg)
    box = found.field("bbox").type
    sides = [field.name for field in schema.BBOX_TYPE]
    if not pa.types.is_struct(box) or any(box.get_field_index(side) < 0 for side in sides):
        msg = f"{root} is no collection: its column bbox is {box}, not a struct of {', '.join(sides)}"
        raise IndexFormatError(msg)
    assets = found.field("assets").type
    if not pa.types.is_struct(assets):
        msg = f"{root} is no collection: its column assets is {assets}, not a struct with a child per band"
        raise IndexFormatError(msg)


def _check_version(metadata: dict[bytes, str], root: Path) -> None:
    version = metadata.get(schema.KEY_INDEX_VERSION)
    if version == "1":
        raise IndexFormatError(f"{root} was written by an earlier program, in index version 1; build it again")
    if version is not None and (not version.isdigit() or int(version) > schema.INDEX_VERSION):
        msg = (
            f"{root} was written by a later program: index version {version}, and this one reads up to"
            f" {schema.INDEX_VERSION}. Update rasteret-sql, or build the collection again"
        )
        raise IndexFormatError(msg)


def _bands(found: pa.Schema) -> tuple[str, ...]:
    return tuple(
        field.name.removesuffix(schema.METADATA_SUFFIX)
        for field in found
        if field.name.endswith(schema.METADATA_SUFFIX) and pa.types.is_struct(field.type)
    )


def _is_packed(found: pa.Schema) -> bool:
    bands = _bands(found)
    return bool(bands) and all(schema.header_column(band) in found.names for band in bands)


def _hive_keys(root: Path, files: list[Path]) -> tuple[str, ...]:
    if root.is_file():
        return ()
    parts = files[0].relative_to(root).parts[:-1]
    return tuple(part.split("=", 1)[0] for part in parts if "=" in part)


def _data_source(metadata: dict[bytes, str]) -> str:
    source = metadata.get(schema.KEY_DATA_SOURCE, "")
    return "" if source == "unknown" else source


def _request(metadata: dict[bytes, str]) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(schema.KEY_REQUEST, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _stamp(files: Iterable[str | Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        stat = Path(file).stat()
        digest.update(f"{file}\0{stat.st_ino}\0{stat.st_mtime_ns}\0{stat.st_size}\n".encode())
    return digest.hexdigest()[:16]
