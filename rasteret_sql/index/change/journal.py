"""Keeps what an unfinished build has done so far, so that the next one goes on from there instead of from the start.

A journal is a SQLite database in a hidden directory beside the collection: the scenes that were found, and every header
that was read. It is kept when the process dies or is stopped, and removed when the build ends, well or with an error.
"""

from __future__ import annotations

import base64
import errno
import json
import shutil
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from rasteret_sql.errors import IndexFormatError, InterruptedQueryError, RasteretError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.format.header_codec import Packed, pack_file, unpack_file
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.io.signed_addresses import can_be_read, is_signed
from rasteret_sql.scenes.projection_fields import SaidPlace
from rasteret_sql.scenes.scene import BandAsset, SceneItem
from rasteret_sql.scenes.source import FoundScenes
from rasteret_sql.schema import MANIFEST
from rasteret_sql.tiff.header import ItemBand

_KEEP_SECONDS = 24 * 3600.0
"""A journal that is older is of a search that may give something else today."""
_FORMAT = 7
"""Of what the tables hold; a journal that an earlier program left is thrown away."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_FILE = "journal.sqlite"
_TABLES = """
    CREATE TABLE build (key TEXT);
    CREATE TABLE search (crc INTEGER, said TEXT);
    CREATE TABLE columns (crc INTEGER, piece BLOB);
    CREATE TABLE scenes (crc INTEGER, said TEXT);
    CREATE TABLE headers (crc INTEGER, said TEXT, head BLOB, tables BLOB);
"""
"""`said` is JSON in ASCII; `columns` are those of a table, as an Arrow file cut into pieces. SQLite finds its own pages
damaged, not what stands in them: each row has a CRC-32 of all its values."""
_PIECE = 64 * 2**20
"""Bytes; SQLite has no values beyond a gigabyte."""
_BAND_FIELDS = tuple(one.name for one in fields(BandAsset))
_PLACE_FIELDS = tuple(one.name for one in fields(SaidPlace))
_ITEM_FIELDS = tuple(one.name for one in fields(ItemBand))

_json = json.JSONEncoder(default=str).encode


def goes_on(error: BaseException) -> bool:
    """True where a build that ended so goes on from its journal when it is asked for again.

    One that was stopped does, and one for which there was no room, as on a full disk. Of all other errors what was
    found may be the cause, whoever raised them.
    """
    if isinstance(error, InterruptedQueryError) or not isinstance(error, Exception):  # that is Ctrl-C, say
        return True
    return isinstance(error, OSError) and not isinstance(error, RasteretError) and error.errno in _NO_ROOM


class Journal:
    """The journal of one build. Whoever uses it holds the collection's lock.

    Where it cannot be written, say because the disk is full, it takes no more: the build goes on, and says so itself if
    it has no room either.

    Args:
        target: The collection's directory.
        key: Differs where the results may; a journal of another key is thrown away, and so is one that was begun when
            the collection was another one than now: what it was for is done, or has no meaning any more.
        anew: Throw away whatever is there.
    """

    def __init__(self, target: Path, key: str, *, anew: bool = False) -> None:
        # Not below .tmp, which the next publication clears away.
        self._directory = target.parent / f".{target.name}.journal"
        self._key = json.dumps([_FORMAT, key, _state(target)])
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._open = True
        if anew or not self._is_ours():
            self._discard()

    def remove(self) -> None:
        """Forget what was done."""
        self.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def close(self) -> None:
        """Keep it for the next build; from now on this one takes no more."""
        with self._lock:
            self._open = False
            self._disconnect()

    def scenes(self) -> FoundScenes | None:
        """The result of the search, None where it did not come to its end, or its files cannot be read any more."""
        try:
            found = next((json.loads(text) for (text,) in self._rows("SELECT crc, said FROM search")), None)
            if found is None:
                return None
            rows = self._rows("SELECT crc, said FROM scenes ORDER BY rowid")
            scenes = [_scene(json.loads(text)) for (text,) in rows]
            if len(scenes) != found["scenes"]:
                return None
            if can_be_read(_addresses(scenes)) < found["signed"]:
                return None  # their signatures were another process's, or are over: the search gives new ones
            pieces = b"".join(piece for (piece,) in self._rows("SELECT crc, piece FROM columns ORDER BY rowid"))
            columns = pa.ipc.open_file(pieces).read_all() if found["columns"] else None
            return FoundScenes(
                scenes=scenes,
                bands=tuple(found["bands"]),
                named=tuple(found["named"]),
                notes=tuple(found["notes"]),
                columns=columns,
            )
        except (sqlite3.Error, ValueError, KeyError, TypeError, pa.ArrowException):
            return None  # damaged, as a power failure may leave it: it is asked for again

    def keep_scenes(self, found: FoundScenes) -> None:
        """Keep the result of the search, all or nothing."""
        said = {
            "bands": found.bands,
            "named": found.named,
            "notes": found.notes,
            "columns": found.columns is not None,
            "signed": sum(map(is_signed, _addresses(found.scenes))),
            "scenes": len(found.scenes),
        }
        with self._lock:
            try:
                self._begin()
            except (OSError, sqlite3.Error):
                self._discard()
                self._open = False
                return
            with self._writing() as database:
                for statement in ("DELETE FROM search", "DELETE FROM columns", "DELETE FROM scenes"):
                    database.execute(statement)
                texts = (_json(_said(scene)) for scene in found.scenes)
                _insert(database, "INSERT INTO search VALUES (?, ?)", [(_json(said),)])
                _insert(database, "INSERT INTO columns VALUES (?, ?)", ((one,) for one in _pieces(found.columns)))
                _insert(database, "INSERT INTO scenes VALUES (?, ?)", ((text,) for text in texts))

    def headers(self) -> dict[str, FileHeader]:
        """Address → header of the files that were read, up to one that is damaged."""
        out: dict[str, FileHeader] = {}
        with suppress(sqlite3.Error, ValueError, KeyError, IndexFormatError):
            for said, head, tables in self._rows("SELECT crc, said, head, tables FROM headers ORDER BY rowid"):
                address, header = _header(json.loads(said), head, tables)
                out[address] = header
        return out

    def keep_header(self, address: str, header: FileHeader) -> None:
        """Keep a header; called on the I/O loop's thread."""
        packed = pack_file(header.header)
        facts = header.facts
        modified = facts.modified and facts.modified.isoformat()
        said: dict[str, Any] = {"address": address, "layout": packed.layout}
        said["facts"] = [facts.size, facts.etag, modified]
        if header.notes:
            said["notes"] = header.notes
        row = _json(said), packed.head, packed.tables
        # A build that is stopped does not wait for its requests: some end after it closed its journal.
        with self._lock:
            if not self._open or self._database is None:
                return
            try:  # one statement is a transaction of its own
                self._database.execute("INSERT INTO headers VALUES (?, ?, ?, ?)", (_crc(row), *row))
            except sqlite3.Error:
                self._open = False

    def _rows(self, query: str) -> Iterator[list[Any]]:
        """The rows of a query, without the CRC-32 that each begins with.

        Raises:
            sqlite3.Error: The file is damaged.
            ValueError: A row is.
        """
        if self._database is None:
            return
        for crc, *values in self._database.execute(query):
            if crc != _crc(values):
                raise ValueError("a row is damaged")
            yield values

    def _begin(self) -> None:
        """Make the database where there is none yet."""
        if self._database is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._connect()
            with self._writing() as database:
                for statement in _TABLES.split(";")[:-1]:
                    database.execute(statement)
                database.execute("INSERT INTO build VALUES (?)", (self._key,))

    def _connect(self) -> sqlite3.Connection:
        # Whoever comes here holds the collection's lock: no other process shares the file, so none needs shared memory.
        # A process that dies loses nothing without fsync; a power failure may cost the journal, and nothing else.
        self._database = database = sqlite3.connect(
            self._directory / _FILE, isolation_level=None, check_same_thread=False, timeout=0
        )
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = OFF"):
            database.execute(f"PRAGMA {pragma}").fetchall()
        return database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Write all that the block writes, or nothing; the journal takes no more where that fails."""
        database = self._database
        assert database is not None
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        except sqlite3.Error:
            self._open = False
            with suppress(sqlite3.Error):  # SQLite may have done so itself
                database.execute("ROLLBACK")

    def _is_ours(self) -> bool:
        try:
            last = max(path.stat().st_mtime for path in self._directory.iterdir())
            if not (self._directory / _FILE).is_file() or time.time() - last >= _KEEP_SECONDS:
                return False
            return self._connect().execute("SELECT key FROM build").fetchall() == [(self._key,)]
        except (OSError, ValueError, sqlite3.Error):  # ValueError: there is no file at all
            return False

    def _disconnect(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error), closing(self._database):
                self._database = None

    def _discard(self) -> None:
        self._disconnect()
        shutil.rmtree(self._directory, ignore_errors=True)


def _insert(database: sqlite3.Connection, statement: str, rows: Iterable[tuple[str | bytes, ...]]) -> None:
    database.executemany(statement, ((_crc(row), *row) for row in rows))


def _crc(values: Iterable[str | bytes]) -> int:
    crc = 0
    for value in values:
        crc = zlib.crc32(value.encode() if isinstance(value, str) else value, crc)
    return crc


def _pieces(columns: pa.Table | None) -> Iterator[bytes]:
    if columns is None:
        return
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, columns.schema) as out:
        out.write_table(columns)
    data = memoryview(sink.getvalue())
    yield from (bytes(data[at : at + _PIECE]) for at in range(0, len(data), _PIECE))


def _state(target: Path) -> list[int] | None:
    """Differs once the collection was changed."""
    try:
        stat = (target / MANIFEST).stat()
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_size]


def _addresses(scenes: Sequence[SceneItem]) -> set[str]:
    return {asset.href for scene in scenes for asset in scene.bands.values()}


def _said(scene: SceneItem) -> dict[str, Any]:
    return {
        "id": scene.id,
        "collection": scene.collection,
        "datetime": scene.datetime and scene.datetime.isoformat(),
        "geometry": scene.geometry and base64.b64encode(scene.geometry).decode(),
        "bbox": scene.bbox,
        "epsg": scene.epsg,
        "bands": {band: _band_said(asset) for band, asset in scene.bands.items()},
        "properties": scene.properties,
        "unread": scene.unread,
    }


def _band_said(asset: BandAsset) -> dict[str, Any]:
    # `dataclasses.asdict` copies each value, and takes longer than all else that is said of a scene.
    said = {name: getattr(asset, name) for name in _BAND_FIELDS}
    said["place"] = {name: getattr(asset.place, name) for name in _PLACE_FIELDS}
    said["item"] = asset.item and {name: getattr(asset.item, name) for name in _ITEM_FIELDS}
    return said


def _scene(said: dict[str, Any]) -> SceneItem:
    when, geometry, bbox = said["datetime"], said["geometry"], said["bbox"]
    return SceneItem(
        id=said["id"],
        collection=said["collection"],
        datetime=datetime.fromisoformat(when) if when else None,
        geometry=base64.b64decode(geometry) if geometry else None,
        bbox=(bbox[0], bbox[1], bbox[2], bbox[3]) if bbox else None,
        epsg=said["epsg"],
        bands={band: _band(asset) for band, asset in said["bands"].items()},
        properties=said["properties"],
        unread=said["unread"],
    )


def _band(said: dict[str, Any]) -> BandAsset:
    place = said["place"]
    transform, shape = place["transform"], place["shape"]
    return BandAsset(
        **{
            **said,
            "sidecars": tuple(said["sidecars"]),
            "item": said["item"] and ItemBand(**said["item"]),
            "place": SaidPlace(place["crs"], transform and Affine(*transform), shape and (shape[0], shape[1])),
        }
    )


def _header(said: dict[str, Any], head: bytes, tables: bytes) -> tuple[str, FileHeader]:
    header = unpack_file(Packed(said["layout"], head, tables))
    size, etag, modified = said["facts"]
    facts = FileFacts(size, etag, modified and datetime.fromisoformat(modified))
    return said["address"], FileHeader(header, facts, tuple(said.get("notes", ())))
