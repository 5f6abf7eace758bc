"""rasteret_sql through SQL, results to Arrow, as a user of DuckDB writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

import rasteret_sql
from tests.benchmarks.contract import Context, Result
from tests.benchmarks.workloads import Workload

COLLECTION = "benchmark"

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

    def load(self, context: Context, workload: Workload) -> None:
        self.connection = rasteret_sql.connect(workspace_dir=str(context.workspace))
        self.connection.execute(f"SELECT count(*) FROM rasteret.{COLLECTION}").fetchall()
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
        column = answer.column("answer").combine_chunks()
        if not pa.types.is_struct(column.type):
            return column.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
        return [
            np.frombuffer(chip["data"], chip["dtype"]).reshape(chip["height"], chip["width"])
            for chip in column.to_pylist()
        ]
