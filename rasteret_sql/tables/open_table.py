"""Opens every form in which a table comes as an Arrow dataset that filters are pushed down into."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.dataset as pads
from obstore.exceptions import BaseError
from pyarrow import fs

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import MissingObjectError, RasteretError, StorageError, TableError, TableTypeError
from rasteret_sql.io.addresses import Kind, safe_address
from rasteret_sql.io.backend import ObstoreBackend, StorageBackend
from rasteret_sql.io.clouds.registry import route
from rasteret_sql.io.routed_backend import RoutedBackend, default_backend
from rasteret_sql.stac.address import absolute, is_url, local_path
from rasteret_sql.tables.parquet_files import StoredFiles, open_stored

ACCEPTED = (
    "the path or URI of a Parquet file or directory, or a pyarrow Table, Dataset or RecordBatchReader, a DuckDB "
    "relation, or anything that exports an Arrow stream"
)
_SUFFIXES = (".parquet", ".geoparquet", ".pq", ".parq")
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True, eq=False)
class OpenTable:
    """A table that can be scanned."""

    dataset: pads.Dataset
    base: str | None = None
    """Address of its file or directory; None for a table in memory."""


def as_given(table: Any) -> str | pa.Table | pads.Dataset:
    """An address as text, a dataset as it is, and anything else as an Arrow table, for a stream can be read once.

    Raises:
        TableTypeError: it is nothing of the kind.
    """
    if isinstance(table, str | os.PathLike):
        text = os.fspath(table)
        if not isinstance(text, str) or not text.strip():
            raise TableError(f"{table!r} is no path of a table; give {ACCEPTED}")
        return absolute(text.strip())
    if isinstance(table, pads.Dataset | pa.Table):
        return table
    return arrow_table(table)


def arrow_table(table: Any) -> pa.Table:
    """Read whatever exports Arrow data into a table.

    Raises:
        TableTypeError: it exports none.
    """
    if isinstance(table, pa.Table):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, pa.RecordBatchReader):
        return table.read_all()
    if hasattr(type(table), "set_geometry") and hasattr(table, "to_arrow"):
        table = table.to_arrow()  # a GeoDataFrame: its own stream knows no geometries
    if hasattr(table, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(table).read_all()
    if hasattr(table, "fetch_arrow_table"):
        found = table.fetch_arrow_table()
        if isinstance(found, pa.Table):
            return found
    raise TableTypeError(f"a {type(table).__name__} is no table; give {ACCEPTED}")


def fingerprint(table: str | pa.Table | pads.Dataset) -> Any:
    """Values that change when the table does, as far as can be told without a request: JSON.

    Files of this machine by size and time of change, tables in memory by their content, URLs by their name alone.
    """
    if isinstance(table, str):
        return None if is_url(table) else [_stat(path) for path in _local_files(table)]
    if isinstance(table, pads.FileSystemDataset):
        local = isinstance(table.filesystem, fs.LocalFileSystem)
        return [_stat(file) if local else [file] for file in table.files]
    content = table if isinstance(table, pa.Table) else table.to_table()
    digest = hashlib.blake2b(digest_size=16)
    for batch in content.combine_chunks().to_batches(max_chunksize=65_536):
        digest.update(batch.serialize())
    digest.update(content.schema.serialize())
    return digest.hexdigest()


def open_table(
    table: str | pa.Table | pads.Dataset, backend: StorageBackend | None, filesystem: Any, cancelled: Cancelled | None
) -> OpenTable:
    """Open a table: of files no more than their schema is read.

    Args:
        table: as `as_given` gives it.
        backend: who reads URLs; the process's own by default, and where it does not have the file.
        filesystem: of pyarrow or fsspec, in place of backends.
        cancelled: polled while waiting.

    Raises:
        MissingObjectError: nothing is there.
        StorageError: it cannot be read.
        TableError: it is no Parquet.
    """
    if isinstance(table, pa.Table):
        return OpenTable(pads.dataset(table.cast(_without_views(table.schema))))
    if isinstance(table, pads.Dataset):
        return OpenTable(table)
    shown = safe_address(table)
    try:
        if filesystem is not None:
            return OpenTable(_dataset(table.partition("://")[2] or table, filesystem), table)
        if is_url(table):
            return OpenTable(_stored(table, backend, cancelled), table)
        files = _local_files(table)
        root = local_path(table)
        return OpenTable(_dataset(files, fs.LocalFileSystem(), str(root) if root.is_dir() else None), table)
    except RasteretError:
        raise
    except FileNotFoundError as error:
        raise MissingObjectError(f"no table is at {shown}: {error}") from error
    except OSError as error:
        # Arrow raises a plain OSError also for a file that is broken.
        raise (TableError if error.errno is None else StorageError)(
            f"{shown} cannot be read as a table: {error}; {_EXPECTED}"
        ) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"{shown} cannot be read as a table: {_first_line(error)}; {_EXPECTED}") from error


_EXPECTED = "expected Parquet, GeoParquet or stac-geoparquet"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _dataset(where: str | Sequence[str], filesystem: Any, base: str | None = None) -> pads.Dataset:
    """A dataset with the columns of all its files."""
    one = where[0] if isinstance(where, list) and len(where) == 1 and base is None else where
    options = {"format": "parquet", "filesystem": filesystem, "partitioning": "hive", "partition_base_dir": base}
    dataset = pads.dataset(one, **options)
    schema = dataset.schema
    if len(dataset.files) > 1:
        fragments = [fragment.physical_schema for fragment in dataset.get_fragments()]
        schema = pa.unify_schemas([schema, *fragments], promote_options="permissive").with_metadata(schema.metadata)
    schema = _without_views(schema)
    return dataset if schema.equals(dataset.schema) else pads.dataset(one, schema=schema, **options)


def _without_views(schema: pa.Schema) -> pa.Schema:
    """The schema with plain text and binary: Arrow cannot choose rows by views."""
    for position, field in enumerate(schema):
        if pa.types.is_string_view(field.type):
            schema = schema.set(position, field.with_type(pa.string()))
        elif pa.types.is_binary_view(field.type):
            schema = schema.set(position, field.with_type(pa.binary()))
    return schema


def _local_files(address: str) -> list[str]:
    """Parquet files at a path: itself, those of a directory, or those that fit a pattern.

    Raises:
        MissingObjectError: there are none.
    """
    path = local_path(address)
    if path.is_file():
        return [str(path)]
    if path.is_dir():
        files = [str(file) for file in sorted(path.rglob("*")) if file.is_file() and _is_data(file.relative_to(path))]
        if not files:
            raise MissingObjectError(f"the directory {path} holds no Parquet file")
        return files
    if _WILDCARDS & set(str(path)):
        files = sorted(file for file in glob.glob(str(path), recursive=True) if Path(file).is_file())  # noqa: PTH207
        if files:
            return files
    raise MissingObjectError(
        f"no table is at {path}: there is no such file or directory; give {ACCEPTED}"
        + ("" if path.suffix else '. A table or view of a database is given by its name in SQL: "my_view"')
    )


def _is_data(path: Path) -> bool:
    """As Arrow and Spark have it: names that begin with `_` or `.` are no data."""
    return path.suffix.lower() in _SUFFIXES and not any(part[0] in "_." for part in path.parts)


def _stat(path: str) -> list[Any]:
    stat = Path(path).stat()
    return [path, stat.st_size, stat.st_mtime_ns]


def _stored(address: str, backend: StorageBackend | None, cancelled: Cancelled | None) -> pads.Dataset:
    """A dataset of a file or directory of a store."""
    readers: list[StorageBackend] = [default_backend()] if backend is None else [backend]
    if backend is not None and not isinstance(backend, RoutedBackend):
        readers.append(default_backend())  # a backend made for the scenes' files need not have the table
    failure: StorageError | None = None
    for reader in readers:
        try:
            addresses = _addresses(address, reader)
            opened = {_path(one): file for one, file in open_stored(reader, addresses, cancelled).items()}
        except StorageError as error:
            failure = failure or error
            continue
        handler = fs.PyFileSystem(StoredFiles(opened))
        base = None if len(opened) == 1 else _path(address).rstrip("/")
        return _dataset(list(opened), handler, base)
    assert failure is not None
    raise failure


def _path(address: str) -> str:
    """An address as a path to Arrow, which takes `//` and `?` for more than letters."""
    return safe_address(address).replace("://", "/")


def _addresses(address: str, backend: StorageBackend) -> Sequence[str]:
    """The address itself where it is a file, else the Parquet files below it."""
    plain = safe_address(address)
    wild = bool(_WILDCARDS & set(plain))
    if not wild and not plain.endswith("/") and (Path(plain).suffix or route(address).kind == Kind.HTTP):
        return [address]
    found = _listed(address, backend)
    if found is None:
        raise TableError(f"{plain} is a directory, and its backend cannot list one; name a Parquet file")
    files = [one for one in found if Path(one).suffix.lower() in _SUFFIXES]
    if wild:
        files = [one for one in files if fnmatch.fnmatchcase(one, plain)]
    if not files:
        raise MissingObjectError(f"no Parquet file is at {plain}")
    return sorted(files)


def _listed(address: str, backend: StorageBackend) -> Iterable[str] | None:
    """Addresses of all objects below one; None where the backend cannot list."""
    if isinstance(backend, ObstoreBackend):
        store, path = backend.store, backend.path(address)
    elif isinstance(backend, RoutedBackend) and route(address).kind != Kind.HTTP:
        store, path = backend.store_of(address)
    else:
        return None
    cut = min((path.find(sign) for sign in _WILDCARDS if sign in path), default=len(path))
    prefix = path[:cut].rpartition("/")[0] if cut < len(path) else path.rstrip("/")
    root = address[: len(address) - len(path)] if path else address
    try:
        return [root + meta["path"] for page in obstore.list(store, prefix or None) for meta in page]
    except BaseError as error:
        raise StorageError(f"{safe_address(address)} cannot be listed: {_first_line(error)}") from error
