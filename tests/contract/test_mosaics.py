"""Composites fetch each tile once, only of scenes that they need, and hold as much whatever the number of scenes."""

import os
import re
import shutil
import tracemalloc
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import shapely

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.engine import cache as tile_cache
from rasteret_sql.reading import composites, mosaic
from rasteret_sql.reading.composite_waves import Bounds, CompositeWaves
from tests.contract.scenes import SIZE, forget, item, write_items, write_scene, write_small
from tests.sampling import some
from tests.servers.range_server import RangeServer

SCENES = 6
ALL = shapely.box(600_000, 5_100_000 - SIZE * 10, 600_000 + SIZE * 10, 5_100_000).wkt


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    items = []
    for n in range(SCENES):
        for band, seed in (("one", n), ("two", n + 50)):
            write_scene(folder / f"s{n}_{band}.tif", seed, count=1)
        items.append(item(f"s{n}", day=n + 1, one=f"s{n}_one.tif", two=f"s{n}_two.tif"))
    write_items(folder / "items.json", items)
    with RangeServer(folder) as running:
        running.folder = folder
        yield running


def fetched(server):
    """Path, first byte and end of each request for pixels."""
    return [(path, begin, end) for _, path, begin, end, _ in server.log() if path.endswith(".tif")]


def mosaic_of(con, band="one", more="", shown="scenes"):
    call = f"read_mosaic(rasteret.w, '{band}', '{ALL}', geom_crs := 32632{more})"
    return con.execute(f"SELECT {shown} FROM {call}").fetchall()


@pytest.mark.parametrize("method", some(["max", "median"], 2))
def test_each_byte_of_bands_and_masks_is_fetched_once(con, server, method, monkeypatch):
    monkeypatch.setattr(composites, "_VALUES_BYTES", 500_000)
    monkeypatch.setattr(composites, "_SIDE", 256)
    monkeypatch.setattr(composites, "_SCENES_BYTES", 4_000_000)
    asked = mosaic_of(con, "one / (one + two)", f", method := '{method}', mask := 'two > 50000'")
    assert asked == [(SCENES,)]
    ranges = sorted(fetched(server))
    assert {path.rsplit("/", 1)[-1] for path, _, _ in ranges} == {
        f"s{n}_{band}.tif" for n in range(SCENES) for band in ("one", "two")
    }
    for (path, _, end), (after, begin, _) in pairwise(ranges):
        assert path != after or begin >= end
    (tiles,) = con.execute("SELECT max(tiles - cache_hits) FROM rasteret_stats()").fetchall()[0]
    assert tiles == SCENES * 2 * (SIZE // 128) ** 2


@pytest.mark.parametrize(
    "grid", some([", crs := 32632, resolution := 10", ", crs := 32633, resolution := 13", ", crs := 3857"], 2)
)
def test_of_many_tiles_those_that_are_needed_again_are_kept(con, server, grid, monkeypatch):
    monkeypatch.setattr(composites, "_SIDE", 320)
    monkeypatch.setattr(composites, "_SCENES_BYTES", 400_000)
    named = f", method := 'median', resampling := 'bilinear'{grid}"
    whole = mosaic_of(con, more=named, shown="chip_stats(chip)")
    cache = session_for(con).engine.cache
    tiles, once = cache.nbytes, sorted(fetched(server))
    assert len(once) == len(set(once))
    forget(con, server)
    monkeypatch.setattr(tile_cache, "_MUCH", 1 << 60)
    assert mosaic_of(con, more=named, shown="chip_stats(chip)") == whole
    # Requests are those of other waves, perhaps: what counts is that no tile comes twice.
    (asked,) = con.execute("SELECT max(tiles - cache_hits) FROM rasteret_stats()").fetchall()[0]
    assert asked == SCENES * (SIZE // 128) ** 2
    assert cache.nbytes < tiles
    cache.clear()
    small = f"read_mosaic(rasteret.w, 'one', '{ALL}', geom_crs := 32632, method := 'median')"
    monkeypatch.setattr(composites, "_SIDE", 1024)
    con.execute(f"SELECT scenes FROM {small}").fetchall()
    assert cache.nbytes == 0  # one block, which needs each of them once


@pytest.mark.parametrize(
    "more",
    [
        ", mask := 'two > 50000', dilate := 60, crs := 32632, resolution := 10",
        ", mask := 'two > 50000', dilate := 9, crs := 32633, resolution := 12, resampling := 'cubic'",
    ],
)
def test_what_neighbours_need_around_a_mask_is_kept_for_them(con, server, more, monkeypatch):
    monkeypatch.setattr(composites, "_SIDE", 320)
    monkeypatch.setattr(composites, "_SCENES_BYTES", 400_000)
    monkeypatch.setattr(tile_cache, "_MUCH", 1 << 60)
    mosaic_of(con, more=f", method := 'mean'{more}")
    (asked,) = con.execute("SELECT max(tiles - cache_hits) FROM rasteret_stats()").fetchall()[0]
    assert asked == 2 * SCENES * (SIZE // 128) ** 2


def test_tiles_of_a_file_that_several_scenes_have_are_fetched_once(con, server, monkeypatch, tmp_path):
    monkeypatch.setattr(composites, "_SCENES_BYTES", 400_000)
    monkeypatch.setattr(tile_cache, "_MUCH", 1 << 60)
    items = [item(f"twin{n}", day=n + 1, one=f"{server.url}/s0_one.tif") for n in range(4)]
    write_items(tmp_path / "twins.json", items)
    con.execute(f"FROM rasteret_build_from_stac('twins', '{tmp_path}/twins.json')").fetchall()
    call = f"read_mosaic(rasteret.twins, 'one', '{ALL}', geom_crs := 32632, method := 'count')"
    assert con.execute(f"SELECT scenes FROM {call}").fetchall() == [(4,)]
    (asked,) = con.execute("SELECT max(tiles - cache_hits) FROM rasteret_stats()").fetchall()[0]
    assert asked == (SIZE // 128) ** 2


class Fails:
    """Jobs that were begun: the first ones fail."""

    def __init__(self, began):
        self.number, self.stopped = len(began), False
        began.append(self)

    def wait(self, tell):
        if not self.number:
            raise OSError("gone")
        tell(0)

    def stop(self):
        self.stopped = True


def test_waves_behind_one_that_fails_at_the_end_are_stopped():
    began = []
    context = SimpleNamespace(start=lambda *_: Fails(began), progress=lambda *_: None)
    job = SimpleNamespace(memory=10)
    with (
        pytest.raises(OSError, match="gone"),
        CompositeWaves(context, None, Bounds(scenes=1, values=1), lambda _: None, None) as waves,
    ):
        waves.add(job)
        waves.add(job)
    assert [one.stopped for one in began] == [True, True]


@pytest.mark.parametrize("method", some(["first", "median"], 1))
def test_a_scene_that_fails_ends_the_waves_behind_it(con, server, method, monkeypatch):
    monkeypatch.setattr(composites, "_SCENES_BYTES", 1)
    path = server.folder / "s0_one.tif"
    shutil.move(path, path.with_suffix(".away"))
    try:
        forget(con, server)
        with pytest.raises(Exception, match=r'read_mosaic: scene "s0", band one: .*there is no such file'):
            mosaic_of(con, more=f", method := '{method}'")
        assert not {path.rsplit("/", 1)[-1] for path, _, _ in fetched(server)} & {f"s{n}_one.tif" for n in range(3, 6)}
    finally:
        shutil.move(path.with_suffix(".away"), path)
    assert mosaic_of(con, more=f", method := '{method}', every := 'day'") == [(1,)] * SCENES


@pytest.mark.parametrize(("method", "read"), [("first", range(4)), ("last", range(2, 6))])
def test_scenes_behind_those_that_have_every_pixel_are_not_read(con, server, method, read):
    assert mosaic_of(con, more=f", method := '{method}'") == [(1,)]
    assert {path.rsplit("/", 1)[-1] for path, _, _ in fetched(server)} == {f"s{n}_one.tif" for n in read}


def test_other_periods_are_not_read(con, server):
    call = f"read_mosaic(rasteret.w, 'one', '{ALL}', geom_crs := 32632, every := 'day')"
    assert con.execute(f"SELECT scenes FROM {call} WHERE period = '2024-01-03'").fetchall() == [(1,)]
    assert {path.rsplit("/", 1)[-1] for path, _, _ in fetched(server)} == {"s2_one.tif"}


def test_limit_ends_the_reading(con, server, monkeypatch):
    monkeypatch.setattr(mosaic, "_GROUP_BYTES", 1)
    call = f"read_mosaic(rasteret.w, 'one', '{ALL}', geom_crs := 32632, every := 'day')"
    assert con.execute(f"SELECT scenes FROM {call} LIMIT 2").fetchall() == [(1,), (1,)]
    assert {path.rsplit("/", 1)[-1] for path, _, _ in fetched(server)} == {"s0_one.tif", "s1_one.tif"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("method", ["median", "mean"])
def test_memory_does_not_grow_with_the_number_of_scenes(con, server, method, monkeypatch, tmp_path):
    monkeypatch.setattr(composites, "_VALUES_BYTES", 20_000_000)
    monkeypatch.setattr(composites, "_SCENES_BYTES", 4_000_000)
    # All are one file, so that the cache of decoded tiles holds the same.
    items = [item(f"m{n}", day=n % 28 + 1, one=f"{server.url}/s0_one.tif") for n in range(60)]
    write_items(tmp_path / "many.json", items)
    con.execute(f"FROM rasteret_build_from_stac('many', '{tmp_path}/many.json')").fetchall()
    con.execute("CREATE OR REPLACE TABLE chosen AS SELECT id, datetime FROM rasteret.many")
    call = f"read_mosaic(chosen, 'one + 0.5', '{ALL}', geom_crs := 32632, method := '{method}')"
    con.execute(f"SELECT scenes FROM {call}").fetchall()  # what is loaded and kept is not what is looked for
    tracemalloc.start()
    assert con.execute(f"SELECT scenes FROM {call}").fetchall() == [(60,)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A scene of floats takes a megabyte, and as much again while it is computed and warped.
    assert peak < (35_000_000 if method == "median" else 15_000_000)


def test_a_scene_whose_file_is_gone_is_left_out_where_that_is_asked_for(con, server):
    path = server.folder / "s1_one.tif"
    shutil.move(path, path.with_suffix(".away"))
    try:
        forget(con, server)
        with pytest.raises(Exception, match=r'read_mosaic: scene "s1", band one: .*there is no such file'):
            mosaic_of(con, more=", method := 'count'")
        found = mosaic_of(con, more=", method := 'count', on_error := 'null'", shown="scenes, chip_stats(chip).max")
        assert found == [(SCENES - 1, SCENES - 1)]
        told = con.execute("SELECT scene_id FROM rasteret_failures() WHERE function = 'read_mosaic'").fetchall()
        assert ("s1",) in told
    finally:
        shutil.move(path.with_suffix(".away"), path)


def test_a_scene_that_is_left_out_is_not_asked_for_again(con, server, monkeypatch):
    monkeypatch.setattr(composites, "_SIDE", 128)
    monkeypatch.setattr(composites, "_SCENES_BYTES", 1)
    path = server.folder / "s1_one.tif"
    shutil.move(path, path.with_suffix(".away"))
    try:
        forget(con, server)
        assert mosaic_of(con, more=", method := 'count', on_error := 'null'") == [(SCENES - 1,)]
        told = con.execute("SELECT count(*) FROM rasteret_failures() WHERE scene_id = 's1'").fetchall()
        assert told[0][0] <= 2  # of 16 blocks; two waves are under way
    finally:
        shutil.move(path.with_suffix(".away"), path)


def test_max_bytes_is_of_all_that_may_be_read(con, server):
    with pytest.raises(Exception, match=r"read_mosaic: the read would fetch .* \(96 tiles in "):
        mosaic_of(con, more=", max_bytes := 1000")
    assert fetched(server) == []


def explained(con, scenes, more, zones="NULL"):
    call = f"rasteret_explain_table({scenes}, {zones}, 'one / two', geom_crs := 32632{more})"
    return con.execute(f"SELECT period::VARCHAR, scenes, chips, tiles, requests, bytes FROM {call}").fetchall()


@pytest.mark.parametrize(
    "more",
    [
        ", method := 'median'",
        ", method := 'max', mask := 'two > 50000', every := '4 days'",
        ", method := 'best', best_by := 'two', every := 'day', order_by := 'id DESC'",
        ", method := 'mean', resolution := 40, resampling := 'average'",
    ],
)
def test_explained_is_what_the_server_is_then_asked_for(con, server, more, monkeypatch):
    monkeypatch.setattr(composites, "_SIDE", 256)
    monkeypatch.setattr(composites, "_SCENES_BYTES", 4_000_000)
    geometry = f"geom := '{ALL}', call := 'read_mosaic'"
    plan = explained(con, "rasteret.w", f", {geometry}{more}")
    assert fetched(server) == []
    call = f"read_mosaic(rasteret.w, 'one / two', '{ALL}', geom_crs := 32632{more})"
    rows = con.execute(f"SELECT period::VARCHAR, scenes FROM {call}").fetchall()
    ranges = fetched(server)
    assert [row[:2] for row in plan] == rows  # every scene gives a pixel
    assert (sum(row[4] for row in plan), sum(row[5] for row in plan)) == (
        len(ranges),
        sum(end - begin for _, begin, end in ranges),
    )
    assert sum(row[1] for row in plan) == SCENES
    assert {row[2] for row in plan} == {1}


def test_explained_composites_of_zones(con, server):
    con.execute(f"""CREATE TABLE fields AS SELECT * FROM (VALUES
        (1, 'POLYGON ((600000 5099000, 600900 5099000, 600900 5100000, 600000 5099000))'),
        (2, '{ALL}'), (3, 'POLYGON ((0 0, 1 0, 1 1, 0 0))'), (4, NULL)) t(n, geom)""")
    plan = explained(con, "rasteret.w", ", call := 'read_mosaics', method := 'mean', every := '3 days'", "fields")
    assert fetched(server) == []
    call = "read_mosaics(rasteret.w, fields, 'one / two', geom_crs := 32632, method := 'mean', every := '3 days')"
    rows = con.execute(f"SELECT period::VARCHAR, count(*) FROM {call} GROUP BY ALL ORDER BY ALL").fetchall()
    ranges = fetched(server)
    assert [(row[0], row[2]) for row in plan] == rows
    assert (sum(row[4] for row in plan), sum(row[5] for row in plan)) == (
        len(ranges),
        sum(end - begin for _, begin, end in ranges),
    )


def test_explained_is_the_most_that_first_may_need(con, server):
    (plan,) = explained(con, "rasteret.w", f", geom := '{ALL}', call := 'read_mosaic'")
    mosaic_of(con, "one / two")
    assert plan[1] == SCENES
    assert 0 < sum(end - begin for _, begin, end in fetched(server)) < plan[5]


def test_a_file_that_was_changed_is_read_anew_where_that_is_asked_for(tmp_path):
    for n in range(3):
        write_small(tmp_path / f"s{n}.tif", n)
    write_items(tmp_path / "items.json", [item(f"s{n}", day=n + 1, one=str(tmp_path / f"s{n}.tif")) for n in range(3)])
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute(f"FROM rasteret_build_from_stac('w', '{tmp_path}/items.json')").fetchall()
        with rasterio.open(tmp_path / "s1.tif", "r+") as file:
            file.write(np.full((256, 256), 65_000, "uint16"), 1)
        # The place of its tiles may be the same, and its length: the time tells.
        os.utime(tmp_path / "s1.tif", (2e9, 2e9))
        with pytest.raises(Exception, match=r'read_mosaic: scene "s1", band one: .*changed since it was indexed'):
            mosaic_of(con, more=", method := 'max'")
        assert mosaic_of(con, more=", method := 'max', on_error := 'null'") == [(2,)]
        shown = "scenes, list_min(chip_values(chip))"
        assert mosaic_of(con, more=", method := 'max', on_change := 'refresh'", shown=shown) == [(3, 65_000)]
        assert mosaic_of(con, more=", method := 'max'", shown=shown) == [(3, 65_000)]


@pytest.mark.exhaustive
def test_examples_of_the_page(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "composites.md").read_text()
    blocks = re.findall(r"<!-- test: sql -->\n```sql\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        found = [con.execute(text).fetchall() for block in blocks for text in block.split(";") if text.strip()]
    _, quarters, fields = found
    for period, scenes, ndvi, picture in quarters:
        assert f"| {period:%Y-%m-%d} | {scenes} | {ndvi:.3f} |" in page
        assert picture.startswith(b"\x89PNG")
    assert len(quarters) == page.count("| 2017-") == 4
    assert [(field, period.year) for field, period, _, _ in fields] == [
        (field, year) for year in (2015, 2016, 2017) for field in ("north", "south")
    ]
