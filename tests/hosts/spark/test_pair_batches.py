"""Pairs that an executor reads, without Spark: each scene once, in calls of some pairs, with the numbers of DuckDB."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import shapely

import rasteret_sql
from rasteret_sql.hosts.spark import pair_batches
from rasteret_sql.hosts.spark.executor_setup import make_setup
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.library.load import find_loaded
from rasteret_sql.reading.pairs import ZoneReader
from rasteret_sql.session.session import new_session

SCENES = ["floats", "masked", "nodata", "plain"]
"""Of one grid, so that the next one's zones are known before it is asked for."""
SCENE = pa.struct([("id", pa.string()), ("collection", pa.string()), ("datetime", pa.timestamp("us", "UTC"))])


@pytest.mark.parametrize("together", [1, 7, 2048])
def test_each_scene_is_read_once(workspace, monkeypatch, together):
    monkeypatch.setattr(pair_batches, "_PAIRS_TOGETHER", together)
    read = Counter()
    group = ZoneReader.group

    def counted(self, source, *given):
        read[source.scene_id] += 1
        return group(self, source, *given)

    monkeypatch.setattr(ZoneReader, "group", counted)
    setup = make_setup(workspace, ["tiny"])
    session = new_session(setup.workspace, 1 << 30)
    session.add(find_loaded(session.workspace_dir, "tiny", "", session.stores))
    x, y = np.random.default_rng(5).uniform((600000, 5099970), (600040, 5100000), (9, 2)).T
    zones = shapely.box(x - 12, y - 8, x + 12, y + 8)
    rows = pa.StructArray.from_arrays(
        [pa.array(range(9)), pa.array(shapely.to_wkb(zones), pa.binary())], names=["zone", "geom"]
    )
    named = json.dumps({"geom_crs": 32632, "stats": ["count", "sum"]})
    call = FrameCall(
        "zonal_stats_table", '"b"', named, setup.words(), ("geom",), ("scene_id", "datetime", "band"), ("count", "sum")
    )
    batches = [
        pa.RecordBatch.from_arrays(
            [pa.array([{"id": scene, "collection": None, "datetime": None}] * 9, SCENE), rows], names=["scene", "row"]
        )
        for scene in SCENES
    ]
    found = pa.Table.from_batches(list(pair_batches.read_pairs(session, call, iter(batches))))
    assert read == Counter(SCENES)

    con = rasteret_sql.connect(workspace_dir=workspace)
    squares = pa.table({"zone": range(9), "geom": shapely.to_wkb(zones)})
    few = "few AS (FROM rasteret.tiny WHERE id IN ('floats', 'masked', 'nodata', 'plain'))"
    call_of_duckdb = "zonal_stats_table(few, squares, 'b', geom_crs := 32632, stats := ['count', 'sum'])"
    wanted = con.sql(f"WITH {few} SELECT scene_id, band, zone, count, sum FROM {call_of_duckdb}").fetchall()
    assert squares.num_rows == 9
    columns = ["scene_id", "band", "zone", "count", "sum"]
    assert sorted(map(repr, zip(*(found[name].to_pylist() for name in columns), strict=True))) == sorted(
        map(repr, wanted)
    )
    assert len(wanted) == 36
