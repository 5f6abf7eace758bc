"""Looks for texts in files of every kind that the suite writes: as they are, unpacked, and decoded."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import multiprocessing
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_BIG = 256 << 20
"""Bytes; the suite writes no larger file, and pictures and archives of that size hold no credential."""

_STEP = 4 << 20
"""Bytes that are looked at together."""
_AT_ONCE = 2000
"""Files that a process looks into."""
_DAMAGED = (pa.ArrowException, OSError, EOFError, zlib.error, duckdb.Error)
"""What reading a broken file ends in."""


class Needles:
    """Many texts of at least 8 bytes, looked for in one pass: a file is gone through once, however many there are."""

    def __init__(self, named: set[tuple[bytes, str]]) -> None:
        """Take (text, what to call it)."""
        self._named: dict[int, list[tuple[bytes, str]]] = {}
        self._pairs = np.zeros(1 << 16, dtype=bool)
        for form, name in sorted(named):
            self._named.setdefault(int.from_bytes(form[:8], "little"), []).append((form, name))
            self._pairs[form[0] | form[1] << 8] = True
        self._starts = np.array(sorted(self._named), dtype=np.uint64)

    def found_in(self, data: bytes) -> list[str]:
        """Names of those that are there."""
        letters = np.frombuffer(data, np.uint8)
        found: dict[str, None] = {}
        for begin in range(0, max(len(letters) - 7, 0), _STEP):
            part = letters[begin : begin + _STEP + 7]
            places = np.flatnonzero(self._pairs[part[:-7].astype(np.uint16) | part[1:-6].astype(np.uint16) << 8])
            words = np.zeros(len(places), np.uint64)
            for number in range(8):
                words |= part[places + number].astype(np.uint64) << np.uint64(8 * number)
            nearest = np.minimum(np.searchsorted(self._starts, words), len(self._starts) - 1)
            for place in places[self._starts[nearest] == words] + begin:
                start = int.from_bytes(data[place : place + 8], "little")
                found.update((name, None) for form, name in self._named[start] if data.startswith(form, int(place)))
        return list(found)


@dataclass(slots=True)
class Search:
    """One search."""

    wanted: set[str]
    """The texts, which are also found percent-encoded, in base64 and in UTF-16."""
    skip: set[str] = field(default_factory=set)
    """Files and directories that are not looked into."""
    files: int = 0
    """Looked into so far."""
    _needles: Needles = field(init=False)
    _clean: set[bytes] = field(default_factory=set)
    """Digests of contents without a find."""

    def __post_init__(self) -> None:
        self._needles = Needles({(form, one) for one in self.wanted for form in _forms(one)})

    def folder(self, directory: Path) -> list[str]:
        """What was found in the files below a directory: a line each."""
        files = [directory] if directory.is_file() else sorted(_files(directory, self.skip))
        self.files += len(files)
        parts = [files[at : at + _AT_ONCE] for at in range(0, len(files), _AT_ONCE)]
        if len(parts) < 2:
            return self.each(files)
        # In processes that are started anew: where threads run, a fork may stand still.
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
            found = pool.map(_found_in, [(self.wanted, self.skip, part) for part in parts])
            return [line for lines in found for line in lines]

    def each(self, files: Iterable[Path]) -> list[str]:
        """What was found in files and in their names: a line each."""
        found = []
        for file in files:
            found += [f"{file}: in its name, {what}" for what in self.bytes(os.fsencode(file), "")]
            found += [f"{file}: {what}" for what in dict.fromkeys(self.file(file))]
        return found

    def file(self, file: Path) -> Iterator[str]:
        """What was found in a file."""
        try:
            if file.stat().st_size > _BIG:
                yield "is too large to be searched"
                return
            data = file.read_bytes()
        except FileNotFoundError:
            return  # a link to what a test has removed, or a folder that is being removed
        # Tests copy files: the same content is looked into once.
        content = hashlib.blake2b(data).digest()
        if content in self._clean:
            return
        inside = list(self._inside(file, data))
        if not inside:
            self._clean.add(content)
        yield from inside

    def _inside(self, file: Path, data: bytes) -> Iterator[str]:
        yield from self.bytes(data, "")
        with contextlib.suppress(*_DAMAGED):  # by a test
            yield from self._unpacked(data)
            if data[:4] == b"PAR1":
                yield from self._parquet(file)
            elif data[:6] == b"ARROW1":
                with pa.OSFile(str(file)) as arrow:
                    yield from self._table(pa.ipc.open_file(arrow).read_all(), "in a column")
            elif data[8:12] == b"DUCK":
                yield from self._database(file)

    def text(self, text: str) -> list[str]:
        """What was found in a text."""
        return list(dict.fromkeys(self.bytes(text.encode("utf-8", "surrogatepass"), "")))

    def bytes(self, data: bytes, where: str) -> Iterator[str]:
        """What was found in bytes."""
        for text in self._needles.found_in(data):
            yield f'the credential "{text[:4]}..." {where}'.rstrip()

    def _unpacked(self, data: bytes) -> Iterator[str]:
        if data[:2] == b"\x1f\x8b":
            yield from self.bytes(gzip.decompress(data), "compressed")
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            with pa.input_stream(pa.BufferReader(data), compression="zstd") as stream:
                yield from self.bytes(stream.read(), "compressed")
        elif re.match(rb"\x78[\x01\x5e\x9c\xda]", data):
            yield from self.bytes(zlib.decompressobj().decompress(data), "compressed")

    def _parquet(self, file: Path) -> Iterator[str]:
        with pq.ParquetFile(file) as source:
            for number in range(source.num_row_groups):
                yield from self._table(source.read_row_group(number, use_threads=False), "in a column")
            yield from self.bytes(str(source.schema_arrow.metadata).encode(), "in the metadata")

    def _table(self, table: pa.Table, where: str) -> Iterator[str]:
        """Values lie side by side in Arrow's buffers, whatever their type."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)
        yield from self.bytes(sink.getvalue().to_pybytes(), where)

    def _database(self, file: Path) -> Iterator[str]:
        with duckdb.connect(str(file), read_only=True) as con:
            for kind in ("duckdb_views", "duckdb_functions", "duckdb_tables"):
                text = str(con.execute(f"FROM {kind}() WHERE NOT internal").fetchall())
                yield from self.bytes(text.encode("utf-8", "surrogatepass"), f"in {kind}")
            tables = con.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
            for names in tables:
                table = ".".join('"' + name.replace('"', '""') + '"' for name in names)
                yield from self._table(con.sql(f"FROM {table}").to_arrow_table(), f"in the table {names[1]}")


def _found_in(given: tuple[set[str], set[str], list[Path]]) -> list[str]:
    wanted, skip, files = given
    return Search(wanted, skip).each(files)


def _forms(text: str) -> Iterable[bytes]:
    """The ways in which a text may be written."""
    plain = text.encode()
    forms = {plain, quote(text, safe="").encode(), text.encode("utf-16-le")}
    for shift in range(3):
        # The first and the last letters also hold bits of what stands before and behind.
        coded = base64.b64encode(b"\0" * shift + plain).rstrip(b"=")
        forms.add(coded[(0, 2, 3)[shift] : len(coded) - (1 if (len(plain) + shift) % 3 else 0)])
    return {form for form in forms if len(form) >= 8}


def _files(directory: Path, skip: set[str]) -> Iterator[Path]:
    try:
        entries = list(directory.iterdir())
    except FileNotFoundError:
        return  # it is being removed
    for entry in entries:
        if str(entry) in skip or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _files(entry, skip)
        elif entry.is_file():
            yield entry
