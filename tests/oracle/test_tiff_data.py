"""Every real file at hand reads as rasterio reads it."""

import os
from pathlib import Path

import numpy as np
import pytest
from assemble import read_header
from test_tiff_matrix import compare

from tests.sampling import some

ROOTS = [Path(__file__).parents[2] / "examples" / "data"]
if shared := os.environ.get("RASTERET_SHARED_DATA"):
    ROOTS.append(Path(shared))
FILES = sorted(path for root in ROOTS for path in root.rglob("*") if path.suffix.lower() in (".tif", ".tiff"))


@pytest.mark.parametrize("root", ROOTS, ids=str)
def test_there_are_real_files(root):
    assert any(path.is_relative_to(root) for path in FILES)


@pytest.mark.parametrize("group", some(range(8), 4))
def test_real_files_read_as_rasterio_reads_them(group):
    files = FILES[group::8]
    assert files
    for path in files:
        data = path.read_bytes()
        try:
            compare(data, np.random.default_rng(0))
        except Exception as error:
            raise AssertionError(f"{path}") from error


def test_headers_of_real_files_take_one_read():
    reads = {path: read_header(path.read_bytes())[1] for path in FILES}
    assert {path for path, count in reads.items() if count > 1} == set()
