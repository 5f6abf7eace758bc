"""Counts on from each of some numbers: what a loop over ranges would give, as one array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def expand(first: npt.NDArray[Any], counts: npt.NDArray[np.signedinteger[Any]]) -> npt.NDArray[Any]:
    """first[0], first[0] + 1, ... for counts[0] numbers, then those from first[1], and so on; of 64 bits."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers: npt.NDArray[Any] = np.arange(total) + np.repeat(first - (ends - counts), counts)
    return numbers
