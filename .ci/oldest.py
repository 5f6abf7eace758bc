"""Prints the oldest versions that pyproject.toml allows of what the package needs, as constraints for pip."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for requirement in project["dependencies"]:
    found = re.match(r"([\w-]+)>=([\d.]+)", requirement)
    if found is None:
        sys.exit(f"{requirement}: a dependency is written as name>=version, so that its oldest version is tested")
    sys.stdout.write("{}=={}\n".format(*found.groups()))
