"""`CompositeBlock`: takes the scenes of a part of a composite in their order, as their tiles arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.composite import Mask, Median, Pixels, Reducer, Scores
from rasteret_sql.reading.target_job import TargetJob
from rasteret_sql.reading.target_plan import TargetPlan

_Given = tuple[Pixels, Mask | None, Scores | None]
"""Pixels of a scene, which of them are valid, and what the method best compares."""


class CompositeBlock:
    """A part of a composite.

    Args:
        window: Its pixels, in the lattice of the target.
        scenes: How many the composite has.
        make: Makes its reducer, when the first scene gives something.
    """

    def __init__(self, window: Window, scenes: int, make: Callable[[], Reducer]) -> None:
        self.window = window
        self.scenes = scenes
        self.next = 0
        """Number of the scene that is handed out next."""
        self.reducer: Reducer | None = None
        self.complete = False
        """True where no further scene changes the pixels."""
        self._make = make
        self._due = 0
        """Number of the scene that is added next."""
        self._early: dict[int, _Given | None] = {}
        """Scenes that came before their turn."""
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """True where no scene is to be handed out any more."""
        return self.complete or self.next == self.scenes

    def take(self, number: int, given: _Given | None) -> None:
        """Take a scene; None: it gives nothing."""
        with self._lock:
            self._early[number] = given
            if given is not None and self.reducer is None:
                self.reducer = self._make()
            any_order = isinstance(self.reducer, Median)
            while self._early and (self._due in self._early or any_order):
                due = next(iter(self._early)) if any_order else self._due
                scene = self._early.pop(due)
                self._due += 1
                if scene is not None and not self.complete:
                    assert self.reducer is not None
                    self.reducer.add(due, *scene)
                    self.complete = self.reducer.complete

    def end(self) -> Reducer | None:
        """Give what was made, which is not held any longer; None where no scene gave a pixel."""
        made, self.reducer = self.reducer, None
        return made


class SceneJob(Job):
    """Reads a scene for a block, and warps it onto the target.

    Args:
        block: Takes the pixels.
        number: Of the scene in the block.
        plans: Of the pixels; and of the scores, where the method compares some.
        leave_out: Called where the scene cannot be read, and is not to be asked for again.
    """

    def __init__(
        self, block: CompositeBlock, number: int, plans: Sequence[TargetPlan], leave_out: Callable[[], None]
    ) -> None:
        self.plans = plans
        self._leave_out = leave_out
        self._block = block
        self._number = number
        self._jobs = [TargetJob(plan, None) for plan in plans]
        self._slots: list[tuple[TargetJob, int]] = []
        self.memory = sum(job.memory + job.plan.nbytes for job in self._jobs)
        self.error: Exception | None = None
        """Why the scene gives nothing."""

    def needs(self) -> Iterable[TileNeed]:
        self._slots.clear()
        for job in self._jobs:
            for need in job.needs():
                yield need.at(len(self._slots))
                self._slots.append((job, need.slot))

    def place(self, slot: int, tile: np.ndarray | None) -> None:
        if self._block.complete:
            return
        job, its_slot = self._slots[slot]
        job.place(its_slot, tile)

    def describe(self) -> str:
        return self.plans[0].read.describe()

    def finish(self) -> None:
        given = None if self._block.complete else self._warp()
        self._end(given)

    def _warp(self) -> _Given:
        for job in self._jobs:
            job.finish()
        first = self._jobs[0]
        valid = None if first.invalid is None else ~first.invalid
        if len(self._jobs) == 1:
            return first.pixels(), valid, None
        last = self._jobs[1]
        shape = first.plan.shape[1:]
        scored = np.ones(shape, bool) if last.invalid is None else ~last.invalid[0]
        return first.pixels(), valid, (last.pixels()[0], scored)

    def fail(self, error: Exception) -> bool:
        if not self.plans[0].read.tolerates(error):
            return False
        self._leave_out()
        self._end(None)
        return True

    def _end(self, given: _Given | None) -> None:
        self._jobs.clear()
        self._slots.clear()
        self._block.take(self._number, given)
