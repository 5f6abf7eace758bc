"""`AsyncReads`: runs the reads of a collection as coroutines, which leave the event loop free while they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import xarray


class _Reads(Protocol):
    """The methods that have a twin here."""

    @property
    def get_numpy(self) -> Callable[..., Any]: ...
    @property
    def get_xarray(self) -> Callable[..., Any]: ...
    @property
    def read_window(self) -> Callable[..., Any]: ...


class AsyncReads:
    """Has an asynchronous twin of each method that reads pixels. Each runs in a thread of its own."""

    async def get_numpy_async(
        self: _Reads, geometries: Any, bands: Any, **named: Any
    ) -> np.ndarray | tuple[np.ndarray, pa.Table]:
        """`await` this for what `get_numpy` gives; it takes the same arguments."""
        found: np.ndarray | tuple[np.ndarray, pa.Table]
        found = await asyncio.to_thread(self.get_numpy, geometries, bands, **named)
        return found

    async def get_xarray_async(self: _Reads, geometries: Any, bands: Any, **named: Any) -> xarray.Dataset:
        """`await` this for what `get_xarray` gives; it takes the same arguments."""
        found: xarray.Dataset = await asyncio.to_thread(self.get_xarray, geometries, bands, **named)
        return found

    async def read_window_async(self: _Reads, **named: Any) -> np.ndarray:
        """`await` this for what `read_window` gives; it takes the same arguments."""
        found: np.ndarray = await asyncio.to_thread(self.read_window, **named)
        return found
