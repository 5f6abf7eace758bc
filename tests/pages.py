"""Pages of docs/ whose blocks are run one after the other, and that show what they print."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.test_readme import ROOT, run

_BLOCK = re.compile(r"<!-- test: (\w+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """A page with blocks of SQL and Python, each marked `<!-- test: sql -->`, and of what they print (`output`)."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / name).read_text("utf-8")
        self.blocks: list[tuple[str, str]] = _BLOCK.findall(self.text)

    def require_all_marked(self) -> None:
        assert self.text.count("\n```") == 2 * len(self.blocks)

    def program(self, language: str) -> str:
        """All blocks of a language, from the top to the end."""
        return "\n".join(text for kind, text in self.blocks if kind == language)

    def shown_after(self, language: str) -> str:
        """What the page shows for all blocks of a language."""
        pairs = zip(self.blocks, [*self.blocks[1:], ("", "")], strict=True)
        return "".join(then[1] for (kind, _), then in pairs if kind == language and then[0] == "output")

    def run_sql(self, place: Path, *words: str) -> str:
        """What the shell prints for all statements, in a folder that is new."""
        (place / "home").mkdir()
        (place / "all.sql").write_text(self.program("sql"))
        return run(place, "rasteret-sql", *words, "all.sql")

    def run_python(self, place: Path) -> str:
        """What Python prints, there."""
        (place / "all.py").write_text(self.program("python"))
        return run(place, sys.executable, "all.py")
