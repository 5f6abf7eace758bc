"""Which of many values fail: each has its own error, found by halves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasteret_sql.errors import InterruptedQueryError, InvalidArgumentError, MemoryLimitError
from rasteret_sql.reading.request import each_or_error


@given(st.sets(st.integers(0, 40)), st.integers(0, 40))
def test_every_failing_value_has_its_error_and_the_others_their_results(failing, count):
    calls = []

    def work(some):
        calls.append(len(some))
        for value in some:
            if value in failing:
                raise InvalidArgumentError(str(value))
        return [value * 2 for value in some]

    found = each_or_error(work, range(count), tolerant=True)
    bad = failing & set(range(count))
    assert [str(one) if isinstance(one, InvalidArgumentError) else one for one in found] == [
        str(value) if value in bad else value * 2 for value in range(count)
    ]
    assert len(calls) <= 1 + 2 * len(bad) * max(count - 1, 1).bit_length()


@pytest.mark.parametrize("error", [InterruptedQueryError("stop"), MemoryLimitError("much")])
def test_what_concerns_the_whole_call_is_raised(error):
    def work(some):
        raise error

    with pytest.raises(type(error)):
        each_or_error(work, [1, 2], tolerant=True, fatal=(MemoryLimitError,))
    with pytest.raises(type(error)):
        each_or_error(work, [1, 2], tolerant=False)
