"""Writes results to a terminal, pipe or file: tables for people, CSV, JSON and Parquet for programs."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa

from rasteret_sql.cli.box import draw
from rasteret_sql.cli.result import Column, Formatter, Result
from rasteret_sql.cli.text_forms import line_texts, markdown_texts
from rasteret_sql.errors import InvalidArgumentError

FORMATS = ("table", "line", "markdown", "csv", "json", "parquet")
ENDINGS = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".md": "markdown"}
"""Ending of a file → the format that it says."""

_JSON_LINES: Mapping[str, str | bool] = {"FORMAT": "json", "ARRAY": False}

# A table in a pipe or a file has no terminal to fit.
PLAIN_WIDTH = 160
MAX_ROWS = 40


class Output:
    """Writes one result after another to stdout or to a file.

    A file appears whole or not at all: it is written beside its name and moved there by `commit`.
    """

    def __init__(
        self,
        form: str = "table",
        path: Path | None = None,
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Open the output.

        Args:
            form: One of FORMATS.
            path: The file, None for stdout.
            aside: Entered while a terminal is written to: progress bars make room.

        Raises:
            InvalidArgumentError: where the format is unknown, or Parquet would go to a terminal.
        """
        self.path = path
        self.aside = aside
        self._formatter = Formatter()
        self._part: Path | None = None
        self._sink: IO[bytes] | None = None
        self._results = 0
        self.max_rows = MAX_ROWS
        """Rows of a table that are shown where there are more."""
        self.form = "table"
        self.use(form)

    def use(self, form: str) -> None:
        """Change the format."""
        if form not in FORMATS:
            raise InvalidArgumentError(f'there is no output format "{form}": choose {", ".join(FORMATS)}')
        if form == "parquet" and self.path is None and sys.stdout.isatty():
            raise InvalidArgumentError("Parquet is not for a terminal: name a file with -o, or redirect the output")
        self.form = form

    def write(self, result: Result, max_rows: int | None = None) -> int:
        """Write a result to its end; gives the number of its rows.

        Args:
            result: The result.
            max_rows: Rows of a table that are shown at most, where that is less than `self.max_rows`.
        """
        self._results += 1
        try:
            if result.is_plan and self.form == "table":
                return self._plan(result)
            writers: dict[str, Callable[[Result], int]] = {
                "table": lambda result: self._table(result, max_rows and min(max_rows, self.max_rows)),
                "line": lambda result: self._texts(line_texts(result, self._formatter)),
                "markdown": lambda result: self._texts(markdown_texts(result, self._formatter)),
                "csv": self._csv,
                "json": self._json,
                "parquet": self._parquet,
            }
            return writers[self.form](result)
        finally:
            result.close()

    def texts(self, names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
        """Write texts of the shell's own as a table with all its rows."""
        schema = pa.schema([(name, pa.string()) for name in names])
        table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)
        self._table(Result([Column(name, "VARCHAR") for name in names], table.to_reader()), max_rows=len(rows))

    def text(self, text: str) -> None:
        """Write lines of the shell's own, such as a list of tables."""
        self._bytes(f"{text}\n".encode(self._encoding, "replace"))

    def commit(self) -> None:
        """All went well: the file gets its name."""
        self._release()
        if self._part is not None and self.path is not None:
            self._part.replace(self.path)
            self._part = None

    def close(self) -> None:
        """Let go of everything; a file that was not committed is removed."""
        self._release()
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None
        self._formatter.close()

    def _release(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    @property
    def _encoding(self) -> str:
        return "utf-8" if self.path is not None else (sys.stdout.encoding or "utf-8")

    def _bytes(self, data: bytes) -> None:
        if self.path is None:
            with self.aside() if sys.stdout.isatty() else nullcontext():
                binary = getattr(sys.stdout, "buffer", None)
                if binary is None:  # a captured stdout holds text only
                    sys.stdout.write(data.decode(self._encoding))
                else:
                    sys.stdout.flush()
                    binary.write(data)
                sys.stdout.flush()
            return
        if self._sink is None:
            try:
                self._sink = self._target().open("wb")
            except OSError as error:
                raise InvalidArgumentError(f"the output {self.path} cannot be written: {error.strerror}") from error
        self._sink.write(data)

    def _target(self) -> Path:
        """The file to write: a part beside the final name, but pipes and devices themselves."""
        if self.path is None:
            raise InvalidArgumentError("there is no file to write to")
        if self.path.exists() and not self.path.is_file():
            return self.path
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        return self._part

    def _texts(self, texts: Iterator[tuple[str, int]]) -> int:
        """Write texts as they come; gives the number of their rows."""
        count = 0
        if self._results > 1:
            self.text("")
        for text, rows in texts:
            self._bytes(text.encode(self._encoding, "replace"))
            count += rows
        return count

    def _table(self, result: Result, max_rows: int | None = None) -> int:
        tty = self.path is None and sys.stdout.isatty()
        width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if tty or "COLUMNS" in os.environ else PLAIN_WIDTH
        most = self.max_rows if max_rows is None else max_rows
        text, count = draw(result, self._formatter, max_rows=most, width=width, encoding=self._encoding)
        self.text(text)
        return count

    def _plan(self, result: Result) -> int:
        count = 0
        for batch in result.batches():
            for plan in batch.column(1).to_pylist():
                count += 1
                self.text((plan or "").rstrip("\n"))
        return count

    def _csv(self, result: Result) -> int:
        count = 0
        for data, rows in self._chunks(result, {"FORMAT": "csv", "HEADER": True}, {"FORMAT": "csv", "HEADER": False}):
            self._bytes(data)
            count += rows
        return count

    def _json(self, result: Result) -> int:
        count = 0
        for data, rows in self._chunks(result, _JSON_LINES, dict(_JSON_LINES)):
            if rows:
                lines = data.rstrip(b"\n").split(b"\n")
                self._bytes((b",\n" if count else b"[\n") + b",\n".join(b"\t" + line for line in lines))
                count += rows
        self._bytes(b"\n]\n" if count else b"[]\n")
        return count

    def _chunks(
        self, result: Result, first: Mapping[str, str | bool], later: Mapping[str, str | bool]
    ) -> Iterator[tuple[bytes, int]]:
        """Have DuckDB write batch after batch, so that rows appear as they are read; at least one, maybe empty."""
        options = first
        with tempfile.TemporaryDirectory(prefix="rasteret-sql-") as folder:
            chunk = Path(folder) / "chunk"
            for batch in result.batches():
                self._formatter.copy([batch], result, str(chunk), options)
                yield chunk.read_bytes(), batch.num_rows
                options = later
            if options is first:
                self._formatter.copy([], result, str(chunk), options)
                yield chunk.read_bytes(), 0

    def _parquet(self, result: Result) -> int:
        if self._results > 1:
            raise InvalidArgumentError(
                "a Parquet file holds one result and this is the second: "
                "keep one SELECT, or write several files with COPY (SELECT ...) TO 'file.parquet'"
            )
        batches = _Counted(result)
        if self.path is not None:
            batches.copy(self._formatter, str(self._target()))
            return batches.rows
        with tempfile.TemporaryDirectory(prefix="rasteret-sql-") as folder:
            whole = Path(folder) / "result.parquet"
            batches.copy(self._formatter, str(whole))
            with whole.open("rb") as source:
                while block := source.read(1 << 20):
                    self._bytes(block)
        return batches.rows


class _Counted:
    """Batches on their way into another DuckDB, which would bury an error of theirs in one of its own."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self._error: Exception | None = None
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._result.batches():
                self.rows += batch.num_rows
                yield batch
        except Exception as error:
            self._error = error
            raise

    def copy(self, formatter: Formatter, path: str) -> None:
        try:
            formatter.copy(self, self._result, path, {"FORMAT": "parquet"})
        except duckdb.Error as error:
            raise self._error or error from None
