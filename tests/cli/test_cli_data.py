"""The example data that ships: whole, told of, and of use where it is put."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest
import rasterio

from rasteret_sql.cli.demo import CATALOG, example_data_dir

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


def test_it_is_found():
    assert example_data_dir() == DATA
    assert (DATA / CATALOG).is_file()


def test_every_file_has_its_source_and_licence():
    with (DATA / "PROVENANCE.csv").open(newline="") as table:
        rows = {row["path"]: row for row in csv.DictReader(table)}
    files = {p.relative_to(DATA).as_posix(): p.stat().st_size for p in DATA.rglob("*") if p.is_file()}
    for known in ("PROVENANCE.csv", "README.md"):
        files.pop(known)
    assert files == {path: int(row["bytes"]) for path, row in rows.items()}
    assert all(row["source"] and row["license"] and row["how"] for row in rows.values())
    assert sum(files.values()) < 9_000_000


def test_links_and_hrefs_lead_somewhere():
    hrefs = []
    for path in DATA.rglob("*.json"):
        document = json.loads(path.read_text())
        links = [link["href"] for link in document.get("links", [])]
        assets = [asset["href"] for asset in document.get("assets", {}).values()]
        for href in links + assets:
            assert not href.startswith("/")
            assert (path.parent / href).is_file(), (path, href)
        hrefs += [(path.parent / href).resolve() for href in assets]
    table = pyarrow.parquet.read_table(DATA / "aef" / "aef_index.parquet", columns=["path"])
    hrefs += [(DATA / "aef" / path).resolve() for path in table.column("path").to_pylist()]
    assert len(hrefs) == len(set(hrefs))
    assert set(hrefs) == {p.resolve() for p in DATA.rglob("*.tif")}


@pytest.mark.parametrize(
    ("collection", "scenes"),
    [("landsat8-ny-2018", 19), ("sentinel2-eopatch-slovenia", 68), ("sentinel-s2-l2a-cogs", 1), ("naip", 6)],
)
def test_collections_have_their_scenes(collection, scenes):
    items = list((DATA / "catalog" / collection).glob("*/*.json"))
    assert len(items) == scenes
    for path in items[:3]:
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            with rasterio.open(path.parent / asset["href"]) as image:
                assert list(image.shape) == asset.get(
                    "proj:shape", item["properties"].get("proj:shape", list(image.shape))
                )
