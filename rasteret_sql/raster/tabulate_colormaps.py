"""Makes the tables of colours beside it from matplotlib, which is needed only for this.

    python -m rasteret_sql.raster.tabulate_colormaps

Each colormap is 256 colours, evenly spaced from its lowest value to its highest, as matplotlib gives them in bytes. Its
licence is beside the data.
"""

from __future__ import annotations

import base64
import json
import zlib
from importlib import import_module
from pathlib import Path

import numpy as np

TABLES = Path(__file__).parent / "data" / "colormaps.json"


def tabulate() -> dict[str, str]:
    """Name → RGB of 256 colours, deflated, in base64. Those turned round (`_r`) differ by one here and there."""
    known = import_module("matplotlib").colormaps
    steps = np.linspace(0, 1, 256)
    return {
        name: base64.b64encode(zlib.compress(known[name](steps, bytes=True)[:, :3].tobytes(), 9)).decode()
        for name in sorted(known)
    }


def main() -> None:
    """Write the tables."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(table)}" for name, table in tabulate().items())
    TABLES.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
