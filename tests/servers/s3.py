"""An S3 server (moto) in its own process, as a fixture."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from obstore.store import S3Store

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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto did not start: {' '.join(command)}")
            time.sleep(0.1)
        yield S3Server(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the tests of a worker."""
    with serve_s3() as server:
        yield server
