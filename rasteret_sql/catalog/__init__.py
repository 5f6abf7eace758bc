"""Describes datasets, says how their clouds are reached, and registers both."""

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.local_datasets import load_local_descriptors, remove_local_descriptor, save_local_descriptor
from rasteret_sql.catalog.register import export_local_descriptor, register, unregister_local_descriptor
from rasteret_sql.catalog.registry import DatasetRegistry

__all__ = [
    "CloudConfig",
    "DatasetDescriptor",
    "DatasetRegistry",
    "export_local_descriptor",
    "load_local_descriptors",
    "register",
    "remove_local_descriptor",
    "save_local_descriptor",
    "unregister_local_descriptor",
]
