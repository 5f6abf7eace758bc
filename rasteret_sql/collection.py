"""Shows a collection in Python: views of an index, with pixels through the code of SQL."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import duckdb

from rasteret_sql.callbacks import Progress
from rasteret_sql.engine.cancel import cancellation, watch_sigint
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.misspelt import explained
from rasteret_sql.hosts import missing_collection
from rasteret_sql.hosts.area_reads import AreaReads
from rasteret_sql.hosts.duckdb import DEFAULT_CATALOG
from rasteret_sql.hosts.point_reads import PointReads
from rasteret_sql.hosts.private_database import OwnDatabase, hold
from rasteret_sql.hosts.progress_listener import progress_listener
from rasteret_sql.hosts.record_windows import RecordWindows
from rasteret_sql.hosts.relation_scenes import scenes_of_relation
from rasteret_sql.hosts.thumbnails import thumbnails_sql
from rasteret_sql.hosts.training_reads import TrainingReads
from rasteret_sql.hosts.view.extra import require_bokeh
from rasteret_sql.index.change.export import DEFAULT_PARTITIONS, export_collection
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.place.location import workspace_of
from rasteret_sql.index.place.workspace import list_collections
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.lazy import lazy_module
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.maintain import append_collection, refresh_collection
from rasteret_sql.quoting import quote_name
from rasteret_sql.scenes.dates import DateLike
from rasteret_sql.selection.conditions import has_id
from rasteret_sql.selection.private_reader import Reader
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session, new_session

if TYPE_CHECKING:
    from rasteret_sql.hosts.view import page_server
else:
    page_server = lazy_module("rasteret_sql.hosts.view.page_server")

_INSTEAD = {
    "get_first_raster": "use head(1) for its row, and get_numpy or read_window(record_ids=[...]) for its pixels",
    "iterate_rasters": "use to_batches() for rows, and get_gdf or read_window for pixels; scenes are read side by side",
    "from_arrow": "use rasteret_sql.as_collection(table)",
    "dataset": "use to_reader(), to_table() or scenes() for rows",
}
"""Names of rasteret's collection → the way here."""


class Collection(RecordWindows, TrainingReads, AreaReads, PointReads):
    """Scenes of one index, all or a part of them. Made by `build`, `build_from_stac`, `load` and others.

    `subset` and `where` give new collections over the same index; nothing is read before rows, counts or pixels are
    asked for, and all of these see the chosen scenes only.
    """

    def __init__(
        self, index: CollectionIndex, session: Session, *, part: tuple[Selection, OwnDatabase] | None = None
    ) -> None:
        if part is None:
            session.add(index)
        self._session = session
        selection, self._database = part or (Selection(index, Reader()), OwnDatabase(session))
        super().__init__(selection)

    def _part(self, selection: Selection) -> Self:
        return type(self)(selection.index, self._session, part=(selection, self._database))

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str], name: str = "", *, data_source: str = "") -> Self:
        """Open an index on disk, as `load` does, and leave what names mean as it is.

        `data_source` says where its scenes come from if the index does not.
        """
        index = open_collection(os.fspath(path), name)
        return cls(dataclasses.replace(index, data_source=data_source or index.data_source), new_session())

    def __getattr__(self, name: str) -> Any:
        """Say what to use in place of a method that rasteret has and this does not."""
        instead = _INSTEAD.get(name)
        hint = f"; {instead}" if instead else ""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}", name=name, obj=self)

    @classmethod
    def from_relation(cls, relation: duckdb.DuckDBPyRelation, *, collection: str | None = None) -> Self:
        """Take the scenes of a relation for a collection: `from_relation(con.sql("FROM rasteret.bay WHERE ..."))`.

        The relation is run once, now. The collection works with what its connection has open, as SQL does; the order of
        the scenes is that of the index.

        Args:
            relation: of a connection with our functions, with the column `id` of scenes of one collection.
            collection: name of that collection; by default the open one that has them all.

        Raises:
            TypeError: it is no relation.
            ValueError: it has no ids, or its scenes are not all of one collection.
        """
        session, index, ids = scenes_of_relation(relation, collection)
        selection = Selection(index, Reader())
        if len(ids) < index.count_rows():
            selection = selection.sift(has_id(ids))
        return cls(index, session, part=(selection, OwnDatabase(session)))

    @classmethod
    def list_collections(cls, workspace_dir: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
        """The collections cached in a workspace, a directory or URL, by name.

        Returns:
            For each: name, kind (`stac` or `records`), data_source, date_range ((first, last) ISO day of its scenes,
            or None), size (scenes), bands, created (seconds since 1970), path. A missing directory gives [].
        """
        found = list_collections(workspace_of(workspace_dir))
        return [{**entry, "created": entry["created"].replace(tzinfo=UTC).timestamp()} for entry in found]

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        con = self._database.connect(self.name)
        if self._selection.is_whole:
            scenes = f"FROM {DEFAULT_CATALOG}.main.{quote_name(self.name)}"
        else:
            scenes = self._selection.shown_sql()
        con.execute(f"CREATE OR REPLACE TEMP VIEW scenes AS {scenes}")
        hold(con, self._selection)
        return con

    def sql(self, query: str, params: Sequence[Any] | None = None) -> duckdb.DuckDBPyRelation:
        """Run SQL in which the scenes are the table `scenes` (all scenes of the index are `rasteret."<name>"`).

        Args:
            query: such as `SELECT id, zonal_stats(id, 'B04', $1).mean FROM scenes`.
            params: values of the query's parameters.

        Returns:
            A DuckDB relation: `.fetchall()`, `.to_arrow_table()`, `.df()`, ...

        Raises:
            duckdb.Error: as DuckDB has it; of a named argument that is misspelt it says which is meant, and of a
                collection that is not there a note says which are.
        """
        try:
            return self._bound(query, params)
        except duckdb.InterruptException:
            # DuckDB 1.5 keeps a relation that Ctrl-C ended until it executes something, and binds no file before.
            self._connection.execute("SELECT 1").fetchall()
            return self._bound(query, params)
        except duckdb.BinderException as error:
            text = explained(query, str(error))
            if text == str(error):
                raise
            raise duckdb.BinderException(text) from None
        except duckdb.CatalogException as error:
            known = missing_collection.hint(error, query, self._database.session)
            if known is not None:
                error.add_note(known)
            raise

    def _bound(self, query: str, params: Sequence[Any] | None) -> duckdb.DuckDBPyRelation:
        return self._connection.sql(query, params=params) if params is not None else self._connection.sql(query)

    def scenes(self) -> duckdb.DuckDBPyRelation:
        """The scenes as a DuckDB relation, to filter, join and aggregate."""
        return self.sql("FROM scenes")

    def thumbnails(
        self, bands: str | Sequence[str] | None = None, *, scenes: int = 6, size: int = 160
    ) -> duckdb.DuckDBPyRelation:
        """The newest scenes with small pictures of the whole images, which notebooks show as such.

        Reads the smallest overviews that suffice, when the relation is shown or fetched.

        Args:
            bands: a band or several; by default red, green and blue if the collection has them, else its first band.
            scenes: how many, at most.
            size: longer side in pixels.

        Returns:
            A DuckDB relation of id, datetime and picture, a CHIP in the CRS of the scene.

        Raises:
            ValueError: a number cannot be used.
        """
        if bands is None:
            bands = self._session.band_names(self._index).true_colour() or self.bands[:1]
        return self.sql(thumbnails_sql([bands] if isinstance(bands, str) else list(bands), scenes, size))

    def explore(self, *, height: int = 760, port: int = 0) -> page_server.PageServer:
        """Show the scenes on a map in a cell of a notebook, as `rasteret-sql view` does. Needs rasteret-sql[view].

        Args:
            height: of the cell, in pixels.
            port: of this machine, on which the map is served; 0: any.

        Returns:
            A server with a token of its own, which a notebook shows as a map: as the last line of a cell. `print` gives
            its address, and `.stop()` ends it before the process does.

        Raises:
            ValueError: Bokeh is not installed, or the port is taken.
        """
        require_bokeh()
        con = self._database.connect(self.name)
        hold(con, self._selection)
        return page_server.explore_collection(con, self._session, self._selection, height=height, port=port)

    # Its life

    def export(self, path: str | os.PathLike[str], partition_by: Sequence[str] = DEFAULT_PARTITIONS) -> None:
        """Write the scenes as portable, partitioned GeoParquet with everything that the index knows of them.

        Args:
            path: a directory that does not exist, is empty, or holds a collection, which is replaced.
            partition_by: columns whose values make the directories.
        """
        ids = None if self._selection.is_whole else set(self._selection.values("id"))
        export_collection(self._index, os.fspath(path), ids=ids, partition_by=partition_by, stores=self._session.stores)

    def append(
        self,
        *,
        bbox: Sequence[float] | None = None,
        date_range: Sequence[DateLike] | str | None = None,
        query: Mapping[str, Any] | str | None = None,
        stac_api: str | os.PathLike[str] | None = None,
        max_concurrent: int = DEFAULT_MAX_CONCURRENT,
        backend: StorageBackend | None = None,
        headers: Mapping[str, str] | None = None,
        progress: bool | Progress | None = None,
    ) -> Self:
        """Add the scenes of another place or time to the stored collection; only their files are read.

        What is not given is as it was in the build, but `headers` are never kept: give them again. Parts that were
        taken with `subset` or `where` before stay as they were.

        Args:
            bbox: where the new scenes are; as in the build.
            date_range: first and last day of the new scenes; as in the build.
            query: conditions on the new items; as in the build.
            stac_api: address of the source, if it has moved; that of the build by default.
            max_concurrent: headers read at a time; 50 by default.
            backend: how headers are read, in place of the collection's.
            headers: sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept.
            progress: True: shown on stderr; a function: told (done, total or None, what) while it runs.

        Returns:
            This collection, which has the new scenes now.
        """
        self._require_whole("append")
        watch_sigint()
        options = BuildOptions(
            bbox=bbox,
            date_range=date_range,
            query=query,
            stac_api=stac_api,
            max_concurrent=max_concurrent,
            backend=backend,
            headers=headers,
            progress=progress_listener(progress),
            cancelled=cancellation(),
        )
        with self._session.receipts.begin("append"):
            append_collection(self._session, self._index, options)
        return self._reopened()

    def refresh(
        self,
        *,
        stac_api: str | os.PathLike[str] | None = None,
        max_concurrent: int = DEFAULT_MAX_CONCURRENT,
        backend: StorageBackend | None = None,
        headers: Mapping[str, str] | None = None,
        progress: bool | Progress | None = None,
    ) -> Self:
        """Ask the collection's sources again: changed scenes are read anew, new ones added, gone ones marked in status.

        Args:
            stac_api: address of the source, if it has moved; that of the build by default.
            max_concurrent: headers read at a time; 50 by default.
            backend: how headers are read, in place of the collection's.
            headers: sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept.
            progress: True: shown on stderr; a function: told (done, total or None, what) while it runs.

        Returns:
            This collection, as it is now.
        """
        self._require_whole("refresh")
        watch_sigint()
        options = BuildOptions(
            stac_api=stac_api,
            max_concurrent=max_concurrent,
            backend=backend,
            headers=headers,
            progress=progress_listener(progress),
            cancelled=cancellation(),
        )
        with self._session.receipts.begin("refresh"):
            refresh_collection(self._session, self._index, options)
        return self._reopened()

    def _require_whole(self, what: str) -> None:
        if not self._selection.is_whole:
            raise InvalidArgumentError(
                f'this is a part of collection "{self.name}"; {what} changes the stored collection: call it on the '
                "collection that the part was taken from"
            )

    def _reopened(self) -> Self:
        self._selection = Selection(self._read_anew(), self._selection.reader)
        self._session.add(self._index)
        return self
