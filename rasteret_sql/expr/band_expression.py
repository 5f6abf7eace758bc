"""Parses expressions over bands in SQL text: arithmetic, functions, conditions, CASE, in DuckDB's dialect.

A name is that of a band, letter by letter. Nothing else is known of bands here: whoever computes the expression says
which they are (`pixels.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.expr import pixel_functions
from rasteret_sql.expr.condition import ConditionReader
from rasteret_sql.expr.pixel_functions import CASTS, FUNCTIONS, NULL_AWARE, value_names
from rasteret_sql.expr.sql_text import parse_expression, shown, too_deep
from rasteret_sql.expr.tree import Call, Case, Compare, In, IsNull, Literal, Node, columns

SUPPORTED = (
    "an expression has bands, numbers, arithmetic (+ - * / // % **), comparisons, AND, OR, NOT, IN, BETWEEN, IS NULL, "
    "CASE, casts, bit operators (& | ~ << >>) and functions such as abs, sqrt, ln, greatest, coalesce, nullif, "
    "qa_bits, as in '(B08 - B04) / (B08 + B04)'"
)
_LONGEST = 10_000
"""Characters of an expression."""
_DEEPEST = 100
"""Parts in each other."""
_CALLS: dict[type[exp.Expression], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.Pow: "pow",
    exp.Neg: "negative",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseXor: "xor",
    exp.BitwiseNot: "~",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
}
"""Operators, and functions that sqlglot makes operators of."""
_OTHER_NAMES = {"ceiling": "ceil", "power": "pow", "ifnull": "coalesce", "bitwise_count": "bit_count"}
_CONDITIONS = (exp.And, exp.Or, exp.Not, exp.Between, exp.In, exp.Is, exp.Boolean, exp.Predicate)
_TYPE_NAMES = {
    **{name: name for name in CASTS},
    "INT": "INTEGER",
    "UINT": "UINTEGER",
    "FLOAT": "REAL",
}


@dataclass(frozen=True, slots=True)
class BandExpression:
    """An expression over bands."""

    text: str
    node: Node

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands, each once, as they are written."""
        return columns(self.node)

    def place_of(self, name: str) -> str:
        """Says where a name stands, for messages."""
        found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", self.text)
        return "" if found is None else f" at character {found.start() + 1}"


@lru_cache(maxsize=1024)
def parse_band_expression(text: str, what: str = "expression") -> BandExpression:
    """Read an expression over bands.

    Args:
        text: One expression in DuckDB's SQL.
        what: What it is, for messages: expression or mask.

    Raises:
        InvalidArgumentError: It is no SQL, has a part that no pixel can have, or names no band.
    """
    found = parse_expression(text, what, SUPPORTED, _LONGEST)
    try:
        node = _BandReader(text, what).value(found)
    except RecursionError:
        raise too_deep(text, what) from None
    expression = BandExpression(" ".join(text.split()), node)
    if not expression.bands:
        raise InvalidArgumentError(f"the {what} {shown(text)} names no band; {SUPPORTED}")
    return expression


class _BandReader(ConditionReader):
    """Turns sqlglot's expressions of one text into the tree; equal parts are one object, and computed once."""

    supported = SUPPORTED

    def __init__(self, text: str, what: str) -> None:
        super().__init__(text)
        self.what = what
        self._depth = 0
        self._known: dict[str, Node] = {}
        """Text of a part → the part. Not by equality, by which 1, 1.0 and true are one."""

    def value(self, part: exp.Expression) -> Node:
        """A value or a truth of each pixel."""
        if self._depth >= _DEEPEST:
            raise too_deep(self.text, self.what)
        self._depth += 1
        try:
            node = self._value(part)
            return self._known.setdefault(repr(node), node)
        finally:
            self._depth -= 1

    def condition(self, part: exp.Expression) -> Node:
        """A truth; a number is true where it is not 0."""
        if isinstance(part, exp.Is) and isinstance(part.expression, exp.Null):
            return IsNull(self.value(part.this))
        if isinstance(part, exp.NullSafeEQ | exp.NullSafeNEQ):
            raise self.refused(part, "; write it with IS NULL")
        if isinstance(part, exp.Like | exp.ILike | exp.Escape):
            raise self.refused(part, "; a pixel is a number, not a text")
        if isinstance(part, (*_CONDITIONS, exp.Paren, exp.Null)):
            node = super().condition(part)
            return self._known.setdefault(repr(node), node)
        return Compare("<>", self.value(part), Literal(0))

    def _value(self, part: exp.Expression) -> Node:
        match part:
            case exp.Paren():
                return self.value(part.this)
            case exp.Null():
                return Literal(None)
            case exp.Boolean():
                return Literal(bool(part.this))
            case exp.Literal(is_string=True) | exp.RawString():
                raise self.refused(part, "; a band stands without quotes, or in double quotes")
            case exp.Literal():
                return self.literal(part)
            case exp.Column():
                return self.column(part, "")
            case exp.Case():
                return self._case(part)
            case exp.If():
                return self._if(part)
            case exp.Cast():
                return self._cast(part)
        name = _CALLS.get(type(part))
        if name is not None:
            return self._call(name, part)
        if isinstance(part, exp.Anonymous):
            return self._function(str(part.this), part.expressions, part)
        if isinstance(part, exp.Log):
            return self._log(part)
        if isinstance(part, exp.Func) and not isinstance(part, _CONDITIONS):
            return self._function(part.sql_name(), _arguments(part), part)
        if isinstance(part, _CONDITIONS):
            return self.condition(part)
        raise self.refused(part)

    def _call(self, name: str, part: exp.Expression) -> Node:
        call = Call(name, tuple(self.value(one) for one in _arguments(part)))
        inner = call.arguments[0] if name == "negative" else None
        if isinstance(inner, Literal) and isinstance(inner.value, int | float):
            return Literal(-inner.value)
        return call

    def _log(self, part: exp.Log) -> Node:
        base = part.this if part.expression is not None else None
        if isinstance(base, exp.Literal) and str(base.this) in ("2", "10"):
            return Call(f"log{base.this}", (self.value(part.expression),))
        return Call("log", tuple(self.value(one) for one in _arguments(part)))

    def _function(self, written: str, given: list[exp.Expression], part: exp.Expression) -> Node:
        name = _OTHER_NAMES.get(written.lower(), written.lower())
        known = FUNCTIONS.get(name)
        if isinstance(part, exp.AggFunc):
            raise self.refused(part, "; it is computed for each pixel, so aggregates have no place in it")
        if name in pixel_functions.OPERATORS or (known is None and name not in NULL_AWARE):
            called, _ = self._called(part)
            near = did_you_mean(called.lower(), value_names())
            raise self.refused(part, f"; there is no function {called.lower()}: {near}")
        least, most = (known.least, known.most) if known is not None else NULL_AWARE[name]
        if not least <= len(given) <= most:
            counts = str(least) if least == most else f"{least} to {most}"
            raise self.refused(part, f"; {name} takes {counts} argument(s), not {len(given)}")
        call = Call(name, tuple(self.value(one) for one in given))
        if name == "qa_bits":
            self._check_bits(call, part)
        return call

    def _check_bits(self, call: Call, part: exp.Expression) -> None:
        ends = [one.value if isinstance(one, Literal) else None for one in call.arguments[1:]]
        if not all(isinstance(end, int) and 0 <= end < 63 for end in ends) or ends[0] > ends[1]:  # type: ignore[operator]
            raise self.refused(
                part, "; qa_bits(band, first, last) takes the numbers of the first and last bit, 0 to 62"
            )

    def _case(self, part: exp.Case) -> Node:
        of = None if part.this is None else self.value(part.this)
        branches = []
        for branch in part.args["ifs"]:
            when = self.condition(branch.this) if of is None else Compare("=", of, self.value(branch.this))
            branches.append((when, self.value(branch.args["true"])))
        default = part.args.get("default")
        return Case(tuple(branches), Literal(None) if default is None else self.value(default))

    def _if(self, part: exp.If) -> Node:
        otherwise = part.args.get("false")
        branch = self.condition(part.this), self.value(part.args["true"])
        return Case((branch,), Literal(None) if otherwise is None else self.value(otherwise))

    def _cast(self, part: exp.Cast) -> Node:
        written = part.to.sql("duckdb").upper()
        kind = _TYPE_NAMES.get(written)
        if kind is None:
            near = did_you_mean(written, CASTS, len(CASTS))
            raise self.refused(part, f"; a pixel cannot be cast to {written}: {near}")
        return Call(f"cast {kind}", (self.value(part.this),))

    def _in(self, part: exp.In) -> Node:
        found = super()._in(part)
        if isinstance(found, In) and any(isinstance(one.value, str) for one in found.choices):
            raise self.refused(part, "; a pixel is a number, not a text")
        return found

    def _like(self, part: exp.Expression, escape: str, whole: exp.Expression) -> Node:  # noqa: ARG002
        raise self.refused(whole, "; a pixel is a number, not a text")

    def literal(self, part: exp.Expression) -> Literal:
        found = super().literal(part)
        if isinstance(found.value, str):
            raise self.refused(part, "; a pixel is a number, not a text")
        return found

    def refused(self, part: exp.Expression, more: str = "") -> InvalidArgumentError:
        """The error of a part that cannot be there, with its place in the text."""
        starts = _starts(part)
        first = self._called(part)[1] if isinstance(part, exp.Func) else None
        at = min(starts, default=None) if first is None else first
        return super().refused(part, ("" if at is None else f" (at character {at + 1})") + more)

    def _called(self, part: exp.Func) -> tuple[str, int | None]:
        """The name of a function as it is written, and where; None where the text has no such name."""
        names = [str(part.this)] if isinstance(part, exp.Anonymous) else part.sql_names()
        found = list(re.finditer(rf"\b({'|'.join(map(re.escape, names))})\s*\(", self.text, re.IGNORECASE))
        first = min(_starts(part), default=len(self.text))
        # Of several, the last one before its first argument.
        before = [one for one in found if one.start() <= first] or found
        return (before[-1][1], before[-1].start()) if before else (names[0], None)


def _starts(part: exp.Expression) -> list[int]:
    """The places of the names and numbers of a part, from 0, as far as they are known."""
    return [one.meta["start"] for one in part.walk() if "start" in one.meta]


def _arguments(part: exp.Expression) -> list[exp.Expression]:
    """Those of an operator or function, in their order."""
    found: list[exp.Expression] = []
    for value in (part.args.get(name) for name in part.arg_types):
        found += value if isinstance(value, list) else [value] if isinstance(value, exp.Expression) else []
    return found
