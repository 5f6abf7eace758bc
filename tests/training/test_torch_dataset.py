"""Chips as tensors: each is what rasterio reads in its window, in whatever order and process it is read."""

from __future__ import annotations

import pickle
from datetime import UTC

import numpy as np
import obstore
import pytest
import rasterio
import shapely
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

import rasteret_sql
from rasteret_sql.errors import UnknownBandError, UnknownSceneError
from tests.secrets.searching import Search
from tests.servers.range_server import RangeServer
from tests.servers.secrets import secret
from tests.training.world import ORIGINS, SIDE, make_world

torch = pytest.importorskip("torch", reason="needs the extra torch")
from torch.utils.data import DataLoader, DistributedSampler  # noqa: E402


def oracle(world, row, size, band="a"):
    """The pixels of a chip as rasterio reads them, in the window that its transform says."""
    with rasterio.open(world.file(row["scene_id"], band)) as file:
        a, _, left, _, e, top = row["transform"]
        assert (a, e) == (file.transform.a, file.transform.e)
        col, line = (left - file.transform.c) / a, (top - file.transform.f) / e
        window = Window(col, line, size[1], size[0])
        assert tuple(window_transform(window, file.transform))[:6] == tuple(row["transform"])
        return file.read(1, window=window, boundless=True, fill_value=file.nodata)


def tiles_read(collection):
    """Tiles that were asked for, and those of them that were at hand, since this was last asked."""
    return collection.sql("SELECT sum(tiles)::INT, sum(cache_hits)::INT FROM rasteret_stats(clear := true)").fetchall()[
        0
    ]


@pytest.mark.parametrize(
    ("size", "stride", "edges", "count"),
    [
        (32, None, "drop", 9),
        ((20, 50), (20, 46), "drop", 4 * 2),
        (40, None, "pad", 9),
        (16, 80, "drop", 4),
        (100, None, "pad", 1),
    ],
)
def test_each_chip_is_what_rasterio_reads_there(world, size, stride, edges, count):
    dataset = world.collection.to_torch_dataset(None, ["a"], chip_size=size, stride=stride, edges=edges)
    rows = dataset.rows().to_pylist()
    assert len(dataset) == len(rows) == 4 * count
    size = (size, size) if isinstance(size, int) else size
    for row, sample in zip(rows, dataset.__getitems__(range(len(dataset))), strict=True):
        assert sample["image"].shape == (1, *size)
        assert np.array_equal(sample["image"][0].numpy(), oracle(world, row, size))
        assert sample["transform"].tolist() == row["transform"]
        assert sample["time"].item() == world.at(row["scene_id"]).replace(tzinfo=UTC).timestamp()
        assert sample["chip"].item() == row["chip"]
        west, south, east, north = row["bounds"]
        assert (east - west, north - south) == (size[1] * 10, size[0] * 10)
        assert row["crs"] == f"EPSG:{ORIGINS[row['scene_id']][0]}"


def test_by_number_from_the_end_twice_and_beyond(world):
    dataset = world.collection.to_torch_dataset(None, ["a", "b"], chip_size=32)
    last, again, first = dataset.__getitems__([-1, 35, 0])
    assert torch.equal(last["image"], again["image"])
    assert not torch.equal(last["image"], first["image"])
    assert torch.equal(dataset[35]["image"], last["image"])
    assert last["image"].dtype is torch.int32
    for wrong in (36, -37):
        with pytest.raises(IndexError, match=r"there is no chip .*36, numbered from 0"):
            dataset[wrong]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_stream_gives_each_chip_once(world, workers, batch_size, shuffle):
    by_number = world.collection.to_torch_dataset(None, ["a"], chip_size=24)
    stream = world.collection.to_torch_dataset(
        None, ["a"], chip_size=24, iterable=True, shuffle=shuffle, batch_size=batch_size, round_bytes=20_000
    )
    torch.manual_seed(4)
    loader = DataLoader(stream, batch_size=5 if batch_size is None else None, num_workers=workers)
    batches = list(loader)
    chips = torch.cat([batch["chip"] for batch in batches])
    images = torch.cat([batch["image"] for batch in batches])
    assert sorted(chips.tolist()) == list(range(64))
    if workers < 2:
        assert (chips.tolist() == list(range(64))) is not shuffle
    expected = by_number.__getitems__(chips.tolist())
    assert all(torch.equal(image, one["image"]) for image, one in zip(images, expected, strict=True))
    assert max(len(batch["chip"]) for batch in batches) == 5


def test_the_order_is_another_each_epoch_and_the_same_of_a_seed(world):
    named = {"chip_size": 24, "iterable": True}

    def order(stream):
        return [sample["chip"].item() for sample in stream]

    free = world.collection.to_torch_dataset(None, ["a"], **named)
    torch.manual_seed(1)
    first, second = order(free), order(free)
    torch.manual_seed(1)
    assert order(free) == first
    assert first != second
    seeded = world.collection.to_torch_dataset(None, ["a"], seed=3, **named)
    epoch = order(seeded)
    assert order(seeded) == epoch
    seeded.set_epoch(1)
    assert order(seeded) not in (epoch, first)
    parts = [
        order(world.collection.to_torch_dataset(None, ["a"], seed=3, shard=(part, 3), **named)) for part in range(3)
    ]
    assert sorted(chip for part in parts for chip in part) == list(range(64))
    assert all(15 <= len(part) <= 27 for part in parts)


@pytest.mark.parametrize("size", [16, 24])
def test_a_shuffled_stream_reads_each_tile_once(world, size):
    stream = world.collection.to_torch_dataset(
        None, ["a", "b"], chip_size=size, iterable=True, round_bytes=16_000, files_at_once=2
    )
    shared_cache_clear()
    tiles_read(world.collection)
    assert sum(1 for _ in stream) == 4 * (SIDE // size) ** 2
    asked, hits = tiles_read(world.collection)
    assert asked - hits == 4 * 2 * 9  # files, bands, tiles
    if size == 16:
        assert hits == 0


def shared_cache_clear():
    from rasteret_sql.engine.scheduler import shared_engine

    shared_engine().cache.clear()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_batches_in_workers(world, method):
    dataset = world.collection.to_torch_dataset(None, ["a"], chip_size=24)
    batches = dataset.batches(6, num_workers=2, seed=5)
    loader = DataLoader(dataset, batch_sampler=batches, num_workers=2, multiprocessing_context=method)
    assert len(loader) == len(batches) == len(list(batches))
    chips = []
    for batch in loader:
        expected = dataset.__getitems__(batch["chip"].tolist())
        assert torch.equal(batch["image"], torch.stack([one["image"] for one in expected]))
        chips += batch["chip"].tolist()
    assert sorted(chips) == list(range(64))
    # batches go to the workers in turn, each of files of its own
    scene = dataset.rows()["scene_id"].to_pylist()
    of_worker = [{scene[chip] for batch in list(batches)[part::2] for chip in batch} for part in range(2)]
    assert not of_worker[0] & of_worker[1]


def test_samplers_of_torch(world):
    dataset = world.collection.to_torch_dataset(None, ["a"], chip_size=32)
    shuffled = [chip for batch in DataLoader(dataset, batch_size=4, shuffle=True) for chip in batch["chip"].tolist()]
    assert sorted(shuffled) == list(range(36))
    halves = [DistributedSampler(dataset, num_replicas=2, rank=rank) for rank in range(2)]
    found = [chip for half in halves for batch in DataLoader(dataset, sampler=half) for chip in batch["chip"].tolist()]
    assert sorted(found) == list(range(36))


def test_tensors_are_the_memory_that_was_read_into(world):
    named = {"chip_size": 24, "iterable": True, "shuffle": False}
    samples = list(world.collection.to_torch_dataset(None, ["a"], **named))
    step = samples[1]["image"].data_ptr() - samples[0]["image"].data_ptr()
    assert step == 24 * 24 * 4  # side by side in one array
    assert samples[0]["image"].untyped_storage().nbytes() == step  # and no more of it is sent to another process
    batches = list(world.collection.to_torch_dataset(None, ["a"], batch_size=8, **named))
    assert batches[1]["image"].data_ptr() - batches[0]["image"].data_ptr() == 8 * step
    assert torch.equal(torch.stack([one["image"] for one in samples[8:16]]), batches[1]["image"])


def test_validity_fill_and_dtype(world):
    dataset = world.collection.to_torch_dataset(
        ["s0"], ["a", "b"], chip_size=40, edges="pad", with_valid=True, fill=-7, dtype=torch.float32
    )
    plain = world.collection.to_torch_dataset(["s0"], ["a", "b"], chip_size=40, edges="pad")
    assert len(dataset) == len(plain) == 9
    for row, sample, one in zip(dataset.rows().to_pylist(), dataset, plain, strict=False):
        expected = np.stack([oracle(world, row, (40, 40), band) for band in "ab"]).astype("float32")
        assert sample["image"].dtype is torch.float32
        assert torch.equal(one["image"], torch.from_numpy(expected.astype("int32")))
        assert np.array_equal(sample["valid"].numpy(), expected != 0)
        assert np.array_equal(sample["image"].numpy(), np.where(expected == 0, -7, expected))


def test_masks_of_classes_and_transforms(world):
    def double(sample):
        sample["mask"] = sample["mask"] * 2
        return sample

    one = world.collection.to_torch_dataset(["s1"], ["b"], chip_size=32, is_image=False)
    two = world.collection.to_torch_dataset(["s1"], ["b", "a"], chip_size=32, is_image=False, transforms=double)
    assert one[0]["mask"].shape == (32, 32)
    assert one[0]["mask"].dtype is torch.int16
    assert two[0]["mask"].shape == (2, 32, 32)
    assert torch.equal(two[3]["mask"][0], one[3]["mask"].to(torch.int32) * 2)
    stream = world.collection.to_torch_dataset(
        ["s1"], ["b", "a"], chip_size=32, is_image=False, transforms=double, iterable=True, shuffle=False
    )
    assert torch.equal(next(iter(stream))["mask"], two[0]["mask"])


def test_expressions_masks_and_units(world):
    dataset = world.collection.to_torch_dataset(
        ["s0"], {"sum": "a + b", "a": "a"}, chip_size=32, mask="b > 500", with_valid=True
    )
    row = dataset.rows().to_pylist()[4]
    a, b = (oracle(world, row, (32, 32), band).astype(float) for band in "ab")
    sample = dataset[4]
    valid = (a != 0) & (b != 0) & (b <= 500)
    assert np.array_equal(sample["valid"][0].numpy(), valid)
    assert np.allclose(sample["image"][0].numpy()[valid], (a + b)[valid])


def test_bands_of_another_resolution(world):
    with pytest.raises(ValueError, match=r"different pixels \(a of 10 × 10 \(96 × 96\), c of 20 × 20.*allow_resample"):
        world.collection.to_torch_dataset(["s0"], ["a", "c"], chip_size=32)
    both = world.collection.to_torch_dataset(
        ["s0"], ["a", "c"], chip_size=32, allow_resample=True, resampling="nearest", dtype="float32"
    )
    row = both.rows().to_pylist()[4]
    assert np.array_equal(both[4]["image"][0].numpy(), oracle(world, row, (32, 32)))
    with rasterio.open(world.file("s0", "c")) as file:
        expected = file.read(1, window=Window(16, 16, 16, 16)).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(both[4]["image"][1].numpy(), expected)


def test_one_grid_for_all(world):
    dataset = world.collection.to_torch_dataset(
        None, ["a"], chip_size=16, resolution=20, target_crs=32632, resampling="nearest", with_valid=True
    )
    rows = dataset.rows().to_pylist()
    assert {row["crs"] for row in rows} == {"EPSG:32632"}
    assert all((row["transform"][2] - 600_000) % 20 == 0 for row in rows)
    own = [row for row in rows if row["scene_id"] == "s0"]
    assert len(own) == 9
    whole = world.collection.get_numpy(
        shapely.box(600_000, 5_099_040, 600_960, 5_100_000), ["a"], geometry_crs=32632, target_crs=32632,
        resolution=20, resampling="nearest",
    )[0]  # fmt: skip
    for row in own:
        at = [int((row["transform"][2] - 600_000) / 20), int((5_100_000 - row["transform"][5]) / 20)]
        expected = whole[at[1] : at[1] + 16, at[0] : at[0] + 16]
        assert np.array_equal(dataset[row["chip"]]["image"][0].numpy(), expected)
    turned = [row for row in rows if row["scene_id"] == "s3"]
    assert 0 < len(turned) < 9  # those that lie in the turned image as a whole
    with rasterio.open(world.file("s3")) as file:
        outline = shapely.box(*rasterio.warp.transform_bounds(file.crs, 32632, *file.bounds))
    assert all(outline.covers(shapely.box(*row["bounds"])) for row in turned)


def test_series_of_times(world):
    dataset = world.collection.to_torch_dataset(
        ["s0", "s1", "s2"], ["a", "b"], chip_size=32, time_series=True, with_valid=True
    )
    assert len(dataset) == 18
    assert dataset[0]["image"].shape == (2, 2, 32, 32)
    assert dataset[0]["time"].tolist() == [world.at(scene).replace(tzinfo=UTC).timestamp() for scene in ("s0", "s2")]
    for row, sample in zip(dataset.rows().to_pylist(), dataset, strict=False):
        for slot, scenes in enumerate((("s0", "s1"), ("s2",))):
            for number, band in enumerate("ab"):
                expected = np.zeros((32, 32))
                for scene in scenes:
                    pixels = oracle(world, {**row, "scene_id": scene}, (32, 32), band)
                    expected = np.where(expected == 0, pixels, expected)
                assert np.array_equal(sample["image"][slot, number].numpy(), expected)
                assert np.array_equal(sample["valid"][slot, number].numpy(), expected != 0)
    batches = list(DataLoader(dataset, batch_sampler=dataset.batches(4), num_workers=0))
    assert batches[0]["image"].shape == (4, 2, 2, 32, 32)


def test_scenes_by_sql_tables_and_parts(world):
    collection = world.collection

    def ids(scenes, **named):
        found = collection.to_torch_dataset(scenes, ["a"], chip_size=96, **named)
        return found.rows()["scene_id"].to_pylist()

    assert ids('"eo:cloud_cover" < 30') == ["s0", "s1"]
    assert ids("SELECT id FROM scenes ORDER BY id DESC LIMIT 2") == ["s3", "s2"]
    assert ids("-- comment\n FROM scenes WHERE split = 'val'") == ["s2"]
    assert ids(collection.sql("SELECT id, 1 AS x FROM scenes WHERE id > 's1'")) == ["s2", "s3"]
    assert ids(collection.sql("SELECT id FROM scenes").df()) == ["s0", "s1", "s2", "s3"]
    assert ids(collection.where("id = 's3'")) == ["s3"]
    assert ids(["s2", "s0"]) == ["s2", "s0"]
    assert ids(np.array(["s2"])) == ["s2"]
    assert ids(None, split="train") == ["s0", "s1"]
    assert ids(["s2", "s0"], split=["train", "test"]) == ["s0"]
    assert ids(None, date_range=("2024-05-02", "2024-05-03")) == ["s2", "s3"]
    area = shapely.box(600_000, 5_099_900, 600_100, 5_100_000)
    assert ids(None, geometries=area, geometry_crs=32632) == ["s0"]
    near = collection.to_torch_dataset(None, ["a"], chip_size=16, geometries=area, geometry_crs=32632)
    assert [row["bounds"] for row in near.rows().to_pylist()] == [[600_000, 5_099_840, 600_160, 5_100_000]]


def test_chips_around_the_points_of_a_query(world):
    points = """
        SELECT id, 'POINT (' || x || ' 5099500)' AS place, label FROM (
            VALUES ('s0', 600500, 1), ('s1', 601005, 2), ('s1', 600000, 3), ('s2', 600500, 4)
        ) AS t(id, x, label)
    """
    with pytest.warns(RuntimeWarning, match="1 of 4 geometries do not meet their scene; they have no chip"):
        dataset = world.collection.to_torch_dataset(
            points, ["a"], chip_size=32, geometry_column="place", geometry_crs=32632, label_field="label"
        )
    rows = dataset.rows().to_pylist()
    assert [(row["row"], row["scene_id"]) for row in rows] == [(0, "s0"), (1, "s1"), (3, "s2")]
    assert [sample["label"].item() for sample in dataset.__getitems__(range(3))] == [1, 2, 4]
    for row, sample in zip(rows, dataset.__getitems__(range(3)), strict=True):
        assert np.array_equal(sample["image"][0].numpy(), oracle(world, row, (32, 32)))
    middle = rows[0]["bounds"]
    assert ((middle[0] + middle[2]) / 2, (middle[1] + middle[3]) / 2) == (600_500, 5_099_500)


def test_labels(world):
    collection = world.collection
    whole = collection.to_torch_dataset(None, ["a"], chip_size=48, label_field="label")
    assert whole[0]["label"].dtype is torch.int64
    assert [sample["label"].item() for sample in whole.__getitems__([0, 4, 15])] == [0, 10, 30]
    share = collection.to_torch_dataset(None, ["a"], chip_size=48, label_field="share")
    assert share[15]["label"].dtype is torch.float32
    assert share[15]["label"].item() == 0.75
    query = "SELECT id, label > 10 AS wet FROM scenes"
    assert collection.to_torch_dataset(query, ["a"], chip_size=48, label_field="wet")[8]["label"].item() == 1
    batch = next(iter(DataLoader(whole, batch_size=16)))
    assert batch["label"].tolist() == [0] * 4 + [10] * 4 + [20] * 4 + [30] * 4


@pytest.mark.parametrize(
    ("scenes", "named", "message"),
    [
        (None, {"chip_size": 97}, "a chip of 97 × 97 pixels is larger than every scene: the largest has 96 × 96"),
        (None, {"chip_size": 97, "resolution": 20, "target_crs": 32632}, "larger than every scene: the largest has"),
        (None, {"chip_size": 0}, "chip_size=0 cannot be used; expected pixels"),
        (None, {"chip_size": (8, 8, 8)}, "chip_size=.* cannot be used"),
        (None, {"stride": -1}, "stride=-1 cannot be used"),
        (None, {"edges": "wrap"}, "edges := 'wrap' cannot be used; expected 'drop' or 'pad'"),
        (None, {"split": "trian"}, "of the split 'trian': its column split has 'test', 'train', 'val'"),
        (None, {"split": "train", "split_column": "fold"}, "'fold'"),
        (None, {"date_range": ("2030-01-01", None)}, "none of the 4 scenes of 'chips' meets the conditions"),
        ("id = 'no'", {}, "none of the 4 scenes"),
        ("SELECT id FROM scenes WHERE id = 'no'", {}, "none of the 4 scenes .* that are given"),
        ([], {}, "none of the 4 scenes"),
        ("SELECT label FROM scenes", {}, "have no column id, but label"),
        ("SELECT id FROM scenes, range(2)", {}, 'scene "s.*" is in 2 rows.*SELECT DISTINCT'),
        ("id <", {}, "cannot be read as SQL"),
        (7, {}, "scenes cannot be a int; expected None for all, a query or a condition in SQL"),
        (None, {"label_field": "lable"}, "label_field='lable' is no column of the scenes; .*label"),
        (None, {"label_field": "kind"}, "label_field='kind' has values of type .*string, and labels are numbers"),
        ("SELECT id, nullif(label, 10) AS l FROM scenes", {"label_field": "l"}, "1 of 4 rows have no label"),
        (None, {"dtype": "uint8"}, "dtype='uint8' does not hold the pixels, which are uint16.*'int32', or 'float32'"),
        (None, {"dtype": "uint16"}, "dtype='uint16' cannot be used; give dtype= one of uint8"),
        (None, {"geometry_column": "place"}, "geometry_column='place' names a column of a query or table"),
        (None, {"geometries": (0, 0, 1, 1)}, "there is no chip: no geometry meets a scene"),
        (None, {"iterable": True, "batch_size": 0}, "batch_size=0 cannot be used; expected a number of 1 or more"),
        (
            None,
            {"iterable": True, "shard": (2, 2)},
            r"shard=\(2, 2\) cannot be used; expected \(number from 0, count\)",
        ),
        (None, {"iterable": True, "shard": (0, 2)}, "needs a seed="),
    ],
)
def test_what_cannot_be_is_refused_in_words(world, scenes, named, message):
    with pytest.raises(ValueError, match=message):
        world.collection.to_torch_dataset(scenes, ["a"], **{"chip_size": 16, **named})


def test_unknown_bands_and_scenes(world):
    with pytest.raises(UnknownBandError, match='no band "nope"'):
        world.collection.to_torch_dataset(None, ["nope"], chip_size=16)
    with pytest.raises(UnknownSceneError, match='no scene "s9" in collection "chips"'):
        world.collection.to_torch_dataset(["s0", "s9"], ["a"], chip_size=16)
    with pytest.raises(TypeError, match="unknown argument 'cloud_cover'"):
        world.collection.to_torch_dataset(None, ["a"], chip_size=16, cloud_cover=3)


def test_a_pickle_opens_the_collection_anew(world):
    dataset = world.collection.to_torch_dataset(None, ["a"], chip_size=32, label_field="label")
    again = pickle.loads(pickle.dumps(dataset))
    assert len(again) == 36
    for one, other in zip(dataset.__getitems__([3, 30]), again.__getitems__([3, 30]), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_over_http(tmp_path, method):
    """A process that has read over the network forks, or spawns, workers that do, too."""
    with RangeServer(tmp_path) as server:
        world = make_world(tmp_path, workspace=tmp_path / "ws", base=f"{server.url}/")
        dataset = world.collection.to_torch_dataset(None, ["a"], chip_size=32, label_field="label")
        expected = dataset.__getitems__(range(36))
        loader = DataLoader(dataset, batch_size=9, num_workers=1, multiprocessing_context=method)
        images = torch.cat([batch["image"] for batch in loader])
    assert torch.equal(images, torch.cat([one["image"][None] for one in expected]))


def test_no_pickle_holds_a_key(world):
    """Of what a process that is spawned gets."""
    key = secret("training-key-of-a-backend")
    search = Search({key})
    ours = rasteret_sql.create_backend(default_s3_config={"access_key_id": "AKIA0", "secret_access_key": key})
    store = obstore.store.S3Store("bucket", access_key_id="AKIA0", secret_access_key=key, region="eu-west-1")
    for backend in (ours, rasteret_sql.ObstoreBackend(store)):
        dataset = world.collection.to_torch_dataset(None, ["a"], chip_size=32, backend=backend)
        with pytest.raises(ValueError, match="may hold keys, so it is not sent to another process") as told:
            pickle.dumps(dataset)
        assert search.text(str(told.value)) == []
    opened = rasteret_sql.load(world.collection.path, backend=ours)
    pickled = pickle.dumps(opened.to_torch_dataset(None, ["a"], chip_size=32))
    assert list(search.bytes(pickled, "")) == []
    assert b"chips" in pickled
