"""Items whose hrefs are signed URLs, as some APIs give them: read as they are, never stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.cloud.world import BANDS, SCENES, Users
from tests.sampling import some
from tests.servers import sigv4
from tests.servers.internet import Internet
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import S3Gate

pytestmark = pytest.mark.exhaustive  # of clouds, the tests of S3 and Azure run by themselves

SURFACES = pytest.mark.parametrize("surface", some(["python", "sql"], 2))
ORIGIN = "https://private-scenes.s3.us-west-2.amazonaws.com"


@pytest.fixture(autouse=True)
def hosts(internet: Internet, amazon: S3Gate) -> None:
    internet.routes = {"*.amazonaws.com": amazon.url}


def signed_items(users: Users, lifetime: timedelta, made: datetime | None = None) -> str:
    """An item collection each of whose hrefs has a signature of its own."""
    items = users.world.items(f"{ORIGIN}/a%20b/")
    for item in items:
        for asset in item["assets"].values():
            asset["href"] = sigv4.presigned(asset["href"], (ACCESS_KEY, SECRET_KEY), "us-west-2", lifetime, made)
    return users.item_file(items)


@SURFACES
def test_signed_urls_are_read_as_they_are(users: Users, amazon: S3Gate, surface: str) -> None:
    items = signed_items(users, timedelta(hours=1))
    users.see(surface, users.run(surface, items))
    assert {(seen.access_key, seen.status) for seen in amazon.log} == {(ACCESS_KEY, 206)}
    assert len({seen.key for seen in amazon.log}) == len(SCENES) * len(BANDS)


def test_b34_expired_signed_urls(users: Users) -> None:
    items = signed_items(users, timedelta(minutes=1), datetime.now(UTC) - timedelta(hours=1))
    report = users.run("python", items)
    assert report.did == "nothing"
    assert "AccessDenied" in report.words
    assert f"{ORIGIN}/a%20b/one_B1.tif" in report.words
    assert "X-Amz" not in report.words
