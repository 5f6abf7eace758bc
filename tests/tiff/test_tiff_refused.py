"""What is refused is refused by name, and docs/tiff.md lists exactly what rasterio reads of it."""

import re
from pathlib import Path

import pytest
from craft import header_of, pixels_of
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from refused import KINDS

from rasteret_sql.errors import TiffError

DOCS = Path(__file__).parents[2] / "docs" / "tiff.md"

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("kind", KINDS)
def test_refusal_names_file_and_feature(kind):
    make, _, part = KINDS[kind]
    with pytest.raises(TiffError) as caught:
        pixels_of(make(), header_of(make(), address="s3://bucket/scene.tif").levels[0], address="s3://bucket/scene.tif")
    assert str(caught.value).startswith("s3://bucket/scene.tif: ")
    assert part in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_whether_rasterio_reads_it(kind):
    make, reads, _ = KINDS[kind]
    try:
        with MemoryFile(make()) as file, file.open() as source:
            source.read()
    except RasterioError:
        assert not reads
    else:
        assert reads


@pytest.mark.parametrize(("heading", "reads"), [("rasterio reads and we refuse", True), ("Neither reads", False)])
def test_docs_list_exactly_these_kinds(heading, reads):
    section = DOCS.read_text().split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)[1:]
    assert listed == [kind for kind, (_, read, _) in KINDS.items() if read is reads]
