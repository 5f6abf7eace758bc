"""An S3 server (moto) in its own process, as a fixture."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from obstore.store import S3Store

from tests.servers.process import free_port, running

ACCESS_KEY = "AKIDFORTESTSONLY0000"
SECRET_KEY = "secret-key-for-tests-only-0000000000000"
"""Fake credentials; moto accepts any."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server and how it is reached."""

    endpoint: str

    def store(self, bucket: str, *, public: bool = False) -> Any:
        """An obstore store of a bucket, made where it does not exist, for putting test files."""
        import boto3

        # At level debug it logs its requests with their signatures; the search for credentials is of our own logs.
        logging.getLogger("botocore").setLevel(logging.INFO)
        client = boto3.client("s3", endpoint_url=self.endpoint, **self.keys, region_name="us-east-1")
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=bucket)
        if public:
            statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}
            client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))
            client.put_bucket_acl(Bucket=bucket, ACL="public-read")
        client.close()
        logging.getLogger("botocore").setLevel(logging.NOTSET)
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
        )

    @property
    def keys(self) -> dict[str, str]:
        """In boto3's words."""
        return {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a process reads from this server, signing."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }


@contextlib.contextmanager
def serve_s3() -> Iterator[S3Server]:
    """Start moto on a free port and end it afterwards."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running("moto", command, port):
        yield S3Server(f"http://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the tests of a worker."""
    with serve_s3() as server:
        yield server
