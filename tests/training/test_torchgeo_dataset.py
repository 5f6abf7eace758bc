"""A GeoDataset of the installed TorchGeo: beside its own RasterDataset over the same files, with its samplers."""

from __future__ import annotations

import pickle
from datetime import UTC
from importlib.util import find_spec

import numpy as np
import pytest
import shapely

torch = pytest.importorskip("torch", reason="needs the extra torchgeo")
if find_spec("torchgeo") is None:
    pytest.skip("needs the extra torchgeo", allow_module_level=True)
import tests.training.torchgeo_here  # noqa: E402, F401, I001 - before TorchGeo
import pandas as pd  # noqa: E402
import torchgeo.datasets  # noqa: E402
import torchgeo.samplers  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchgeo.datasets import RasterDataset, stack_samples  # noqa: E402

from tests.training.world import START, make_world, write  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
NEW = hasattr(torchgeo.samplers, "RandomPatchSampler")
"""True from TorchGeo 0.10 on."""
ZONE = ["s0", "s1", "s2"]


class Files(RasterDataset):
    filename_glob = "s[012]_a.tif"
    is_image = False  # else integers are resampled


@pytest.fixture(scope="module")
def dataset(world):
    return world.collection.subset(split=["train", "val"]).to_torchgeo_dataset(bands=["a"], is_image=False)


@pytest.fixture(scope="module")
def theirs(world):
    return Files(str(world.directory))


def box(left, top, width, height, res=10.0):
    """A query from a corner, of pixels of a size."""
    x, y = np.float64(600_000 + left), np.float64(5_100_000 - top)
    return slice(x, x + width * res, res), slice(y - height * res, y, res)


def test_its_index_is_that_of_a_raster_dataset(dataset, theirs, world):
    assert isinstance(dataset, torchgeo.datasets.GeoDataset)
    assert dataset.index["rid"].tolist() == ZONE
    assert dataset.index.index.name == "datetime"
    assert dataset.index.index.closed == "both"
    assert dataset.index.index.left.tolist() == [pd.Timestamp(world.at(scene)) for scene in ZONE]
    assert dataset.crs == theirs.crs
    assert dataset.res == theirs.res == (10, 10)
    assert len(dataset) == len(theirs) == 3
    assert dataset.bounds[:2] == theirs.bounds[:2]
    assert shapely.equals(dataset.index.geometry.values, theirs.index.geometry.values).all()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (box(0, 0, 32, 20), "in one scene"),
        (box(400, 100, 90, 30), "over three scenes"),
        (box(-100, -50, 40, 30), "partly outside"),
        (box(1500, 800, 60, 60), "beyond a corner"),
        (box(100, 100, 40, 40, 5.0), "of smaller pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pixels_are_those_of_a_raster_dataset(dataset, theirs, query, name):
    ours, other = dataset[query], theirs[query]
    assert ours["mask"].dtype is torch.int64
    assert ours["mask"].any()
    assert torch.equal(ours["mask"], other["mask"]), name


def test_images_of_all_bands_and_what_stands_beside(world):
    found = world.collection.to_torchgeo_dataset(bands=["a", "b"], split="train", label_field="label")
    sample = found[box(960, 0, 8, 4)]
    assert sample["image"].shape == (2, 4, 8)
    assert sample["image"].dtype is torch.int32
    assert sample["label"].item() == 10
    assert "crs" not in sample
    begin = START.replace(tzinfo=UTC).timestamp()
    assert sample["bounds"].dtype is torch.float64
    expected = [600_960, 601_040, 10, 5_099_960, 5_100_000, 10, begin, begin + 1e-6, 1]
    assert np.allclose(sample["bounds"], expected, rtol=0, atol=1e-6)
    assert sample["transform"].tolist() == [10, 0, 600_960, 0, -10, 5_100_000, 0, 0, 1]
    assert found[box(960.0, 0, 8, 4)]["bounds"].dtype is torch.float64
    asked = world.collection.to_torchgeo_dataset(
        bands=["a"], split="train", dtype="float32", transforms=lambda one: {**one, "more": torch.ones(1)}
    )[box(0, 0, 4, 4)]
    assert asked["image"].dtype is torch.float32
    assert asked["more"].item() == 1


def test_an_instant_is_found_by_its_own_slice(dataset):
    for left, right, scene in zip(dataset.index.index.left, dataset.index.index.right, ZONE, strict=True):
        where = dataset.index.geometry[dataset.index["rid"] == scene].iloc[0].bounds
        x = slice(where[0] + 480 * (scene == "s1"), where[2] - 480 * (scene == "s0"), 10.0)
        for slot in (slice(left, right), slice(left, left), slice(left, None), slice(None, right)):
            assert dataset[x, slice(where[1], where[3], 10.0), slot]["mask"].any()
    with pytest.raises(IndexError, match="not found in dataset with bounds"):
        dataset[:, :, pd.Timestamp("2030-01-01") :]
    for nowhere in (slice(0.0, 10.0, 10.0), slice(599_000.0, 600_000.0, 10.0)):  # the last one has an edge in common
        with pytest.raises(IndexError, match="not found in dataset with bounds"):
            dataset[nowhere]
    assert dataset[:, :].keys() == dataset[:].keys()


def test_series(world, theirs):
    series = world.collection.subset(split=["train", "val"]).to_torchgeo_dataset(
        bands=["a"], time_series=True, is_image=False
    )
    query = box(400, 100, 90, 30)
    sample = series[query]["mask"]
    assert sample.shape == (3, 30, 90)
    alone = [
        world.collection.where(f"id = '{scene}'").to_torchgeo_dataset(bands=["a"], is_image=False)[query]["mask"]
        for scene in ZONE
    ]
    assert torch.equal(sample, torch.stack(alone))  # noqa: PD013 - of torch
    every_second = series[*query, slice(None, None, 2)]["mask"]
    assert torch.equal(every_second, sample[::2])


def samplers(dataset):
    """Samplers of the TorchGeo that is installed, with the number of samples that each gives."""
    if not NEW:
        yield torchgeo.samplers.RandomGeoSampler(dataset, size=16, length=10), 10
        yield torchgeo.samplers.GridGeoSampler(dataset, size=32), None
        return
    random = torchgeo.samplers.RandomPatchSampler(dataset, size=16, length=10, generator=1)
    gridded = torchgeo.samplers.GriddedPatchSampler(dataset, size=32)
    yield random, 10
    yield gridded, 3 * 6
    yield gridded @ torchgeo.samplers.SequentialTimestampSampler(dataset), None
    yield random @ torchgeo.samplers.RandomTimestampSampler(dataset, generator=1), 10
    yield gridded @ torchgeo.samplers.SequentialPeriodSampler(dataset, freq="D"), None


@pytest.mark.parametrize("number", range(5 if NEW else 2))
def test_samplers_and_a_loader(dataset, number):
    sampler, count = list(samplers(dataset))[number]
    found = list(DataLoader(dataset, batch_size=4, sampler=sampler, collate_fn=stack_samples))
    assert found
    assert all(batch["mask"].any() for batch in found)
    assert count is None or sum(len(batch["mask"]) for batch in found) == count
    assert found[0]["bounds"].shape == (4, 9)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(dataset, method):
    sampler, _ = list(samplers(dataset))[1]
    queries = list(sampler)
    expected = [dataset[query]["mask"] for query in queries]
    loader = DataLoader(
        dataset, batch_size=4, sampler=sampler, collate_fn=stack_samples, num_workers=1, multiprocessing_context=method
    )
    assert torch.equal(torch.cat([batch["mask"] for batch in loader]), torch.stack(expected))  # noqa: PD013 - of torch
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again[queries[0]]["mask"], expected[0])
    again.close()
    again.close()
    assert torch.equal(again[queries[0]]["mask"], expected[0])


def test_intersections_and_unions_with_a_raster_dataset(world, theirs):
    class Image(Files):
        is_image = True

    images, other = Image(str(world.directory)), world.collection.to_torchgeo_dataset(bands=["b"], split="train")
    classes = world.collection.to_torchgeo_dataset(bands=["a"], split="train", is_image=False)
    if NEW:  # samples of 0.8 have slices, which its own datasets cannot put together with tensors
        both = (images & classes)[box(0, 0, 16, 16)]
        assert both["image"].shape == (1, 16, 16)
        assert torch.equal(both["mask"], theirs[box(0, 0, 16, 16)]["mask"])
    own = (other & classes)[box(0, 0, 16, 16)]
    assert own["image"].shape == (1, 16, 16)
    assert own["bounds"].shape == (18,)
    one = world.collection.where("id = 's0'").to_torchgeo_dataset(bands=["a"])
    two = world.collection.where("id = 's1'").to_torchgeo_dataset(bands=["a"])
    across = (one | two)[box(800, 0, 32, 16)]["image"]
    assert torch.equal(
        across, world.collection.to_torchgeo_dataset(bands=["a"], split="train")[box(800, 0, 32, 16)]["image"]
    )


def test_scenes_of_another_zone(world):
    with pytest.warns(RuntimeWarning, match="another CRS than EPSG:32632 are left out: 1 in EPSG:32633.*target_crs="):
        found = world.collection.to_torchgeo_dataset(bands=["a"])
    assert found.index["rid"].tolist() == ZONE
    moved = world.collection.to_torchgeo_dataset(bands=["a"], target_crs=32633)
    assert len(moved) == 4
    assert moved.crs == "EPSG:32633"
    west, south, east, north = moved.index.geometry.iloc[3].bounds
    assert (west, north, east, south) == (400_000, 5_100_000, 400_960, 5_099_040)
    s3 = moved[west:east:10.0, south:north:10.0]["image"]
    alone = world.collection.where("id = 's3'").to_torchgeo_dataset(bands=["a"])[:]["image"]
    assert torch.equal(s3, alone)
    west, south, east, north = moved.index.geometry.iloc[0].bounds
    turned = moved[west:east:10.0, south:north:10.0]["image"]
    assert 0.7 < (turned > 0).float().mean() < 0.95  # of a square that is turned a little, with holes


def test_bands_of_other_pixels(world):
    with pytest.raises(ValueError, match=r"different pixels .*allow_resample=True"):
        world.collection.to_torchgeo_dataset(bands=["a", "c"], split="train")
    found = world.collection.to_torchgeo_dataset(bands=["a", "c"], split="train", allow_resample=True)
    sample = found[box(0, 0, 16, 16)]["image"]
    assert sample.dtype is torch.float32
    assert torch.equal(
        sample[0],
        world.collection.to_torchgeo_dataset(bands=["a"], split="train")[box(0, 0, 16, 16)]["image"][0].float(),
    )


def test_which_scenes_and_labels(world):
    area = shapely.box(601_500, 5_099_900, 601_600, 5_100_000)
    found = world.collection.to_torchgeo_dataset(bands=["a"], geometries=area, geometries_crs=32632)
    assert found.index["rid"].tolist() == ["s1"]
    found = world.collection.to_torchgeo_dataset(bands=["a"], cloud_cover_lt=30, label_field="share")
    assert found.index["rid"].tolist() == ["s0", "s1"]
    assert found[box(0, 0, 4, 4)]["label"].dtype is torch.float32
    with pytest.raises(ValueError, match="of the split 'trian': its column split has 'test', 'train', 'val'"):
        world.collection.to_torchgeo_dataset(bands=["a"], split="trian")
    with pytest.raises(ValueError, match="label_field='lable' is no column"):
        world.collection.to_torchgeo_dataset(bands=["a"], label_field="lable")
    with pytest.raises(ValueError, match="labels are numbers"):
        world.collection.to_torchgeo_dataset(bands=["a"], label_field="kind")
    with pytest.raises(ValueError, match="none of the 4 scenes"):
        world.collection.to_torchgeo_dataset(bands=["a"], date_range=("2030-01-01", None))


def test_chips_for_which_samplers_give_nothing(world):
    with pytest.warns(RuntimeWarning, match="chips of 200 × 200 pixels are larger than the scenes together.* 96 × 192"):
        world.collection.to_torchgeo_dataset(bands=["a"], split="train", chip_size=200)
    with pytest.warns(RuntimeWarning, match="too large for RandomPatchSampler .*about 67 pixels would do"):
        found = world.collection.to_torchgeo_dataset(bands=["a"], split="train", chip_size=80)
    if NEW:
        assert list(torchgeo.samplers.RandomPatchSampler(found, size=80)) == []
        assert list(torchgeo.samplers.RandomPatchSampler(found, size=67))


def test_a_scene_that_cannot_be_read(tmp_path):
    world = make_world(tmp_path)
    found = world.collection.to_torchgeo_dataset(bands=["a"], split="train")
    world.file("s0").unlink()
    with pytest.raises(ValueError, match=r"cannot be read: .*s0_a\.tif"):
        found[box(0, 0, 16, 16)]
    assert found[box(960, 0, 16, 16)]["image"].any()


def test_south_up_images_are_turned(tmp_path):
    import rasteret_sql

    data = np.arange(1, 40 * 32 + 1, dtype="int16").reshape(40, 32)
    write(tmp_path / "north_20240501.tif", data, (32632, 600_000, 5_100_000))
    write(
        tmp_path / "south_20240501.tif", data[::-1], (32632, 600_000, 5_100_000),
        transform=(10, 0, 600_000, 0, 10, 5_100_000 - 400),
    )  # fmt: skip
    found = []
    for name in ("north", "south"):
        files = rasteret_sql.build_from_files(
            str(tmp_path / f"{name}*.tif"), name=name, workspace_dir=tmp_path / "ws", datetime=r"_(\d{8})"
        )
        found.append(files.to_torchgeo_dataset(bands=files.bands)[box(100, 50, 16, 24)]["image"])
    assert torch.equal(*found)
    assert torch.equal(found[0][0], torch.from_numpy(data[5:29, 10:26].copy()))
