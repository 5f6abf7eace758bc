"""Assets called otherwise from item to item: patterns of band_map, a warning without them, exports in proportion."""

import json
import warnings
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import rasterio
from index_catalog import TIFFS, item, write_catalog

import rasteret_sql
from rasteret_sql import schema
from rasteret_sql.cli.main import main
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.collection_index import open_collection
from tests.sampling import some

CATALOG = Path(__file__).parents[2] / "examples/data/catalog/catalog.json"


def own_keys(tmp_path, count=3):
    """Items whose asset keys have the item's name in them."""
    items = [
        item(
            f"s{n}", "2024-01-10T10:30:00Z", {f"T_{n}_B04": f"./s{n % 3}_B04.tif", f"T_{n}_B08": f"./s{n % 3}_B08.tif"}
        )
        for n in range(count)
    ]
    return write_catalog(tmp_path / "catalog", items)


def build(catalog, tmp_path, **given):
    return rasteret_sql.build_from_stac(
        name="own", stac_api=catalog, workspace_dir=tmp_path / "ws", force=True, **given
    )


def files(built, band):
    """Scene → file name of a band."""
    rows = built.to_table(["id", "assets"]).to_pylist()
    return {row["id"]: row["assets"][band] and Path(row["assets"][band]["href"]).name for row in rows}


SAMPLES = {"red": 0, "nir": 0}


@pytest.mark.parametrize("pattern", ["T_*_B04", "*_B0[4]", "?_?_B04", "s?_B04.tif"])
def test_a_pattern_names_the_band_of_each_item(tmp_path, pattern):
    built = build(own_keys(tmp_path), tmp_path, band_map={"red": pattern, "nir": "*B08"}, band_index_map=SAMPLES)
    assert built.bands == ["red", "nir"]
    assert files(built, "red") == {f"s{n}": f"s{n}_B04.tif" for n in range(3)}


def test_from_sql_and_from_the_command_line(tmp_path):
    catalog = own_keys(tmp_path)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute(
            "FROM rasteret_build_from_stac('own', ?, band_map := {'red': '*_B04'}, band_index_map := {'red': 0})",
            [str(catalog)],
        ).fetchall()
        assert con.execute("SELECT count(*) FROM rasteret.own WHERE assets.red.href LIKE '%_B04.tif'").fetchone() == (
            3,
        )
    call = ["collections", "build", "cli", "--stac-api", str(catalog), "-w", str(tmp_path / "ws"), "--no-progress"]
    assert main([*call, "--band-map", '{"red": "*_B04"}', "--band-index-map", '{"red": 0}']) == 0
    assert len(rasteret_sql.load("cli", workspace_dir=tmp_path / "ws")) == 3


def test_exact_keys_win(tmp_path):
    files_of = {"B04": "./s0_B04.tif", "B04_hi": "./s1_B04.tif", "B*": "./s2_B04.tif"}
    catalog = write_catalog(tmp_path / "catalog", [item("s", "2024-01-10T10:30:00Z", files_of)])
    bands = {"plain": "B04", "star": "B*", "high": "*_hi"}
    built = build(catalog, tmp_path, band_map=bands, band_index_map=dict.fromkeys(bands, 0))
    assert [files(built, band)["s"] for band in bands] == ["s0_B04.tif", "s2_B04.tif", "s1_B04.tif"]


def test_a_pattern_that_fits_several_assets_is_an_error_that_names_them(tmp_path):
    with pytest.raises(
        InvalidArgumentError, match=r'pattern "T_\*" of band "red" fits several assets of item "s0": T_0_B04, T'
    ):
        build(own_keys(tmp_path), tmp_path, band_map={"red": "T_*"})
    with pytest.raises(InvalidArgumentError, match=r'no item has the asset "\*_B99" of band "red"'):
        build(own_keys(tmp_path), tmp_path, band_map={"red": "*_B99"})


def test_keys_that_differ_from_item_to_item_are_warned_of(tmp_path):
    with pytest.warns(
        RuntimeWarning, match=r"60 items with at most 2 bands each have 120 bands together.*band_map := "
    ):
        build(own_keys(tmp_path, 60), tmp_path)


@pytest.mark.exhaustive
def test_an_export_of_many_bands_has_every_header(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        built = build(own_keys(tmp_path, 60), tmp_path)
    built.export(tmp_path / "export")
    exported = open_collection(tmp_path / "export")
    rows = [row for file in exported.files for row in pq.read_table(file, partitioning=None).to_pylist()]
    assert len(rows) == 60
    for row in rows:
        n = int(row["id"][1:])
        has = {name for name in built.bands if row["assets"][name] is not None}
        assert {name for name in exported.bands if row[f"{name}_header"] is not None} == has
        with rasterio.open(TIFFS / f"s{n % 3}_B04.tif") as file:
            (band,) = [name for name in has if name.startswith(f"T_{n}_B04")][:1]
            assert row[f"{band}_metadata"]["image_width"] == file.width
            assert row[f"{band}_metadata"]["dtype"] == file.dtypes[0]


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A collection of 270 bands, with 30, 80 and 25 items in three months, and its export."""
    folder = tmp_path_factory.mktemp("wide")
    items = [
        item(
            f"s{n}",
            f"2024-{1 + (n >= 30) + (n >= 110):02d}-10T10:30:00Z",
            {f"T_{n}_{b}": f"./s{n % 3}_{b}.tif" for b in ("B04", "B08")},
        )
        for n in range(135)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        built = build(write_catalog(folder / "catalog", items), folder)
    built.export(folder / "export")
    return built, folder / "export"


@pytest.mark.exhaustive
def test_an_export_of_very_many_bands_has_all_in_its_first_file(wide):
    """Arrow, and rasteret by it, take the columns of a dataset from its first file."""
    built, folder = wide
    assert len(built.bands) == 270 > schema.WIDE_BANDS
    seen = ds.dataset(folder, format="parquet", partitioning="hive")
    bands = [name.removesuffix("_metadata") for name in seen.schema.names if name.endswith("_metadata")]
    assert bands == built.bands
    columns = [len([name for name in pq.read_schema(file).names if name.endswith("_header")]) for file in seen.files]
    assert columns == [270, 128, 32, 50]  # a file holds 64 scenes at most, and what these have
    assets = [len(pq.read_schema(file).field("assets").type) for file in seen.files]
    assert assets == columns
    rows = seen.to_table(["id", *(f"{band}_metadata" for band in built.bands)]).to_pylist()
    assert len(rows) == 135
    for row in rows:
        own = {f"T_{row['id'][1:]}_B04_metadata", f"T_{row['id'][1:]}_B08_metadata"}
        assert {name for name, value in row.items() if name != "id" and value is not None} == own


@pytest.mark.exhaustive
def test_an_export_of_very_many_bands_gives_its_pixels(wide, tmp_path):
    built, folder = wide
    loaded = rasteret_sql.load(folder, name="loaded", workspace_dir=tmp_path)
    assert loaded.bands == built.bands
    with rasteret_sql.connect(workspace_dir=tmp_path) as con:
        con.execute("FROM rasteret_load(?, name := 'again')", [str(folder)]).fetchall()
        for n in (0, 1, 2, 133, 134):
            with rasterio.open(TIFFS / f"s{n % 3}_B08.tif") as file:
                chip = f"read_chip('s{n}', 'T_{n}_B08', collection := 'again')"
                assert con.execute(f"SELECT {chip}.data").fetchone() == (file.read(1).tobytes(),)


@pytest.mark.exhaustive
@pytest.mark.parametrize("again", some([False, True], 2))
def test_the_first_file_that_is_left_of_an_export_has_all_bands(wide, tmp_path, again):
    """Also where no scene of the first month is wanted, and where an export is exported."""
    built, folder = wide
    source = rasteret_sql.load(folder, name="once", workspace_dir=tmp_path) if again else built
    source.subset(date_range=("2024-02-01", "2024-03-31")).export(tmp_path / "export")
    seen = ds.dataset(tmp_path / "export", format="parquet", partitioning="hive")
    assert {name.removesuffix("_header") for name in seen.schema.names if name.endswith("_header")} == set(built.bands)
    assert seen.count_rows() == 105
    assert seen.count_rows(ds.field("T_40_B04_header").is_valid()) == 1


@pytest.mark.exhaustive
def test_the_bundled_catalog_builds_as_one_collection(tmp_path):
    ids, red = set(), {}
    for file in CATALOG.parent.rglob("*.json"):
        said = json.loads(file.read_text())
        if said.get("type") == "Feature":
            ids.add(said["id"])
            names = [key for key in said["assets"] if key.lower() == "red"]
            names += [
                b["name"] for a in said["assets"].values() for b in a.get("eo:bands", []) if b["name"].lower() == "red"
            ]
            red[said["id"]] = bool(names)
    built = build(CATALOG, tmp_path)
    assert set(built.to_table(["id"])["id"].to_pylist()) == ids
    assert len({band.lower() for band in built.bands}) == len(built.bands)
    (name,) = [band for band in built.bands if band.lower() == "red"]
    found = {scene: file is not None for scene, file in files(built, name).items()}
    assert {scene for scene, has in found.items() if has} >= {scene for scene, has in red.items() if has}
    assert any(found.values())
