"""Relations, chips and collections in a session of IPython, by its own formatter."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import duckdb
import imagecodecs
import numpy as np
import pytest
import shapely

import rasteret_sql
from rasteret_sql.errors import ArgumentTypeError, InvalidArgumentError, UnknownBandError
from rasteret_sql.hosts.ipython_session import load_ipython_extension, unload_ipython_extension
from rasteret_sql.selection.footprint_map import svg_of
from tests.hosts.hosting import CATALOG, SAHARA, SQUARE, output_of
from tests.sampling import some

formatters = pytest.importorskip("IPython.core.formatters")
events = pytest.importorskip("IPython.core.events")
CHIP = f"read_chip('{SAHARA}', 'B04', '{SQUARE}', collection := 'bay')"


@pytest.fixture
def con(cached):
    con = rasteret_sql.connect(workspace_dir=cached)
    con.execute("FROM rasteret.bay").fetchall()
    return con


@pytest.fixture
def session():
    """The part of a session of IPython that shows results."""
    session = SimpleNamespace(display_formatter=formatters.DisplayFormatter())
    session.events = events.EventManager(session, events.available_events)
    session.display_formatter.active_types = session.display_formatter.format_types
    load_ipython_extension(session)
    return session


def bundle(session, what):
    data, _ = session.display_formatter.format(what)
    return data


def pictures(html):
    found = re.findall(r"data:image/png;base64,([^\"]+)", html)
    return [imagecodecs.png_decode(base64.b64decode(one)) for one in found]


def test_chips_are_pictures_and_geometries_short_text(con, session):
    data = bundle(session, con.sql(f"SELECT {CHIP} AS chip, geometry, 'a<b' AS \"x<y\" FROM rasteret.bay"))
    assert set(data) == {"text/html", "text/plain"}
    (picture,) = pictures(data["text/html"])
    (height, width) = con.sql(f"SELECT c.height, c.width FROM (SELECT {CHIP} AS c)").fetchall()[0]
    assert picture.shape[:2] == (height, width)
    assert "POLYGON ((" in data["text/html"]
    assert "a&lt;b" in data["text/html"]
    assert "x&lt;y" in data["text/html"]
    assert "chip 1×" in data["text/plain"]
    assert max(map(len, re.findall(r"POLYGON[^<]*", data["text/html"]))) <= 60


def test_a_large_chip_is_a_small_picture():
    large = rasteret_sql.from_numpy(np.arange(900 * 300, dtype=np.float32).reshape(900, 300))
    assert imagecodecs.png_decode(rasteret_sql.show(large)._repr_png_()).shape[:2] == (180, 60)


def test_nulls_empty_relations_and_columns_of_one_name(con, session):
    data = bundle(session, con.sql(f"SELECT CASE WHEN false THEN {CHIP} END AS a, 1 AS b, 2 AS b, NULL::BLOB AS c"))
    assert data["text/html"].count("NULL") == 2
    data = bundle(session, con.sql(f"SELECT {CHIP} AS a WHERE false"))
    assert "CHIP" in data["text/html"]
    data = bundle(session, con.sql("SELECT 'xyz'::BLOB AS b"))
    assert "BLOB of 3 bytes" in data["text/html"]


def test_chips_in_lists_and_bytes_inside_of_other_types(con, session):
    data = bundle(session, con.sql(f"SELECT [c, NULL, c, c, c, c, c] AS l, {{'c': c}} AS s FROM (SELECT {CHIP} AS c)"))
    assert len(pictures(data["text/html"])) == 4
    assert "CHIP[]" in data["text/html"]
    assert data["text/plain"].count("chip 1×") == 4
    assert len(re.sub(r"data:image[^\"]*", "", data["text/html"])) < 4000
    data = bundle(session, con.sql("SELECT [geometry] AS g, MAP {'a': 'x'::BLOB} AS m FROM rasteret.bay"))
    assert "POLYGON ((" in data["text/html"]


def test_rows_are_computed_once_and_no_more_than_are_shown(con, session):
    asked = []

    def watched(number: int) -> bytes:
        asked.append(number)
        return b"1"

    con.create_function("watched", watched, side_effects=True)
    bundle(session, con.sql("SELECT watched(range::INTEGER) AS b FROM range(3)"))
    assert sorted(asked) == [0, 1, 2]
    asked.clear()
    shown = rasteret_sql.show(con.sql("SELECT watched(range::INTEGER) AS b FROM range(50)"), rows=5)
    assert "5 rows are shown" in shown._repr_html_()
    assert "5 rows are shown" in repr(shown)
    assert sorted(asked) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("statement", some(["SELECT 1 AS a", "SELECT id FROM rasteret.bay"], 2))
def test_other_relations_look_as_duckdb_shows_them(con, session, statement):
    relation = con.sql(statement)
    assert bundle(session, relation)["text/plain"] == str(relation)
    unload_ipython_extension(session)
    assert bundle(session, con.sql(statement))["text/plain"].strip() == str(relation).strip()


@pytest.mark.parametrize(
    "column", some(["read_chip(id, 'B99') AS c", "error('no') AS c", "1 AS n, error('no')::BLOB AS c"], 2)
)
@pytest.mark.parametrize("shown", [lambda relation: relation, rasteret_sql.show], ids=["itself", "show"])
def test_an_error_is_said_once_without_our_frames(con, session, capsys, column, shown):
    data = bundle(session, shown(con.sql(f"SELECT {column} FROM rasteret.bay")))
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""
    said = "UnknownBandError: read_chip: unknown band" if "B99" in column else "no"
    assert said in data["text/plain"]
    assert "hosts/duckdb.py" not in data["text/plain"] + data["text/html"]
    assert data["text/html"].startswith("<pre")


def test_traceback_of_our_errors_has_the_callers_frames_alone(cached):
    def read_in_my_cell():
        rasteret_sql.build_from_stac(
            name="bay", stac_api=str(CATALOG), collection="sentinel-s2-l2a-cogs", workspace_dir=cached
        ).get_numpy((-11.5, 24.8, -11.4, 24.9), "nope")

    with pytest.raises(UnknownBandError) as raised:
        read_in_my_cell()
    lines = raised.value._render_traceback_()
    assert "read_in_my_cell" in "\n".join(lines)
    assert "rasteret_sql/collection.py" not in "\n".join(lines)
    assert lines[-1].startswith('UnknownBandError: collection "bay" has no band "nope"')


def test_one_chip(con, session):
    (chip,) = con.sql(f"SELECT {CHIP}").fetchall()[0]
    arrow = con.sql(f"SELECT {CHIP} AS c").to_arrow_table()["c"][0]
    for one in (chip, arrow):
        data = bundle(session, rasteret_sql.show(one))
        assert imagecodecs.png_decode(data["image/png"]).shape[:2] == (chip["height"], chip["width"])
        assert data["text/plain"].startswith("chip 1×")


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        (1, ArgumentTypeError, "show takes a relation, such as con.sql"),
        (None, ArgumentTypeError, "NoneType"),
        ({"data": b""}, InvalidArgumentError, "not a CHIP: it lacks mask, dtype"),
    ],
)
def test_what_cannot_be_shown(what, error, says):
    with pytest.raises(error, match=says):
        rasteret_sql.show(what)
    with duckdb.connect() as con, pytest.raises(ArgumentTypeError, match=r"write con.sql\(...\)"):
        rasteret_sql.show(con.execute("SELECT 1"))
    with duckdb.connect() as con, pytest.raises(InvalidArgumentError, match="rows=0 cannot be used"):
        rasteret_sql.show(con.sql("SELECT 1"), rows=0)


def test_a_collection_has_a_map(cached):
    collection = rasteret_sql.build_from_stac(
        name="year", stac_api=str(CATALOG), collection="landsat8-ny-2018", workspace_dir=cached
    )
    html = collection._repr_html_()
    drawing = ET.fromstring(html[html.index("<svg") :])
    assert len([one for one in drawing.iter() if one.tag.endswith("title")]) == 19
    assert "LC08_L1TP_013032_20180131_20180207_01_T1 2018-01-31" in html
    assert "<svg" not in collection.where('"eo:cloud_cover" < -1')._repr_html_()


def test_the_map_has_shapes_where_they_are():
    ring = shapely.Polygon([(0, 0), (4, 0), (4, 2), (0, 2)], [[(1, 1), (2, 1), (2, 1.5), (1, 1)]])
    drawing = ET.fromstring(svg_of([ring, None], ["<a>", "b"], (0, 0, 4, 2)))
    (path,) = [one for one in drawing.iter() if one.tag.endswith("path") and len(one)]
    assert path[0].text == "<a>"
    assert path.attrib["d"].count("M") == 2
    x, y = np.array([pair.split(",") for pair in re.findall(r"[\d.]+,[\d.]+", path.attrib["d"])], float).T
    # 4 degrees at the latitude of the middle, cos 1°, are as wide as they are on the ground.
    assert (x.max() - x.min()) / (y.max() - y.min()) == pytest.approx(2 * np.cos(np.radians(1)), rel=1e-2)


@pytest.mark.exhaustive
def test_connect_and_install_follow_the_session(tmp_path):
    text = """
        import sys
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        import duckdb, rasteret_sql
        made = {
            "connect": lambda: rasteret_sql.connect(workspace_dir=sys.argv[1]),
            "install": lambda: rasteret_sql.install(duckdb.connect(), workspace_dir=sys.argv[1]),
            "load_ext": lambda: shell.run_line_magic("load_ext", "rasteret_sql"),
        }[sys.argv[2]]()
        con = duckdb.connect() if made is None else made
        print(sorted(shell.display_formatter.format(con.sql("SELECT 'a'::BLOB AS a"))[0]))
    """
    for how in ("connect", "install", "load_ext"):
        assert output_of(text, tmp_path, how) == "['text/html', 'text/plain']\n", how


def test_thumbnails_are_small_pictures_of_the_newest_scenes(cached, session, tmp_path):
    ny = rasteret_sql.build_from_stac(
        name="ny", stac_api=CATALOG, collection="landsat8-ny-2018", workspace_dir=tmp_path
    )
    shown = ny.thumbnails(scenes=2, size=50)
    assert [day for (day,) in shown.project("datetime::DATE::VARCHAR").fetchall()] == ["2018-12-17", "2018-12-08"]
    for picture in pictures(bundle(session, shown)["text/html"]):
        assert max(picture.shape[:2]) in {50, 100}  # small ones are enlarged
        assert picture.shape[2] in {3, 4}
        assert len(np.unique(picture[..., :3])) > 50
    bay = rasteret_sql.load("bay", workspace_dir=cached)
    ((chip,),) = bay.thumbnails("SCL").project("picture").fetchall()
    assert (chip["bands"], max(chip["height"], chip["width"])) == (["SCL"], 160)
    with pytest.raises(ValueError, match="scenes=0 cannot be used; give a whole number from 1 to 1000"):
        bay.thumbnails(scenes=0)
