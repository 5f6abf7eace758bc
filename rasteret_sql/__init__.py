"""Reads pixels and statistics of cloud rasters from SQL: indexes Cloud-Optimized GeoTIFFs once, for DuckDB."""

from typing import TYPE_CHECKING

from rasteret_sql.lazy import lazy_names

if TYPE_CHECKING:
    from rasteret_sql import catalog
    from rasteret_sql.api import as_collection, build, build_from_files, build_from_stac, build_from_table, load
    from rasteret_sql.catalog.cloud_config import CloudConfig
    from rasteret_sql.catalog.descriptor import DatasetDescriptor
    from rasteret_sql.catalog.register import register
    from rasteret_sql.catalog.registry import DatasetRegistry
    from rasteret_sql.collection import Collection
    from rasteret_sql.connection import connect, install, interrupt
    from rasteret_sql.errors import RasteretError
    from rasteret_sql.hosts.chip_dataset import to_xarray
    from rasteret_sql.hosts.ipython_session import load_ipython_extension, unload_ipython_extension
    from rasteret_sql.hosts.notebook import show
    from rasteret_sql.io.backend import ObstoreBackend, StorageBackend
    from rasteret_sql.io.clouds.planetary_computer import SasTokenEndpoint
    from rasteret_sql.library.create_backend import create_backend
    from rasteret_sql.library.register import register_local
    from rasteret_sql.reading.chip_arrays import from_numpy, to_numpy
    from rasteret_sql.version import __version__
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "CloudConfig": "rasteret_sql.catalog.cloud_config",
            "Collection": "rasteret_sql.collection",
            "DatasetDescriptor": "rasteret_sql.catalog.descriptor",
            "DatasetRegistry": "rasteret_sql.catalog.registry",
            "ObstoreBackend": "rasteret_sql.io.backend",
            "RasteretError": "rasteret_sql.errors",
            "SasTokenEndpoint": "rasteret_sql.io.clouds.planetary_computer",
            "StorageBackend": "rasteret_sql.io.backend",
            "__version__": "rasteret_sql.version",
            "as_collection": "rasteret_sql.api",
            "build": "rasteret_sql.api",
            "build_from_files": "rasteret_sql.api",
            "build_from_stac": "rasteret_sql.api",
            "build_from_table": "rasteret_sql.api",
            "catalog": "rasteret_sql.catalog",
            "connect": "rasteret_sql.connection",
            "connection": "rasteret_sql.connection",
            "create_backend": "rasteret_sql.library.create_backend",
            "errors": "rasteret_sql.errors",
            "from_numpy": "rasteret_sql.reading.chip_arrays",
            "install": "rasteret_sql.connection",
            "interrupt": "rasteret_sql.connection",
            "load": "rasteret_sql.api",
            "load_ipython_extension": "rasteret_sql.hosts.ipython_session",
            "register": "rasteret_sql.catalog.register",
            "register_local": "rasteret_sql.library.register",
            "show": "rasteret_sql.hosts.notebook",
            "to_numpy": "rasteret_sql.reading.chip_arrays",
            "to_xarray": "rasteret_sql.hosts.chip_dataset",
            "unload_ipython_extension": "rasteret_sql.hosts.ipython_session",
        },
        {
            "BandRegistry": "names of bands are those of DatasetRegistry.get(id).band_map, and band_map= of a build",
            "get_options": "give progress=True to a call",
            "options": "give progress=True to a call",
            "set_options": "give progress=True to a call",
            "version": "use __version__",
        },
    )

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
    "build_from_files",
    "build_from_stac",
    "build_from_table",
    "catalog",
    "connect",
    "create_backend",
    "from_numpy",
    "install",
    "interrupt",
    "load",
    "load_ipython_extension",
    "register",
    "register_local",
    "show",
    "to_numpy",
    "to_xarray",
    "unload_ipython_extension",
]
