from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import rasteret_sql
from tests.hosts.hosting import CATALOG


@pytest.fixture(scope="session")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the collections `bay` (Sahara, one scene), `year` (Landsat) and one of a strange name."""
    workspace = tmp_path_factory.mktemp("cached")
    for name, collection in (
        ("bay", "sentinel-s2-l2a-cogs"),
        ("year", "landsat8-ny-2018"),
        ('my site "2024"; DROP', "sentinel-s2-l2a-cogs"),
    ):
        rasteret_sql.build_from_stac(name=name, stac_api=str(CATALOG), collection=collection, workspace_dir=workspace)
    return workspace


@pytest.fixture
def file_database(tmp_path: Path) -> Path:
    """A database file with the table `t` of one row."""
    path = tmp_path / "user.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE t AS SELECT 42 AS i")
    return path
