"""The datasets that this process knows: the built-in ones, and those registered since."""

from __future__ import annotations

import builtins
import threading
from typing import ClassVar

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.data_files import provider_documents
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.errors import InvalidArgumentError, UnknownDatasetError, did_you_mean


class DatasetRegistry:
    """Descriptors by id, in the order of their registration. The same in every connection of the process."""

    _lock: ClassVar[threading.RLock] = threading.RLock()
    _descriptors: ClassVar[dict[str, DatasetDescriptor] | None] = None
    """None until first asked for: importing the package reads no data files."""

    @classmethod
    def _all(cls) -> dict[str, DatasetDescriptor]:
        if cls._descriptors is None:
            built_in = [
                DatasetDescriptor(**entry) for document in provider_documents() for entry in document["datasets"]
            ]
            cls._descriptors = {one.id: one for one in built_in}
        return cls._descriptors

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
        """Forget a dataset and give what it was; None where the id is unknown."""
        with cls._lock:
            return cls._all().pop(dataset_id, None)

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
