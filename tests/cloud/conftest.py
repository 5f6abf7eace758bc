"""The clouds: real servers behind the names that they have on the internet, filled with the same scenes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.world import Users, World, make_world
from tests.servers.internet import Internet
from tests.servers.s3 import S3Server, s3_server
from tests.servers.s3_gate import Bucket, S3Gate

__all__ = ["s3_server"]

BUCKETS = {
    "private-scenes": Bucket("us-west-2"),
    "open-scenes": Bucket("us-west-2", public=True),
    "paid-scenes": Bucket("us-west-2", requester_pays=True),
    "lp-prod-protected": Bucket("us-west-2"),
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The files, on this machine."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def s3_gate(s3_server: S3Server, world: World) -> Iterator[S3Gate]:
    """S3, with `BUCKETS`."""
    for bucket in BUCKETS:
        store = s3_server.store(bucket)
        for name, data in world.files().items():
            store.put(f"a b/{name}", data)
    with S3Gate(s3_server.endpoint) as gate:
        gate.buckets.update(BUCKETS)
        yield gate


@pytest.fixture
def amazon(s3_gate: S3Gate) -> Iterator[S3Gate]:
    """S3 with an empty log."""
    s3_gate.reset()
    yield s3_gate


@pytest.fixture(scope="session")
def internet() -> Iterator[Internet]:
    """An internet with no hosts yet."""
    with Internet({}) as internet:
        yield internet


@pytest.fixture
def users(world: World, internet: Internet, tmp_path) -> Iterator[Users]:
    """Users, who end where they began: having asked no host that is not there."""
    internet.asked.clear()
    internet.unknown.clear()
    yield Users(world, tmp_path, internet.environment)
    assert internet.unknown == []
