"""Defines the declaration of a SQL function, which its macro, checks and documentation are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from rasteret_sql.functions.kinds import Kind
from rasteret_sql.functions.sql_types import sql_type

STATEMENT = "epoch_us(now())"
"""In SQL, what tells a statement from others: when its transaction began, of its own or one that was begun explicitly.

It is the same in all its calls on all threads, and a constant to the planner. `current_query_id()` is not: DuckDB would
read rows that ORDER BY ... LIMIT leaves out, and one call twice.
"""
REQUIRED = object()
"""Default of an argument that has none."""

Family = Literal["pixels", "chips", "collections", "catalog", "access"]
Body = Literal["value", "field", "rows", "query", "written"]
"""What the macro does with the private function under it.

`value`: gives its value. `field`: takes its value out of STRUCT(value). `rows`: gives the rows of its list. `query`:
runs the SQL that it gives. `written`: stands in its file by hand, but for the arguments.
"""


@dataclass(frozen=True, slots=True)
class Column:
    """The form in which an argument crosses into Python in a column of its own."""

    sql: str
    """The column's expression; `{}` is the argument."""
    type: pa.DataType


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a public function."""

    name: str
    kind: Kind
    doc: str
    default: str | object = REQUIRED
    """SQL text of the default, `REQUIRED` where there is none. NULL means: not given."""
    column: Column | None = None
    """None: it crosses by its name, in the JSON object that is the last column."""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Udf:
    """A private function of fixed arity under public macros."""

    name: str
    parameters: tuple[pa.DataType, ...]
    returns: pa.DataType
    run: str
    """Its code, as `module.function` of `functions/calls`; imported when it is first called.

    (session, cancelled, *columns as Arrow arrays) → Arrow array, one value each row.
    """
    pure: bool = False
    """True: DuckDB may fold, cache and leave out calls. False: it has effects."""
    kernel: str = ""
    """Of a function that reads pixels: `module.function` of `reading`, which `run` is given and runs over the rows."""
    metered: bool = False
    """True: it has a receipt, and what tells its statement (`STATEMENT`) is a column after the others."""
    names_itself: bool = False
    """True where several public functions share it: its errors begin with the name of the one that was called."""


@dataclass(frozen=True, slots=True)
class Function:
    """A public function: a macro in `sql/<family>/<name>.sql` over private functions."""

    name: str
    family: Family
    body: Body
    arguments: tuple[Argument, ...]
    returns: pa.DataType
    """Of a value; of a row, where it gives a table of its own; text, where it gives a query."""
    doc: str
    example: str
    run: str = ""
    """As `Udf.run`, of the function under the macro. None where `others` are all there are."""
    pure: bool = False
    kernel: str = ""
    metered: bool = False
    """As `Udf.metered`, of the function under the macro."""
    gives: str = ""
    """What it gives in words; by default the SQL type."""
    others: tuple[Udf, ...] = ()
    """Further private functions under it."""

    @property
    def table(self) -> bool:
        """True: FROM name(...); False: a value."""
        return self.body in ("rows", "query", "written")

    @property
    def columns(self) -> tuple[Argument, ...]:
        """Arguments that cross in columns of their own."""
        return tuple(argument for argument in self.arguments if argument.column is not None)

    @property
    def named(self) -> tuple[Argument, ...]:
        """Arguments that cross by name."""
        return tuple(argument for argument in self.arguments if argument.column is None)

    @property
    def udf(self) -> Udf:
        """The private function that the macro calls."""
        parameters = [argument.column.type for argument in self.arguments if argument.column is not None]
        if self.named:
            parameters.append(pa.string())
        given = {
            "field": pa.struct([("value", self.returns)]),
            "rows": pa.list_(self.returns),
        }.get(self.body, self.returns)
        if self.metered:
            parameters.append(pa.int64())
        name = f"__rasteret_{self.name.removeprefix('rasteret_')}"
        # A function without arguments is told by a column how many rows are wanted.
        return Udf(name, tuple(parameters) or (pa.bool_(),), given, self.run, self.pure, self.kernel, self.metered)

    @property
    def udfs(self) -> tuple[Udf, ...]:
        """All private functions that are its own."""
        return (self.udf, *self.others) if self.run else self.others

    @property
    def result(self) -> str:
        """The result, in words of SQL."""
        return self.gives or ("TABLE of " if self.table else "") + sql_type(self.returns)

    @property
    def signature(self) -> str:
        """As one would write it: `read_chip(scene_id, band, geom := (whole image), ...)`."""
        parts = [a.name if a.required else f"{a.name} := {a.default}" for a in self.arguments]
        return f"{self.name}({', '.join(parts)})"
