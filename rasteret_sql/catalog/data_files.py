"""Reads the data files of the built-in datasets, one per provider, at first use."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

PROVIDERS = ("earthsearch", "pc", "aef", "earthdata")
"""Names of the files, in the order in which the registry lists their datasets."""


@functools.cache
def provider_documents() -> tuple[dict[str, Any], ...]:
    """The parsed files: `provider`, `title`, `datasets` (fields of DatasetDescriptor) and perhaps `cloud_configs`."""
    folder = files("rasteret_sql.catalog") / "data"
    return tuple(json.loads((folder / f"{name}.json").read_text("utf-8")) for name in PROVIDERS)
