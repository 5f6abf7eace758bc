"""Every block of docs/datasets.md runs, one after the other, in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "datasets.md").read_text("utf-8")
BLOCK = re.compile(r"<!-- test: ([\w-]+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.exhaustive
def test_the_page_runs(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    kept = environment(tmp_path / "home")
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    blocks = BLOCK.findall(PAGE)
    assert len(blocks) == PAGE.count("```") // 2
    said = {}
    for name, language, text in blocks:
        command = {"bash": ["sh", "-ec", text], "python": [sys.executable, "-c", text]}.get(
            language, ["rasteret-sql", "-f", "csv", "-c", text]
        )
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=kept, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
        said[name] = done.stdout.splitlines()
    assert said["register"][:4] == [
        "id,name,action,path",
        "my-org/aerial,Aerial photos,registered,",
        "count_star()",
        "6",
    ]
    assert [line.split(",")[2] for line in said["local"] if line.startswith("local/")] == [
        *("registered", "exported", "unregistered"),
    ]
    assert said["python"] == ["6 ['local/aerial']"]
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [".rasteret", "rasteret_workspace"]
