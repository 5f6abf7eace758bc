"""Looks at the parts of an expression over bands: which recur, and where what has no value shows in the result."""

from __future__ import annotations

from collections import Counter

from rasteret_sql.expr.tree import And, Call, Case, Column, Compare, In, IsNull, Node, Not, Or

_KEEP_INFINITY = {"+": (0, 1), "-": (0, 1), "*": (0, 1), "/": (0,), "negative": (0,), "abs": (0,), "sqrt": (0,)}
"""Functions → the arguments of which an infinite value or NaN always gives an infinite value or NaN."""
_KEEP_NAN = {"+", "-", "*", "/", "negative", "abs", "sqrt", "exp", "ln"}
"""Functions that give NaN where any argument is NaN."""


def parts(node: Node) -> tuple[Node, ...]:
    """The parts of which a node is computed."""
    match node:
        case Call(_, arguments):
            return arguments
        case Compare(_, left, right):
            return left, right
        case And(terms) | Or(terms):
            return terms
        case Not(inner) | IsNull(inner) | In(inner):
            return (inner,)
        case Case(branches, otherwise):
            return (*(part for branch in branches for part in branch), otherwise)
    return ()


def parts_that_recur(node: Node) -> frozenset[int]:
    """Identities of the parts that stand in an expression more than once: they are computed once."""
    counts: Counter[int] = Counter()

    def count(one: Node) -> None:
        counts[id(one)] += 1
        if counts[id(one)] == 1:
            for part in parts(one):
                count(part)

    count(node)
    return frozenset(one for one, number in counts.items() if number > 1)


def parts_checked_later(node: Node) -> frozenset[int]:
    """Identities of the parts of which what has no value need not be looked for: the result is not finite there.

    A band has NaN there, a function NaN or an infinite value.
    """
    shown: set[int] = set()
    hidden: set[int] = set()

    def look(one: Node, *, infinity: bool, nan: bool) -> None:
        (shown if (nan if isinstance(one, Column) else infinity) else hidden).add(id(one))
        name = one.function if isinstance(one, Call) else ""
        for number, part in enumerate(parts(one)):
            look(
                part,
                infinity=infinity and number in _KEEP_INFINITY.get(name, ()),
                nan=nan and name in _KEEP_NAN,
            )

    look(node, infinity=True, nan=True)
    return frozenset(shown - hidden)
