"""A kernel of Jupyter: progress below the cell that runs, chips as pictures, errors once."""

from __future__ import annotations

import os
import re

import pytest

from tests.hosts.hosting import CATALOG

pytest.importorskip("ipykernel")
manager = pytest.importorskip("jupyter_client.manager")
pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a cell; gives all messages with something to show: (type, content)."""
    folder = str(tmp_path_factory.mktemp("kernel"))
    # With a home of its own: what the user's default workspace holds is none of this.
    env = {**os.environ, "HOME": folder}
    kernel, client = manager.start_new_kernel(kernel_name="python3", cwd=folder, env=env)

    def run(code):
        shown = []
        client.execute_interactive(
            code, timeout=120, output_hook=lambda message: shown.append((message["msg_type"], message["content"]))
        )
        return [(kind, content) for kind, content in shown if kind not in {"status", "execute_input"}]

    assert run("import rasteret_sql, rasteret_sql.hosts.cell_bars as bars\nbars._AFTER = bars._EVERY = 0") == []
    yield run
    client.stop_channels()
    kernel.shutdown_kernel(now=True)


def bars_of(messages):
    """The bars that were drawn one after the other: their place, and what they say."""
    drawn = [
        (content["transient"]["display_id"], content["data"]["text/plain"])
        for kind, content in messages
        if kind in {"display_data", "update_display_data"}
    ]
    assert [kind for kind, _ in messages][:1] == ["display_data"]
    assert len({place for place, _ in drawn}) == 1
    return [text for _, text in drawn]


def results(messages):
    return [content for kind, content in messages if kind == "execute_result"]


def test_progress_of_sql_and_python_is_drawn_below_the_cell_and_goes_with_it(run):
    build = f"rasteret_build_from_stac('ny', '{CATALOG}', 'landsat8-ny-2018', workspace_dir := 'sql')"
    drawn = bars_of(run(f'con = rasteret_sql.connect()\ncon.execute("FROM {build}").fetchall();'))
    assert re.search(r"\b152/152 headers", "\n".join(drawn))
    assert drawn[-1] == ""
    python = f"rasteret_sql.build_from_stac(name='ny', stac_api='{CATALOG}', collection='landsat8-ny-2018', "
    drawn = bars_of(run(python + "workspace_dir='python', progress=True);"))
    assert re.search(r"\b152/152 headers", "\n".join(drawn))
    assert drawn[-1] == ""
    assert run("1 + 1")[0][1]["data"] == {"text/plain": "2"}


def test_chips_are_pictures_and_errors_come_once(run):
    (content,) = results(run("con.sql(\"SELECT read_chip(id, 'red') AS red FROM rasteret.ny LIMIT 1\")"))
    assert "data:image/png;base64," in content["data"]["text/html"]
    (content,) = results(run("con.sql(\"SELECT read_chip(id, 'nope') AS red FROM rasteret.ny LIMIT 1\")"))
    assert content["data"]["text/html"].count("unknown band &quot;nope&quot;") == 1


def test_a_collection_that_is_not_there_is_said_with_those_that_are(run):
    """DuckDB's error stays as it is, and the collections stand below it."""
    messages = run("con.sql('SELECT id\\nFROM rasteret.ny_2018')")
    kinds = [kind for kind, _ in messages if kind in {"error", "stream"}]
    (error,) = [content for kind, content in messages if kind == "error"]
    (said,) = [content["text"] for kind, content in messages if kind == "stream"]
    assert kinds == ["error", "stream"]
    assert error["ename"] == "CatalogException"
    assert error["evalue"].startswith("Catalog Error: Table with name ny_2018 does not exist!")
    assert said.startswith('no collection "ny_2018" is open or cached in')
    assert re.search(r"; Known: (.+, )?ny\b", said)
    assert not [content for kind, content in run("con.sql('FROM ny_2018')") if kind == "stream"]
    assert not [content for kind, content in run("1 / 0") if kind == "stream"]


def test_collections_choose_scenes_without_ipywidgets(run):
    """DuckDB has no progress bar there, and refuses each statement that would set one."""
    (content,) = results(run("len(rasteret_sql.load('ny', workspace_dir='sql').where('month = 7'))"))
    assert int(content["data"]["text/plain"]) > 0
