"""What a user is told where access is refused: promises A20, B34, B35, and point 6 of the fourth issue.

Each message has the class of the error, the address, the host's answer, which credential was tried and where it was
from, and the remedy; none has the credential.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.cloud.world import Report, Users, by_turns
from tests.sampling import some
from tests.servers.internet import Internet
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import S3Gate

SURFACES = pytest.mark.parametrize("surface", some(["python", "sql"], 2))
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-west-2"}
UNKNOWN_KEY = "AKIDNOBODYKNOWS00000"
OTHER_SECRET_KEY = "another-secret-key-for-tests-000000000000"
FILE = r"s3://{}/a b/(one|two)_B[12]\.tif[ :]"
"""One of the files, which one is read first is not said."""
PRIVATE, PAID = "private-scenes", "paid-scenes"


class Case(NamedTuple):
    """A user who is refused."""

    bucket: str
    environment: dict[str, str]
    words: tuple[str, ...]
    """What the message has, beside the address."""
    setup: str = ""


CASES = {
    "unsigned": Case(
        PRIVATE,
        {"AWS_REGION": "us-west-2"},
        ("HTTP 403, AccessDenied, Access Denied", "anonymous", "set AWS_ACCESS_KEY_ID"),
    ),
    "unknown key": Case(
        PRIVATE,
        KEYS | {"AWS_ACCESS_KEY_ID": UNKNOWN_KEY},
        ("HTTP 403, InvalidAccessKeyId", "signed by AWS_ACCESS_KEY_ID of the environment", "AWS_SECRET_ACCESS_KEY"),
    ),
    "wrong secret": Case(
        PRIVATE,
        KEYS | {"AWS_SECRET_ACCESS_KEY": OTHER_SECRET_KEY},
        ("HTTP 403, SignatureDoesNotMatch", "signed by AWS_ACCESS_KEY_ID of the environment"),
    ),
    "wrong secret of a backend": Case(
        PRIVATE,
        {},
        ("HTTP 403, SignatureDoesNotMatch", "signed with access_key_id of default_s3_config"),
        "backend = rasteret_sql.create_backend(region='us-west-2', default_s3_config={"
        f"'access_key_id': {ACCESS_KEY!r}, 'secret_access_key': {OTHER_SECRET_KEY!r}}})",
    ),
    "no payer": Case(
        PAID,
        KEYS,
        ("HTTP 403, AccessDenied", "signed by AWS_ACCESS_KEY_ID of the environment", "AWS_REQUEST_PAYER=requester"),
    ),
    "payer without keys": Case(
        PAID,
        {"AWS_REGION": "us-west-2"},
        ("credentials were found", "signed with", "AWS_ACCESS_KEY_ID"),
        "backend = rasteret_sql.create_backend(cloud_config={'provider': 'aws', 'requester_pays': True})",
    ),
}


@pytest.fixture(autouse=True)
def hosts(internet: Internet, amazon: S3Gate) -> None:
    internet.routes = {"*.amazonaws.com": amazon.url}


def said(report: Report, bucket: str, surface: str) -> str:
    """The message of a report, which is of access that was denied."""
    assert report.did == "nothing"
    if surface == "python":
        assert {"AccessDeniedError", "StorageError", "PermissionError"} <= report.classes
    else:
        assert "AccessDeniedError: rasteret_build_from_stac: " in report.words
    assert re.search(FILE.format(bucket), report.words), report.words
    assert "?" not in report.words.partition("LINE 1")[0]
    return report.words


@pytest.mark.exhaustive
@pytest.mark.parametrize(("surface", "case"), by_turns(*CASES))
def test_b34_a20_refused_by_s3(users: Users, surface: str, case: str) -> None:
    bucket, environment, words, setup = CASES[case]
    items = users.item_file(users.world.items(f"s3://{bucket}/a b/"))
    message = said(users.run(surface, items, environment, setup=setup), bucket, surface)
    for one in words:
        assert one in message, message
    for hidden in (UNKNOWN_KEY, ACCESS_KEY, SECRET_KEY, OTHER_SECRET_KEY):
        assert hidden not in message


@pytest.mark.exhaustive
@SURFACES
def test_b34_expired_token(users: Users, amazon: S3Gate, surface: str) -> None:
    """Nobody can renew what the environment has: S3 says 400 with the token in its answer."""
    access_key, secret_key, token = amazon.issue(uses=0)
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_SESSION_TOKEN": token}
    items = users.item_file(users.world.items(f"s3://{PRIVATE}/a b/"))
    message = said(users.run(surface, items, KEYS | keys), PRIVATE, surface)
    assert "HTTP 400, ExpiredToken, The provided token has expired" in message
    assert "signed by AWS_ACCESS_KEY_ID of the environment" in message
    assert token not in message


@pytest.mark.exhaustive
@SURFACES
def test_b34_refused_when_read_only(users: Users, amazon: S3Gate, surface: str) -> None:
    """Built with keys, and read by a later process without them: refused where pixels are, and said there."""
    items = users.item_file(users.world.items(f"s3://{PRIVATE}/a b/"))
    workspace = str(users.directory / "shared")
    assert users.run(surface, items, KEYS, workspace=workspace, reads=False).did == "build"
    built = len(amazon.log)
    report = users.run(surface, items, {"AWS_REGION": "us-west-2"}, workspace=workspace)
    assert report.did == "build"  # the cached one: no request
    assert {seen.status for seen in amazon.log[built:]} == {403}
    if surface == "python":
        assert "PermissionError" in report.classes
    assert re.search(FILE.format(PRIVATE), report.words), report.words
    for word in ("HTTP 403, AccessDenied", "anonymous", "AWS_ACCESS_KEY_ID"):
        assert word in report.words, report.words


@pytest.mark.exhaustive
def test_b35_a_region_that_is_wrong_and_not_told(users: Users, amazon: S3Gate, internet: Internet) -> None:
    """S3 does not tell the region where HEAD is not let through: the remedy names the setting."""
    amazon.tells_region = False
    try:
        items = users.item_file(users.world.items("s3://open-scenes/a b/"))
        report = users.run("python", items)
    finally:
        amazon.tells_region = True
    assert report.did == "nothing"
    assert "StorageError" in report.classes
    assert re.search(FILE.format("open-scenes"), report.words), report.words
    for word in ("another region", "AWS_REGION", "create_backend(region=...)"):
        assert word in report.words, report.words
