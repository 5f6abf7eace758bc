"""Fixtures of tests that share a connection: the served items of a file as `rasteret.w`, each tile asked for anew."""

from __future__ import annotations

import pytest

from tests.contract.scenes import forget, opened


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("ws")


@pytest.fixture(scope="module")
def connection(server, workspace):
    with opened(server, workspace) as connection:
        yield connection


@pytest.fixture
def con(connection, server):
    forget(connection, server)
    with connection.cursor() as cursor:
        yield cursor
