"""Tasks of several owners on few threads: in turn, each owner's in order; a light call passes a heavy one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_scheduler import DATA, Memory, Whole, never, right, run

from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.engine.turns import Turns


def test_owners_take_turns_and_their_tasks_stay_in_order():
    turns, gate, ran = Turns(1, "turns"), threading.Event(), []
    first = turns.submit("gate", gate.wait)
    tasks = [turns.submit(owner, ran.append, f"{owner}{n}") for owner in "ab" for n in range(3)]
    tasks.append(turns.submit("c", ran.append, "c0"))
    gate.set()
    for task in (first, *tasks):
        task.result(10)
    assert ran == ["a0", "b0", "c0", "a1", "b1", "a2", "b2"]


def test_results_errors_and_tasks_that_are_called_off():
    turns, gate = Turns(1, "turns"), threading.Event()
    turns.submit("a", gate.wait)
    late, bad, good = turns.submit("a", print), turns.submit("a", lambda: 1 / 0), turns.submit("b", divmod, 7, 2)
    assert late.cancel()
    gate.set()
    assert good.result(10) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        bad.result(10)


class Slow(Whole):
    """Each tile takes its time, until a light call is over."""

    def __init__(self, light_is_over):
        super().__init__()
        self.light_is_over, self.begun, self.before = light_is_over, threading.Event(), 0

    def place(self, slot, tile):
        super().place(slot, tile)
        self.begun.set()
        if not self.light_is_over.wait(0.05):
            self.before += 1


@pytest.mark.parametrize("kept", [True, False])
def test_a_light_call_passes_a_heavy_one(kept):
    """Its tile is kept or fetched; all of the heavy one's lie in one range and are decoded by the same thread."""
    engine, over, light = Engine(decode_threads=1), threading.Event(), Whole("b", [5])
    backend = Memory({"a": DATA, "b": DATA})
    if kept:
        run(engine, [Whole("b", [5])], backend, never)
    heavy = Slow(over)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, engine, [heavy], backend, never)
        assert heavy.begun.wait(10)
        run(engine, [light], backend, never)
        over.set()
        future.result(30)
    assert right(light)
    assert right(heavy)
    assert heavy.before < 10  # of 64: the light call's turns came in between
