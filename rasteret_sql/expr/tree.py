"""Defines the tree of an SQL expression: few kinds of nodes, frozen, in one normal form.

The normal form: comparisons have the column on the left where only one side is a column, BETWEEN is two comparisons,
AND and OR hold their terms flat, and NOT stands only before what has no opposite of its own. By SQL's three-valued
logic all of these mean the same as what was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal as OneOf

Value = str | int | float | bool | datetime | None | tuple["Value", ...]
"""What a literal is; datetimes are naive UTC, None is NULL, a tuple is a list."""

Operator = OneOf["=", "<>", "<", "<=", ">", ">="]

OPPOSITE: dict[Operator, Operator] = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
"""Operator → the one that is true where it is false."""
SWAPPED: dict[Operator, Operator] = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
"""Operator → the one that says the same with its sides exchanged."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, band or property by its name, letter by letter."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Value


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right`; NULL where a side is NULL, or both cannot be compared."""

    op: Operator
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class In:
    """`value IN (choices)`."""

    value: Node
    choices: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Like:
    r"""`value LIKE pattern`, with `%` for any text, `_` for one character and `\` before one that stands for itself."""

    value: Node
    pattern: str
    ignore_case: bool = False
    """True: ILIKE."""


@dataclass(frozen=True, slots=True)
class Contains:
    """A list that holds a value, or a text that has it in itself."""

    value: Node
    part: Literal


@dataclass(frozen=True, slots=True)
class IsNull:
    """`value IS NULL`, never NULL itself."""

    value: Node


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT term`, of a term that has no opposite: In, Like, Contains, IsNull, a Literal."""

    term: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more terms."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more terms."""

    terms: tuple[Node, ...]


Node = Column | Literal | Compare | In | Like | Contains | IsNull | Not | And | Or


def compare(op: Operator, left: Node, right: Node) -> Compare:
    """A comparison with its column on the left, where only one side is a column."""
    if isinstance(right, Column) and not isinstance(left, Column):
        return Compare(SWAPPED[op], right, left)
    return Compare(op, left, right)


def conjunction(terms: Iterable[Node]) -> Node:
    """The terms joined by AND, flat; TRUE where there are none."""
    flat = [part for term in terms for part in (term.terms if isinstance(term, And) else (term,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat)) if flat else Literal(value=True)


def disjunction(terms: Iterable[Node]) -> Node:
    """The terms joined by OR, flat; FALSE where there are none."""
    flat = [part for term in terms for part in (term.terms if isinstance(term, Or) else (term,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat)) if flat else Literal(value=False)


def negation(term: Node) -> Node:
    """`NOT term`, with the NOT pushed inwards to where it has to stand."""
    match term:
        case Not(inner):
            return inner
        case Compare(op, left, right):
            return Compare(OPPOSITE[op], left, right)
        case And(terms):
            return disjunction(map(negation, terms))
        case Or(terms):
            return conjunction(map(negation, terms))
        case Literal(bool() as value):
            return Literal(not value)
        case Literal(None):
            return term
    return Not(term)


def conjuncts(node: Node) -> tuple[Node, ...]:
    """The terms that all have to be true."""
    return node.terms if isinstance(node, And) else (node,)


def columns(node: Node) -> tuple[str, ...]:
    """Names of all columns in it, each once, as they come."""
    match node:
        case Column(name):
            return (name,)
        case Literal():
            return ()
        case Compare(_, left, right):
            found = (*columns(left), *columns(right))
        case And(terms) | Or(terms):
            found = tuple(name for term in terms for name in columns(term))
        case Not(term):
            found = columns(term)
        case In(value) | Like(value) | Contains(value) | IsNull(value):
            found = columns(value)
    return tuple(dict.fromkeys(found))
