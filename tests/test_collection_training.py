"""Datasets for training, as far as they need no PyTorch: tests/training has the rest, which CI runs where it is."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

import rasteret_sql
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.selection.chip_order import Shares, rounds_in_order, shuffled_rounds, whole_batches
from rasteret_sql.selection.chip_places import Extent, grid_of_chips
from tests.collection_world import make_world


def extent(width, height, tile=(32, 32)):
    return Extent(
        Affine(10, 0, 600_000, 0, -10, 5_100_000), "EPSG:32632", Window(0, 0, width, height), tile, None,
        np.dtype("uint8"), (0,),
    )  # fmt: skip


@pytest.mark.skipif(find_spec("torch") is not None, reason="needs an environment without it")
def test_without_torch_it_says_what_to_install(tmp_path):
    collection, _ = make_world(tmp_path)
    with pytest.raises(ImportError, match=r"to_torch_dataset needs PyTorch: pip install 'rasteret-sql\[torch\]'"):
        collection.to_torch_dataset(None, ["a"], chip_size=8)
    with pytest.raises(ImportError, match=r"needs torch and torchgeo: pip install 'rasteret-sql\[torchgeo\]'"):
        collection.to_torchgeo_dataset(bands=["a"])
    assert "torch" not in sys.modules
    assert callable(rasteret_sql.Collection.to_torch_dataset)


@pytest.mark.parametrize(
    ("stride", "edges", "rows", "cols"),
    [
        (16, "drop", [0, 16, 32], [0, 16]),
        (16, "pad", [0, 16, 32, 48], [0, 16, 32]),
        (10, "drop", [0, 10, 20, 30], [0, 10, 20]),
        (10, "pad", [0, 10, 20, 30, 40], [0, 10, 20, 30]),
        (40, "pad", [0, 40], [0]),
    ],
)
def test_places_of_chips_on_an_image(stride, edges, rows, cols):
    places = grid_of_chips([None, extent(40, 50)], (16, 16), (stride, stride), edges)
    assert places.row.tolist() == [row for row in rows for _ in cols]
    assert places.col.tolist() == cols * len(rows)
    assert set(places.image.tolist()) == {1}
    last = np.array([len(places) - 1])
    assert places.transforms(last)[0].tolist() == [10, 0, 600_000 + 10 * cols[-1], 0, -10, 5_100_000 - 10 * rows[-1]]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("size", "stride"), [(16, 16), (20, 20), (8, 24), (40, 33)])
def test_shares_of_a_shuffled_epoch_have_each_chip_once(count, size, stride):
    places = grid_of_chips(
        [extent(100, 140), None, extent(70, 80), extent(300, 40)], (size, size), (stride,) * 2, "pad"
    )
    parts = []
    for number in range(count):
        random = np.random.default_rng(5)
        parts.append(list(shuffled_rounds(places, 20, 2, Shares(number, count), random)))
    found = np.concatenate([chips for rounds in parts for chips in rounds])
    assert np.array_equal(np.sort(found), np.arange(len(places)))
    assert max(len(chips) for rounds in parts for chips in rounds) <= 40
    assert not np.array_equal(found, np.sort(found))


def test_a_round_has_whole_tiles():
    places = grid_of_chips([extent(128, 128)], (8, 8), (8, 8), "drop")
    rounds = list(shuffled_rounds(places, 32, 1, Shares(), np.random.default_rng(1)))
    assert [len(chips) for chips in rounds] == [32] * 8
    for chips in rounds:
        tiles = list(zip((places.row[chips] // 32).tolist(), (places.col[chips] // 32).tolist(), strict=True))
        assert all(tiles.count(tile) == 16 for tile in tiles)


def test_batches_are_cut_across_rounds():
    rounds = list(rounds_in_order(23, 6, Shares()))
    assert [len(chips) for chips in rounds] == [6, 6, 6, 5]
    batches = list(whole_batches(iter(rounds), 4, drop_last=False))
    assert [len(chips) for chips in batches] == [4, 8, 4, 4, 3]
    assert np.array_equal(np.concatenate(batches), np.arange(23))
    assert [len(chips) for chips in whole_batches(iter(rounds), 4, drop_last=True)] == [4, 8, 4, 4]
    parts = [np.concatenate(list(rounds_in_order(23, 6, Shares(number, 4)))) for number in range(4)]
    assert np.array_equal(np.concatenate(parts), np.arange(23))
