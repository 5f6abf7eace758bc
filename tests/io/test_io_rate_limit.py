"""Gates: limits hold, order is kept, a host that turns many away is left alone for a while, and recovers."""

import asyncio

import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.rate_limit import Gate, HostGate
from rasteret_sql.io.retry_after import seconds_of
from rasteret_sql.io.settings import IoSettings, change_io_settings, io_settings


def test_a_gate_lets_in_so_many_in_the_order_of_asking():
    async def play():
        gate, order, most = Gate(lambda: 3), [], 0

        async def one(number):
            nonlocal most
            await gate.enter()
            order.append(number)
            most = max(most, gate.inside)
            await asyncio.sleep(0.001)
            gate.leave()

        await asyncio.gather(*(one(number) for number in range(20)))
        return order, most, gate.inside

    assert asyncio.run(play()) == (list(range(20)), 3, 0)


def test_who_is_cancelled_while_waiting_takes_no_place():
    async def play():
        gate = Gate(lambda: 1)
        await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.leave()  # lets the second in, and before it runs it is cancelled too
        waiting[1].cancel()
        await asyncio.wait(waiting, timeout=1)
        return [task.cancelled() for task in waiting], gate.inside

    assert asyncio.run(play()) == ([True, True, False], 1)


def test_a_higher_limit_counts_at_once():
    async def play():
        limit = 1
        gate = Gate(lambda: limit)
        await gate.enter()
        waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        limit = 4
        gate.leave()
        await asyncio.wait_for(asyncio.gather(*waiting), 1)
        return gate.inside

    assert asyncio.run(play()) == 3


def test_accidents_of_a_host_hold_up_nobody_else():
    async def play():
        gate = HostGate(lambda: 64)
        for number in range(100):
            await gate.enter()
            gate.turned_away(60) if number % 20 == 19 else gate.answered()
            gate.leave()
        return gate.is_overloaded, gate.limit(), gate.opens

    assert asyncio.run(play()) == (False, 64, 0)


def test_a_host_that_turns_many_away_is_left_alone_and_then_tried_with_fewer():
    async def play():
        now = asyncio.get_running_loop().time
        gate = HostGate(lambda: 64)
        for _ in range(64):
            await gate.enter()
        for _ in range(64):
            gate.turned_away(0.05)
            gate.leave()
        narrowed, closed = gate.limit(), gate.opens - now()
        begun = now()
        await gate.enter()
        waited = now() - begun
        for _ in range(5000):
            gate.answered()
        return narrowed, closed, waited, gate.limit()

    narrowed, closed, waited, after = asyncio.run(play())
    assert narrowed == 24  # half of those that were on their way when the sixteenth was turned away
    assert 0 < closed <= 0.05
    assert 0.03 < waited < 1
    assert after == 64


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), (" 120 ", 120), ("99999", 600), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None), (None, None)],
)
def test_retry_after(text, seconds):
    assert seconds_of(text) == seconds


def test_settings_are_checked_and_hold_for_the_process():
    try:
        assert change_io_settings(max_requests=9).max_requests == 9
        assert io_settings().max_requests == 9
        with pytest.raises(InvalidArgumentError, match=r"max_requests is an integer, 1 or more, not 0"):
            change_io_settings(request_timeout=3, max_requests=0)
        assert io_settings().request_timeout == IoSettings().request_timeout
        with pytest.raises(InvalidArgumentError, match=r'no setting "max_request"; did you mean "max_requests"\?'):
            change_io_settings(max_request=3)
        with pytest.raises(InvalidArgumentError, match="request_timeout is a number of seconds"):
            change_io_settings(request_timeout="3")
    finally:
        change_io_settings(max_requests=IoSettings().max_requests)
