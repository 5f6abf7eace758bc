"""Memory that is used again: each thread's own, and that which comes back when nobody has a view of it."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rasteret_sql import scratch
from rasteret_sql.scratch import Recycled, Scratch

SIZE = 100_000


def place(array):
    return array.__array_interface__["data"][0]


def test_a_thread_has_the_same_memory_again_and_no_other_has_it():
    memory = Scratch()
    mine = memory.get(SIZE)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(memory.get, SIZE).result()
    assert place(memory.get(SIZE // 2)) == place(mine) != place(other)
    assert len(memory.get(SIZE * 2)) == SIZE * 2
    large = memory.get(scratch._MOST_KEPT + 1)
    assert place(memory.get(scratch._MOST_KEPT + 1)) != place(large)


def test_memory_comes_back_when_the_last_view_of_it_is_gone():
    memory = Recycled()
    views = [memory.get(SIZE).view("u2").reshape(100, -1)[3:, 5:].T]
    at = place(memory.get(SIZE))  # nobody has it any more
    assert place(memory.get(SIZE)) == at
    views.append(memory.get(SIZE)[7:])
    views.append(memoryview(memory.get(SIZE))[9:])
    views.append(np.frombuffer(memory.get(SIZE).data, "u4")[1:])
    kept = [np.asarray(view).view(np.ndarray) for view in views]
    for number, view in enumerate(kept):
        view[...] = number + 1
    views.clear()
    more = [memory.get(SIZE) for _ in range(4)]
    for one in more:
        one[:] = 255
    assert [np.unique(view).tolist() for view in kept] == [[1], [2], [3], [4]]
    del kept, view, one, more
    gc.collect()
    assert sum(map(len, memory._free.values())) == 8


def test_little_is_kept():
    memory = Recycled()
    for size in (100, scratch._MOST_RECYCLED + 1):
        assert len(memory.get(size)) == size
    assert not memory._free
    for size in range(SIZE, SIZE + 20):
        several = [memory.get(size) for _ in range(200)]
        del several
    assert list(memory._free) == list(range(SIZE + 16, SIZE + 20))
    assert all(len(free) * size <= scratch._MOST_RECYCLED for size, free in memory._free.items())
