"""`rasteret-sql datasets`: what it shows, writes and refuses. D18, D20, D26, D36 and D41 on the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql import DatasetDescriptor
from rasteret_sql.cli.main import main
from tests.cli.processes import SHELL, environment

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A collection on this machine."""
    built = rasteret_sql.build_from_stac(
        name="dunes",
        stac_api=str(DATA / "catalog" / "catalog.json"),
        collection="sentinel-s2-l2a-cogs",
        workspace_dir=tmp_path_factory.mktemp("workspace"),
    )
    folder = tmp_path_factory.mktemp("exports") / "dunes"
    built.export(folder)
    return folder


@pytest.fixture
def call(capsys, monkeypatch):
    """Runs `rasteret-sql datasets ...`; gives the exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        try:
            code = main(["datasets", *map(str, words)])
        except SystemExit as left:
            code = left.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_list_shows_all(call):
    code, out, err = call("list")
    assert (code, err) == (0, "")
    assert all(f" {one.id} " in out for one in rasteret_sql.DatasetRegistry.list())
    assert out.startswith("┌")
    code, out, _ = call("list", "--json")
    assert [DatasetDescriptor(**entry) for entry in json.loads(out)] == rasteret_sql.DatasetRegistry.list()


def test_search(call):
    code, out, _ = call("search", "SENTINEL-2-l2a", "--json")
    assert (code, [entry["id"] for entry in json.loads(out)]) == (
        0,
        ["earthsearch/sentinel-2-l2a", "pc/sentinel-2-l2a"],
    )
    assert call("list", "--search", "SENTINEL-2-l2a", "--json")[1] == out
    code, out, _ = call("search", "no such word")
    assert (code, out) == (0, 'no dataset has "no such word" in its id, name or description\n')
    assert call("search", "no such word", "--json")[1] == "[]\n"


def test_info(call):
    """D41: the description is shown."""
    code, out, _ = call("info", "earthsearch/naip")
    assert code == 0
    lines = dict(line.split(None, 1) for line in out.splitlines())
    assert lines["id"] == "earthsearch/naip"
    assert lines["band_map"] == "R: image, G: image, B: image, NIR: image"
    assert lines["requires_auth"] == "yes"
    code, out, _ = call("info", "earthsearch/naip", "--json")
    assert DatasetDescriptor(**json.loads(out)) == rasteret_sql.DatasetRegistry.get("earthsearch/naip")


def test_life_of_a_local_dataset(call, exported, tmp_path):
    code, out, err = call("register-local", "local/dunes", exported, "--description", "Dunes in the Sahara")
    assert (code, err) == (0, "")
    assert "registered local/dunes" in out
    assert "FROM rasteret_build('local/dunes') opens it" in out
    _, out, _ = call("list")
    line = next(line for line in out.splitlines() if " local/dunes " in line)
    assert "Dunes in the Sahara" in line
    assert "collection" in line
    assert "Dunes in the Sahara" in call("info", "local/dunes")[1]

    target = tmp_path / "shared" / "dunes.json"
    code, out, _ = call("export-local", "local/dunes", target)
    assert (code, out) == (0, f"wrote the descriptor of local/dunes to {target}\n")
    assert DatasetDescriptor(**json.loads(target.read_text())).collection_uri == str(exported)
    assert json.loads(call("export-local", "local/dunes", target, "--json")[1]) == {
        "id": "local/dunes",
        "path": str(target),
    }

    code, out, _ = call("unregister-local", "local/dunes")
    assert (code, out) == (0, "unregistered local/dunes; its files stay where they are\n")
    code, out, err = call("unregister-local", "local/dunes")
    assert (code, out) == (1, "")
    assert err.startswith('Error: there is no local dataset "local/dunes" in ')


def test_json_and_a_file_of_ones_own(call, exported, tmp_path, local_datasets):
    own = tmp_path / "own.json"
    words = ("local/d", exported, "--name", "D", "--data-source", "pc/sentinel-2-l2a", "--registry-path", own)
    code, out, _ = call("register-local", *words, "--json")
    entry = json.loads(out)
    assert (code, entry["id"], entry["name"], entry["stac_collection"]) == (0, "local/d", "D", "pc/sentinel-2-l2a")
    assert not local_datasets.exists()
    code, out, _ = call("unregister-local", "local/d", "--registry-path", own, "--json")
    assert (code, json.loads(out)) == (0, entry)
    assert json.loads(own.read_text()) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "required: COMMAND"),
        (("show",), 2, "invalid choice: 'show'"),
        (("info",), 2, "required: ID"),
        (("info", "earthsearch/sentinel2"), 1, 'did you mean "earthsearch/sentinel-2'),
        (("register-local", "local/x", "/nowhere"), 1, "there is no collection at /nowhere"),
        (("register-local", " ", DATA), 1, "no Parquet files"),
        (("export-local", "local/x", "x.json"), 1, 'no dataset "local/x" to export'),
    ],
)
def test_refusals(call, words, code, says):
    got, out, err = call(*words)
    assert (got, out) == (code, "")
    assert says in err
    assert "Traceback" not in err


def test_help_says_what_there_is(call):
    code, out, _ = call("--help")
    assert code == 0
    for command in ("list", "search", "info", "register-local", "unregister-local", "export-local"):
        assert f"\n    {command}" in out


@pytest.mark.exhaustive
def test_from_command_to_command_in_an_empty_home(exported, tmp_path):
    home = tmp_path / "home"
    home.mkdir()

    def run(*words):
        done = subprocess.run(
            [*SHELL, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(home),
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    run("datasets", "list")
    assert list(home.iterdir()) == []
    run("datasets", "register-local", "local/dunes", exported)
    assert [path.name for path in home.iterdir()] == [".rasteret"]
    rows = run("-f", "json", "-c", "SELECT id FROM rasteret_build('local/dunes', name := 'd')")
    assert json.loads(rows) == [{"id": "S2A_29RKH_20200219_0_L2A"}]
    run("datasets", "unregister-local", "local/dunes")
    assert json.loads((home / ".rasteret" / "datasets.local.json").read_text()) == []
    assert sorted(path.name for path in home.iterdir()) == [".rasteret", "rasteret_workspace"]
