"""Keeps local datasets in a file for later processes: rasteret's own file, which both projects read and write.

The file is a JSON list of descriptors. Entries that cannot be read are left alone: they are neither shown nor lost
when the file is written.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.errors import InvalidArgumentError, RasteretError, StorageError, StorageTimeoutError
from rasteret_sql.io.write_file import write_file
from rasteret_sql.locks import held

PATH_VARIABLE = "RASTERET_LOCAL_DATASETS_PATH"
"""Environment variable that names another file."""
DEFAULT_PATH = "~/.rasteret/datasets.local.json"
LOCK_SECONDS = 30.0
"""How long a writer waits for others."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileState:
    """Facts that tell a file that changed since it was read."""

    path: Path
    stamp: tuple[int, int, int] | None
    """(time of change in ns, size in bytes, inode); None where there is no file."""


def local_path(path: str | os.PathLike[str] | None = None) -> Path:
    """The file of local descriptors: as given, else as the environment says, else in the user's home.

    Raises:
        InvalidArgumentError: the user has no home directory.
    """
    try:
        return Path(path or os.environ.get(PATH_VARIABLE) or DEFAULT_PATH).expanduser()
    except RuntimeError as error:
        raise InvalidArgumentError(
            f"there is no home directory for {DEFAULT_PATH}; set {PATH_VARIABLE} to the file of local datasets"
        ) from error


def local_state() -> FileState | None:
    """State of the file of this process; None where the user has no home directory, and so no file."""
    try:
        path = local_path()
    except InvalidArgumentError:
        return None
    try:
        found = path.stat()
    except OSError:
        return FileState(path, None)
    return FileState(path, (found.st_mtime_ns, found.st_size, found.st_ino))


def load_local_descriptors(path: str | os.PathLike[str] | None = None) -> list[DatasetDescriptor]:
    """The descriptors of the file, the last of each id; none where there is no file.

    What cannot be used is left out, and a warning is logged that says why.
    """
    file = local_path(path)
    try:
        entries = _read_entries(file)
    except RasteretError as error:
        _log.warning("%s", error)
        return []
    found: dict[str, DatasetDescriptor] = {}
    for number, entry in enumerate(entries):
        try:
            descriptor = DatasetDescriptor.from_dict(entry)
        except InvalidArgumentError as error:
            _log.warning("%s: entry %d is left out: %s", file, number, error)
            continue
        found.pop(descriptor.id, None)
        found[descriptor.id] = descriptor
    return [*found.values()]


def save_local_descriptor(descriptor: DatasetDescriptor, path: str | os.PathLike[str] | None = None) -> None:
    """Add a descriptor to the file, in the place of one of the same id.

    Raises:
        StorageError: the file cannot be read or written.
    """
    if not isinstance(descriptor, DatasetDescriptor):
        raise InvalidArgumentError(f"expected a DatasetDescriptor, not {type(descriptor).__name__}")
    file = local_path(path)
    with _locked(file):
        entries = _read_entries(file)
        places = [n for n, entry in enumerate(entries) if _id_of(entry) == descriptor.id]
        place = places[0] if places else len(entries)
        others = [entry for n, entry in enumerate(entries) if n not in places]
        write_json(file, [*others[:place], file_entry(descriptor), *others[place:]])


def remove_local_descriptor(dataset_id: str, path: str | os.PathLike[str] | None = None) -> DatasetDescriptor | None:
    """Take a descriptor out of the file and give what it was; None where the file does not have it.

    Raises:
        StorageError: the file cannot be read or written.
    """
    file = local_path(path)
    if not file.exists():
        return None
    with _locked(file):
        entries = _read_entries(file)
        kept = [entry for entry in entries if _id_of(entry) != dataset_id]
        if len(kept) == len(entries):
            return None
        removed = next((one for one in load_local_descriptors(file) if one.id == dataset_id), None)
        write_json(file, kept)
    return removed or DatasetDescriptor(id=dataset_id)


def file_entry(descriptor: DatasetDescriptor) -> dict[str, Any]:
    """A descriptor as the file has it. A field that rasteret does not know is there only where it says something."""
    entry = descriptor.to_dict()
    if entry["azure_asset_url"] is None:
        del entry["azure_asset_url"]
    return entry


def write_json(file: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, as rasteret lays it out: indented by 2, keys sorted.

    Raises:
        StorageError: it cannot be written.
    """
    write_file(file, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def _read_entries(file: Path) -> list[Any]:
    """The entries as they stand in the file."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"the local datasets in {file} cannot be read: {error}") from error
    try:
        entries = json.loads(text) if text.strip() else []
    except ValueError as error:
        raise StorageError(f"the local datasets in {file} are not JSON ({error}); repair or remove the file") from error
    if not isinstance(entries, list):
        raise StorageError(
            f"the local datasets in {file} are a JSON {type(entries).__name__}, expected a list of descriptors; "
            "repair or remove the file"
        )
    return entries


def _id_of(entry: Any) -> Any:
    return entry.get("id") if isinstance(entry, Mapping) else None


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Be the only writer of a file."""
    target = file.resolve()
    lock = target.with_name(f".{target.name}.lock")

    def wait(seconds: float) -> None:
        if seconds > LOCK_SECONDS:
            raise StorageTimeoutError(f"{file} has been locked by another process for {LOCK_SECONDS:.0f} s; try again")

    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror or error}") from error
    with held(lock, wait):
        yield
