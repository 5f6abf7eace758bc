"""SQL over cloud rasters: index Cloud-Optimized GeoTIFFs once, then read pixels and statistics from DuckDB."""

from importlib.metadata import version

from rasteret_sql import catalog
from rasteret_sql.api import build, build_from_stac, load
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.lifecycle import register
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.collection import Collection
from rasteret_sql.connection import connect, install, interrupt
from rasteret_sql.errors import RasteretError
from rasteret_sql.io.backend import ObstoreBackend, StorageBackend
from rasteret_sql.io.create import SasTokenEndpoint, create_backend
from rasteret_sql.kernels.registering import register_local
from rasteret_sql.tables_api import as_collection, build_from_table

__version__ = version("rasteret-sql")

__all__ = [
    "CloudConfig",
    "Collection",
    "DatasetDescriptor",
    "DatasetRegistry",
    "ObstoreBackend",
    "RasteretError",
    "SasTokenEndpoint",
    "StorageBackend",
    "__version__",
    "as_collection",
    "build",
    "build_from_stac",
    "build_from_table",
    "catalog",
    "connect",
    "create_backend",
    "install",
    "interrupt",
    "load",
    "register",
    "register_local",
]
