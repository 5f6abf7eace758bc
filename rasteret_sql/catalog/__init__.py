"""Which datasets exist: descriptors, how their clouds are reached, and the registry of both."""

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry

__all__ = ["CloudConfig", "DatasetDescriptor", "DatasetRegistry"]
