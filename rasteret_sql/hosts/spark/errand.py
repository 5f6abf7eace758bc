"""Makes the functions that a plan carries to the executors: a name and JSON text, and nothing else of ours.

Spark pickles such a function into the plan. Of an inner function it pickles the code, not the name of its module, so an
executor that lacks this package still gets as far as a message that says so.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.version import __version__

if TYPE_CHECKING:
    from pyspark.sql.types import DataType


def errand(task: str, **given: Any) -> Callable[..., Any]:
    """Make a function that an executor runs.

    Args:
        task: Name of a function of `hosts/spark/executor.py`.
        given: Its named arguments, as JSON can have them; no secrets, since a plan is shown and kept.

    Returns:
        (*columns, **named columns) → whatever the task gives.
    """
    return _carried(task, json.dumps(given), __version__)


def arrow_errand(task: str, kind: DataType, **given: Any) -> Any:
    """An Arrow function of Spark that runs a task on executors; arguments as of `errand`."""
    try:
        from pyspark.sql.functions import ArrowUDFType, arrow_udf  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InvalidArgumentError(
            f"this Spark has no Arrow functions ({error}); pip install 'rasteret-sql[spark]'"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of type hints, which a function with any arguments cannot have
        return arrow_udf(errand(task, **given), kind, ArrowUDFType.SCALAR)


def _carried(task: str, text: str, version: str) -> Callable[..., Any]:
    # Everything that it uses is inside: names of this module would make an executor import it.
    def run(*columns, **named):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN003, ANN202
        import json  # noqa: PLC0415
        import platform  # noqa: PLC0415
        import sys  # noqa: PLC0415
        from importlib import import_module  # noqa: PLC0415

        place = f"the Python of the executors ({sys.executable} on {platform.node()})"
        try:
            found = import_module("rasteret_sql.version").__version__
            executor = import_module("rasteret_sql.hosts.spark.executor")
        except ImportError as error:
            raise RuntimeError(
                f"{place} cannot import rasteret_sql: {error}. Install the wheel rasteret-sql=={version} there, or set "
                "PYSPARK_PYTHON to a Python that has it"
            ) from None
        if found != version:
            raise RuntimeError(
                f"{place} has rasteret_sql {found}, and the driver has {version}: install the same version in both"
            )
        return getattr(executor, task)(columns, named, **json.loads(text))

    return run
