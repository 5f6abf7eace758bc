"""How patchy each field is on each scene: the mean step of NDVI from a pixel to the one below it or to its right.

A later run reads the chips of scenes that were not measured yet.
"""

import numpy as np
import pyarrow as pa

import rasteret_sql

COLUMNS = pa.schema({"id": pa.string(), "field": pa.int32(), "pixels": pa.int64(), "step": pa.float64()})


def model(dbt, session):
    dbt.config(materialized="incremental", unique_key=["id", "field"])
    scenes = dbt.source("collections", "slovenia").select("id")
    fields = dbt.ref("fields").select("field, wkt")
    if dbt.is_incremental:
        scenes = scenes.except_(session.sql(f"SELECT id FROM {dbt.this}"))
    chips = session.sql("SELECT id, field, read_chip(id, 'ndvi', wkt, mask := 'clm = 1') AS chip FROM scenes, fields")
    return pa.Table.from_pylist([measured(*row) for row in chips.fetchall()], schema=COLUMNS)


def measured(scene, field, chip):
    pixels, mask = rasteret_sql.to_numpy(chip)
    ndvi = np.where(mask, pixels, np.nan)
    steps = np.concatenate([np.abs(np.diff(ndvi, axis=axis)).ravel() for axis in (-2, -1)])
    steps = steps[np.isfinite(steps)]
    return {"id": scene, "field": field, "pixels": int(mask.sum()), "step": steps.mean() if steps.size else None}
