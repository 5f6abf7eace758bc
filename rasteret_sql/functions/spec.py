"""What a declaration of a SQL function says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

REQUIRED = object()
"""Default of an argument that has none."""

Family = Literal["pixels", "chips", "collections", "catalog", "access"]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a public function."""

    name: str
    type: str
    """What it takes, in words of SQL."""
    doc: str
    default: str | object = REQUIRED
    """SQL text of the default, `REQUIRED` where there is none. NULL means: not given."""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Udf:
    """The private function of fixed arity under a public macro."""

    name: str
    parameters: tuple[str, ...]
    """SQL types."""
    returns: str
    """SQL type."""
    pure: bool
    """True: DuckDB may fold, cache and leave out calls. False: it has effects."""
    run: Callable[..., Any]
    """(session, cancelled, *columns as Arrow arrays) → Arrow array, one row each."""
    rows: bool = True
    """False: takes no column to tell how many rows are wanted; gives one."""


@dataclass(frozen=True, slots=True)
class Function:
    """A public function: a macro in `sql/<family>/<name>.sql` over private functions."""

    name: str
    family: Family
    table: bool
    """True: FROM name(...); False: a value."""
    arguments: tuple[Argument, ...]
    returns: str
    doc: str
    example: str
    udfs: tuple[Udf, ...]

    @property
    def signature(self) -> str:
        """As one would write it: `read_chip(scene_id, band, geom := (whole image), ...)`."""
        parts = [a.name if a.required else f"{a.name} := {a.default}" for a in self.arguments]
        return f"{self.name}({', '.join(parts)})"


def struct_type(fields: Sequence[tuple[str, str]]) -> str:
    """SQL text of a STRUCT type."""
    return "STRUCT(" + ", ".join(f'"{name}" {type_}' for name, type_ in fields) + ")"
