"""What all tests share: a registry of datasets of their own, never the one in the user's home."""

from __future__ import annotations

from uuid import uuid4

import pytest

from rasteret_sql.catalog import CloudConfig, DatasetRegistry

pytest_plugins = ["tests.secrets.plugin"]


@pytest.fixture(autouse=True)
def local_datasets(tmp_path_factory, monkeypatch):
    """The file of local datasets of this test, which does not exist yet."""
    file = tmp_path_factory.getbasetemp() / "registries" / uuid4().hex / "datasets.local.json"
    monkeypatch.setenv("RASTERET_LOCAL_DATASETS_PATH", str(file))
    monkeypatch.setattr(DatasetRegistry, "_descriptors", None)
    monkeypatch.setattr(CloudConfig, "_registered", {})
    return file
