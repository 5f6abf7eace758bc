#!/usr/bin/env bash
# rasterio: on a rotated grid `rowcol` gives another pixel for one point than for the same point among many, and which
# pixel it is depends on the processor.
#
# Versions: rasterio 1.4.4, numpy 2.4.6 with its OpenBLAS 0.3.31, affine 3.0.1 (Python 3.11, Linux on x86-64).
# Behaviour: `rowcol` multiplies a 3 x 3 matrix with all points at once by numpy's `dot`, that is by BLAS. For one point and
#   for many BLAS takes different kernels, and OpenBLAS chooses the kernel by the processor; with fused multiply-add the
#   last bit of a product differs. Before the floor that bit is a whole pixel, for points on the border of pixels: corners
#   of the grid itself, as tilings and window bounds ask for. With the kernels for Prescott (no fused multiply-add) one
#   and many agree; with those for Haswell 800 of 3,600 corners get another pixel when asked for one by one. And the same
#   call with the same array gives different pixels with the two. A test that compares a loop with one call passes on one
#   computer and fails on the next.
# Output seen: Prescott: 0 of 3,600 differ between one and many; Haswell: 800 of 3,600.
# Way out: compute col = a x + b y + c elementwise, with a, b, c of `~transform`; ask for the centres of pixels, not their
#   corners; never mix the two ways of asking.
# Exit code: 0 while this is so, non-zero once it has changed (or where the processor has no AVX2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6 affine==3.0.1

cat >"$work/script.py" <<'PY'
import sys

import numpy as np
from affine import Affine
from rasterio.transform import rowcol

transform = Affine.translation(500_000, 4_600_000) * Affine.rotation(30) * Affine.scale(10, -10)
cols, rows = (index.ravel() for index in np.meshgrid(np.arange(60), np.arange(60)))
xs, ys = transform * (cols, rows)
many = np.array(rowcol(transform, xs, ys))
single = np.array([rowcol(transform, x, y) for x, y in zip(xs, ys)]).T
np.save(sys.argv[1], many)
print(int((many != single).any(axis=0).sum()))
PY
cd "$work"
plain=$(OPENBLAS_CORETYPE=Prescott venv/bin/python script.py plain.npy)
fused=$(OPENBLAS_CORETYPE=Haswell venv/bin/python script.py fused.npy)
between=$(venv/bin/python -c '
import numpy as np
print(int((np.load("plain.npy") != np.load("fused.npy")).any(axis=0).sum()))')
echo "of 3600 corners, one by one differs from all at once: $plain (Prescott kernels), $fused (Haswell kernels)"
echo "all at once differs between the two kernels: $between"
if [[ $plain -ne 0 || $fused -eq 0 || $between -eq 0 ]]; then
  echo "rowcol does not depend on the kernel in this way any more"
  exit 1
fi
