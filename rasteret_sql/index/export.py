"""A collection → a directory that can be moved elsewhere, with everything that the index holds."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.open import CollectionIndex
from rasteret_sql.index.publish import published
from rasteret_sql.index.write import open_writer
from rasteret_sql.io.addresses import safe_address

_BATCH_ROWS = 512


def export_collection(index: CollectionIndex, path: str | Path) -> Path:
    """Write a collection to a directory of its own, which appears whole or not at all.

    Rows, headers, masks, overviews, status and the settings of the build are kept; the metadata says the name that the
    collection has now, and when it was exported. Relative asset paths stay relative.

    Args:
        index: What to export.
        path: A directory that does not exist, is empty, or holds a collection, which is then replaced.

    Returns:
        The absolute path.

    Raises:
        InvalidArgumentError: Something else is there.
    """
    target = _target(index, path)
    created = datetime.now(UTC).replace(tzinfo=None).isoformat()
    with published(target) as directory:
        for file in map(Path, index.files):
            relative = Path(file.name) if index.path == file else file.relative_to(index.path)
            with pq.ParquetFile(file) as source:
                stored = source.schema_arrow
                keys = {
                    **(stored.metadata or {}),
                    schema.KEY_NAME: index.name.encode(),
                    schema.KEY_CREATED: created.encode(),
                    schema.KEY_RASTERET_VERSION: b"1",
                }
                with open_writer(directory / relative, stored.with_metadata(keys)) as writer:
                    for batch in source.iter_batches(_BATCH_ROWS):
                        writer.write_table(pa.Table.from_batches([batch]).replace_schema_metadata(keys))
    return target


def _target(index: CollectionIndex, path: str | Path) -> Path:
    text = str(path).removeprefix("file://")
    if "://" in text:
        msg = f"a collection is exported to a local directory, not {safe_address(text)}; copy it from there"
        raise InvalidArgumentError(msg)
    target = Path(text).expanduser().resolve()
    source = index.path.resolve()
    if target == source or target in source.parents or source in target.parents:
        msg = f"a collection cannot be exported over itself: {target} and {source} overlap; choose another directory"
        raise InvalidArgumentError(msg)
    if target.exists() and not (target.is_dir() and _may_be_replaced(target)):
        msg = (
            f"{target} exists and is no collection, so it is not replaced;"
            " export to a directory that does not exist or is empty"
        )
        raise InvalidArgumentError(msg)
    return target


def _may_be_replaced(target: Path) -> bool:
    """True for an empty directory, and one with nothing but Parquet files in hive directories."""
    for root, directories, files in os.walk(target):
        for name in directories:
            if "=" not in name:
                return False
        for name in files:
            if not name.endswith(".parquet") and name not in ("_metadata", "_common_metadata", "_SUCCESS"):
                return False
            if Path(root) == target and name.endswith(".parquet") and not _is_collection_file(target / name):
                return False
    return True


def _is_collection_file(file: Path) -> bool:
    try:
        names = pq.read_schema(file).names
    except (OSError, ValueError):
        return False
    return all(name in names for name in schema.REQUIRED_COLUMNS)
