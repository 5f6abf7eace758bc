"""Says which extra to install where a call lacks its packages."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec


def require_extra(what: str, extra: str, packages: Mapping[str, str], instead: str) -> None:
    """Raise if a package is not installed, before anything is read.

    Args:
        what: what needs them.
        extra: of this project, which brings them.
        packages: module → how its package is called.
        instead: what works without them.

    Raises:
        ImportError: says what is missing, and how to install it.
    """
    missing = dict.fromkeys(package for module, package in packages.items() if find_spec(module) is None)
    if missing:
        raise ImportError(f"{what} needs {' and '.join(missing)}: pip install 'rasteret-sql[{extra}]'; {instead}")
