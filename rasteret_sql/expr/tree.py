"""Defines the tree of an SQL expression: few kinds of nodes, frozen, in one normal form.

The normal form: comparisons have the column on the left where only one side is a column, BETWEEN is two comparisons,
AND and OR hold their terms flat, and NOT stands only before what has no opposite of its own. By SQL's three-valued
logic all of these mean the same as what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or function of `pixel_functions.FUNCTIONS` over values: only in expressions over bands."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """`CASE WHEN condition THEN value ... ELSE otherwise END`: only in expressions over bands."""

    branches: tuple[tuple[Node, Node], ...]
    """(condition, value) of each WHEN."""
    otherwise: Node


Node = Column | Literal | Compare | In | Like | Contains | IsNull | Not | And | Or | Call | Case


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
        case Call(_, arguments):
            found = tuple(name for argument in arguments for name in columns(argument))
        case Case(branches, otherwise):
            parts = (*(part for branch in branches for part in branch), otherwise)
            found = tuple(name for part in parts for name in columns(part))
    return tuple(dict.fromkeys(found))


def renamed(node: Node, names: Mapping[str, Node]) -> Node:
    """The expression with other nodes in place of columns; equal parts stay one object.

    Args:
        node: An expression.
        names: Name of each of its columns → what takes its place.
    """
    known: dict[int, Node] = {}

    def of(one: Node) -> Node:
        if id(one) not in known:
            known[id(one)] = names[one.name] if isinstance(one, Column) else rebuilt(one, of)
        return known[id(one)]

    return of(node)


def rebuilt(node: Node, of: Callable[[Node], Node]) -> Node:
    """The node with what `of` gives for each of its parts."""
    match node:
        case Compare(op, left, right):
            return Compare(op, of(left), of(right))
        case And(terms):
            return And(tuple(map(of, terms)))
        case Or(terms):
            return Or(tuple(map(of, terms)))
        case Not(term):
            return Not(of(term))
        case In(value, choices):
            return In(of(value), choices)
        case IsNull(value):
            return IsNull(of(value))
        case Like(value, pattern, ignore_case):
            return Like(of(value), pattern, ignore_case)
        case Contains(value, part):
            return Contains(of(value), part)
        case Call(function, arguments):
            return Call(function, tuple(map(of, arguments)))
        case Case(branches, otherwise):
            return Case(tuple((of(when), of(then)) for when, then in branches), of(otherwise))
    return node
