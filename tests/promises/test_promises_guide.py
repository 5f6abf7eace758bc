"""The authentication guide's programs, run as printed with only the imports changed, each in a process of its own.

Promises B1 to B37. Real host names lead to servers on this machine, see `guide_world`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.processes import without_bars
from tests.promises import guide_snippets as guide
from tests.promises.guide_world import GUIDE_SECRET, LANDSAT, Clouds, value
from tests.sampling import some
from tests.servers.earthdata import PASSWORD, USER
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.secrets import planted, secrets

ROOT = Path(__file__).resolve().parents[2]
AWS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
TOLD = """
import json
import numpy as np
told = {"size": len(collection), "bands": collection.bands}
if "ds" in globals():
    pixels = ds if isinstance(ds, np.ndarray) else ds.to_array()
    told["ds"] = sorted(set(np.unique(pixels).tolist()) - {0})  # 0 is outside of the area
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    with Clouds(tmp_path_factory.mktemp("clouds")).serving() as all_of_them:
        yield all_of_them


@pytest.fixture
def run(clouds, tmp_path):
    """Run a program as a user with nothing but what is given in the environment."""

    def run(program: str, environment: dict[str, str] | None = None, *, fails: bool = False):
        clouds.s3.reset()
        clouds.blobs.clear()
        clouds.tokens.clear()
        del clouds.internet.unknown[:]
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        clean = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
        clean |= {"AWS_EC2_METADATA_DISABLED": "true"} | clouds.environment | (environment or {})
        done = subprocess.run(
            [sys.executable, "-W", "ignore:Use .@. matmul", "-c", program], env=clean, cwd=tmp_path,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert clouds.internet.unknown == []
        for word in secrets() - {GUIDE_SECRET, guide.NETRC}:
            assert word not in done.stdout + done.stderr
        if fails:
            assert done.returncode
            return done.stderr.strip().splitlines()[-1]
        assert done.returncode == 0, done.stderr
        return json.loads(without_bars(done.stdout))

    return run


def of_s2(*bands: str) -> list[int]:
    return sorted(value("sentinel-2-l2a", band) for band in bands)


def test_b1_b2_b3_b23_b24_b25_b29_b33_planetary_computer(clouds, run):
    """(net) No variable is set (B33)."""
    told = run(guide.changed(guide.PLANETARY_COMPUTER) + TOLD)
    assert told["ds"] == of_s2("B04", "B03", "B02")
    assert told["size"] == 1
    assert clouds.tokens == ["sentinel2l2a01/sentinel2-l2"]  # one request for headers and pixels
    assert len(clouds.blobs) > len(told["bands"])  # header requests of every band, and pixels of three
    assert all(good for _, good in clouds.blobs)


@pytest.mark.exhaustive
@pytest.mark.parametrize("surface", some(["python", "sql"], 2))
def test_a19_the_planetary_computer_needs_no_backend(clouds, run, surface):
    """(net) Its datasets ask for their tokens by themselves, one for headers and pixels."""
    if surface == "python":
        lines = guide.changed(guide.PLANETARY_COMPUTER).replace("backend=backend,\n", "").splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith("backend ="))
        end = next(number for number, line in enumerate(lines) if line.startswith("# Use the backend for building"))
        told = run("\n".join(lines[:start] + lines[end:]) + TOLD)
        assert told["ds"] == of_s2("B04", "B03", "B02")
    else:
        told = run(
            "import json, rasteret_sql\ncon = rasteret_sql.connect()\n"
            "rows = con.execute(\"SELECT id, zonal_stats(id, 'B04', geometry).max FROM rasteret_build("
            "'pc/sentinel-2-l2a', name := 'auto', bbox := [-122.5, 37.7, -122.3, 37.9], "
            "date_range := ['2024-06-01', '2024-07-15'])\").fetchall()\nprint(json.dumps(rows))"
        )
        assert [row[1] for row in told] == of_s2("B04")
    assert clouds.tokens == ["sentinel2l2a01/sentinel2-l2"]


@pytest.mark.exhaustive
def test_b36_the_whole_example_of_sentinel_2(clouds, run):
    """(net) Munich, June 2024, then a smaller area."""
    told = run(guide.changed(guide.SENTINEL_2) + TOLD)
    assert told["ds"] == of_s2("B04", "B03", "B02")
    assert told["size"] == 1


@pytest.mark.exhaustive
def test_b32_a_token_that_expires_is_renewed(clouds, run, monkeypatch):
    """Between build and reads, nothing is said by the user."""
    monkeypatch.setattr(clouds, "lifetime", timedelta(seconds=3))
    program = guide.changed(guide.PLANETARY_COMPUTER).replace("# Use the backend for pixel", "time.sleep(3.2)\n#")
    told = run("import time\n" + program + TOLD)
    assert told["ds"] == of_s2("B04", "B03", "B02")
    assert len(clouds.tokens) >= 2


@pytest.mark.exhaustive
def test_b23_b25_b27_the_lifecycle_of_a_backend(clouds, run):
    """B26 and B27, to_torchgeo_dataset, come with later work: until then the method does not exist."""
    before = (
        "import rasteret_sql as rasteret\n"
        'BBOX, DATE_RANGE = (-122.5, 37.7, -122.3, 37.9), ("2024-06-01", "2024-07-15")\n'
        "aoi = (-122.45, 37.75, -122.35, 37.85)\n"
    )
    endpoint = '"https://planetarycomputer.microsoft.com/api/sas/v1/token"'
    build = guide.changed(guide.BUILD_TIME).replace("create_backend(...)", f"create_backend({endpoint})")
    told = run(before + build + guide.changed(guide.READ_TIME) + TOLD)
    assert told["ds"] == of_s2("B04", "B03", "B02")
    said = run(before + build + guide.changed(guide.TORCHGEO), fails=True)
    assert "to_torchgeo_dataset" in said


REGISTER_HLS = """
import rasteret_sql
rasteret_sql.register(rasteret_sql.DatasetDescriptor(
    id="earthdata/hls", stac_api="https://cmr.earthdata.nasa.gov/stac/LPCLOUD", stac_collection="HLSS30_2.0",
    band_map={"B04": "B04", "B8A": "B8A"}, requires_auth=True,
))
"""


def netrc(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    text = guide.NETRC.replace("YOUR_USERNAME", USER).replace("YOUR_PASSWORD", PASSWORD)
    file = planted(home / ".netrc")
    file.write_text(text)
    file.chmod(0o600)


@pytest.mark.exhaustive
def test_b5_b7_b30_earthdata(clouds, run, tmp_path):
    """B6: the dataset is only an example; here it is registered first. Pixels with the same backend."""
    netrc(tmp_path)
    before = clouds.login.given
    read = 'ds = collection.get_numpy((-122.45, 37.75, -122.35, 37.85), ["B8A"], backend=backend)\n'
    told = run(REGISTER_HLS + guide.changed(guide.EARTHDATA) + read + TOLD)
    assert told["ds"] == [value("HLSS30_2.0", "B8A")]
    assert clouds.login.given == before + 1  # one login for headers and pixels
    assert {seen.region for seen in clouds.s3.log if seen.status == 206} == {"us-west-2"}


@pytest.mark.exhaustive
def test_b6_the_example_dataset_is_not_registered(run, tmp_path):
    netrc(tmp_path)
    assert "earthdata/hls" in run(guide.changed(guide.EARTHDATA), fails=True)


def test_b9_b10_b12_requester_pays(clouds, run):
    """(net) Nothing but AWS credentials in the environment."""
    told = run(guide.changed(guide.REQUESTER_PAYS) + TOLD, AWS)
    assert told["bands"] == list(LANDSAT)
    assert clouds.s3.log
    assert {(seen.payer, seen.access_key, seen.bucket) for seen in clouds.s3.log} == {
        ("requester", ACCESS_KEY, "usgs-landsat")
    }


@pytest.mark.exhaustive
def test_a21_b28_b37_the_whole_example_of_landsat(clouds, run):
    """(net) B4 and B5 are red and NIR, and no backend is passed to the read."""
    told = run(guide.changed(guide.LANDSAT) + TOLD, AWS)
    assert told["ds"] == sorted((value("landsat-c2-l2", "red"), value("landsat-c2-l2", "nir08")))


@pytest.mark.exhaustive
def test_b12_a_session_token_counts(clouds, run):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    told = run(guide.changed(guide.LANDSAT) + TOLD, dict(zip(names, clouds.s3.issue(), strict=True)))
    assert len(told["ds"]) == 2


@pytest.mark.exhaustive
def test_b11_b14_a_profile_of_the_config_files_is_found_through_boto3(clouds, run, tmp_path):
    folder = planted(tmp_path / "home" / ".aws")
    folder.mkdir(parents=True)
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = NOBODY\naws_secret_access_key = nothing\n"
        f"[my-profile]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    told = run(guide.changed(guide.LANDSAT) + TOLD, {"AWS_PROFILE": "my-profile"})
    assert len(told["ds"]) == 2
    assert {seen.access_key for seen in clouds.s3.log} == {ACCESS_KEY}


@pytest.mark.exhaustive
def test_b15_anonymous_access(clouds, run):
    """The first of two backends of a custom S3 store, although keys are in the environment."""
    name = next(clouds.files.glob("my-collection_*_B1.tif")).name
    told = run(
        guide.changed(guide.CUSTOM_S3_ANONYMOUS)
        + "import pyarrow as pa\n"
        + "box = dict(xmin=11.2, ymin=48.0, xmax=11.6, ymax=48.4)\n"
        + f'assets = {{"B1": "s3://open-bucket/{name}"}}\n'
        + 'table = pa.table({"id": ["a"], "datetime": [2024], "bbox": [box], "assets": [assets]})\n'
        + 'collection = rasteret.build_from_table(table, name="t", enrich_cog=True, backend=backend)\n'
        + 'ds = collection.get_numpy((11.3, 48.1, 11.5, 48.3), ["B1"], backend=backend)\n'
        + TOLD,
        AWS,
    )
    assert told["ds"] == [value("my-collection", "B1")]
    assert {seen.access_key for seen in clouds.s3.log} == {None}


@pytest.mark.exhaustive
def test_b16_b17_explicit_credentials_and_a_stac_endpoint_of_ones_own(clouds, run):
    told = run(guide.changed(guide.CUSTOM_S3_ANONYMOUS + guide.CUSTOM_S3_KEYS) + TOLD, AWS)
    assert told["size"] == 1
    assert {(seen.access_key, seen.status) for seen in clouds.s3.log} == {("YOUR_KEY", 206)}


REGISTER_MINE = """
import rasteret_sql as rasteret
rasteret.register(rasteret.DatasetDescriptor(
    id="my-org/my-collection", stac_api="https://stac.example.com/v1", stac_collection="cdn", band_map={"B1": "B1"},
))
"""


@pytest.mark.exhaustive
def test_b18_to_b22_b28_a_registered_config(clouds, run):
    """B18, B19, B20, B21, B22: found by the last part of the id; reads need no backend either."""
    read = 'ds = collection.get_numpy((11.35, 48.15, 11.45, 48.25), ["B1"])\n'
    told = run(REGISTER_MINE + guide.changed(guide.CLOUD_CONFIG) + read + TOLD, AWS)
    assert told["ds"] == [value("cdn", "B1")]
    assert {(seen.bucket, seen.payer, seen.region) for seen in clouds.s3.log if seen.status == 206} == {
        ("my-bucket", "requester", "eu-central-1")
    }


def test_b34_without_credentials_access_is_denied_with_a_hint(run):
    said = run(guide.changed(guide.REQUESTER_PAYS), fails=True)
    assert "AccessDenied" in said
    assert "AWS_ACCESS_KEY_ID" in said
    assert issubclass(__import__("rasteret_sql").errors.AccessDeniedError, PermissionError)


@pytest.mark.exhaustive
def test_b13_b35_the_region(clouds, run):
    """A variable, or the backend of the guide, where the environment says another one."""
    name = next(clouds.files.glob("HLSS30*_B04.tif")).name
    program = (
        "import rasteret_sql as rasteret, pyarrow as pa\n{}"
        'table = pa.table({{"id": ["a"], "datetime": [2024], "bbox": [dict(xmin=-122.6, ymin=37, xmax=-122, ymax=38)], '
        f'"assets": [{{{{"B": "s3://lp-prod-protected/{name}"}}}}]}}}})\n'
        'collection = rasteret.build_from_table(table, name="{}", enrich_cog=True{})\n'
    )
    run(program.format("", "one", "") + TOLD, AWS | {"AWS_REGION": "us-west-2"})
    assert {(seen.region, seen.status) for seen in clouds.s3.log} == {("us-west-2", 206)}
    mended = program.format(guide.REGION_MISMATCH, "two", ", backend=backend")
    run(mended + TOLD, AWS | {"AWS_REGION": "eu-north-1"})
    assert {(seen.region, seen.status) for seen in clouds.s3.log} == {("us-west-2", 206)}


@pytest.mark.exhaustive
def test_b38_the_landsat_example(clouds, tmp_path):
    """Into xarray: on the project's own scenes, and on requester-pays ones."""
    script = str(ROOT / "examples" / "landsat_xarray.py")
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}

    def said(*arguments: str, **environment: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, script, *arguments], env=clean | environment, cwd=tmp_path, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    own = said()
    assert own[0] == "4 scenes, bands B4, B5"
    assert own[1] == "2018-04-05: pixels (1, 12, 13), NDVI 0.143 on average"
    assert len(own) == 5
    clouds.s3.reset()
    paid = said("--requester-pays", **AWS, **clouds.environment, AWS_EC2_METADATA_DISABLED="true")
    red, nir = (value("landsat-c2-l2", asset) for asset in ("red", "nir08"))
    assert paid[1].endswith(f"NDVI {(nir - red) / (nir + red):.3f} on average")
    assert {(seen.bucket, seen.payer) for seen in clouds.s3.log} == {("usgs-landsat", "requester")}


@pytest.mark.exhaustive
def test_b31_keys_that_a_profile_gives_for_a_while_are_renewed(clouds, run, tmp_path):
    """By boto3's chain: a process that gives keys is asked again when they have expired, in the middle of the work.

    The first ends sooner than it says, after one use. One that ends as it says is replaced by boto3 before.
    """
    folder = planted(tmp_path / "home" / ".aws")
    folder.mkdir(parents=True)
    for number in ("1", "2"):
        key, word, token = clouds.s3.issue(uses=1 if number == "1" else None)
        end = datetime.now(UTC) + timedelta(hours=1)
        document = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": word, "SessionToken": token}
        (folder / number).write_text(json.dumps(document | {"Expiration": end.isoformat()}))
    (folder / "give.sh").write_text(f'cd "{folder}"; if [ -e asked ]; then cat 2; else touch asked; cat 1; fi\n')
    (folder / "config").write_text(f"[profile my-profile]\ncredential_process = sh {folder}/give.sh\n")
    told = run(guide.changed(guide.LANDSAT) + TOLD, {"AWS_PROFILE": "my-profile"})
    assert len(told["ds"]) == 2
    assert len({seen.access_key for seen in clouds.s3.log if seen.status == 206}) == 2


def test_b4_b8_the_extras_install_what_is_needed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in ("planetary-computer", "earthdata"):
        assert any(one.startswith("requests") for one in extras[name])
    assert any(one.startswith("boto3") for one in extras["aws"])
