"""What the soak, `python -m tests.benchmarks.soak`, says of its waits; .ci/run soaks."""

import pytest

from tests.benchmarks.soak import KINDS, waited


def test_what_is_waited_for_is_counted_for_each_kind():
    assert sum(waited(dict.fromkeys(KINDS, 0)).values()) == 0
    assert waited({"stall": 2, "429/1": 8, "reset": 4, "redirect": 100}) == pytest.approx(
        {"timeouts": 2, "Retry-After and backoff of busy answers": 9, "backoff of the others": 0.45}
    )
