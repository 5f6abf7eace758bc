"""`progress=` in Python: True shows a line on stderr, a function is told, anything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import rasteret_sql

CATALOG = Path(__file__).resolve().parents[1] / "examples" / "data" / "catalog" / "catalog.json"


def build(folder, progress):
    return rasteret_sql.build_from_stac(
        name="naip", stac_api=CATALOG, collection="naip", workspace_dir=folder, progress=progress
    )


def test_true_shows_it_on_stderr(tmp_path, capfd):
    collection = build(tmp_path, progress=True)
    assert "6/6 headers" in capfd.readouterr().err
    collection.refresh(progress=True)
    assert "6/6" in capfd.readouterr().err
    collection.append(progress=False)
    assert capfd.readouterr().err == ""


def test_a_function_is_told(tmp_path):
    told = []
    build(tmp_path, progress=lambda *what: told.append(what))
    assert (6, 6, "headers") in told


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="progress='yes' cannot be used; give True, or a function"):
        build(tmp_path, progress="yes")
