"""Computes expressions over bands with numpy: in float64, NULL as SQL has it, some thousands of pixels at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.pixel_functions import CASTS, FUNCTIONS
from rasteret_sql.expr.tree import (
    And,
    Call,
    Case,
    Column,
    Compare,
    In,
    IsNull,
    Literal,
    Node,
    Not,
    Operator,
    Or,
    columns,
    rebuilt,
)
from rasteret_sql.expr.value_type import FRACTIONS, TRUTH, ValueType, common, integers, type_of_dtype

Values = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_] | None
"""True where a value is not NULL; None: none is."""
Pixels = tuple[Values, Valid]
_CHUNK = 1 << 14
"""Pixels that are computed at a time: their arrays stay in the processor's cache."""
_TESTS: dict[Operator, Callable[[Any, Any], Any]] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_FEW = 16
"""Choices of IN that are compared one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Computation:
    """An expression over bands of known dtypes."""

    node: Node
    dtype: np.dtype
    """Of the result."""

    @classmethod
    def of(cls, node: Node, dtypes: Mapping[str, np.dtype]) -> Computation:
        """Prepare an expression for bands.

        Args:
            node: The expression.
            dtypes: Of each of its bands.

        Raises:
            InvalidArgumentError: An operator on bits has an operand that is no integer.
        """
        types = {name: type_of_dtype(dtype) for name, dtype in dtypes.items()}
        node = _with_types(node, types)
        if isinstance(node, Column):
            return cls(node, dtypes[node.name])
        if isinstance(node, Call) and node.function == "cast DOUBLE":
            return cls(node, np.dtype("float64"))
        return cls(node, type_of(node, types).dtype)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands, each once."""
        return columns(self.node)

    @property
    def is_band(self) -> bool:
        """True where it is a band as it is."""
        return isinstance(self.node, Column)

    def compute(self, bands: Mapping[str, Pixels]) -> Pixels:
        """Compute the expression.

        Args:
            bands: Pixels of each band, of one shape, and True where they are valid; None: all are.

        Returns:
            Values of `dtype` in that shape, and where they are valid. Others have any value.
        """
        if isinstance(self.node, Column):
            return bands[self.node.name]
        shape = _shape(bands)
        values = np.empty(math.prod(shape), self.dtype)
        valid: Valid = None
        with np.errstate(all="ignore"):
            for some, part in _chunks(bands):
                found, ok = part.value(self.node)
                values[some] = found if ok is None else np.where(ok, found, 0)
                if self.dtype.kind == "f":
                    ok = _finite(values[some], ok)
                if ok is not None and not np.all(ok):
                    if valid is None:
                        valid = np.ones(len(values), bool)
                    valid[some] = ok
        return values.reshape(shape), None if valid is None else valid.reshape(shape)

    def true(self, bands: Mapping[str, Pixels]) -> npt.NDArray[np.bool_]:
        """True for pixels of which the expression, a condition, is true: neither false nor NULL."""
        shape = _shape(bands)
        found = np.empty(math.prod(shape), bool)
        with np.errstate(all="ignore"):
            for some, part in _chunks(bands):
                values, ok = part.truth(self.node)
                found[some] = values if ok is None else values & ok
        return found.reshape(shape)


def type_of(node: Node, types: Mapping[str, ValueType]) -> ValueType:
    """The type of an expression's values.

    Args:
        node: The expression.
        types: Of each of its bands.
    """
    match node:
        case Column(name):
            return types[name]
        case Literal(bool()):
            return TRUTH
        case Literal(int() as value):
            return integers(value, value)
        case Literal(None):
            return integers(0, 0)
        case Literal():
            return FRACTIONS
        case In() | IsNull() | Not() | And() | Or() | Compare():
            return TRUTH
        case Case(branches, otherwise):
            return _common([value for _, value in branches] + [otherwise], types)
        case Call("greatest" | "least" | "coalesce", arguments):
            return _common(arguments, types)
        case Call("nullif", arguments):
            return type_of(arguments[0], types)
        case Call(function, arguments):
            if function.startswith("cast "):
                return CASTS[function.removeprefix("cast ")]
            found: ValueType = FUNCTIONS[function].type(*(type_of(one, types) for one in arguments))
            return found
    raise AssertionError(node)


def _common(nodes: Any, types: Mapping[str, ValueType]) -> ValueType:
    """The type of any of some; NULL has none of its own."""
    return common([type_of(one, types) for one in nodes if not (isinstance(one, Literal) and one.value is None)])


def _with_types(node: Node, types: Mapping[str, ValueType]) -> Node:
    """The expression with what depends on the types of bands settled; equal parts stay one object."""
    known: dict[int, Node] = {}

    def settled(one: Node) -> Node:
        if id(one) not in known:
            known[id(one)] = made(one)
        return known[id(one)]

    def made(one: Node) -> Node:
        if not isinstance(one, Call):
            return rebuilt(one, settled)
        given = [type_of(argument, types) for argument in one.arguments]
        if one.function in FUNCTIONS and FUNCTIONS[one.function].of_bits:
            _check_integers(one.function, given)
        if one.function == "//":  # of numbers with a fraction, DuckDB's // divides as / does
            quotient = Call("/", tuple(map(settled, one.arguments)))
            return Call("trunc", (quotient,)) if all(each.is_integer for each in given) else quotient
        return rebuilt(one, settled)

    return settled(node)


def _check_integers(function: str, given: list[ValueType]) -> None:
    if not all(one.is_integer for one in given):
        raise InvalidArgumentError(
            f"{function} works on bits, so on integers, and a value here has a fraction; cast it: CAST(... AS INTEGER)"
        )


class _Chunk:
    """Some pixels of the bands of an expression."""

    def __init__(self, bands: Mapping[str, Pixels]) -> None:
        self._bands = bands
        self._values: dict[int, Pixels] = {}
        """Identity of a part of the expression → its values, since parts stand in it several times."""

    def value(self, node: Node) -> Pixels:
        """Numbers, as float64."""
        found = self._values.get(id(node))
        if found is None:
            found = self._values[id(node)] = self._value(node)
        return found

    def _value(self, node: Node) -> Pixels:
        match node:
            case Column(name):
                values, valid = self._bands[name]
                numbers = values.astype(np.float64)
                return numbers, _not_nan(numbers, valid) if values.dtype.kind == "f" else valid
            case Literal(None):
                return np.float64(0), np.False_  # type: ignore[return-value]
            case Literal(bool() | int() | float() as value):
                return np.float64(value), None  # type: ignore[return-value]
            case Case(branches, otherwise):
                return self._case(branches, otherwise)
            case Call(function, arguments):
                return self._call(function, arguments)
        truth, valid = self.truth(node)
        return np.asarray(truth, np.float64), valid

    def _call(self, function: str, arguments: tuple[Node, ...]) -> Pixels:
        match function:
            case "coalesce":
                return self._coalesce(arguments)
            case "greatest" | "least":
                return self._extreme(arguments, np.maximum if function == "greatest" else np.minimum)
            case "nullif":
                return self._nullif(*arguments)
        if function.startswith("cast "):
            return _cast(*self.value(arguments[0]), function.removeprefix("cast "))
        known = FUNCTIONS[function]
        given = [self._bits(one) if known.of_bits else self.value(one) for one in arguments]
        valid = _all(ok for _, ok in given)
        values = [one for one, _ in given]
        if known.allowed is not None:
            allowed = known.allowed(*values)
            valid = _all((valid, allowed))
            if not np.all(allowed):
                values[-1] = np.where(allowed, values[-1], 0)
        found = known.compute(*values)
        if known.of_bits:
            found = np.asarray(found).astype(np.float64)
        return found, _finite(found, valid) if known.partial else valid

    def _bits(self, node: Node) -> Pixels:
        """Integers as int64; those of a band without a way over float64, which has 53 bits."""
        if isinstance(node, Column):
            values, valid = self._bands[node.name]
            return values.astype(np.int64), valid
        values, valid = self.value(node)
        return np.asarray(values).astype(np.int64), valid

    def _coalesce(self, arguments: tuple[Node, ...]) -> Pixels:
        values, valid = self.value(arguments[0])
        for argument in arguments[1:]:
            if valid is None:
                break
            others, there = self.value(argument)
            values = np.where(valid, values, others)
            valid = None if there is None else valid | there
        return values, valid

    def _extreme(self, arguments: tuple[Node, ...], of_two: Callable[[Any, Any], Any]) -> Pixels:
        """The greatest or least of those that are not NULL."""
        values, valid = self.value(arguments[0])
        for argument in arguments[1:]:
            others, there = self.value(argument)
            both = of_two(values, others)
            if valid is not None:
                both = np.where(valid, both, others)
            if there is not None:
                both = np.where(there, both, values)
            values = both
            valid = None if valid is None or there is None else valid | there
        return values, valid

    def _nullif(self, value: Node, other: Node) -> Pixels:
        values, valid = self.value(value)
        others, there = self.value(other)
        same = values == others
        if there is not None:
            same = same & there
        return values, _all((valid, ~same))

    def _case(self, branches: tuple[tuple[Node, Node], ...], otherwise: Node) -> Pixels:
        values, valid = self.value(otherwise)
        for when, then in reversed(branches):
            truth, known = self.truth(when)
            holds = truth if known is None else truth & known
            found, there = self.value(then)
            values = np.where(holds, found, values)
            if valid is not None or there is not None:
                valid = np.where(holds, True if there is None else there, True if valid is None else valid)
        return values, valid

    def truth(self, node: Node) -> tuple[Any, Any]:
        """True or false, and where it is not NULL."""
        match node:
            case Compare(op, left, right):
                (a, a_there), (b, b_there) = self.value(left), self.value(right)
                return _TESTS[op](a, b), _all((a_there, b_there))
            case And(terms):
                return self._decided(terms, by=False)
            case Or(terms):
                return self._decided(terms, by=True)
            case Not(term):
                truth, valid = self.truth(term)
                return ~truth, valid
            case IsNull(value):
                _, valid = self.value(value)
                return (np.False_ if valid is None else ~valid), None
            case In(value, choices):
                return self._in(value, [choice.value for choice in choices])
            case Literal(bool() as value):
                return np.bool_(value), None
        values, valid = self.value(node)
        return values != 0, valid

    def _decided(self, terms: tuple[Node, ...], *, by: bool) -> tuple[Any, Any]:
        """AND, which a single false term decides, and OR, which a single true one does."""
        truth, valid = self.truth(terms[0])
        for term in terms[1:]:
            other, there = self.truth(term)
            decided = truth == by
            other_decides = other == by
            if valid is not None or there is not None:
                first = True if valid is None else valid
                second = True if there is None else there
                # A NULL side has any truth: it decides nothing.
                decided, other_decides = decided & first, other_decides & second
                valid = (first & second) | decided | other_decides
            either = decided | other_decides
            truth = either if by else ~either
        return truth, valid

    def _in(self, value: Node, choices: list[Any]) -> tuple[Any, Any]:
        values, valid = self.value(value)
        numbers = [float(choice) for choice in choices if choice is not None]
        if len(numbers) <= _FEW:
            found = np.zeros(np.shape(values), bool)
            for number in numbers:
                found |= values == number
        else:
            found = np.isin(values, numbers)
        return found, valid if len(numbers) == len(choices) else _all((valid, found))


def _cast(values: Values, valid: Valid, kind: str) -> Pixels:
    """As DuckDB's TRY_CAST: integers are rounded, half to even, and NULL where the type does not have them."""
    if kind == "BOOLEAN":
        return np.asarray(values != 0, np.float64), valid
    if kind == "DOUBLE":
        return values, valid
    if kind == "REAL":
        single = np.asarray(values, np.float32).astype(np.float64)
        return single, _finite(single, valid)
    whole = np.rint(values)
    limits = CASTS[kind]
    inside = (whole >= limits.low) & (whole <= limits.high)
    return whole, valid if np.all(inside) else _all((valid, inside))


def _finite(values: Values, valid: Valid) -> Valid:
    finite = np.isfinite(values)
    return valid if np.all(finite) else _all((valid, finite))


def _not_nan(values: Values, valid: Valid) -> Valid:
    missing = np.isnan(values)
    return _all((valid, ~missing)) if missing.any() else valid


def _all(parts: Any) -> Valid:
    """True where all are; None counts as true everywhere."""
    found: Valid = None
    for part in parts:
        if part is not None:
            found = part if found is None else found & part
    return found


def _shape(bands: Mapping[str, Pixels]) -> tuple[int, ...]:
    return next(iter(bands.values()))[0].shape


def _chunks(bands: Mapping[str, Pixels]) -> Iterator[tuple[slice, _Chunk]]:
    """The pixels of bands, some thousands at a time, in one row."""
    flat = {name: (one.reshape(-1), None if ok is None else ok.reshape(-1)) for name, (one, ok) in bands.items()}
    for begin in range(0, math.prod(_shape(bands)), _CHUNK):
        some = slice(begin, begin + _CHUNK)
        yield some, _Chunk({name: (one[some], None if ok is None else ok[some]) for name, (one, ok) in flat.items()})
