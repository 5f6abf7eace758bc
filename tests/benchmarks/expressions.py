"""Measure expressions beside numexpr on the same arrays: `python tests/benchmarks/expressions.py [--runs 9]`.

Bands of 4096 × 4096 pixels. numexpr has as many threads as there are processors. It computes bands of float32 in
float32, or in float64 where the expression has a number with a point; ours in float64, which it rounds, and looks for
pixels that have no value. Both take turns in one process. Given are medians of processor seconds and of seconds, and
of the ratio of processor seconds in one turn. numexpr is no dependency: install it for this.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numexpr
import numpy as np

from rasteret_sql.expr.band_expression import parse_band_expression
from rasteret_sql.expr.pixel_chunk import Pixels
from rasteret_sql.expr.pixels import Computation

SIDE = 4096
EXPRESSIONS = {
    "(b - a) / (b + a)": "(b - a) / (b + a)",
    "2.5 * (b - a) / (b + 6 * a - 7.5 * c + 1)": "2.5 * (b - a) / (b + 6 * a - 7.5 * c + 1)",
    "sqrt(a * a + b * b)": "sqrt(a * a + b * b)",
    "CASE WHEN a > 0.5 THEN b ELSE c END": "where(a > 0.5, b, c)",
    "ln(a + 1) * b": "log(a + 1) * b",
    "exp(-a)": "exp(-a)",
}
"""Ours → numexpr's."""


def ours(computation: Computation, bands: dict[str, Pixels]) -> np.ndarray:
    return computation.compute(bands)[0]


def timed(work: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Processor seconds, seconds, and the result."""
    begun, used = time.perf_counter(), time.process_time()
    found = work()
    return time.process_time() - used, time.perf_counter() - begun, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="turns of each (9)")
    given = parser.parse_args()
    numexpr.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(0)
    floats = {name: rng.random((SIDE, SIDE), dtype=np.float32) for name in "abc"}
    kinds = {
        "float32": floats,
        "float64": {name: one.astype(np.float64) for name, one in floats.items()},
        "uint16": {name: (one * 9000 + 1).astype(np.uint16) for name, one in floats.items()},
    }
    print("| expression | bands | ours, CPU s | numexpr, CPU s | ratio | ours, s | numexpr, s |\n" + "|---" * 7 + "|")
    for kind, bands in kinds.items():
        for text, theirs in EXPRESSIONS.items():
            if kind == "uint16" and text != next(iter(EXPRESSIONS)):
                continue
            expression = parse_band_expression(text)
            computation = Computation.of(expression.node, {name: bands[name].dtype for name in expression.bands})
            pixels = {name: (bands[name], None) for name in expression.bands}
            # Integers would wrap in numexpr: it is given what they are as float32.
            names = floats if kind == "uint16" else bands
            mine, others = [], []
            for _ in range(given.runs):
                mine.append(timed(partial(ours, computation, pixels)))
                others.append(timed(partial(numexpr.evaluate, theirs, names)))
            # Where a denominator is next to 0, numexpr's float32 is far off.
            assert kind == "uint16" or np.isclose(mine[0][2], others[0][2], rtol=1e-3, atol=1e-4).mean() > 0.9999
            ratio = median(one[0] / other[0] for one, other in zip(mine, others, strict=True))
            own, peer = ([median(run[at] for run in runs) for at in (0, 1)] for runs in (mine, others))
            print(
                f"| `{text}` | {kind} | {own[0]:.3f} | {peer[0]:.3f} | {ratio:.2f} | {own[1]:.3f} | {peer[1]:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
