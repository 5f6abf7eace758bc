"""What an unfinished build has done so far, so that the next one goes on from there instead of from the start.

A journal is a hidden directory beside the collection: the scenes that were found, and every header that was read. It
is kept when the process dies or is stopped, and removed when the build ends, well or with an error.
"""

from __future__ import annotations

import base64
import json
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from rasteret_sql.errors import IndexFormatError, InterruptedQueryError
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.packed import Packed, pack_file, unpack_file
from rasteret_sql.index.publish import restore
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.io.signed import can_be_read, is_signed
from rasteret_sql.locks import held_and_removed
from rasteret_sql.schema import MANIFEST
from rasteret_sql.stac.found import FoundScenes
from rasteret_sql.stac.item import BandAsset, SceneItem

_KEEP_SECONDS = 24 * 3600.0
"""What was not gone on with for longer is of a search that may give something else today."""
_FORMAT = 2
"""Of the files; a journal that an earlier program left is thrown away."""
_RECORD = struct.Struct("<II")
"""Length and CRC-32 of what follows."""
_SCENES, _COLUMNS, _HEADERS = "scenes.json", "columns.arrow", "headers.log"


@contextmanager
def writing(target: Path, what: str, cancelled: Callable[[], bool] | None) -> Iterator[None]:
    """Be the only one that builds, changes or drops the collection at `target`; others wait for their turn.

    Raises:
        InterruptedQueryError: `cancelled` said so while waiting.
    """

    def wait(_seconds: float) -> None:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError(f"{what} was interrupted while another one works on the same collection")

    wait(0.0)
    was_there = target.parent.is_dir()
    try:
        with held_and_removed(target.parent / f".{target.name}.lock", wait):
            restore(target)
            yield
    finally:
        if not was_there:
            with suppress(OSError):  # there is something in it now
                target.parent.rmdir()


class Journal:
    """The journal of one build. Whoever uses it holds the collection's lock.

    Args:
        target: The collection's directory.
        key: Differs where the results may; a journal of another key is thrown away, and so is one that was begun when
            the collection was another one than now: what it was for is done, or has no meaning any more.
    """

    def __init__(self, target: Path, key: str) -> None:
        # Not below .tmp, which the next publication clears away.
        self._directory = target.parent / f".{target.name}.journal"
        self._key = json.dumps([_FORMAT, key, _state(target)])
        self._log: BinaryIO | None = None
        self._lock = threading.Lock()
        self._open = True
        if not self._is_ours():
            shutil.rmtree(self._directory, ignore_errors=True)

    def remove(self) -> None:
        """Forget what was done."""
        self.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def close(self) -> None:
        """Keep it for the next build; from now on this one takes no more."""
        with self._lock:
            self._open = False
            if self._log is not None:
                self._log.close()
                self._log = None

    def scenes(self) -> FoundScenes | None:
        """The result of the search, None where it did not come to its end, or its files cannot be read any more."""
        try:
            said = json.loads((self._directory / _SCENES).read_text("utf-8").partition("\n")[2])
            scenes = [_scene(item) for item in said["scenes"]]
            if can_be_read(_addresses(scenes)) < said["signed"]:
                return None  # their signatures were another process's, or are over: the search gives new ones
            columns = None
            if said["columns"]:
                with pa.OSFile(str(self._directory / _COLUMNS)) as file:
                    columns = pa.ipc.open_file(file).read_all()
            return FoundScenes(
                scenes=scenes,
                bands=tuple(said["bands"]),
                named=tuple(said["named"]),
                notes=tuple(said["notes"]),
                columns=columns,
            )
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None  # damaged, as a power failure may leave it: it is asked for again

    def keep_scenes(self, found: FoundScenes) -> None:
        """Keep the result of the search."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if found.columns is not None:
            path = str(self._directory / _COLUMNS)
            with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, found.columns.schema) as out:
                out.write_table(found.columns)
        said = {
            "bands": found.bands,
            "named": found.named,
            "notes": found.notes,
            "columns": found.columns is not None,
            "signed": sum(map(is_signed, _addresses(found.scenes))),
            "scenes": [_said(scene) for scene in found.scenes],
        }
        unfinished = self._directory / f"{_SCENES}.part"
        unfinished.write_text(f"{self._key}\n{json.dumps(said, default=str)}", "utf-8")
        # All or nothing: with this file the search counts as done.
        unfinished.replace(self._directory / _SCENES)

    def headers(self) -> dict[str, FileHeader]:
        """Address → header of the files that were read. What the last process wrote but half is cut off."""
        path = self._directory / _HEADERS
        out: dict[str, FileHeader] = {}
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return out
        at = 0
        while at + _RECORD.size <= len(data):
            length, crc = _RECORD.unpack_from(data, at)
            record = data[at + _RECORD.size : at + _RECORD.size + length]
            if len(record) != length or zlib.crc32(record) != crc:
                break
            try:
                address, header = _header(record)
            except (ValueError, KeyError, IndexFormatError):
                break
            out[address] = header
            at += _RECORD.size + length
        if at < len(data):
            with path.open("r+b") as file:
                file.truncate(at)
        return out

    def keep_header(self, address: str, header: FileHeader) -> None:
        """Keep a header; called on the I/O loop's thread.

        Where it cannot be written, say because the disk is full, the journal takes no more: the build goes on, and says
        so itself if it has no room either.
        """
        packed = pack_file(header.header)
        facts = asdict(header.facts) | {"modified": header.facts.modified and header.facts.modified.isoformat()}
        said = {"address": address, "facts": facts, "layout": packed.layout, "head": len(packed.head)}
        text = json.dumps(said).encode()
        record = b"".join([struct.pack("<I", len(text)), text, packed.head, packed.tables])
        framed = _RECORD.pack(len(record), zlib.crc32(record)) + record
        # A build that is stopped does not wait for its requests: some end after it closed its journal.
        with self._lock:
            if not self._open:
                return
            try:
                if self._log is None:
                    self._log = (self._directory / _HEADERS).open("ab", buffering=0)
                self._open = self._log.write(framed) == len(framed)  # nothing is found again behind half a record
            except OSError:
                self._open = False

    def _is_ours(self) -> bool:
        scenes, headers = self._directory / _SCENES, self._directory / _HEADERS
        try:
            with scenes.open("rb") as file:
                key = file.readline(len(self._key) + 2)
            last = max(path.stat().st_mtime for path in (scenes, headers) if path == scenes or path.exists())
        except OSError:
            return False
        return key == f"{self._key}\n".encode() and time.time() - last < _KEEP_SECONDS


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
        "bands": {band: [asset.href, asset.band_index] for band, asset in scene.bands.items()},
        "properties": scene.properties,
    }


def _scene(said: dict[str, Any]) -> SceneItem:
    when, geometry, bbox = said["datetime"], said["geometry"], said["bbox"]
    return SceneItem(
        id=said["id"],
        collection=said["collection"],
        datetime=datetime.fromisoformat(when) if when else None,
        geometry=base64.b64decode(geometry) if geometry else None,
        bbox=(bbox[0], bbox[1], bbox[2], bbox[3]) if bbox else None,
        epsg=said["epsg"],
        bands={band: BandAsset(*asset) for band, asset in said["bands"].items()},
        properties=said["properties"],
    )


def _header(record: bytes) -> tuple[str, FileHeader]:
    (length,) = struct.unpack_from("<I", record)
    said = json.loads(record[4 : 4 + length])
    head = 4 + length + said["head"]
    header = unpack_file(Packed(said["layout"], record[4 + length : head], record[head:]))
    facts = said["facts"]
    modified = facts["modified"] and datetime.fromisoformat(facts["modified"])
    return said["address"], FileHeader(header, FileFacts(facts["size"], facts["etag"], modified))
