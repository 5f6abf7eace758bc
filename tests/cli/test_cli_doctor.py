"""rasteret-sql doctor: what is found and what can be read, in words and as JSON, without a secret anywhere."""

import json
from pathlib import Path

import pytest

from rasteret_sql.catalog import DatasetDescriptor, DatasetRegistry
from rasteret_sql.cli.main import main
from rasteret_sql.io.found_credentials import found_credentials
from rasteret_sql.io.routed_backend import RoutedBackend, default_backend
from tests.contract.scenes import item, write_items, write_small
from tests.sampling import some
from tests.servers.fixtures import *  # noqa: F403
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.secrets import planted

CLEAN = ("AWS_", "AZURE_", "GOOGLE_", "GCLOUD_", "EARTHDATA_", "NETRC", "STORAGE_EMULATOR_HOST")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    import os

    for name in [name for name in os.environ if name.startswith(CLEAN)]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    default_backend.cache_clear()
    yield
    default_backend.cache_clear()


@pytest.fixture
def served(range_server):
    write_small(range_server.directory / "a.tif", 3)
    write_items(range_server.directory / "a.json", [item("a", b=f"{range_server.url}/a.tif")])
    DatasetRegistry.register(
        DatasetDescriptor(
            id="test/served",
            stac_api=f"{range_server.url}/a.json",
            static_catalog=True,
            example_bbox=(10, 45, 11, 47),
            example_date_range=("2024-01-01", "2024-01-02"),
        )
    )
    return range_server


def doctor(capsys, *words):
    code = main(["doctor", *words])
    return code, capsys.readouterr().out


def probed(capsys, target):
    code, text = doctor(capsys, target, "--json")
    report = json.loads(text)
    assert report["probe"]["is_reached"] is (code == 0)
    return report["probe"]


def test_without_a_target_it_tells_of_this_machine(capsys):
    code, text = doctor(capsys)
    assert code == 0
    for word in ("aws", "earthdata", "planetary-computer", "requests are anonymous", "duckdb", "request_timeout"):
        assert word in text
    code, text = doctor(capsys, "--json")
    report = json.loads(text)
    providers = [one["provider"] for one in report["credentials"]]
    assert providers[:5] == ["aws", "gcp", "azure", "earthdata", "planetary-computer"]
    assert len(providers) == len(set(providers))
    assert set(report) == {"credentials", "extras", "versions", "workspace", "environment", "settings"}


def test_a_dataset_is_read_a_little(capsys, served):
    one = probed(capsys, "test/served")
    assert (one["scene"], one["band"], one["address"]) == ("a", "b", f"{served.url}/a.tif")
    assert one["credential"] == "sent without credentials"
    assert one["header"] == "256 × 256 pixels, 1 × uint16"
    assert 0 < one["latency_seconds"] < 1
    assert one["throughput"] > 1e5
    code, text = doctor(capsys, "test/served")
    assert code == 0
    assert text.splitlines()[-1].split() == ["can", "be", "read", "yes"]
    assert "MB/s" in text


@pytest.mark.parametrize(
    ("kind", "words"),
    some([("403", "access was denied: HTTP 403"), ("404", "there is no such file"), ("302", "redirects")], 3),
)
def test_what_cannot_be_read_is_told_with_the_remedy(capsys, served, kind, words):
    served.faults(kind, match="tif")
    one = probed(capsys, "test/served")
    assert words in one["error"]
    code, text = doctor(capsys, f"{served.url}/a.tif")
    assert code == 1
    assert text.splitlines()[-1].split() == ["can", "be", "read", "no"]


def test_a_dataset_that_needs_a_login_says_so(capsys):
    DatasetRegistry.register(
        DatasetDescriptor(
            id="test/login",
            stac_api="http://127.0.0.1:1/stac",
            stac_collection="x",
            requires_auth=True,
            s3_credentials_url="https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials",
        )
    )
    one = probed(capsys, "test/login")
    assert 'needs a login, and none was found: add "machine urs.earthdata.nasa.gov' in one["error"]


def test_a_file_of_a_bucket_with_its_credentials(capsys, s3_server, monkeypatch, tmp_path):
    write_small(tmp_path / "a.tif", 1)
    s3_server.store("bkt-doctor").put("a.tif", (tmp_path / "a.tif").read_bytes())
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    one = probed(capsys, "s3://bkt-doctor/a.tif")
    assert one["credential"] == "signed by AWS_ACCESS_KEY_ID of the environment"
    assert one["region"] == "us-east-1"
    _, text = doctor(capsys, "s3://bkt-doctor/a.tif")
    assert ACCESS_KEY not in text
    assert SECRET_KEY not in text


def test_files_here_tables_and_names_that_are_nothing(capsys, tmp_path):
    write_small(tmp_path / "a.tif", 1)
    assert probed(capsys, str(tmp_path / "a.tif"))["is_reached"]
    assert main(["doctor", "no/such-dataset"]) == 1
    assert "no/such-dataset" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_what_is_found_is_what_reads_use(monkeypatch, tmp_path):
    def of(provider, environment):
        return next(one for one in found_credentials(environment) if one.provider == provider)

    home = {"HOME": str(tmp_path)}
    keys = home | {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    assert of("aws", keys).source == "AWS_ACCESS_KEY_ID of the environment"
    assert RoutedBackend(environment=keys).credential("s3://b/k") == f"signed by {of('aws', keys).source}"
    assert not of("aws", home).found
    assert of("azure", home | {"AZURE_STORAGE_SAS_TOKEN": "sv=1"}).found
    files = Path(tmp_path, ".aws")
    files.mkdir()
    planted(files / "credentials").write_text(f"[mine]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key=x\n")
    assert "profiles in files: mine" in of("aws", home).source
    assert of("aws", home | {"AWS_PROFILE": "mine"}).found
    assert "no file of AWS has that profile" in of("aws", home | {"AWS_PROFILE": "other"}).effect
    assert not of("earthdata", home).found
    planted(tmp_path / ".netrc").write_text("machine urs.earthdata.nasa.gov login me password secret-of-netrc\n")
    assert of("earthdata", home).source == f"{tmp_path / '.netrc'}, machine urs.earthdata.nasa.gov"
    assert of("earthdata", home | {"EARTHDATA_TOKEN": "t"}).source == "EARTHDATA_TOKEN of the environment"
    assert of("planetary-computer", home).source == "needs none"
