"""Items changed at random: each becomes a scene, or one of our errors."""

from __future__ import annotations

import copy
import json
import random

import pytest

from rasteret_sql.errors import RasteretError
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.item_to_scene import scene_items
from rasteret_sql.stac.search import StacSource
from tests.sampling import some
from tests.stac.stac_items import make_asset, make_item, search_items

JUNK = (None, True, 1, -1.5, 1e400, float("nan"), "", "x", "2024-01-01", [], [None], [[1]], [1, 2], {}, {"a": 1})
NAMINGS = (
    BandNaming(),
    BandNaming({"R": "red", "N": "image"}, strict=False),
    BandNaming(band_index_map={"a": 0}),
)


def paths(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths(value[key], (*path, key))


@pytest.mark.parametrize("seed", some(range(4), 9))
def test_changed_items(write, seed):
    image = make_asset("i.tif", "r", "g", alternate={"s3": {"href": "s3://b/i"}})
    assets = {"red": make_asset("r.tif", "B04"), "image": image}
    links = [{"rel": "self", "href": "https://h/i.json"}]
    item = make_item("s", properties={"proj:code": "EPSG:32632"}, links=links, assets=assets, collection="c")
    places = [path for path in paths(item) if path]
    pick = random.Random(seed)
    for _ in range(250):
        changed = copy.deepcopy(item)
        for path in pick.sample(places, pick.choice([1, 1, 2, 4])):
            parent = changed
            try:
                for key in path[:-1]:
                    parent = parent[key]
                parent[path[-1]] = pick.choice(JUNK)
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took the place away
        address = str(write("item.json", json.dumps(changed)))
        bbox, dates, query = pick.choice([(None, None, None), ((0, 0, 2, 2), "2024", {"eo:cloud_cover": {"lt": 50}})])
        try:
            items = search_items(StacSource(address, None, bbox, dates, query))
            scenes, warnings = scene_items(items, pick.choice(NAMINGS))
        except RasteretError as error:
            assert str(error)
        else:
            assert len(scenes) <= 1
            assert all(isinstance(text, str) for text in warnings)
