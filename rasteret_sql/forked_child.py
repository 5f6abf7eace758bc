"""Keeps the garbage collector of a forked child from what its parent left: it ends the process, or waits for ever.

DuckDB's connections and obstore's stores have threads, which are not in the child. To free one there crashes, and the
collector frees what nobody refers to any more whenever it likes. So what was there at the fork is no garbage in a child
(`gc.freeze`); memory that the parent would have freed stays with it.
"""

from __future__ import annotations

import gc
import os

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gc.freeze)
