from __future__ import annotations

import pytest

from tests.training.world import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("chips"))
