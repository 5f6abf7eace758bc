"""Headers of many files of this machine, which are read some at a time."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from rasteret_sql.errors import CorruptTiffError, MissingObjectError, RasteretError
from rasteret_sql.index.read.file_headers import read_headers
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import RoutedBackend
from rasteret_sql.receipt import Receipt, carrying

COUNT = 150


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for number in range(COUNT):
        with rasterio.open(
            folder / f"{number:03}.tif", "w", driver="GTiff", width=20 + number % 3, height=10, count=1, dtype="uint8",
            crs="EPSG:32633", transform=from_origin(number, 10, 1, 1),
        ) as file:  # fmt: skip
            file.write(np.full((10, 20 + number % 3), number, "uint8"), 1)
    return [f"{folder}/{number:03}.tif" for number in range(COUNT)]


def test_each_file_has_its_own_header_with_one_request(files):
    receipt = Receipt()
    with carrying(receipt):
        found = run(read_headers(files, RoutedBackend(), 50))
    assert [found[file].header.transform.c for file in files] == list(range(COUNT))
    assert [found[file].header.levels[0].width for file in files] == [20 + number % 3 for number in range(COUNT)]
    assert receipt.requests == COUNT
    assert all(one.facts.size and one.facts.modified for one in found.values())


def test_those_that_cannot_be_read_are_told_of_one_by_one(files, tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "folder.tif").mkdir()
    bad = [f"{tmp_path}/{name}.tif" for name in ("empty", "text", "folder", "absent")]
    told = {}
    found = run(read_headers([*files[:70], *bad, *files[70:]], RoutedBackend(), 50, told.__setitem__))
    assert told == found
    assert [type(found[file]) for file in (bad[0], bad[1], bad[3])] == [
        CorruptTiffError, CorruptTiffError, MissingObjectError,
    ]  # fmt: skip
    assert isinstance(found[bad[2]], RasteretError)
    for file in bad:
        assert file in str(found[file])
    assert [found[file].header.transform.c for file in files] == list(range(COUNT))


def test_a_backend_with_its_own_way_to_read_is_asked(files):
    asked = []

    class Counting(RoutedBackend):
        async def get_part(self, url, start, length):
            asked.append(url)
            return await super().get_part(url, start, length)

    assert len(run(read_headers(files, Counting(), 50))) == COUNT
    assert sorted(asked) == files
