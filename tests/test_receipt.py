"""Receipts: the time of a stage is that in which any thread was at it; what calls share is made once."""

import pytest

from rasteret_sql import receipt
from rasteret_sql.receipt import Clock, Receipt


def test_overlapping_times_count_once(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(receipt.time, "perf_counter", lambda: now[0])
    clock = Clock()

    def at(second, step):
        now[0] = second
        step()

    def leave():
        clock.__exit__(None, None, None)

    # 0 to 3 and 1 to 4 are 4 seconds, 10 to 11 one more; from 20 on it runs.
    for second, step in [(0, clock.__enter__), (1, clock.__enter__), (3, leave), (4, leave)]:
        at(second, step)
    assert clock.seconds == 4
    at(10, clock.__enter__)
    at(11, leave)
    at(20, clock.__enter__)
    now[0] = 22.0
    assert clock.seconds == 7


def test_a_clock_stops_where_its_block_fails():
    clock = Clock()
    with pytest.raises(ZeroDivisionError), clock:
        1 / 0  # noqa: B018
    stopped = clock.seconds
    assert clock.seconds == stopped


def test_calls_share_what_the_first_made():
    one = Receipt()
    assert one.shared("key", list) is one.shared("key", list)
    assert one.shared("key", list) is not one.shared("other", list)


def test_pairs_that_are_planned_twice_are_not_skipped():
    one = Receipt()
    one.saw(3)
    one.planned(2)
    assert one.pairs_skipped == 1
    one.planned(2)  # read again, since a file was changed
    assert one.pairs_skipped == 0
    one.fail("first")
    one.fail("second")
    assert one.error == "first"
