"""Imports parts when they are first used, so that importing the package and opening a connection stay cheap.

A heavy part, of this package or of another, that not every program needs is named in this way and in no other:

    if TYPE_CHECKING:
        import shapely
    else:
        shapely = lazy_module("shapely")

Type checkers, readers and the test of layers see an import; at run time the module is imported when one of its names is
first asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule:
    """Stands for a module until one of its names is asked for."""

    __slots__ = ("_module", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: ModuleType | None = None

    def __getattr__(self, attribute: str) -> Any:
        module = self._module
        if module is None:
            module = self._module = import_module(self._name)
        return getattr(module, attribute)


def lazy_module(name: str) -> Any:
    """A module that is imported when one of its names is first asked for.

    Args:
        name: In full, such as `pyarrow.compute`.
    """
    return LazyModule(name)


def lazy_names(
    package: str, homes: Mapping[str, str], instead: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names are imported when they are first asked for.

    Args:
        package: Its `__name__`.
        homes: Name → the module that has it, or the module itself where they have the same name.
        instead: Name that is not there → words for what to use.
    """
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            hint = f"; {instead[name]}" if instead and name in instead else ""
            text = f"module {package!r} has no attribute {name!r}{hint}"
            raise AttributeError(text, name=name, obj=sys.modules[package])
        module = import_module(home)
        value = namespace[name] = module if home == f"{package}.{name}" else getattr(module, name)
        return value

    return get, lambda: sorted({*namespace, *homes})
