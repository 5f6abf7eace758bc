"""What tests of the hosts share: example collections, and programs run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from tests.cli.processes import without_bars

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"
CATALOG = DATA / "catalog" / "catalog.json"
SAHARA = "S2A_29RKH_20200219_0_L2A"
"""The one scene of `sentinel-s2-l2a-cogs`, of which the bands B04, B11 and SCL are bundled."""
SQUARE = "POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))"
"""Lies in that scene."""


def build(name: str, collection: str = "sentinel-s2-l2a-cogs", catalog: Path | str = CATALOG) -> str:
    """A statement that builds a bundled collection."""
    quoted = name.replace("'", "''")
    return f"FROM rasteret_build_from_stac(name := '{quoted}', stac_api := '{catalog}', collection := '{collection}')"


def run_program(text: str, *arguments: object, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run a program in a new interpreter and an empty home, its `sys.argv[1:]` being the arguments."""
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": home},
        )
    done.stdout = without_bars(done.stdout)
    return done


def output_of(text: str, *arguments: object, timeout: float = 180) -> str:
    """What a program prints; it must end well and say nothing on stderr."""
    done = run_program(text, *arguments, timeout=timeout)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout
