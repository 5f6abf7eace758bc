"""The gate itself: it lets in what Amazon's own client signs, and nothing that was changed after."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.cloud.world import World
from tests.servers import sigv4
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY
from tests.servers.s3_gate import S3Gate

BUCKET, OBJECT = "private-scenes", "a b/one_B1.tif"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Amazon's client logs what it sends at level debug; the search for credentials is of our own logs."""
    logger = logging.getLogger("botocore")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


def client(gate: S3Gate, keys: tuple[str, ...] = (ACCESS_KEY, SECRET_KEY), region: str = "us-west-2"):
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    given = dict(zip(names, keys, strict=False))
    return boto3.client("s3", endpoint_url=gate.url, region_name=region, config=config, **given)


def get(address: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_what_boto3_signs_is_let_in(amazon: S3Gate, world: World) -> None:
    whole = world.files()["one_B1.tif"]
    for keys in ((ACCESS_KEY, SECRET_KEY), amazon.issue()):
        s3 = client(amazon, keys)
        answer = s3.get_object(Bucket=BUCKET, Key=OBJECT, Range="bytes=5-1000")
        assert answer["Body"].read() == whole[5:1001]
        assert s3.head_object(Bucket=BUCKET, Key=OBJECT)["ContentLength"] == len(whole)
        assert get(s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": OBJECT})) == (200, whole)
        s3.close()
    assert [seen.range for seen in amazon.log] == ["bytes=5-1000", "", ""] * 2


@pytest.mark.parametrize(
    ("keys", "code", "status"),
    [
        (("AKIDNOBODYKNOWS00000", SECRET_KEY), "InvalidAccessKeyId", 403),
        ((ACCESS_KEY, SECRET_KEY[::-1]), "SignatureDoesNotMatch", 403),
        ((ACCESS_KEY, SECRET_KEY, "a-token"), "InvalidToken", 400),
    ],
)
def test_what_is_wrong_is_refused(amazon: S3Gate, keys: tuple[str, ...], code: str, status: int) -> None:
    s3 = client(amazon, keys)
    with pytest.raises(ClientError) as refused:
        s3.list_objects_v2(Bucket=BUCKET)
    s3.close()
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert amazon.log[-1].status == status


def test_presigned_addresses_hold_for_one_object_and_time(amazon: S3Gate, world: World) -> None:
    plain = f"{amazon.url}/{BUCKET}/a%20b/one_B1.tif"
    keys = (ACCESS_KEY, SECRET_KEY)
    signed = sigv4.presigned(plain, keys, "us-west-2", timedelta(minutes=1))
    assert get(signed) == (200, world.files()["one_B1.tif"])
    assert get(signed.replace("one_B1", "one_B2"))[0] == 403
    assert get(sigv4.presigned(plain, keys, "us-west-2", timedelta(0)))[0] == 403
    assert get(plain)[0] == 403


def test_boto3_follows_to_the_region_that_is_told(amazon: S3Gate, world: World) -> None:
    s3 = client(amazon, region="us-east-1")
    assert s3.get_object(Bucket=BUCKET, Key=OBJECT)["Body"].read() == world.files()["one_B1.tif"]
    s3.close()
    codes = [(seen.method, seen.status, seen.code) for seen in amazon.log]
    assert codes[0] == ("GET", 400, "AuthorizationHeaderMalformed")
    assert codes[-1] == ("GET", 200, "")
