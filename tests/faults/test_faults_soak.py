"""The soak in small: what `python -m tests.benchmarks.soak` checks, but for the times, which need a quiet machine."""

import sys

import pytest

from tests.benchmarks.soak import KINDS, TOO_SLOW, perform, waited


@pytest.mark.exhaustive  # .ci/run soaks for longer, too
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory and sockets are counted in /proc")
def test_every_array_is_right_and_nothing_is_left_behind():
    lines, failed = perform(requests=3000, share=0.1, scenes=250, calls=4, least=10)
    assert [problem for problem in failed if not problem.startswith(TOO_SLOW)] == [], "\n".join(lines)


def test_what_is_waited_for_is_counted_for_each_kind():
    assert sum(waited(dict.fromkeys(KINDS, 0)).values()) == 0
    assert waited({"stall": 2, "429/1": 8, "reset": 4, "redirect": 100}) == pytest.approx(
        {"timeouts": 2, "Retry-After and backoff of busy answers": 9, "backoff of the others": 0.45}
    )
