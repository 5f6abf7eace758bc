"""Our TIFF reader and rasterio on the same files: equal pixels, masks, transforms and tags."""

import warnings
from functools import cache

import numpy as np
import pytest
import rasterio
import tiff_matrix
from assemble import read_band, read_header
from rasterio.io import MemoryFile

from tests.sampling import some

FILES = 2000
AT_ONCE, GROUPS = 50, 43
ONE_PASS = 4
"""So many groups of files have every pair of properties once; the others have them again and again."""


rows = cache(tiff_matrix.rows)


@pytest.mark.exhaustive
def test_matrix_covers_every_pair_of_properties_in_one_pass():
    every = rows(FILES)
    assert FILES <= len(every) <= GROUPS * AT_ONCE
    covered = set().union(*map(tiff_matrix.pairs_of, every[: ONE_PASS * AT_ONCE]))
    assert covered == tiff_matrix.feasible_pairs()
    values = sum(map(len, tiff_matrix.PROPERTIES.values()))
    assert {item for pair in covered for item in pair} == {
        (name, value) for name, all_values in tiff_matrix.PROPERTIES.items() for value in all_values
    }
    assert len(covered) > 1500, values


@pytest.mark.parametrize("group", some(range(GROUPS), GROUPS))
def test_files_of_the_matrix_read_as_rasterio_reads_them(group):
    every = rows(FILES if group else AT_ONCE)  # the first pass is the same in both
    numbered = list(enumerate(every))[group * AT_ONCE : (group + 1) * AT_ONCE]
    assert numbered
    for number, row in numbered:
        data = tiff_matrix.write(row, number)
        try:
            compare(data, np.random.default_rng(number))
        except Exception as error:
            raise AssertionError(f"file {number}: {row}") from error


def compare(data, rng):
    """Header, whole images, windows at edges and corners, single pixels: of all bands and levels, with masks."""
    header, _ = read_header(data)
    with warnings.catch_warnings(), MemoryFile(data) as file:
        warnings.simplefilter("ignore")
        with file.open() as source:
            compare_tags(header, source)
            overviews = len(source.overviews(1))
            assert len(header.levels) == 1 + overviews
            compare_pixels(data, header, source, 0, rng)
        for level in range(overviews):
            with file.open(overview_level=level) as source:
                compare_pixels(data, header, source, level + 1, rng)


def compare_tags(header, source):
    georeferenced = header.transform is not None
    assert tuple(source.transform)[:6] == (tuple(header.transform) if georeferenced else (1, 0, 0, 0, 1, 0))
    assert (source.crs is None) == (header.crs is None)
    if header.crs is not None:
        assert source.crs == rasterio.crs.CRS.from_user_input(header.crs)
    assert header.count == source.count
    assert header.scales == source.scales
    assert header.offsets == source.offsets
    assert header.descriptions == source.descriptions


def compare_pixels(data, header, source, level, rng):
    height, width = source.height, source.width
    image = header.levels[level]
    assert (image.height, image.width) == (height, width)
    pixels, masks = source.read(), source.read_masks()
    # GDAL 3.10 has no half floats: it gives them as float32.
    assert header.levels[0].dtype.name == source.dtypes[0] or (image.bits, source.dtypes[0]) == (16, "float32")
    alpha = pixels[header.alpha] != 0 if header.alpha_counts else None
    for sample in range(header.count):
        band = header.band(sample)
        expected = masks[sample] != 0
        if alpha is not None and band.validity.mask is None and sample != header.alpha:
            # rasterio gives alpha alone or, where there is nodata, that alone; here both must be valid.
            expected = expected & alpha
        whole, valid = read_band(data, band, level, (0, 0, width, height))
        np.testing.assert_array_equal(whole, pixels[sample])
        np.testing.assert_array_equal(valid, expected)
        for window in windows(width, height, rng):
            part, part_valid = read_band(data, band, level, window)
            rio_window = rasterio.windows.Window(*window)
            np.testing.assert_array_equal(part, source.read(sample + 1, window=rio_window))
            col, row, w, h = window
            np.testing.assert_array_equal(part_valid, expected[row : row + h, col : col + w])


def windows(width, height, rng):
    """Corners, edges, single pixels and one window anywhere; (col, row, width, height)."""
    half_w, half_h = max(1, width // 2), max(1, height // 2)
    yield (0, 0, min(3, width), min(3, height))
    yield (width - min(7, width), height - min(5, height), min(7, width), min(5, height))
    yield (width - 1, 0, 1, height)
    yield (0, height - 1, width, 1)
    yield (width - 1, height - 1, 1, 1)
    col, row = int(rng.integers(width)), int(rng.integers(height))
    yield (col, row, 1, 1)
    yield (min(col, width - half_w), min(row, height - half_h), half_w, half_h)
