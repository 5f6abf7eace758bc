"""The environment of programs that are measured."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """That of this process, where this project is found, with `more`.

    Modules are compiled at most once, as pip compiles those of the peers when it installs them, whatever this process
    was told: else every call would compile what it imports.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return inherited | {"PYTHONPATH": str(ROOT)} | more
