"""`ArrayJob`: holds the pixels of a plan, in an array that is made when the first of them comes."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

import numpy as np

from rasteret_sql.engine.job import Job
from rasteret_sql.reading.target_plan import TargetPlan
from rasteret_sql.reading.window_plan import WindowPlan

PlanT = TypeVar("PlanT", bound=WindowPlan | TargetPlan)


class ArrayJob(Job, Generic[PlanT]):
    """Fills `data` (bands, height, width).

    Args:
        plan: what to read.
        data: where pixels go, made when it is None: jobs that keep no pixels allocate late and free early.
    """

    def __init__(self, plan: PlanT, data: np.ndarray | None) -> None:
        self.plan: PlanT = plan
        self.data = data
        self.invalid: np.ndarray | None = None
        """(bands, height, width), True where a pixel is not valid; None while all are. Whole after the last tile."""
        self._lock = threading.Lock()

    def describe(self) -> str:
        return self.plan.read.describe()

    def pixels(self) -> np.ndarray:
        """The array, made at the first tile."""
        data = self.data
        if data is None:
            with self._lock:
                if self.data is None:
                    self.data = np.empty(self.plan.shape, self.plan.dtype)
                data = self.data
        return data
