"""Tile tables come back exactly, whatever they hold, and take about what they inform."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rasteret_sql import schema
from rasteret_sql.index.change.bounded_writer import BoundedWriter
from rasteret_sql.index.format.tile_tables import PackedTables, pack_tables, unpack_tables
from tests.sampling import examples, some

words = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 300), st.sampled_from([0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
)


def both(offsets, counts) -> tuple[np.ndarray, np.ndarray]:
    return np.array(offsets, np.uint64), np.array(counts, np.uint64)


def check(offsets, counts) -> PackedTables:
    offsets, counts = both(offsets, counts)
    before = offsets.copy(), counts.copy()
    packed = pack_tables(offsets, counts)
    one, other = unpack_tables(packed.head, packed.tables, len(offsets))
    assert one.dtype == other.dtype == np.uint64
    np.testing.assert_array_equal(one, before[0])
    np.testing.assert_array_equal(other, before[1])
    np.testing.assert_array_equal(offsets, before[0])  # packing changes nothing
    return packed


@settings(max_examples=examples(300))
@given(st.lists(st.tuples(words, words), max_size=60))
@example([])
@example([(0, 0)])
@example([(2**64 - 1, 2**64 - 1)] * 3)
@example([(0, 2**63), (2**63, 2**63), (0, 1)])
def test_any_tables(entries):
    check([entry[0] for entry in entries], [entry[1] for entry in entries])


def world(number: int, seed: int, *, step: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Tiles as a COG writer lays them: log-normal, median 1.2 MB, σ 0.5, a few bytes between."""
    random = np.random.default_rng(seed)
    counts = np.exp(random.normal(np.log(1.2e6), 0.5, number)).astype(np.uint64) + np.uint64(1)
    return np.uint64(3000) + np.cumsum(counts + np.uint64(step)) - counts, counts


def shuffled(offsets: np.ndarray, counts: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same tiles, numbered in another order than they lie in."""
    order = np.random.default_rng(seed).permutation(len(offsets))
    return offsets[order], counts[order]


@settings(max_examples=examples(60))
@given(
    st.integers(0, 2100),
    st.integers(0, 2**32),
    st.sampled_from(["file", "backwards", "shuffled", "rows swapped", "sparse", "strange"]),
    st.integers(0, 5),
)
def test_tables_as_files_have_them(number, seed, order, odd):
    offsets, counts = world(number, seed)
    random = np.random.default_rng(seed)
    if order == "backwards":
        offsets, counts = offsets[::-1], counts[::-1]
    elif order == "shuffled":
        offsets, counts = shuffled(offsets, counts, seed)
    elif order == "rows swapped":
        at = np.arange(number) ^ 1
        at = at[at < number]
        offsets, counts = offsets[at], counts[at]
    elif order == "sparse":
        gone = random.random(number) < 0.3
        offsets, counts = np.where(gone, 0, offsets), np.where(gone, 0, counts)
    elif order == "strange" and number:
        for _ in range(odd):
            offsets[random.integers(number)] = random.integers(0, 2**63)
            counts[random.integers(number)] = 0
    check(offsets, counts)


@pytest.mark.parametrize("number", [1, 2, 3, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("order", ["file", "shuffled", "equal", "zero"])
def test_sizes_at_which_the_form_changes(number, order):
    offsets, counts = world(number, 1)
    if order == "shuffled":
        offsets, counts = shuffled(offsets, counts, 2)
    elif order == "equal":
        offsets, counts = np.full(number, 77), np.full(number, 5)
    elif order == "zero":
        offsets, counts = np.zeros(number), np.zeros(number)
    packed = check(offsets, counts)
    if order in ("equal", "zero"):
        assert len(packed.tables) + len(packed.head) <= number + 30


@pytest.mark.parametrize(("order", "most"), some([("file", 2.8), ("shuffled", 3.5)], 2))
def test_an_entry_takes_three_and_a_half_bytes_on_disk(order, most, tmp_path):
    """Issue 3, size: 10 980 × 10 980 pixels in 1024-pixel tiles; plain 64-bit pairs take 16."""
    tiles, scenes = 121, 3000
    packed = []
    for seed in range(scenes):
        offsets, counts = world(tiles, seed)
        packed.append(pack_tables(*(shuffled(offsets, counts, seed) if order == "shuffled" else (offsets, counts))))
    fields = schema.PACKED_FIELDS[1], schema.PACKED_FIELDS[2]
    values = pa.StructArray.from_arrays(
        [pa.array([one.head for one in packed]), pa.array([one.tables for one in packed])], names=list(fields)
    )
    table = pa.table({schema.header_column("B04"): values})
    with BoundedWriter(tmp_path / "x.parquet", table.schema) as writer:
        writer.write_table(table, 512)
    columns = pq.read_metadata(tmp_path / "x.parquet")
    size = sum(
        columns.row_group(group).column(leaf).total_compressed_size
        for group in range(columns.num_row_groups)
        for leaf in range(2)
    )
    assert size / (tiles * scenes) <= most


def test_tiles_of_one_size_take_almost_nothing():
    counts = np.full(121, 2 * 1024 * 1024)
    packed = check(16 + np.arange(121) * (2 * 1024 * 1024), counts)
    assert len(packed.head) < 140


@settings(max_examples=examples(300))
@given(st.data())
def test_damage_is_an_error_or_other_numbers_but_nothing_worse(data):
    number = data.draw(st.sampled_from([0, 1, 2, 12, 40]))
    offsets, counts = world(number, 3)
    if data.draw(st.booleans()):
        offsets, counts = shuffled(offsets, counts, 4)
    packed = pack_tables(offsets, counts)
    head, tables = bytearray(packed.head), bytearray(packed.tables)
    for part in (head, tables):
        for _ in range(data.draw(st.integers(0, 3))):
            if part:
                part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
        del part[data.draw(st.integers(0, len(part))) if data.draw(st.booleans()) else len(part) :]
    try:
        one, other = unpack_tables(bytes(head), bytes(tables), number)
    except (ValueError, IndexError, OverflowError):
        return
    assert len(one) == len(other) == number
