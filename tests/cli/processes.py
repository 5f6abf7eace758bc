"""Running the command in a process of its own."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = [sys.executable, "-c", "import sys; from rasteret_sql.cli.main import main; sys.exit(main())"]

SLOW = "SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b"
"""A statement that takes hours."""


_BAR = re.compile(r"[\r\n] *\d+% ▕.*▏ \([^)]*\) *")


def without_bars(text: str) -> str:
    """What a program printed, without the bars that DuckDB draws into it for statements of more than two seconds."""
    return _BAR.sub("", text)


def environment(home: Path) -> dict[str, str]:
    """An environment with that home and little else, where a warning is an error."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONWARNINGS": "error"}
