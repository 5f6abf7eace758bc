"""`FeatureCopies`: keeps the features of files as GeoParquet in a temporary directory, which DuckDB reads."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path

import pyarrow.parquet as pq

from rasteret_sql.geo.geoparquet import said_crs
from rasteret_sql.index.format.leaves import bounded_leaves
from rasteret_sql.library.feature_files import GEOMETRY, read_features
from rasteret_sql.quoting import quote_text

_Key = tuple[str, str | None, int, int]


class FeatureCopies:
    """The copies of a session; a file that was changed is read again."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._scans: dict[_Key, str] = {}
        self._lock = threading.Lock()

    def scan_sql(self, path: str, layer: str | None) -> str | None:
        """The SQL that reads the copy of a file, which is made where there is none.

        Returns:
            None where the file must be read by DuckDB's extension spatial (see `read_features`).

        Raises:
            InvalidArgumentError, InvalidGeometryError: as `read_features`.
        """
        stat = Path(path).stat()
        key = (str(Path(path).resolve()), layer, stat.st_mtime_ns, stat.st_size)
        with self._lock:
            sql = self._scans.get(key)
            if sql is None:
                table = read_features(path, layer)
                if table is None:
                    return None
                if self._directory is None:
                    self._directory = Path(tempfile.mkdtemp(prefix="rasteret-sql-"))
                    weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
                copy = self._directory / f"features-{len(self._scans)}.parquet"
                pq.write_table(table, copy, write_statistics=bounded_leaves(table.schema))
                sql = self._scans[key] = _scan_sql(copy, said_crs(table.schema, GEOMETRY))
            return sql


def _scan_sql(copy: Path, crs: str | None) -> str:
    scan = f"read_parquet({quote_text(str(copy))})"
    if crs is None or not crs.startswith("EPSG:"):
        return f"FROM {scan}"
    # In place of all of its PROJJSON, which DuckDB would have for the name of the type.
    return f"SELECT * REPLACE (ST_SetCRS({GEOMETRY}, {quote_text(crs)}) AS {GEOMETRY}) FROM {scan}"  # noqa: S608
