"""`get_numpy` as the reference prints it: every argument is there, and does something."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import rasteret_sql as rasteret
from rasteret_sql import CloudConfig, Collection
from tests.collection_world import make_world
from tests.promises.conftest import area
from tests.sampling import some

S2 = "earthsearch/sentinel-2-l2a"


@pytest.fixture
def bay(site, home):
    built = rasteret.build_from_stac(
        name="bay", stac_api=site.url, collection="sentinel-2-l2a", bbox=(-122.5, 37.5, -122, 38),
        date_range=("2024-01-01", "2024-02-01"), workspace_dir=home,
    )  # fmt: skip
    built._session.engine.cache.clear()
    site.files.reset()
    return built


def elsewhere(site):
    """Where the files of the server lie, as a config says it."""
    return {"provider": "aws", "url_patterns": {f"{site.files.url}/": site.files.directory.as_uri() + "/"}}


def test_b25_the_printed_signature():
    printed = {
        "geometries": inspect.Parameter.empty, "bands": inspect.Parameter.empty, "max_concurrent": 50, "progress": None,
        "cloud_config": None, "data_source": None, "backend": None, "target_crs": None, "geometry_crs": "auto",
        "geometry_column": None, "all_touched": False,
    }  # fmt: skip
    parameters = inspect.signature(Collection.get_numpy).parameters
    assert {name: parameters[name].default for name in printed} == printed
    assert [name for name in parameters if name not in ("self", "filters")][: len(printed)] == list(printed)
    assert parameters["filters"].kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("form", [dict, lambda config: CloudConfig(**config)])
def test_b22_b28_a_cloud_config_of_the_call_reaches_the_files(site, bay, form):
    wanted = [site.value("sf-jan", "red")]
    pixels = bay.get_numpy(area("sf-jan"), ["red"], cloud_config=form(elsewhere(site)))
    assert np.unique(pixels).tolist() == wanted
    assert site.files.counts()["requests"] == 0
    # Of that call alone.
    bay._session.engine.cache.clear()
    assert np.unique(bay.get_numpy(area("sf-jan"), ["red"])).tolist() == wanted
    assert site.files.counts()["requests"] > 0


def test_b28_a_data_source_of_the_call_has_its_config_and_its_names_of_bands(site, bay):
    CloudConfig.register("acme/moved", CloudConfig(**elsewhere(site)))
    assert bay.get_numpy(area("sf-jan"), ["red"], data_source="acme/moved").any()
    assert site.files.counts()["requests"] == 0
    both = bay.get_numpy(area("sf-jan"), ["B04", "blue"], data_source=S2)
    assert [np.unique(band).tolist() for band in both[0]] == [[site.value("sf-jan", n)] for n in ("red", "blue")]
    with pytest.raises(ValueError, match='no band "B04"'):
        bay.get_numpy(area("sf-jan"), ["B04"])
    with pytest.raises(ValueError, match='no band "B99"'):
        bay.get_numpy(area("sf-jan"), ["B99"], data_source=S2)


def test_b24_b25_a_backend_wins_over_a_config(site, bay):
    class Own:
        async def get_range(self, url, start, length):
            return (site.files.directory / url.rpartition("/")[2]).read_bytes()[start : start + length]

        async def get_ranges(self, url, ranges):
            return [await self.get_range(url, *one) for one in ranges]

    wrong = {"provider": "aws", "url_patterns": {f"{site.files.url}/": "/nowhere/"}}
    assert bay.get_numpy(area("sf-jan"), ["red"], backend=Own(), cloud_config=wrong).any()
    bay._session.engine.cache.clear()
    with pytest.raises(ValueError, match="could not be read"):
        bay.get_numpy(area("sf-jan"), ["red"], cloud_config=wrong)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    some(
        [
            ({"cloud_config": {"provider": "aws", "regio": "x"}}, ValueError, 'no field "regio"'),
            ({"cloud_config": "aws"}, ValueError, "cloud_config has to be an object"),
            ({"data_source": 7}, TypeError, "data_source is the id of a dataset"),
            ({"target_crs": 99}, ValueError, "CRS"),
            ({"target_crs": "nowhere"}, ValueError, "nowhere"),
        ],
        9,
    ),
)
def test_arguments_that_cannot_be_used(site, bay, given, error, says):
    with pytest.raises(error, match=says):
        bay.get_numpy(area("sf-jan"), ["red"], **given)
    assert site.files.counts()["requests"] == 0


def test_target_crs_is_that_of_the_scenes_or_all_are_put_into_it(tmp_path):
    """Scenes in it are read as they are."""
    collection, scenes = make_world(tmp_path)
    box = scenes[0].bounds
    plain = collection.get_numpy(box, ["a"])
    assert np.array_equal(collection.get_numpy(box, ["a"], target_crs=32632), plain)
    assert np.array_equal(collection.get_numpy(box, ["a"], target_crs="EPSG:32632"), plain)
    pixels, info = collection.get_numpy(box, ["a"], target_crs=32633, return_info=True)
    assert info["crs"].to_pylist() == ["EPSG:32633"]
    assert pixels.dtype == plain.dtype
    assert set(np.unique(pixels[0])) <= {0, *range(1, 257)}
