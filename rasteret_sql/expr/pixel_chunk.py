"""`Evaluator`: computes an expression over some thousands of pixels at a time, in arrays that it uses again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rasteret_sql.expr.pixel_functions import CASTS, FUNCTIONS, PixelFunction
from rasteret_sql.expr.pixel_parts import parts_that_recur
from rasteret_sql.expr.tree import And, Call, Case, Column, Compare, In, IsNull, Literal, Node, Not, Operator, Or

Values = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_] | None
"""True where a value is not NULL; None: none is."""
Pixels = tuple[Values, Valid]
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


class _Part(NamedTuple):
    """A part of an expression that is ready to be computed."""

    run: Callable[[], Pixels]
    """Gives numbers of the pixels at hand, and where these are not NULL."""
    register: int | None = None
    """Number of the array that the numbers are in, if nothing else uses them."""
    is_constant: bool = False


class Evaluator:
    """Computes an expression over some pixels, and then over others; one thread uses it.

    What is to be done is settled once. Numbers are computed in few arrays, registers, again and again: to get memory
    from the system for each result takes longer than to compute what is in it.

    Args:
        node: The expression.
        bands: Names of its bands.
        dtypes: Of each of them.
        size: Pixels at a time, at most.
        numbers: In which numbers are computed: float64, or float32 where it gives the same.
        checked_later: Identities of the parts whose results need not be looked at.
        of_truth: The expression is a condition, and true or false is wanted.
    """

    def __init__(  # noqa: PLR0917 - settles all of it
        self,
        node: Node,
        bands: Sequence[str],
        dtypes: Sequence[np.dtype],
        size: int,
        numbers: np.dtype,
        checked_later: frozenset[int],
        *,
        of_truth: bool,
    ) -> None:
        self._number = {name: number for number, name in enumerate(bands)}
        self._dtypes = dtypes
        self._size = size
        self._numbers = numbers
        self._checked_later = checked_later
        self._recur = parts_that_recur(node)
        self._known: dict[int, _Part] = {}
        """Identity of a part that recurs → how it is computed."""
        self._results: dict[int, Pixels] = {}
        """The same → its numbers, of the pixels at hand."""
        self._whole: list[Values] = []
        self._registers: list[Values] = []
        """As long as the pixels at hand."""
        self._free: list[int] = []
        self._count = size
        self._values: Sequence[Values] = ()
        self._valid: Sequence[Valid] = ()
        self._run = self._truth(node) if of_truth else self._value(node).run

    def compute(self, values: Sequence[Values], valid: Sequence[Valid]) -> Pixels:
        """Compute some pixels.

        Args:
            values: Of each band, in one row.
            valid: True where they are valid.

        Returns:
            Numbers or truths, and where they are not NULL. The next call overwrites them.
        """
        self._values, self._valid = values, valid
        if self._results:
            self._results.clear()
        count = len(values[0])
        if count != self._count or len(self._registers) < len(self._whole):
            self._count = count
            self._registers[:] = [one[:count] for one in self._whole]
        return self._run()

    def close(self) -> None:
        """Free the registers: parts that know each other would hold them until the garbage collector comes."""
        self._whole.clear()
        self._registers.clear()
        self._results.clear()

    def _take(self) -> int:
        """A register with anything in it."""
        if self._free:
            return self._free.pop()
        self._whole.append(np.empty(self._size, self._numbers))
        return len(self._whole) - 1

    def _give_back(self, *used: _Part) -> None:
        """Use registers again: nothing is computed of them any more."""
        self._free += [one.register for one in used if one.register is not None]

    def _value(self, node: Node) -> _Part:
        """Prepare numbers."""
        if id(node) not in self._recur or isinstance(node, Literal):
            return self._prepared(node)
        key = id(node)
        if key not in self._known:
            # It may be computed first at any of its places, so that what it is computed in is its own.
            before, self._free = self._free, []
            run = self._prepared(node).run
            self._free = before
            results = self._results

            def once() -> Pixels:
                found = results.get(key)
                if found is None:
                    found = results[key] = run()
                return found

            self._known[key] = _Part(once)
        return self._known[key]

    def _prepared(self, node: Node) -> _Part:
        match node:
            case Column(name):
                return self._column(node, self._number[name])
            case Literal(None):
                nothing = self._numbers.type(0), np.False_
                return _Part(lambda: nothing, is_constant=True)  # type: ignore[arg-type, return-value]
            case Literal(bool() | int() | float() as value):
                constant = self._numbers.type(value), None
                return _Part(lambda: constant, is_constant=True)
            case Case(branches, otherwise):
                return _Part(self._case(branches, otherwise))
            case Call(function, arguments):
                return self._call(node, function, arguments)
        truth, numbers = self._truth(node), self._numbers

        def as_number() -> Pixels:
            found, valid = truth()
            return np.asarray(found, numbers), valid

        return _Part(as_number)

    def _column(self, node: Column, number: int) -> _Part:
        is_checked = self._dtypes[number].kind == "f" and id(node) not in self._checked_later
        if self._dtypes[number] == self._numbers:

            def as_it_is() -> Pixels:
                numbers, valid = self._values[number], self._valid[number]
                return numbers, _not_nan(numbers, valid) if is_checked else valid

            return _Part(as_it_is)
        register, registers = self._take(), self._registers

        def load() -> Pixels:
            numbers, valid = registers[register], self._valid[number]
            np.copyto(numbers, self._values[number], casting="unsafe")
            return numbers, _not_nan(numbers, valid) if is_checked else valid

        return _Part(load, register)

    def _call(self, node: Node, function: str, arguments: tuple[Node, ...]) -> _Part:
        match function:
            case "coalesce":
                return _Part(self._coalesce(arguments))
            case "greatest" | "least":
                return _Part(self._extreme(arguments, np.maximum if function == "greatest" else np.minimum))
            case "nullif":
                return _Part(self._nullif(*arguments))
        if function.startswith("cast "):
            inner, kind = self._value(arguments[0]).run, function.removeprefix("cast ")
            return _Part(lambda: _cast(*inner(), kind))
        known = FUNCTIONS[function]
        is_checked = known.partial and id(node) not in self._checked_later
        if known.of_bits:
            return _Part(self._of_bits(known, arguments))
        given = [self._value(one) for one in arguments]
        if isinstance(known.compute, np.ufunc) and not all(one.is_constant for one in given):
            return self._of_ufunc(known.compute, given, is_checked=is_checked)
        self._give_back(*given)
        runs = [one.run for one in given]

        def compute() -> Pixels:
            pixels = [run() for run in runs]
            valid = every(ok for _, ok in pixels)
            found = known.compute(*(one for one, _ in pixels))
            return found, finite(found, valid) if is_checked else valid

        return _Part(compute)

    def _of_ufunc(self, ufunc: np.ufunc, given: list[_Part], *, is_checked: bool) -> _Part:
        """A function of numpy, whose result takes the place of an argument that nothing else uses."""
        mine = next((one for one in given if one.register is not None), None)
        register = self._take() if mine is None else mine.register
        assert register is not None
        self._give_back(*(one for one in given if one is not mine))
        registers, runs = self._registers, [one.run for one in given]
        if len(runs) != 2:

            def compute() -> Pixels:
                pixels = [run() for run in runs]
                valid = every(ok for _, ok in pixels)
                found = ufunc(*(one for one, _ in pixels), registers[register])
                return found, finite(found, valid) if is_checked else valid

            return _Part(compute, register)
        first, second = runs

        def compute_two() -> Pixels:
            left, valid = first()
            right, there = second()
            if there is not None and there is not valid:
                valid = there if valid is None else valid & there
            found = ufunc(left, right, registers[register])
            return found, finite(found, valid) if is_checked else valid

        return _Part(compute_two, register)

    def _of_bits(self, known: PixelFunction, arguments: tuple[Node, ...]) -> Callable[[], Pixels]:
        runs = [self._bits(one) for one in arguments]

        def compute() -> Pixels:
            pixels = [run() for run in runs]
            values = [one for one, _ in pixels]
            valid = every(ok for _, ok in pixels)
            if known.allowed is not None:
                allowed = known.allowed(*values)
                valid = every((valid, allowed))
                if not np.all(allowed):
                    values[-1] = np.where(allowed, values[-1], 0)
            return np.asarray(known.compute(*values)).astype(np.float64), valid

        return compute

    def _bits(self, node: Node) -> Callable[[], Pixels]:
        """Integers as int64; those of a band without a way over float64, which has 53 bits."""
        if isinstance(node, Column):
            number = self._number[node.name]
            return lambda: (self._values[number].astype(np.int64), self._valid[number])
        run = self._value(node).run

        def whole() -> Pixels:
            values, valid = run()
            return np.asarray(values).astype(np.int64), valid

        return whole

    def _coalesce(self, arguments: tuple[Node, ...]) -> Callable[[], Pixels]:
        runs = [self._value(one).run for one in arguments]

        def compute() -> Pixels:
            values, valid = runs[0]()
            for run in runs[1:]:
                if valid is None:
                    break
                others, there = run()
                values = np.where(valid, values, others)
                valid = None if there is None else valid | there
            return values, valid

        return compute

    def _extreme(self, arguments: tuple[Node, ...], of_two: np.ufunc) -> Callable[[], Pixels]:
        """The greatest or least of those that are not NULL."""
        runs = [self._value(one).run for one in arguments]

        def compute() -> Pixels:
            values, valid = runs[0]()
            for run in runs[1:]:
                others, there = run()
                both = of_two(values, others)
                if valid is not None:
                    both = np.where(valid, both, others)
                if there is not None:
                    both = np.where(there, both, values)
                values = both
                valid = None if valid is None or there is None else valid | there
            return values, valid

        return compute

    def _nullif(self, value: Node, other: Node) -> Callable[[], Pixels]:
        of_value, of_other = self._value(value).run, self._value(other).run

        def compute() -> Pixels:
            values, valid = of_value()
            others, there = of_other()
            same = values == others
            if there is not None:
                same = same & there
            return values, every((valid, ~same))

        return compute

    def _case(self, branches: tuple[tuple[Node, Node], ...], otherwise: Node) -> Callable[[], Pixels]:
        last = self._value(otherwise).run
        runs = [(self._truth(when), self._value(then).run) for when, then in reversed(branches)]

        def compute() -> Pixels:
            values, valid = last()
            for when, then in runs:
                truth, known = when()
                holds = truth if known is None else truth & known
                found, there = then()
                values = np.where(holds, found, values)
                if valid is not None or there is not None:
                    valid = np.where(holds, True if there is None else there, True if valid is None else valid)
            return values, valid

        return compute

    def _truth(self, node: Node) -> Callable[[], Pixels]:
        """Prepare true or false."""
        match node:
            case Compare(op, left, right):
                return self._comparison(_TESTS[op], left, right)
            case And(terms):
                return self._decided(terms, by=False)
            case Or(terms):
                return self._decided(terms, by=True)
            case Not(term):
                inner = self._truth(term)

                def inverse() -> Pixels:
                    truth, valid = inner()
                    return ~truth, valid

                return inverse
            case IsNull(value):
                of_value = self._value(value).run

                def is_null() -> Pixels:
                    _, valid = of_value()
                    return (np.False_ if valid is None else ~valid), None  # type: ignore[return-value]

                return is_null
            case In(value, choices):
                return self._in(value, [choice.value for choice in choices])
            case Literal(bool() as value):
                constant = np.bool_(value), None
                return lambda: constant  # type: ignore[return-value]
        run = self._value(node).run

        def is_not_zero() -> Pixels:
            values, valid = run()
            return values != 0, valid

        return is_not_zero

    def _comparison(self, test: Callable[[Any, Any], Any], left: Node, right: Node) -> Callable[[], Pixels]:
        stored = self._stored(left)
        if stored is not None and isinstance(right, Literal) and isinstance(right.value, int):
            number, constant = stored, right.value
            return lambda: (test(self._values[number], constant), self._valid[number])
        of_left, of_right = self._value(left), self._value(right)
        self._give_back(of_left, of_right)

        def compare() -> Pixels:
            (one, valid), (other, there) = of_left.run(), of_right.run()
            return test(one, other), every((valid, there))

        return compare

    def _stored(self, node: Node) -> int | None:
        """The number of a band of integers that float64 holds, which are compared as they are; None: it is none."""
        if not isinstance(node, Column):
            return None
        number = self._number[node.name]
        dtype = self._dtypes[number]
        return number if dtype.kind in "iu" and dtype.itemsize <= 4 else None

    def _decided(self, terms: tuple[Node, ...], *, by: bool) -> Callable[[], Pixels]:
        """AND, which a single false term decides, and OR, which a single true one does."""
        runs = [self._truth(term) for term in terms]

        def decide() -> Pixels:
            truth, valid = runs[0]()
            for run in runs[1:]:
                other, there = run()
                if valid is None and there is None:
                    truth = truth | other if by else truth & other
                    continue
                first = True if valid is None else valid
                second = True if there is None else there
                # A NULL side has any truth: it decides nothing.
                decided, other_decides = (truth == by) & first, (other == by) & second
                valid = (first & second) | decided | other_decides
                either = decided | other_decides
                truth = either if by else ~either
            return truth, valid

        return decide

    def _in(self, value: Node, choices: list[Any]) -> Callable[[], Pixels]:
        numbers: list[Any] = [choice for choice in choices if choice is not None]
        stored = self._stored(value)
        run: Callable[[], Pixels]
        if stored is not None and all(isinstance(number, int) for number in numbers):
            at = stored
            run = lambda: (self._values[at], self._valid[at])  # noqa: E731
        else:
            part = self._value(value)
            self._give_back(part)
            run, numbers = part.run, [float(number) for number in numbers]
        many = np.array(numbers, np.float64) if len(numbers) > _FEW else None
        has_null = len(numbers) < len(choices)

        def is_in() -> Pixels:
            values, valid = run()
            if many is not None:
                found = np.isin(values, many)
            else:
                found = np.zeros(np.shape(values), bool)
                for number in numbers:
                    found |= values == number
            return found, every((valid, found)) if has_null else valid

        return is_in


def _cast(values: Values, valid: Valid, kind: str) -> Pixels:
    """As DuckDB's TRY_CAST: integers are rounded, half to even, and NULL where the type does not have them."""
    if kind == "BOOLEAN":
        return np.asarray(values != 0, np.float64), valid
    if kind == "DOUBLE":
        return values, valid
    if kind == "REAL":
        single = np.asarray(values, np.float32).astype(np.float64)
        return single, finite(single, valid)
    whole = np.rint(values)
    limits = CASTS[kind]
    inside = (whole >= limits.low) & (whole <= limits.high)
    return whole, valid if np.all(inside) else every((valid, inside))


def finite(values: Values, valid: Valid) -> Valid:
    """True where values are finite, and valid."""
    found = np.isfinite(values)
    return valid if found.all() else every((valid, found))


def _not_nan(values: Values, valid: Valid) -> Valid:
    missing = np.isnan(values)
    return every((valid, ~missing)) if missing.any() else valid


def every(masks: Any) -> Valid:
    """True where all are; None counts as true everywhere."""
    found: Valid = None
    for mask in masks:
        if mask is not None and mask is not found:
            found = mask if found is None else found & mask
    return found
