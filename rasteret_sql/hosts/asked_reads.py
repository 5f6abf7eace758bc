"""`AskedReads`: reads the arguments that the reads of a collection share, and follows files that were changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rasteret_sql.functions.python_arguments import grid_arguments, most_bytes
from rasteret_sql.hosts.area_samples import AreaRead, Bands
from rasteret_sql.hosts.read_arguments import filters_of, with_defaults
from rasteret_sql.index.change.build_request import require_concurrency
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.call_access import call_backend
from rasteret_sql.selection.scene_view import SceneView
from rasteret_sql.session.session import Session

_OPTIONS = ("all_touched", "resampling", "on_error", "on_change", "mask", "dilate", "scaled", "nodata", "gcp", "fill")
"""Arguments that `PixelOptions` has by the same name."""
_GRID = ("target_crs", "resolution", "shape", "align")


class AskedReads(SceneView):
    """Has what the methods of a collection that read pixels have in common."""

    _session: Session

    def _asked(
        self, function: str, areas: Areas, bands: Bands, arguments: type, named: Mapping[str, Any], **more: Any
    ) -> AreaRead:
        """The read that a call asks for.

        Args:
            function: the name of the call, for receipts.
            areas: the geometries.
            bands: the bands.
            arguments: the shared arguments that it takes.
            named: those that were given.
            more: further options.
        """
        given = with_defaults(arguments, named)
        grid = grid_arguments(*(given.get(name) for name in _GRID))
        return AreaRead(
            self._session,
            self._selection,
            self.bands,
            function=function,
            areas=areas,
            bands=bands,
            options=self._pixel_options(given, **grid, **more),
            reader=self._reader(given),
            data_source=given["data_source"],
            progress=given["progress"],
            filters=filters_of(arguments, named),
            one_grid=bool(grid),
        )

    def _pixel_options(self, given: Mapping[str, Any], **more: Any) -> PixelOptions:
        """The options of a call, from its shared arguments and further ones."""
        require_concurrency(given["max_concurrent"])
        options = {name: given[name] for name in _OPTIONS if name in given}
        return PixelOptions(self.name, max_bytes=most_bytes(given["max_bytes"]), **(options | more))

    def _reader(self, given: Mapping[str, Any]) -> StorageBackend | None:
        """The backend that reads the files of a call; None: the one that their dataset asks for."""
        return call_backend(
            self._session, given["backend"], given["cloud_config"], given["data_source"], self.data_source
        )

    def _read_anew(self) -> CollectionIndex:
        """The index as it is now, reached as it was."""
        return open_collection(self._index.place, self.name, self._index.stores)

    def _follow_refreshed(self, on_change: str) -> None:
        """Go on with the index as it is now, if headers of changed files were put into it."""
        if on_change != "refresh" or self._index.is_current():
            return
        self._selection = dataclasses.replace(self._selection, index=self._read_anew())
        self.__dict__.pop("_connection", None)
