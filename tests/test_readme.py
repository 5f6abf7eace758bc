"""Every block of the README runs, and gives what the README shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rasteret_sql.cli.main import main
from tests.cli.processes import environment, without_bars

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BIN = Path(sys.executable).parent
BLOCK = re.compile(
    r"(?:<!-- test: (?P<name>[\w-]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
BLOCKS = [(match["name"], match["language"], match["text"]) for match in BLOCK.finditer(README.read_text())]
TEXT = {name: text for name, _, text in BLOCKS}
TESTED = {"sql", "output", "install", "shell", "dbt-build", "dbt-profile", "dbt-model", "notebook", "python"}


@pytest.fixture
def place(tmp_path):
    """A folder with the example data and an empty home."""
    (tmp_path / "home").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(place: Path, *command: str) -> str:
    kept = environment(place / "home")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=place,
        env=kept | {"PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "COLUMNS": "110"},
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return without_bars(done.stdout)


def test_every_block_is_tested_once():
    assert sorted(name or "(no name)" for name, _, _ in BLOCKS) == sorted(TESTED)
    assert len(README.read_text().splitlines()) < 150


PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_index_of_the_docs_lists_every_page():
    listed = re.findall(r"\]\((\w+\.md)\)", (ROOT / "docs" / "index.md").read_text("utf-8"))
    assert sorted(listed) == sorted({page.name for page in PAGES} - {"README.md", "index.md"})
    site = (ROOT / ".ci" / "site" / "mkdocs.yml").read_text("utf-8")
    assert sorted(re.findall(r"\b(?!readme)(\w+\.md)", site)) == sorted({*listed, "index.md"})
    assert "docs/index.md" in re.findall(r"\]\(([^)#:]+)\)", README.read_text("utf-8"))


def test_the_result_is_the_one_shown(place):
    (place / "a.sql").write_text(TEXT["sql"])
    assert run(place, "rasteret-sql", "a.sql") == TEXT["output"]


def test_the_two_commands_are_those_that_ci_runs():
    demo, tests = TEXT["install"].splitlines()
    assert demo == "python -m venv .venv && .venv/bin/pip install -e . && .venv/bin/rasteret-sql demo"
    assert tests == "python -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"
    assert "test: install" in (ROOT / ".ci" / "run").read_text()


def test_shell(place, monkeypatch, capsys):
    first, *more = TEXT["shell"].splitlines()
    assert "sentinel-2" in run(place, "sh", "-c", first)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place / "home"))
    out = []
    for line in more:  # in this process, which is cheaper
        command, *words = shlex.split(line)
        assert (command, main(words)) == ("rasteret-sql", 0)
        out.append(capsys.readouterr().out)
    assert "zonal_stats(" in out[0]
    assert (place / "datasets.csv").read_text().startswith("id,license\n")


@pytest.mark.exhaustive
def test_dbt(place):
    pytest.importorskip("dbt.adapters.duckdb", reason="needs the extra dbt")
    (place / "profiles.yml").write_text(TEXT["dbt-profile"])
    (place / "dbt_project.yml").write_text("name: rasters\nprofile: rasters\nversion: '1.0'\nmodel-paths: [models]\n")
    (place / "models").mkdir()
    (place / "models" / "meadow.sql").write_text(TEXT["dbt-model"])
    run(place, "sh", "-c", TEXT["dbt-build"])
    assert "PASS=1" in run(place, "sh", "-c", "PYTHONWARNINGS=ignore dbt --no-use-colors run --profiles-dir .")
    count = "SELECT count(*) AS n, count(ndvi) AS m FROM meadow"
    assert run(place, "rasteret-sql", "-d", "rasters.duckdb", "-f", "csv", "-c", count) == "n,m\n30,30\n"


def test_python(place):
    (place / "a.py").write_text(TEXT["python"])
    out = run(place, sys.executable, "a.py")
    assert "['Red', 'Green', 'Blue', 'NIR'] 6" in out
    assert "float32" in out


def test_the_notebook_has_a_row_for_each_scene(place):
    (place / "a.py").write_text(TEXT["notebook"] + "print(len(means.fetchall()))\n")
    assert run(place, sys.executable, "a.py") == "19\n"
