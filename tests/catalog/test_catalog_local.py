"""Registering datasets and keeping local ones: the promises D1 to D41 of the registration guide, except D34 and D42.

The numbers in the names of tests are those of the promises.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import rasteret_sql
from rasteret_sql import DatasetDescriptor, DatasetRegistry, catalog
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import fields
from rasteret_sql.errors import IndexFormatError, InvalidArgumentError, StorageError, UnknownDatasetError
from rasteret_sql.io.routed_backend import default_backend
from tests.cli.processes import environment

ROOT = Path(__file__).resolve().parents[2]
STAC = str(ROOT / "examples" / "data" / "catalog" / "catalog.json")
HERE = (-87.8998, 42.9466, -87.8994, 42.9470)
"""Lies in one scene of the bundled NAIP collection, whose four bands share the asset `image`."""
BANDS = {"R": 0, "G": 1, "B": 2, "NIR": 3}
FIELDS = {
    "id": "acme/field-survey-2024",
    "name": "ACME Field Survey 2024",
    "description": "High-res drone imagery, 10cm, agricultural fields",
    "stac_api": STAC,
    "stac_collection": "naip",
    "band_map": dict.fromkeys(BANDS, "image"),
    "band_index_map": BANDS,
    "separate_files": False,
    "spatial_coverage": "regional",
    "temporal_range": ("2024-01-01", "present"),
    "license": "proprietary",
}


@pytest.fixture(scope="module")
def naip(tmp_path_factory):
    """A collection on this machine."""
    return rasteret_sql.build_from_stac(
        name="naip",
        stac_api=STAC,
        collection="naip",
        data_source="earthsearch/naip",
        band_map=dict.fromkeys(BANDS, "image"),
        band_index_map=BANDS,
        workspace_dir=tmp_path_factory.mktemp("workspace"),
    )


@pytest.fixture(scope="module")
def exported(naip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "naip"
    naip.export(folder)
    return folder


def in_new_process(home: Path, text: str, *arguments: object) -> str:
    """What a program prints that runs with another home."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(home),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# Descriptors and the registry of the process


def test_d1_d2_d3_d27_d28_a_registered_dataset_is_built_by_its_id_with_its_own_band_codes(tmp_path):
    assert rasteret_sql.register(DatasetDescriptor(**FIELDS)) is None
    built = rasteret_sql.build("acme/field-survey-2024", name="field-001", workspace_dir=tmp_path)
    assert (built.name, sorted(built.bands), len(built)) == ("field-001", sorted(BANDS), 6)
    # 0-based samples of one file: near infrared is the fourth, and no other
    pixels = {band: built.get_numpy(HERE, [band]) for band in BANDS}
    assert len({array.tobytes() for array in pixels.values()}) == 4
    together = built.get_numpy(HERE, ["R", "NIR"])
    assert np.array_equal(np.squeeze(together)[1], np.squeeze(pixels["NIR"]))


def test_d4_d6_d9_d10_d13_d31_fields_are_kept_as_given():
    given = FIELDS | {
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
        "commercial_use": False,
        "example_bbox": (11.3, 48.1, 11.5, 48.3),
        "example_date_range": ("2024-06-01", "2024-06-30"),
    }
    rasteret_sql.register(DatasetDescriptor(**given))
    kept = DatasetRegistry.get(given["id"])
    assert {name: getattr(kept, name) for name in given} == given


def test_d5_an_id_and_access_fields_are_enough():
    rasteret_sql.register(DatasetDescriptor(id="my-org/sentinel-3", stac_api="https://x", stac_collection="olci"))
    assert DatasetRegistry.get("my-org/sentinel-3").name == ""


def test_d7_d8_d33_fields_of_a_table():
    edges = {"minx": "wgs84_west", "miny": "wgs84_south", "maxx": "wgs84_east", "maxy": "wgs84_north"}
    descriptor = DatasetDescriptor(
        id="my-org/aef-custom",
        geoparquet_uri="s3://us-west-2.opendata.source.coop/tge-labs/aef/v1/annual/aef_index.parquet",
        column_map={"fid": "id", "geom": "geometry", "year": "datetime"},
        href_column="path",
        band_index_map={f"A{i:02d}": i for i in range(64)},
        bbox_columns=edges,
        separate_files=False,
    )
    rasteret_sql.register(descriptor)
    assert (descriptor.build_source_uri, descriptor.bbox_columns) == (descriptor.geoparquet_uri, edges)
    assert list(descriptor.band_index_map.values()) == list(range(64))


def test_d11_d12_d35_a_plain_dict_of_cloud_config_takes_effect():
    patterns = {"https://cdn.example.com/": "s3://my-bucket/", "s3://other/": "https://other.example.com/"}
    config = {"provider": "aws", "requester_pays": True, "region": "eu-west-1", "url_patterns": patterns}
    rasteret_sql.register(
        DatasetDescriptor(
            id="my-org/private", requires_auth=True, s3_credentials_url="https://x/k", cloud_config=config
        )
    )
    assert CloudConfig.get_config("my-org/private") == CloudConfig(**config)
    assert DatasetRegistry.get("my-org/private").cloud_config == config


class Counting:
    """A backend of one's own."""

    def __init__(self) -> None:
        self.inner = default_backend()
        self.requests = 0

    async def get_range(self, url: str, start: int, length: int):
        self.requests += 1
        return await self.inner.get_range(url, start, length)

    async def get_ranges(self, url: str, ranges: list[tuple[int, int]]):
        self.requests += len(ranges)
        return await self.inner.get_ranges(url, ranges)


def test_d29_d30_requires_auth_blocks_no_build_and_a_backend_serves_it(tmp_path):
    rasteret_sql.register(DatasetDescriptor(**FIELDS, requires_auth=True))
    backend = Counting()
    built = rasteret_sql.build(FIELDS["id"], name="private", workspace_dir=tmp_path / "a", backend=backend)
    assert len(built) == 6
    assert backend.requests >= 6
    assert len(rasteret_sql.build(FIELDS["id"], name="private", workspace_dir=tmp_path / "b")) == 6


def test_d21_d22_d23_d24_d25_list_search_get_and_unregister():
    rasteret_sql.register(DatasetDescriptor(**FIELDS))
    assert (FIELDS["id"], FIELDS["name"]) in [(one.id, one.name) for one in DatasetRegistry.list()]
    assert DatasetRegistry.search("SENTINEL") == DatasetRegistry.search("sentinel") != []
    assert [one.id for one in DatasetRegistry.search("drone")] == [FIELDS["id"]]
    assert list(DatasetRegistry.get(FIELDS["id"]).band_map.keys()) == list(BANDS)
    assert not DatasetRegistry.get("my-org/unknown")
    DatasetRegistry.unregister(FIELDS["id"])
    assert DatasetRegistry.get(FIELDS["id"]) is None


def test_d32_d39_d40_built_in_datasets():
    assert DatasetRegistry.get("aef/v1-annual").band_index_map["A63"] == 63
    on_aws, on_azure = (DatasetRegistry.get(f"{provider}/sentinel-2-l2a") for provider in ("earthsearch", "pc"))
    assert (on_aws.band_map["B04"], on_azure.band_map["B04"]) == ("red", "B04")
    codes = {"B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL"}
    assert codes <= set(on_aws.band_map)
    assert {"B1", "B2", "B3", "B4", "B5", "B6", "B7", "qa_pixel"} <= set(
        DatasetRegistry.get("earthsearch/landsat-c2-l2").band_map
    )


def test_a_dataset_without_access_says_so():
    rasteret_sql.register(DatasetDescriptor(id="my-org/empty"))
    with pytest.raises(ValueError, match='"my-org/empty" names no stac_api, table or collection'):
        rasteret_sql.build("my-org/empty", name="x")


# Collections on this machine


def test_d14_d15_d16_d20_register_local_gives_the_descriptor_of_an_export(exported):
    descriptor = rasteret_sql.register_local(
        dataset_id="local/my-collection", path=exported, description="My analysis-ready collection"
    )
    assert isinstance(descriptor, DatasetDescriptor)
    assert Path(descriptor.collection_uri) == exported
    assert (descriptor.name, descriptor.description) == ("naip", "My analysis-ready collection")
    assert descriptor.band_map == dict.fromkeys(BANDS, "image")
    assert (descriptor.band_index_map, descriptor.separate_files) == (BANDS, False)
    assert descriptor.temporal_range == ("2011-08-15", "2022-07-16")
    assert DatasetRegistry.get("local/my-collection") == descriptor
    assert descriptor in DatasetRegistry.list()
    assert descriptor in DatasetRegistry.search("analysis-ready")


def test_d17_the_file_is_as_rasteret_writes_it(exported, local_datasets):
    rasteret_sql.register_local("local/b", exported)
    rasteret_sql.register_local("local/a", exported, name="A", data_source="pc/naip")
    text = local_datasets.read_text()
    entries = json.loads(text)
    assert text == json.dumps(entries, indent=2, sort_keys=True) + "\n"
    assert [entry["id"] for entry in entries] == ["local/b", "local/a"]
    # all fields of rasteret 0.3.13, of which any other is an unknown keyword to it
    assert set(entries[0]) == {one.name for one in fields(DatasetDescriptor)} - {"azure_asset_url"}
    assert entries[1]["temporal_range"] == ["2011-08-15", "2022-07-16"]
    assert (entries[1]["name"], entries[1]["stac_collection"]) == ("A", "pc/naip")
    rasteret_sql.register_local("local/b", exported, name="again")
    assert [entry["name"] for entry in json.loads(local_datasets.read_text())] == ["again", "A"]


def test_d17_d18_d19_a_new_process_sees_it_in_the_home_and_opens_it_without_reading_its_files(exported, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert in_new_process(home, "import rasteret_sql; print(len(rasteret_sql.DatasetRegistry.list()) > 20)") == "True\n"
    assert files_below(home) == set()
    in_new_process(
        home,
        "import sys, rasteret_sql; rasteret_sql.register_local('local/mine', sys.argv[1], description='Mine')",
        exported,
    )
    registry = ".rasteret/datasets.local.json"
    assert files_below(home) == {registry, ".rasteret/.datasets.local.json.lock"}
    seen = in_new_process(
        home,
        """
        import rasteret_sql
        class Refusing:
            async def get_range(self, url, start, length): raise OSError(url)
            async def get_ranges(self, url, ranges): raise OSError(url)
        print(rasteret_sql.DatasetRegistry.get("local/mine").description)
        reloaded = rasteret_sql.build("local/mine", name="reloaded", backend=Refusing())
        print(reloaded.name, len(reloaded), *sorted(reloaded.bands))
        con = rasteret_sql.connect()
        print(con.execute("SELECT count(*) FROM rasteret_build('local/mine', name := 'again')").fetchone())
        """,
    )
    assert seen == "Mine\nreloaded 6 B G NIR R\n(6,)\n"
    # What was opened is not copied; the workspace only learns its names.
    others = files_below(home) - {registry, ".rasteret/.datasets.local.json.lock"}
    assert {path.rpartition("/")[0] for path in others} == {"rasteret_workspace/_names"}


def test_d19_pixels_of_the_reloaded_collection(naip, exported):
    rasteret_sql.register_local("local/my-collection", str(exported))
    reloaded = rasteret_sql.build("local/my-collection", name="reloaded", bbox=(0, 0, 1, 1))  # ignored, as promised
    assert np.array_equal(reloaded.get_numpy(HERE, ["NIR"]), naip.get_numpy(HERE, ["NIR"]))


@pytest.mark.parametrize("field", ["collection_uri", "geoparquet_uri", "record_table_uri"])
def test_d19_every_field_that_can_name_a_collection(exported, field):
    rasteret_sql.register(DatasetDescriptor(id="my-org/ready", **{field: str(exported)}))
    assert len(rasteret_sql.build("my-org/ready", name="x")) == 6


def test_load_takes_the_id_too(exported):
    rasteret_sql.register_local("local/my-collection", exported)
    loaded = rasteret_sql.load("local/my-collection")
    assert (loaded.name, len(loaded)) == ("naip", 6)
    with pytest.raises(FileNotFoundError):
        rasteret_sql.load("earthsearch/naip")


def test_a_collection_that_is_gone_names_the_dataset(exported, tmp_path):
    rasteret_sql.register(DatasetDescriptor(id="my-org/gone", collection_uri=str(tmp_path / "gone")))
    with pytest.raises(FileNotFoundError, match=r'dataset "my-org/gone" cannot be opened: .*gone'):
        rasteret_sql.build("my-org/gone", name="x")


def test_d26_unregistering_removes_it_from_the_file_and_the_process(exported, local_datasets):
    registered = rasteret_sql.register_local("local/my-collection", exported)
    rasteret_sql.register_local("local/other", exported)
    assert catalog.unregister_local_descriptor("local/my-collection") == registered
    assert [entry["id"] for entry in json.loads(local_datasets.read_text())] == ["local/other"]
    assert DatasetRegistry.get("local/my-collection") is None
    assert catalog.unregister_local_descriptor("local/my-collection") is None
    assert exported.is_dir()


def test_d25_unregistering_in_memory_leaves_the_file(exported, local_datasets):
    rasteret_sql.register_local("local/my-collection", exported)
    DatasetRegistry.unregister("local/my-collection")
    assert DatasetRegistry.get("local/my-collection") is None
    assert [one.id for one in catalog.load_local_descriptors()] == ["local/my-collection"]


def test_a_built_in_dataset_comes_back(exported):
    built_in = DatasetRegistry.get("earthsearch/naip")
    rasteret_sql.register_local("earthsearch/naip", exported)
    assert DatasetRegistry.get("earthsearch/naip").collection_uri == str(exported)
    catalog.unregister_local_descriptor("earthsearch/naip")
    assert DatasetRegistry.get("earthsearch/naip") is built_in
    assert catalog.unregister_local_descriptor("earthsearch/naip") is None
    assert DatasetRegistry.get("earthsearch/naip") is built_in


def test_not_persisted(exported, local_datasets):
    rasteret_sql.register_local("local/my-collection", exported, persist=False)
    assert DatasetRegistry.get("local/my-collection")
    assert not local_datasets.exists()


def test_a_registry_file_of_ones_own(exported, tmp_path, local_datasets):
    own = tmp_path / "own" / "list.json"
    registered = rasteret_sql.register_local("local/my-collection", exported, registry_path=own)
    assert DatasetRegistry.get("local/my-collection") == registered
    assert catalog.load_local_descriptors(own) == [registered]
    assert not local_datasets.exists()
    assert catalog.unregister_local_descriptor("local/my-collection", own) == registered
    assert DatasetRegistry.get("local/my-collection") is None


def test_only_collections_are_registered(tmp_path, local_datasets):
    with pytest.raises(FileNotFoundError, match="no collection at"):
        rasteret_sql.register_local("local/x", tmp_path / "nothing")
    with pytest.raises(IndexFormatError, match="no Parquet files"):
        rasteret_sql.register_local("local/x", tmp_path)
    records = ROOT / "tests" / "index" / "rasteret_index" / "out" / "records.parquet"
    with pytest.raises(IndexFormatError, match=r"scenes but no headers|is no collection"):
        rasteret_sql.register_local("local/x", records)
    assert not local_datasets.exists()


def test_collections_of_rasteret_are_registered():
    theirs = ROOT / "tests" / "index" / "rasteret_index" / "out" / "export"
    rasteret_sql.register_local("local/theirs", theirs)
    assert len(rasteret_sql.build("local/theirs", name="theirs")) == 3


def test_d17_an_entry_as_rasteret_0_4_1_wrote_it(local_datasets):
    nothing = dict.fromkeys(
        ["azure_asset_url", "band_index_map", "band_map", "bbox_columns", "cloud_config", "column_map", "example_bbox",
         "example_date_range", "filter_capabilities", "geoparquet_uri", "href_column", "index_uri", "record_table_uri",
         "s3_credentials_url", "stac_api", "surface_fields", "torchgeo_class"]
    )  # fmt: skip
    flags = {"requires_auth": False, "separate_files": True, "static_catalog": False, "torchgeo_verified": False}
    entry = nothing | flags | {
        "collection_uri": "tests/index/rasteret_index/out/export",  # as it was typed: relative
        "commercial_use": True,
        "description": "",
        "field_roles": {"bbox": "bbox"},
        "id": "local/theirs",
        "license": "",
        "license_url": "",
        "name": "sample",
        "spatial_coverage": "local",
        "stac_collection": "demo/s2-like",
        "temporal_range": ["2024-01-10", "2024-06-12"],
    }  # fmt: skip
    local_datasets.parent.mkdir(parents=True)
    local_datasets.write_text(json.dumps([entry], indent=2, sort_keys=True))
    assert DatasetRegistry.get("local/theirs").temporal_range == ("2024-01-10", "2024-06-12")
    # what is read is not changed by writing beside it
    catalog.save_local_descriptor(DatasetDescriptor(id="local/ours"))
    assert json.loads(local_datasets.read_text())[0] == entry


# Sharing


def test_d36_d37_d38_a_descriptor_is_exported_and_registered_again(exported, tmp_path):
    registered = rasteret_sql.register_local("local/my-collection", exported)
    for target in (tmp_path / "shared" / "one.json", str(tmp_path / "two.json")):
        written = catalog.export_local_descriptor(dataset_id="local/my-collection", output_path=target)
        assert written == Path(target)
        assert written.read_text().endswith("}\n")
        catalog.unregister_local_descriptor("local/my-collection")
        with written.open() as file:
            restored = DatasetDescriptor(**json.load(file))
        assert restored == registered
        rasteret_sql.register(restored)
        assert DatasetRegistry.get("local/my-collection") == registered


def test_exports_of_what_is_not_there(tmp_path):
    with pytest.raises(KeyError, match='no dataset "local/nothing" to export'):
        catalog.export_local_descriptor("local/nothing", tmp_path / "x.json")
    with pytest.raises(UnknownDatasetError):
        catalog.export_local_descriptor("earthsearch/naip", tmp_path / "x.json", path=tmp_path / "empty.json")
    assert files_below(tmp_path) == set()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        catalog.export_local_descriptor("earthsearch/naip", tmp_path / "file" / "x.json")


# The file


@pytest.mark.exhaustive
def test_what_another_process_does_is_seen(exported, tmp_path, local_datasets):
    rasteret_sql.register_local("local/a", exported, name="before")
    DatasetRegistry.unregister("local/a")
    other = "import os, sys, rasteret_sql\nfrom rasteret_sql import catalog\n"
    path = f"os.environ['RASTERET_LOCAL_DATASETS_PATH'] = {str(local_datasets)!r}\n"
    in_new_process(tmp_path, f"{other}{path}rasteret_sql.register_local('local/b', sys.argv[1])", exported)
    assert DatasetRegistry.get("local/b")
    assert DatasetRegistry.get("local/a") is None  # nothing happened to this one
    in_new_process(
        tmp_path, f"{other}{path}rasteret_sql.register_local('local/a', sys.argv[1], name='after')", exported
    )
    assert DatasetRegistry.get("local/a").name == "after"
    in_new_process(tmp_path, f"{other}{path}catalog.unregister_local_descriptor('local/a')")
    assert DatasetRegistry.get("local/a") is None
    assert DatasetRegistry.get("local/b")


def test_entries_that_cannot_be_used_are_left_out_and_left_alone(exported, local_datasets, caplog):
    odd = [{"id": "x/y", "flavour": "sweet"}, 5, {"name": "no id"}, {"id": "x/z", "band_map": "red"}]
    good = {"id": "x/good", "name": "Good", "temporal_range": ["2020-01-01", "present"]}
    local_datasets.parent.mkdir(parents=True)
    local_datasets.write_text(json.dumps([*odd, good]))
    with caplog.at_level(logging.WARNING):
        assert DatasetRegistry.get("x/good").temporal_range == ("2020-01-01", "present")
        assert DatasetRegistry.get("x/y") is None
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4  # once, however often it is asked
    assert 'entry 0 is left out: a dataset descriptor has no field "flavour"' in caplog.text
    rasteret_sql.register_local("local/a", exported)
    catalog.unregister_local_descriptor("x/good")
    assert json.loads(local_datasets.read_text())[:4] == odd


@pytest.mark.parametrize(("text", "says"), [("{", "not JSON"), ('{"id": "x"}', "a JSON dict, expected a list")])
def test_a_broken_file_is_not_overwritten(text, says, exported, local_datasets, caplog):
    local_datasets.parent.mkdir(parents=True)
    local_datasets.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert DatasetRegistry.get("earthsearch/naip")
    assert says in caplog.text
    with pytest.raises(StorageError, match=f"{says}.*repair or remove"):
        rasteret_sql.register_local("local/a", exported)
    assert local_datasets.read_text() == text
    assert DatasetRegistry.get("local/a") is None


def test_a_link_stays_a_link(exported, local_datasets, tmp_path):
    real = tmp_path / "dotfiles.json"
    real.write_text("[]")
    real.chmod(0o600)
    local_datasets.parent.mkdir(parents=True)
    local_datasets.symlink_to(real)
    rasteret_sql.register_local("local/a", exported)
    assert local_datasets.is_symlink()
    assert len(json.loads(real.read_text())) == 1
    assert real.stat().st_mode & 0o777 == 0o600


def test_a_user_without_a_home(monkeypatch, exported):
    monkeypatch.delenv("RASTERET_LOCAL_DATASETS_PATH")

    def homeless(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    assert DatasetRegistry.get("earthsearch/naip")
    with pytest.raises(InvalidArgumentError, match="set RASTERET_LOCAL_DATASETS_PATH"):
        catalog.save_local_descriptor(DatasetDescriptor(id="x"))


@pytest.mark.exhaustive
def test_processes_that_write_at_once_lose_nothing(tmp_path):
    program = textwrap.dedent("""
        import sys
        from rasteret_sql.catalog import DatasetDescriptor, remove_local_descriptor, save_local_descriptor
        mine = [f"local/{sys.argv[1]}-{n}" for n in range(20)]
        print("ready", flush=True)
        sys.stdin.readline()
        for id in mine:
            save_local_descriptor(DatasetDescriptor(id=id))
        for id in mine[::2]:
            assert remove_local_descriptor(id).id == id
    """)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(tmp_path),
        )
        for n in range(3)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    kept = catalog.load_local_descriptors(tmp_path / ".rasteret" / "datasets.local.json")
    assert {one.id for one in kept} == {f"local/{n}-{k}" for n in range(3) for k in range(1, 20, 2)}
    assert not list((tmp_path / ".rasteret").glob("*.part"))


def test_a_writer_that_died_holds_nobody_up(tmp_path, local_datasets):
    in_new_process(
        tmp_path,
        """
        import os, sys
        from rasteret_sql.catalog import local_datasets as local
        with local._locked(local.local_path(sys.argv[1])):
            os._exit(0)
        """,
        local_datasets,
    )
    catalog.save_local_descriptor(DatasetDescriptor(id="local/a"))
    assert [one.id for one in catalog.load_local_descriptors()] == ["local/a"]


def test_a_failed_write_leaves_the_file_as_it_was(local_datasets, monkeypatch):
    catalog.save_local_descriptor(DatasetDescriptor(id="local/a"))
    before = local_datasets.read_text()

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="cannot be written: No space left"):
        catalog.save_local_descriptor(DatasetDescriptor(id="local/b"))
    assert local_datasets.read_text() == before
    assert not list(local_datasets.parent.glob(".*.part"))
