"""What an engine is to the benchmark, and where it finds the world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tests.benchmarks.workloads import Task, Workload

Result = list[npt.NDArray[np.generic]] | npt.NDArray[np.float64]
"""Chips, each (rows, columns), in the order of the tasks; or one number for each point or polygon."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an engine may know."""

    url: str
    """Of the range server, without a slash at the end."""
    directory: Path
    """The same files on disk: for preparing only, never for a timed read."""
    workspace: Path
    """Where an engine keeps what it prepared; empty when a run starts."""

    def address(self, task: Task) -> str:
        """The URL of a task's file."""
        return f"{self.url}/{task.scene.path(task.band)}"


class Engine(Protocol):
    """One way to answer the workloads."""

    def prepare(self, context: Context) -> None:
        """Once a run, in a process of its own: build what an index would hold."""

    def load(self, context: Context, workload: Workload) -> None:
        """Before the clock: connect, load the index, register the tasks. No request is made."""

    def run(self) -> object:
        """Inside the clock, and a new process each time: answer the workload."""

    def result(self, answer: object) -> Result:
        """After the clock: the answer in the form that is compared."""
