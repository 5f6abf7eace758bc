"""Loads obstore's library a second time, in a forked child: the threads of the first are not there, nor start again.

The library keeps one runtime for a process, made at the first request, and its threads do not survive a fork: a request
of the child would wait for ever, also of a store that is made there. A copy of the file is another library to the
system, with a runtime of its own. It takes some 15 ms, and no more memory than its 15 MB.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

_LIBRARY = "obstore._obstore"
_PARTS = ("obstore", "obstore.store", "obstore.exceptions", _LIBRARY)
"""Modules whose names are those of the library."""


def load_again() -> None:
    """Let all names of obstore in this process be those of a second library; stores of the first are of no use.

    Raises:
        ImportError: it cannot be loaded: there is no directory for the copy, say, or none that programs may be in.
    """
    parts = {name: sys.modules[name] for name in _PARTS if name in sys.modules}
    before = {(name, key): value for name, module in parts.items() for key, value in vars(module).items()}
    try:
        with tempfile.TemporaryDirectory(prefix="rasteret-sql-") as directory:
            # The system keeps what is loaded when the file is gone.
            _load(Path(str(parts[_LIBRARY].__file__)), Path(directory))
    except OSError as error:
        raise ImportError(f"obstore cannot be loaded a second time: {error}") from error
    _rename(parts, before)


def store_again(store: Any) -> Any:
    """Make a store of a parent process anew; one that cannot be, such as a MemoryStore, stays as it is."""
    try:
        kind, args, named = store.__reduce_ex__(4)[1]
    except (TypeError, ValueError):
        return store
    own = getattr(sys.modules["obstore.store"], kind.__name__, None)
    return store if own is None or kind.__module__ != "obstore.store" else own(*args, **named)


def _load(library: Path, directory: Path) -> None:
    copy = shutil.copy(library, directory)
    spec = importlib.util.spec_from_file_location(_LIBRARY, copy)
    assert spec is not None and spec.loader is not None  # noqa: PT018 - of a file that has just been loaded
    module = importlib.util.module_from_spec(spec)
    sys.modules[_LIBRARY] = module
    spec.loader.exec_module(module)
    module.__file__ = str(library)  # for a child of this child
    vars(sys.modules["obstore"])["_obstore"] = module
    importlib.reload(sys.modules["obstore.store"])
    importlib.reload(sys.modules["obstore"])


def _rename(parts: dict[str, Any], before: dict[tuple[str, str], Any]) -> None:
    """Put the new values in place of the old ones: in obstore's modules, and in ours that have imported names."""
    anew: dict[int, Any] = {}
    for (name, key), old in before.items():
        new = vars(sys.modules[name]).get(key, old)
        if new is not old and not key.startswith("__"):
            anew[id(old)] = new
            setattr(parts[name], key, new)
    for name, module in list(sys.modules.items()):
        if name.startswith("rasteret_sql."):
            names = vars(module)
            names.update({key: anew[id(value)] for key, value in names.items() if id(value) in anew})
