"""Tables of texts, drawn as results are."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from rasteret_sql.cli.output import PLAIN_WIDTH
from rasteret_sql.cli.render import Shown, box_for, draw
from rasteret_sql.cli.result import Column


def table(columns: Sequence[str], rows: Sequence[tuple[str | None, ...]]) -> str:
    """A table as wide as the terminal."""
    shown = Shown([Column(name, "VARCHAR") for name in columns], list(rows), [], len(rows))
    width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    return draw(shown, width, box_for(sys.stdout.encoding))
