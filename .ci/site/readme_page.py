"""Adds the README to the site, and turns links to files that the site does not have into plain text."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

README = Path(__file__).parents[2] / "README.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README, whose links lead into docs/ and to files beside it; and a style that leaves code its width."""
    text = README.read_text("utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "readme.md", content=re.sub(r"\[([^\]]+)\]\(examples/[^)]*\)", r"\1", text)))
    files.append(File.generated(config, "wide.css", content=".md-grid {max-width: 86rem}"))
    return files


def on_page_markdown(markdown: str, **_of_the_page: object) -> str:
    """Lead to the page of the README; other files of the project have none."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown.replace("](../README.md)", "](readme.md)"))
