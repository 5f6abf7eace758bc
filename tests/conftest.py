"""What all tests share: a registry of datasets and a workspace of their own, never those in the user's home."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import settings

import tests.sampling  # noqa: F401 - has the profiles
from rasteret_sql.catalog import CloudConfig, DatasetRegistry

pytest_plugins = ["tests.secrets.plugin"]
settings.load_profile("part")  # of tests.sampling; `--hypothesis-profile exhaustive` is stronger


@pytest.fixture(autouse=True)
def local_datasets(tmp_path_factory, monkeypatch):
    """The file of local datasets of this test, which does not exist yet."""
    file = tmp_path_factory.getbasetemp() / "registries" / uuid4().hex / "datasets.local.json"
    monkeypatch.setenv("RASTERET_LOCAL_DATASETS_PATH", str(file))
    monkeypatch.setattr(DatasetRegistry, "_descriptors", None)
    monkeypatch.setattr(CloudConfig, "_registered", {})
    return file


@pytest.fixture(scope="session")
def first_states():
    """Generator of random numbers → the state it had when its module was imported."""
    return {}


@pytest.fixture(autouse=True)
def same_random_numbers(request, first_states):
    """A module's generators start anew for each test: its data does not hang on the tests before it in the process."""
    for value in vars(request.module).values():
        if isinstance(value, np.random.Generator):
            value.bit_generator.state = first_states.setdefault(value, value.bit_generator.state)


class _NotAtHome:
    """The default workspace: below the home that a test made for itself, else a directory of the test run."""

    def __init__(self, elsewhere: Path) -> None:
        self._elsewhere = elsewhere
        self._home = os.environ.get("HOME")

    def __fspath__(self) -> str:
        is_real = os.environ.get("HOME") == self._home
        return os.fspath(self._elsewhere) if is_real else "~/rasteret_workspace"


@pytest.fixture(autouse=True, scope="session")
def default_workspace(tmp_path_factory):
    """Names of what is loaded without a workspace are not kept in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        place = _NotAtHome(tmp_path_factory.getbasetemp() / "default_workspace")
        patch.setattr("rasteret_sql.index.place.location.DEFAULT_WORKSPACE", place)
        yield
