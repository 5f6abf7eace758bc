"""Registers, forgets and shares descriptors, in the registry and the local file together."""

from __future__ import annotations

import os
from pathlib import Path

from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.local_datasets import file_entry, load_local_descriptors, remove_local_descriptor, write_json
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import UnknownDatasetError, did_you_mean


def register(descriptor: DatasetDescriptor) -> None:
    """Let this process know a dataset: `build` and `rasteret_build` take its id from now on.

    Args:
        descriptor: fields of the dataset, with the names that rasteret_datasets() shows; only id is mandatory.

    Raises:
        ValueError: it is no descriptor.
    """
    DatasetRegistry.register(descriptor)


def unregister_local_descriptor(
    dataset_id: str, path: str | os.PathLike[str] | None = None
) -> DatasetDescriptor | None:
    """Take a dataset out of the local file, and let this process forget it.

    A built-in dataset that it stood in front of comes back.

    Args:
        dataset_id: its id.
        path: the file; `~/.rasteret/datasets.local.json` by default.

    Returns:
        What it was; None where the file does not have it.
    """
    removed = remove_local_descriptor(dataset_id, path)
    if removed is not None:
        DatasetRegistry.reset(dataset_id)
    return removed


def export_local_descriptor(
    dataset_id: str, output_path: str | os.PathLike[str], path: str | os.PathLike[str] | None = None
) -> Path:
    """Write one descriptor as JSON, from which `DatasetDescriptor(**json.load(file))` makes it again.

    Args:
        dataset_id: a dataset of the local file, else one that is registered.
        output_path: the file to write; its directories are made.
        path: the file of local datasets; `~/.rasteret/datasets.local.json` by default.

    Returns:
        The path written.

    Raises:
        KeyError: there is no such dataset.
    """
    local = {one.id: one for one in load_local_descriptors(path)}
    known = local | ({one.id: one for one in DatasetRegistry.list()} if path is None else {})
    if dataset_id not in known:
        hint = did_you_mean(str(dataset_id), known, 40)
        raise UnknownDatasetError(f'there is no dataset "{dataset_id}" to export: {hint}')
    target = Path(output_path).expanduser()
    write_json(target, file_entry(local.get(dataset_id) or known[dataset_id]))
    return target
