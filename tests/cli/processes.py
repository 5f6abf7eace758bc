"""Running the command in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = [sys.executable, "-c", "import sys; from rasteret_sql.cli.main import main; sys.exit(main())"]


def environment(home: Path) -> dict[str, str]:
    """An environment with that home and little else, where a warning is an error."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT") if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONWARNINGS": "error"}
