"""`CloudConfig`: says how the files of a dataset are reached: cloud, region, who pays, URLs for buckets."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from rasteret_sql.catalog.data_files import provider_documents
from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.io.clouds.registry import CLOUDS

PROVIDERS = tuple(cloud.name for cloud in CLOUDS if cloud.name)


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """Access settings of one dataset."""

    provider: str
    """The name of a cloud, such as aws, gcp or azure."""
    requester_pays: bool = False
    """True where the reader pays for requests: they are signed with the reader's own credentials."""
    region: str = "us-west-2"
    url_patterns: dict[str, str] = field(default_factory=dict)
    """Prefix of asset hrefs → what replaces it, such as `https://host/data/` → `s3://bucket/`, or the reverse."""

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _registered: ClassVar[dict[str, CloudConfig]] = {}

    def __post_init__(self) -> None:
        if self.provider not in PROVIDERS:
            raise InvalidArgumentError(
                f"cloud_config: provider {self.provider!r} is unknown; {did_you_mean(str(self.provider), PROVIDERS)}"
            )
        if not isinstance(self.requester_pays, bool):
            raise InvalidArgumentError(
                f"cloud_config: requester_pays has to be true or false, not {self.requester_pays!r}"
            )
        if not isinstance(self.region, str) or not self.region:
            raise InvalidArgumentError(f"cloud_config: region has to be a name such as us-west-2, not {self.region!r}")
        patterns = self.url_patterns if self.url_patterns is not None else {}
        if not isinstance(patterns, Mapping) or not all(
            isinstance(prefix, str) and prefix and isinstance(target, str) for prefix, target in patterns.items()
        ):
            raise InvalidArgumentError(
                f"cloud_config: url_patterns maps URL prefixes to what replaces them, not {self.url_patterns!r}"
            )
        object.__setattr__(self, "url_patterns", dict(patterns))

    @classmethod
    def from_value(cls, value: CloudConfig | Mapping[str, Any] | None) -> CloudConfig | None:
        """A config as it is, or one made of a plain dict (descriptors and SQL give those).

        Raises:
            InvalidArgumentError: The dict has an unknown field, lacks the provider, or a value is of the wrong kind.
        """
        if value is None or isinstance(value, CloudConfig):
            return value
        if not isinstance(value, Mapping):
            raise InvalidArgumentError(
                f"cloud_config has to be an object with provider, requester_pays, region, url_patterns, not {value!r}"
            )
        known = [one.name for one in fields(cls)]
        for name in value:
            if name not in known:
                raise InvalidArgumentError(f'cloud_config has no field "{name}": {did_you_mean(str(name), known)}')
        given = {name: part for name, part in value.items() if part is not None}
        if "provider" not in given:
            raise InvalidArgumentError(
                f"cloud_config {dict(value)!r} lacks its provider; one of {', '.join(PROVIDERS)}"
            )
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def register(cls, collection_id: str, config: CloudConfig) -> None:
        """Use a config for a dataset or STAC collection from now on, in place of an earlier one; ids ignore case."""
        checked = cls.from_value(config)
        if checked is None or not isinstance(collection_id, str) or not collection_id.strip():
            raise InvalidArgumentError(
                "CloudConfig.register takes the id of a dataset or collection, and a CloudConfig"
            )
        with cls._lock:
            cls._registered[collection_id.strip().lower()] = checked

    @classmethod
    def get_config(cls, data_source: str, stac_collection: str | None = None) -> CloudConfig | None:
        """The config of a dataset: by its id, else by its STAC collection, else by the last part of its id.

        So a config registered for `my-collection` serves the dataset `my-org/my-collection`. Configs of built-in
        datasets answer to their own id and to the bare collection id, but not to another provider's dataset of the
        same collection: `pc/landsat-c2-l2` is on Azure, not in the bucket of `earthsearch/landsat-c2-l2`.
        """
        exact = data_source.strip().lower()
        names = [exact, *([stac_collection.lower()] if stac_collection else []), exact.rpartition("/")[2]]
        with cls._lock:
            for name in names:
                if name in cls._registered:
                    return cls._registered[name]
            return _built_in_configs().get(exact)


@functools.cache
def _built_in_configs() -> Mapping[str, CloudConfig]:
    """Access settings of the built-in datasets by lower-case id, and those that answer to a bare collection id."""
    configs: dict[str, CloudConfig] = {}
    for document in provider_documents():
        of_datasets = {entry["id"]: entry.get("cloud_config") for entry in document["datasets"]}
        for name, value in {**document.get("cloud_configs", {}), **of_datasets}.items():
            config = CloudConfig.from_value(value)
            if config is not None:
                configs[name.lower()] = config
    return configs
