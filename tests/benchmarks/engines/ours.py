"""rasteret_sql through SQL, results to Arrow, as a user of DuckDB writes it; and its kernels without DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.geo.crs import LONLAT
from rasteret_sql.reading.chips import read_chip
from rasteret_sql.reading.options import PixelOptions, Whole
from rasteret_sql.reading.points import sample_point
from rasteret_sql.reading.request import Request
from rasteret_sql.reading.zonal import zonal_stat
from tests.benchmarks.contract import Context, Result
from tests.benchmarks.workloads import Workload

COLLECTION = "benchmark"
EXPORT = "exported-index"

QUERIES = {
    "W1": "SELECT read_chip(scene, band, geom, geom_crs := crs, clip := false) AS answer FROM tasks",
    "W2": "SELECT read_chip(scene, band, geom, geom_crs := crs, clip := false) AS answer FROM tasks",
    "W3": "SELECT read_chip(scene, band) AS answer FROM tasks",
    "W4": "SELECT sample_point(scene, band, geom, geom_crs := crs) AS answer FROM tasks",
    "W5": "SELECT zonal_stat(scene, band, geom, 'mean', geom_crs := crs) AS answer FROM tasks",
}


@dataclass(slots=True)
class OursSql:
    """The engine that a user of SQL sees."""

    connection: Any = None
    query: str = ""

    def prepare(self, context: Context) -> None:
        """Index the static catalog over HTTP, as a user would once."""
        with rasteret_sql.connect(workspace_dir=str(context.workspace)) as connection:
            connection.execute(
                "SELECT count(*) FROM rasteret_build_from_stac($name, $catalog, 'benchmark')",
                {"name": COLLECTION, "catalog": f"{context.url}/catalog.json"},
            ).fetchall()
            path = str(context.workspace / EXPORT)
            connection.execute("FROM rasteret_export($name, $path)", {"name": COLLECTION, "path": path}).fetchall()

    def load(self, context: Context, workload: Workload) -> None:
        self.connection = rasteret_sql.connect(workspace_dir=str(context.workspace))
        path = str(context.workspace / EXPORT)
        self.connection.execute("SELECT count(*) FROM rasteret_load($path)", {"path": path}).fetchall()
        rows = [
            {"scene": task.scene.id, "band": task.band, "wkt": task.wkt, "crs": task.crs} for task in workload.tasks
        ]
        text = pa.string()
        schema = pa.schema([("scene", text), ("band", text), ("wkt", text), ("crs", text)])
        self.connection.register("given", pa.Table.from_pylist(rows, schema))
        self.connection.execute("CREATE TEMP TABLE tasks AS SELECT scene, band, wkt::GEOMETRY AS geom, crs FROM given")
        self.query = QUERIES[workload.name]

    def run(self) -> Any:
        return self.connection.sql(self.query).to_arrow_table()

    def result(self, answer: Any) -> Result:
        column = (
            answer.column("answer") if isinstance(answer, pa.Table) else pa.chunked_array([answer])
        ).combine_chunks()
        if not pa.types.is_struct(column.type):
            return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
        return [
            np.frombuffer(chip["data"], chip["dtype"]).reshape(chip["height"], chip["width"])
            for chip in column.to_pylist()
        ]


@dataclass(slots=True)
class OursKernels(OursSql):
    """The same kernels with the same arguments, called from Python: what DuckDB adds is the difference."""

    request: Request | None = None
    answer: str = ""

    def load(self, context: Context, workload: Workload) -> None:
        OursSql.load(self, context, workload)
        tasks = workload.tasks
        self.answer = workload.answer
        options = PixelOptions(clip=False) if workload.answer == "chip" else PixelOptions()
        self.request = Request(
            scene_ids=[task.scene.id for task in tasks],
            bands=[(task.band,) for task in tasks],
            geometries=[Whole.IMAGE if task.geom is None else task.geom for task in tasks],
            crs=[task.crs or LONLAT for task in tasks],
            options=[options] * len(tasks),
        )

    def run(self) -> Any:
        context, request = session_for(self.connection).reading(), self.request
        assert request is not None

        def work(cancelled: Any) -> pa.Array:
            if self.answer == "chip":
                return read_chip(request, context, cancelled)
            if self.answer == "point":
                return sample_point(request, context, cancelled)
            return zonal_stat(request, context, cancelled, ["mean"] * len(request))

        return context.engine.call(work)
