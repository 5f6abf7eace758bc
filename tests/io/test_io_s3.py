"""S3 over its real protocol: moto in a process of its own."""

import pytest

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import MissingObjectError
from rasteret_sql.io.fetch import fetch, fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import RoutedBackend
from tests.servers.s3 import S3Server


@pytest.mark.parametrize("signed", [True, False])
def test_reads_a_bucket(s3_server: S3Server, signed: bool) -> None:
    s3_server.store("bkt-one", public=True).put("x/a b.bin", bytes(range(200)))
    environment = s3_server.environment
    if not signed:
        environment = {name: value for name, value in environment.items() if "KEY" not in name}
    backend = RoutedBackend(environment=environment)
    assert bytes(run(fetch(backend, "s3://bkt-one/x/a b.bin", ByteRange(10, 20)))) == bytes(range(10, 30))
    data, facts = run(fetch_prefix(backend, "s3://bkt-one/x/a b.bin", 1000))
    assert (data, facts.size) == (bytes(range(200)), 200)
    assert facts.etag
    assert facts.modified
    with pytest.raises(MissingObjectError, match="s3://bkt-one/none"):
        run(fetch(backend, "s3://bkt-one/none", ByteRange(10, 20)))
