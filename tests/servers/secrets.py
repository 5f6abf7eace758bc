"""The credentials that tests use, and the files in which tests themselves put them.

Nothing else that the suite writes or prints may hold one: `tests/secrets/plugin.py` searches for them at the end. Found
without saying so are all texts of a module of tests in a constant that is named as a credential (`SECRET_KEY = "..."`).
What is made while tests run says so by `secret`, and a file that is an input says so by `planted`. Both are kept in a
directory that the processes of a run share.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import uuid
from pathlib import Path

SHARED = "RASTERET_TESTS_SHARED"
"""Variable that names the directory of this run; not set outside of pytest."""
_TESTS = Path(__file__).resolve().parents[1]
_NAMED = re.compile(r"(?:^|_)(?:SECRET|PASSWORD|TOKEN|KEY|SIGNATURE|CREDENTIAL)S?(?:$|_)")
_SHORTEST = 8
"""Shorter texts would be found in anything."""


def secret(value: str) -> str:
    """Note a credential that was made while tests run, and give it back."""
    _note("secrets", value)
    return value


def planted(path: Path) -> Path:
    """Note a file or directory in which a test is about to put credentials, as an input, and give it back."""
    _note("planted", str(path))
    return path


def secrets() -> set[str]:
    """All credentials of this run."""
    return {one for one in constants() | _noted("secrets") if len(one) >= _SHORTEST}


def inputs() -> set[str]:
    """All files and directories that were planted."""
    return _noted("planted")


@functools.cache
def constants(directory: Path = _TESTS) -> frozenset[str]:
    """Credentials that stand in modules below a directory."""
    found: set[str] = set()
    for module in directory.rglob("*.py"):
        for statement in ast.parse(module.read_text("utf-8")).body:
            if isinstance(statement, ast.Assign):
                found.update(value for target in statement.targets for value in _texts(target, statement.value))
    return frozenset(found)


def _texts(target: ast.expr, value: ast.expr) -> list[str]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [text for one, its in zip(target.elts, value.elts, strict=False) for text in _texts(one, its)]
    if isinstance(target, ast.Name) and _NAMED.search(target.id) and isinstance(value, ast.Constant):
        return [value.value] if isinstance(value.value, str) else []
    return []


def _note(kind: str, value: str) -> None:
    shared = os.environ.get(SHARED)
    if shared:
        # A file each: processes that write at once do not meet.
        (Path(shared) / f"{kind}-{uuid.uuid4().hex}").write_text(value, "utf-8")


def _noted(kind: str) -> set[str]:
    shared = os.environ.get(SHARED)
    return {file.read_text("utf-8") for file in Path(shared).glob(f"{kind}-*")} if shared else set()
