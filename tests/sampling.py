"""Some of many cases: they run by themselves, the others with the mark and profile `exhaustive`, as .ci/run does it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Profiles of hypothesis say per cent of the examples that a property is given with `examples`. Neither judges a time,
# which a busy machine changes.
_UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("part", max_examples=10, **_UNTIMED)
settings.register_profile("exhaustive", max_examples=100, **_UNTIMED)


def some(values: Iterable[Any], every: int) -> list[Any]:
    """Arguments for `parametrize`: the first and each `every`-th as they are, the others marked as exhaustive.

    Args:
        values: The values of one argument, or a tuple of values for several arguments.
        every: 1 marks none.
    """
    return [value if number % every == 0 else exhaustive(value) for number, value in enumerate(values)]


def some_tuples(values: Iterable[tuple[Any, ...]], every: int) -> list[Any]:
    """The same for one argument whose values are tuples."""
    return [value if number % every == 0 else exhaustive((value,)) for number, value in enumerate(values)]


def exhaustive(value: Any) -> Any:
    """An argument, or a tuple of several, with which a test runs only where all of them do."""
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.exhaustive)


def examples(number: int) -> int:
    """How many examples a property is tried on: `number` with the profile `exhaustive`, else a part of it."""
    return -(-number * settings.default.max_examples // 100)
