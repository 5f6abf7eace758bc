"""Every engine by name. Its module is imported only in processes that use it, so that peers do not share imports."""

from __future__ import annotations

import importlib

from tests.benchmarks.contract import Engine

ENGINES: dict[str, tuple[str, str, dict[str, object]]] = {
    "floor": ("floor", "Floor", {}),
    "floor-geometry-mask": ("floor", "Floor", {"mask": "rasterio"}),
    "rasterio": ("gdal", "Gdal", {}),
    "rasterio-32": ("gdal", "Gdal", {"threads": 32}),
    "async-geotiff": ("geotiff", "AsyncGeotiff", {}),
    "ours-sql": ("ours", "OursSql", {}),
    "ours-kernels": ("ours", "OursKernels", {}),
}


def engine(name: str) -> Engine:
    """Make an engine."""
    if name not in ENGINES:
        raise ValueError(f"no engine {name!r}: there are {', '.join(ENGINES)}")
    module, kind, arguments = ENGINES[name]
    made: Engine = getattr(importlib.import_module(f"tests.benchmarks.engines.{module}"), kind)(**arguments)
    return made
