"""Lists the datasets that this process knows: built-in ones, those of the local file, those registered since."""

from __future__ import annotations

import builtins
import functools
import threading
from collections.abc import Mapping
from typing import ClassVar

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.data_files import provider_documents
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.local_datasets import FileState, load_local_descriptors, local_state
from rasteret_sql.errors import InvalidArgumentError, UnknownDatasetError, did_you_mean


class DatasetRegistry:
    """Descriptors by id, in the order of their registration. The same in every connection of the process.

    The local file is read when somebody first asks, and again whenever it has changed: what another process registers
    or unregisters there counts here as if it were done here at that time.
    """

    _lock: ClassVar[threading.RLock] = threading.RLock()
    _descriptors: ClassVar[dict[str, DatasetDescriptor] | None] = None
    """None until first asked for: importing the package reads no data files."""
    _local: ClassVar[dict[str, DatasetDescriptor]] = {}
    """What the local file had when it was last read."""
    _state: ClassVar[FileState | None] = None
    """The local file as it was then."""

    @classmethod
    def _all(cls) -> dict[str, DatasetDescriptor]:
        if cls._descriptors is None:
            cls._descriptors = dict(_built_in())
            cls._local, cls._state = {}, None
        state = local_state()
        if state != cls._state:
            cls._follow(cls._descriptors, state)
        return cls._descriptors

    @classmethod
    def _follow(cls, known: dict[str, DatasetDescriptor], state: FileState | None) -> None:
        """Do to the datasets what was done to the local file since it was last read."""
        there = (
            {} if state is None or state.stamp is None else {one.id: one for one in load_local_descriptors(state.path)}
        )
        for dataset_id, before in cls._local.items():
            if dataset_id not in there and known.get(dataset_id) == before:
                _put_back(known, dataset_id)
        for dataset_id, descriptor in there.items():
            if cls._local.get(dataset_id) != descriptor:
                known[dataset_id] = descriptor
                config = CloudConfig.from_value(descriptor.cloud_config)
                if config is not None:
                    CloudConfig.register(dataset_id, config)
        cls._local, cls._state = there, state

    @classmethod
    def register(cls, descriptor: DatasetDescriptor) -> None:
        """Add a dataset; one of the same id is replaced in its place. Its cloud_config takes effect with it."""
        if not isinstance(descriptor, DatasetDescriptor):
            raise InvalidArgumentError(f"register takes a DatasetDescriptor, not {type(descriptor).__name__}")
        config = CloudConfig.from_value(descriptor.cloud_config)
        with cls._lock:
            cls._all()[descriptor.id] = descriptor
        if config is not None:
            CloudConfig.register(descriptor.id, config)

    @classmethod
    def unregister(cls, dataset_id: str) -> DatasetDescriptor | None:
        """Let this process forget a dataset and give what it was; None where the id is unknown.

        The local file keeps it: `catalog.unregister_local_descriptor` takes it out there.
        """
        with cls._lock:
            return cls._all().pop(dataset_id, None)

    @classmethod
    def reset(cls, dataset_id: str) -> None:
        """Forget what was registered under an id; a built-in dataset of that id comes back."""
        with cls._lock:
            _put_back(cls._all(), dataset_id)

    @classmethod
    def get(cls, dataset_id: str) -> DatasetDescriptor | None:
        """The dataset of an id; None where it is unknown."""
        with cls._lock:
            return cls._all().get(dataset_id)

    @classmethod
    def require(cls, dataset_id: str) -> DatasetDescriptor:
        """The dataset of an id.

        Raises:
            UnknownDatasetError: The id is unknown; the message says which ids exist.
        """
        with cls._lock:
            known = cls._all()
            if dataset_id in known:
                return known[dataset_id]
            hint = did_you_mean(str(dataset_id), known, 40)
        raise UnknownDatasetError(f'there is no dataset "{dataset_id}": {hint}')

    @classmethod
    def list(cls) -> builtins.list[DatasetDescriptor]:
        """All datasets."""
        with cls._lock:
            return [*cls._all().values()]

    @classmethod
    def search(cls, keyword: str) -> builtins.list[DatasetDescriptor]:
        """Datasets with the word in their id, name or description, whatever its case."""
        word = str(keyword).casefold()
        return [d for d in cls.list() if any(word in text.casefold() for text in (d.id, d.name, d.description))]


@functools.cache
def _built_in() -> Mapping[str, DatasetDescriptor]:
    entries = [entry for document in provider_documents() for entry in document["datasets"]]
    return {entry["id"]: DatasetDescriptor(**entry) for entry in entries}


def _put_back(known: dict[str, DatasetDescriptor], dataset_id: str) -> None:
    """Let an id mean what it means without registration: a built-in dataset, or nothing."""
    if dataset_id in _built_in():
        known[dataset_id] = _built_in()[dataset_id]
    else:
        known.pop(dataset_id, None)
