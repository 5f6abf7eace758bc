"""Pairs that an executor reads, without Spark: each scene once, in calls of some pairs, with the numbers of DuckDB."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import shapely

import rasteret_sql
from rasteret_sql.hosts.spark import pair_batches, parcels
from rasteret_sql.hosts.spark.executor_setup import make_setup
from rasteret_sql.hosts.spark.frame_call import FrameCall
from rasteret_sql.library.load import find_loaded
from rasteret_sql.reading.pairs import ZoneReader
from rasteret_sql.session.session import new_session

SCENES = ["floats", "masked", "nodata", "plain"]
"""Of one grid, so that the next one's zones are known before it is asked for."""
SCENE = pa.struct([("id", pa.string()), ("collection", pa.string()), ("datetime", pa.timestamp("us", "UTC"))])


@pytest.mark.parametrize(("together", "most"), [(1, 1 << 16), (7, 1 << 16), (2048, 1 << 16), (2048, 20)])
def test_each_scene_is_read_once(workspace, monkeypatch, together, most):
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
    rows = pa.record_batch({"zone": range(9), "geom": pa.array(shapely.to_wkb(zones), pa.binary())})
    named = json.dumps({"geom_crs": 32632, "stats": ["count", "sum"]})
    call = FrameCall(
        "zonal_stats_table", '"b"', named, setup.words(), ("geom",), ("scene_id", "datetime", "band"), ("count", "sum")
    )
    monkeypatch.setattr(parcels, "ROWS", 4)
    [packed] = pair_batches.parcels(session, call, iter([rows]))
    assert packed.column("parcel").field("count").to_pylist() == [4, 4, 1]
    batches = [
        pa.record_batch({"scene": scenes, "parcel": packed.column("parcel")})
        for scenes in (pa.array([{"id": scene, "collection": None, "datetime": None}] * 3, SCENE) for scene in SCENES)
    ]
    monkeypatch.setattr(pair_batches, "_MOST_ROWS", most)
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


def test_the_rows_of_a_scene_that_are_too_many_come_in_parts():
    scene = {"id": "a", "collection": None, "datetime": None}
    names = ["a", "a", "a", "b", "b", "c"]
    scenes = pa.array([{**scene, "id": name} for name in names], SCENE)
    counts = [30_000, 30_000, 30_000, 20_000, 20_000, 20_000]
    parts = pa.array(
        [{"name": bytes([at]), "count": count, "rows": b""} for at, count in enumerate(counts)], parcels.PARCEL
    )
    batch = pa.record_batch({"scene": scenes, "parcel": parts})
    chunks = list(pair_batches.pair_chunks(iter([batch.slice(0, 4), batch.slice(4)])))
    taken = [chunk.column("parcel").field("name").to_pylist() for chunk in chunks]
    # Two parcels of the first scene; its last one, with which the whole second one does not fit; the others.
    assert taken == [[b"\0", b"\1"], [b"\2"], [b"\3", b"\4", b"\5"]]
