"""Counts on from each of some numbers: what a loop over ranges would give, as one array."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", np.int64, np.float64)


def expand(first: npt.NDArray[T], counts: npt.NDArray[np.int64]) -> npt.NDArray[T]:
    """first[0], first[0] + 1, ... for counts[0] numbers, then those from first[1], and so on."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers: npt.NDArray[Any] = np.arange(total) + np.repeat(first - (ends - counts), counts)
    return numbers
