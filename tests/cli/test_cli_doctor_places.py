"""rasteret-sql doctor on tables, collections and what is broken; its JSON; secrets in what it is asked. Issue 4, 7."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql import DatasetDescriptor, register
from rasteret_sql.cli.main import main
from rasteret_sql.io.routed_backend import default_backend
from tests.cli.test_cli_doctor import doctor, nothing_set
from tests.contract.scenes import item, write_items, write_small
from tests.servers.earthdata import PASSWORD as LOGIN_PASSWORD
from tests.servers.earthdata import SESSION_TOKEN, USER, Login
from tests.servers.fixtures import range_server, s3_server
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.stac_api import StacApiServer

__all__ = ["nothing_set", "range_server", "s3_server"]

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
SIGNATURE = "signature-of-the-doctors-tests"
PASSWORD = "password-of-the-doctors-tests"
PROBE = {
    "target": str,
    "scene": str,
    "band": str,
    "address": str,
    "credential": str,
    "region": str,
    "header": str,
    "search_seconds": float | None,
    "header_seconds": float | None,
    "latency_seconds": float | None,
    "throughput": float | None,
    "error": str,
    "is_reached": bool,
}


@pytest.fixture
def built(range_server, tmp_path):
    """A collection of one served file, in a workspace of its own."""
    write_small(range_server.directory / "a.tif", 3)
    write_items(range_server.directory / "a.json", [item("a", b=f"{range_server.url}/a.tif")])
    workspace = tmp_path / "workspace"
    rasteret_sql.build_from_stac(name="bay", stac_api=f"{range_server.url}/a.json", workspace_dir=workspace)
    return range_server, workspace


def looked_at(capsys, *words):
    code, text = doctor(capsys, *words, "--json")
    one = json.loads(text)["probe"]
    assert set(one) == set(PROBE)
    assert all(isinstance(one[name], kind) for name, kind in PROBE.items()), one
    assert one["is_reached"] is (code == 0)
    assert one["is_reached"] is not bool(one["error"])
    return one


def test_a_stac_api_is_searched_for_one_item(capsys, range_server):
    write_small(range_server.directory / "a.tif", 3)
    items = [item(name, b=f"{range_server.url}/a.tif") for name in ("a", "b", "c")]
    for one in items:
        one["collection"] = "scenes"
    with StacApiServer(items) as api:
        register(DatasetDescriptor(id="test/api", stac_api=api.url, stac_collection="scenes"))
        one = looked_at(capsys, "test/api")
        assert api.count("/search") == 1
        assert api.seen[-1].parameters.get("limit") in (1, "1")
    assert one["is_reached"], one
    assert one["search_seconds"] > 0


def test_a_collection_by_its_name_and_directory(capsys, built):
    server, workspace = built
    one = looked_at(capsys, "bay", "-w", str(workspace))
    assert (one["scene"], one["band"], one["address"]) == ("a", "b", f"{server.url}/a.tif")
    directory = next(workspace.iterdir())
    assert looked_at(capsys, str(directory))["scene"] == "a"
    assert main(["doctor", "bey", "-w", str(workspace)]) == 1
    message = capsys.readouterr().err
    assert f'"bey" is no dataset, no collection of {workspace}, and no file' in message
    assert "bay" in message


@pytest.mark.exhaustive
def test_a_file_that_was_changed_since_it_was_indexed(capsys, built):
    server, workspace = built
    write_small(server.directory / "a.tif", 4)
    with (server.directory / "a.tif").open("ab") as file:
        file.write(b"more")
    one = looked_at(capsys, "bay", "-w", str(workspace))
    assert "the file was changed since it was indexed" in one["error"]
    assert "rasteret_refresh" in one["error"]


def test_a_table_is_read_for_one_of_its_scenes(capsys):
    table = DatasetDescriptor(
        id="test/table",
        record_table_uri=str(DATA / "aef" / "aef_index.parquet"),
        field_roles={"id": "fid", "geometry": "geom", "datetime": "year", "href": "path", "proj:epsg": "crs"},
        band_index_map={"A00": 0},
        example_bbox=(9, -0.003, 9.003, 0),
    )
    register(table)
    one = looked_at(capsys, "test/table")
    assert one["is_reached"], one
    assert one["scene"]
    assert Path(one["address"]).parent == DATA / "aef"
    assert one["header"].endswith("64 × int8")
    register(DatasetDescriptor(id="test/whole", record_table_uri=table.record_table_uri, href_column="path"))
    whole = looked_at(capsys, "test/whole")  # no example: the table alone is looked at
    assert (whole["is_reached"], whole["scene"]) == (True, "")
    assert whole["address"].endswith("aef_index.parquet")


def test_datasets_that_lead_nowhere(capsys, range_server):
    register(DatasetDescriptor(id="test/none"))
    assert "names neither a STAC API nor a table" in looked_at(capsys, "test/none")["error"]
    write_items(range_server.directory / "a.json", [item("a", b=f"{range_server.url}/a.tif")])
    far = DatasetDescriptor(id="test/far", stac_api=f"{range_server.url}/a.json", example_bbox=(100, 1, 101, 2))
    register(far)
    assert "finds no scene with files" in looked_at(capsys, "test/far")["error"]
    register(DatasetDescriptor(id="test/host", stac_api="http://no-such-host.invalid/stac"))
    assert "no-such-host.invalid" in looked_at(capsys, "test/host")["error"]


@pytest.mark.parametrize("target", ["ftp://host/a.tif", "s3://bucket", "az://container/a.tif", "https://", ""])
def test_addresses_that_are_none(capsys, target):
    code, _ = doctor(capsys, target)
    assert code == (1 if target else 0)


def test_secrets_of_what_is_asked_are_not_shown(capsys, range_server, monkeypatch):
    write_small(range_server.directory / "a.tif", 3)
    monkeypatch.setenv("HTTPS_PROXY", f"someone:{PASSWORD}@127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", f"http://someone:{PASSWORD}@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    signed = f"{range_server.url}/a.tif?X-Amz-Signature={SIGNATURE}"
    known = range_server.url.replace("://", f"://someone:{PASSWORD}@") + "/a.tif"
    shown = [doctor(capsys, *words)[1] for words in ([signed], [signed, "--json"], [known], [], ["--json"])]
    range_server.faults("403")
    shown += [doctor(capsys, one)[1] for one in (signed, known)]
    text = "\n".join(shown)
    assert "signed by the query string of its address" in text
    assert "user and password of its address" in text
    assert "127.0.0.1:1" in text
    for hidden in (SIGNATURE, PASSWORD):
        assert hidden not in text


@pytest.mark.parametrize(
    ("name", "value", "address"),
    [
        ("AZURE_STORAGE_ACCOUNT_KEY", "not-base64-!!-key", "abfs://c@acc.dfs.core.windows.net/a.tif"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/no/file.json", "gs://bucket/a.tif"),
        ("AWS_ACCESS_KEY_ID", "AKIDALONE", "s3://bucket/a.tif"),
    ],
)
def test_credentials_that_are_broken_are_the_answer(capsys, monkeypatch, name, value, address):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    default_backend.cache_clear()
    code, text = doctor(capsys, address)
    assert code == 1
    assert f"{name} of the environment; requests fail" in text
    assert f"the credentials of {name} cannot be used" in text
    if "key" in value:
        assert value not in text


def test_b7_a_dataset_that_needs_a_login_and_finds_one(capsys, s3_server, monkeypatch, tmp_path):
    """The login's temporary keys read the bucket; neither they nor the password are shown."""
    write_small(tmp_path / "a.tif", 3)
    s3_server.store("doctor-protected").put("a.tif", (tmp_path / "a.tif").read_bytes())
    for name, value in {
        "EARTHDATA_HOST": "localhost",
        "EARTHDATA_USERNAME": USER,
        "EARTHDATA_PASSWORD": LOGIN_PASSWORD,
        "AWS_ENDPOINT_URL": s3_server.endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    write_items(tmp_path / "a.json", [item("a", b="s3://doctor-protected/a.tif")])
    with Login((ACCESS_KEY, SECRET_KEY)) as login:
        address = f"{login.url}/s3credentials"
        register(
            DatasetDescriptor(
                id="nasa/doctor", stac_api=str(tmp_path / "a.json"), requires_auth=True, s3_credentials_url=address
            )
        )
        one = looked_at(capsys, "nasa/doctor")
        code, text = doctor(capsys, "nasa/doctor")
        assert (login.given, code) == (1, 0)
    assert one["credential"] == "signed with what NasaEarthdataCredentialProvider gave"
    assert one["region"] == "us-east-1"  # moto says where the bucket is
    assert "EARTHDATA_USERNAME and EARTHDATA_PASSWORD of the environment" in text
    for hidden in (ACCESS_KEY, SECRET_KEY, LOGIN_PASSWORD, SESSION_TOKEN):
        assert hidden not in text + json.dumps(one)
