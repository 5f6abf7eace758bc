"""Every block of docs/python.md runs, one after the other, on the project's own scenes."""

from __future__ import annotations

import ast
import asyncio
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import shapely

import rasteret_sql

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_block_runs(tmp_path, monkeypatch):
    for needed in ("xarray", "dask", "geopandas"):
        pytest.importorskip(needed, reason=f"needs the extra {needed}")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    names = {"np": np, "pa": pa, "shapely": shapely, "asyncio": asyncio, "rasteret_sql": rasteret_sql}
    names["geopandas"] = import_module("geopandas")
    blocks = BLOCK.findall((ROOT / "docs" / "python.md").read_text("utf-8"))
    assert len(blocks) > 5
    for number, block in enumerate(blocks):
        code = compile(block, f"docs/python.md, block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, names)
        if waiting is not None:
            asyncio.run(waiting)
    assert names["table"]["station"].to_pylist() == ["mill", "weir"]
    assert names["window"].shape == (2, 30, 30)
    assert sorted(set(names["frame"].field)) == ["north", "south"]
