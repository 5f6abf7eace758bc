"""A declaration, its macro and its documentation say the same, its example runs, and NULL is taken in each argument."""

import inspect
import re
from pathlib import Path
from string import Template

import duckdb
import pytest
from sqlglot import exp, parse_one

import rasteret_sql
from rasteret_sql.functions.document import generated
from rasteret_sql.functions.registry import FUNCTIONS, call_of, macro_sql, sql_directory
from rasteret_sql.io.clouds.registry import PROVIDERS
from tests.sampling import some

ROOT = Path(__file__).resolve().parents[2]
SCENE = "S2A_29RKH_20200219_0_L2A"
ZONE = "POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, -11.5 24.8))"
BY_NAME = {function.name: function for function in FUNCTIONS}
SCALARS = [function for function in FUNCTIONS if not function.table]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A connection in which the examples can run, and what stands for their variables."""
    folder = tmp_path_factory.mktemp("functions")
    tiny = str(ROOT / "tests" / "sql" / "data")
    variables = {
        "DATA": str(ROOT / "examples" / "data"),
        "TINY": tiny,
        "TMP": str(folder),
        "EXPORT": str(folder / "export"),
    }
    with pytest.MonkeyPatch.context() as patch, rasteret_sql.connect(workspace_dir=folder / "workspace") as con:
        patch.setenv("RASTERET_LOCAL_DATASETS_PATH", str(folder / "datasets.json"))
        con.execute(
            "FROM rasteret_build_from_stac('dunes', $catalog, 'sentinel-s2-l2a-cogs')",
            {"catalog": variables["DATA"] + "/catalog/catalog.json"},
        ).fetchall()
        for name in ("dropped", "grown"):
            con.execute(
                "FROM rasteret_build_from_stac($name, $catalog, 'naip')",
                {"name": name, "catalog": variables["DATA"] + "/catalog/catalog.json"},
            ).fetchall()
        con.execute("FROM rasteret_export('dunes', $path)", {"path": variables["EXPORT"]}).fetchall()
        # Footprints of scenes as zones, of which one meets the dunes, and a point.
        con.execute("CREATE TABLE outlines AS SELECT 'dunes' AS field, geometry FROM rasteret.dunes LIMIT 1")
        con.execute("CREATE TABLE stations AS SELECT 1 AS station, -11.45 AS lon, 24.85 AS lat")
        con.execute("CREATE TABLE pictures AS SELECT 1 AS id, 'a'::BLOB AS picture")
        con.execute("SELECT read_chip('no such scene', 'B04', on_error := 'null')").fetchall()  # a failure to list
        yield con, variables


@pytest.mark.parametrize("function", SCALARS, ids=lambda function: function.name)
def test_no_boolean_comes_by_place(function):
    """`crs = 'EPSG:3857'` for `crs := ...` is one where rows have such a column; nothing may take it for its own."""
    by_place = next((one for one in function.arguments if not one.required), None)
    assert by_place is None or "BOOLEAN" not in by_place.kind.sql


def test_every_macro_file_is_declared():
    files = {path.stem for path in Path(str(sql_directory())).rglob("*.sql") if path.parent.name != "private"}
    assert files == set(BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_macro_has_the_declared_arguments(world, name):
    con, _ = world
    function = BY_NAME[name]
    rows = con.execute(
        "SELECT DISTINCT parameters, function_type FROM duckdb_functions() "
        "WHERE function_name = $name AND database_name = 'rasteret'",
        {"name": name},
    ).fetchall()
    assert rows == [([a.name for a in function.arguments], "table_macro" if function.table else "macro")]
    head = re.search(rf"MACRO {name}\((.*?)\n?\) AS", macro_sql(function), re.DOTALL)[1]
    defaults = dict(re.findall(r"(\w+) := ('[^']*'|[^,\s]+)", head))
    assert defaults == {
        a.name: repr(a.default) if str(a.default).startswith("(") else a.default
        for a in function.arguments
        if not a.required
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_the_macro_says_what_it_does(name):
    assert macro_sql(BY_NAME[name]).startswith("-- ")


@pytest.mark.parametrize(
    ("udf", "function"),
    [pytest.param(udf, function, id=udf.name) for function in FUNCTIONS for udf in function.udfs],
)
def test_the_declared_code_is_there_and_takes_the_declared_columns(udf, function):
    columns = udf.parameters[:-1] if udf.metered else udf.parameters  # the statement is the host's
    inspect.signature(call_of(udf, function)).bind("session", "cancelled", *columns)


@pytest.mark.parametrize(
    ("function", "argument", "names"),
    [
        ("rasteret_create_backend", "credential_provider", {provider.word for provider in PROVIDERS}),
        ("rasteret_cloud_config", "provider", {provider.name for provider in PROVIDERS}),
    ],
)
def test_providers_that_are_named_are_there(function, argument, names):
    (declared,) = [one for one in BY_NAME[function].arguments if one.name == argument]
    named = declared.doc.partition("such as ")[2].partition(";")[0].replace(" or ", ", ").split(", ")
    assert len(named) > 2
    assert names.issuperset(named)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_example_runs(world, name):
    con, variables = world
    rows = con.execute(Template(BY_NAME[name].example).substitute(variables)).fetchall()
    assert rows
    assert rows[0][0] is not None


def example_arguments(function):
    """The arguments of the call in a function's example, as SQL by their names."""
    (call,) = [one for one in parse_one(function.example, read="duckdb").find_all(exp.Anonymous)
               if one.name == function.name]  # fmt: skip
    positions = (argument.name for argument in function.arguments)
    return {
        one.name if isinstance(one, exp.PropertyEQ) else next(positions): (
            one.expression if isinstance(one, exp.PropertyEQ) else one
        ).sql("duckdb")
        for one in call.expressions
    }


def test_arguments_of_an_example():
    assert example_arguments(BY_NAME["zonal_stat"]) == {
        "scene_id": f"'{SCENE}'", "band": "'B04'", "geom": f"'{ZONE}'", "stat": "'max'",
    }  # fmt: skip
    assert example_arguments(BY_NAME["rasteret_unregister"]).keys() == {"id"}
    assert example_arguments(BY_NAME["rasteret_settings"]) == {"request_timeout": "30", "cache_bytes": "'256 MiB'"}


def call(function, **given):
    """A call with a good value for each required argument, but for those given as SQL."""
    chip = f"read_chip('{SCENE}', 'B04', '{ZONE}')"
    point = function.name == "sample_point"
    good = {
        "scene_id": f"'{SCENE}'",
        "band": "'B04'",
        "geom": "'POINT (-11.45 24.85)'" if point else f"'{ZONE}'",
        "stat": "'mean'",
        "chip": chip,
    }
    names = [a.name for a in function.arguments if a.required]
    if not good.keys() >= set(names):
        good = example_arguments(function)
    required = [given.pop(name, good[name]) for name in names]
    named = [f"{name} := {value}" for name, value in given.items()]
    return f"SELECT {function.name}({', '.join([*required, *named])})"


@pytest.mark.parametrize(
    ("name", "argument"), [(f.name, a.name) for f in SCALARS for a in f.arguments if a.required or a.name == "geom"]
)
def test_null_in_a_required_argument_gives_null(world, name, argument):
    con, _ = world
    assert con.execute(call(BY_NAME[name], **{argument: "NULL"})).fetchall() == [(None,)]


@pytest.mark.parametrize(
    ("name", "argument"),
    some([(f.name, a.name) for f in SCALARS for a in f.arguments if not a.required and a.name != "geom"], 8),
)
def test_null_in_a_named_argument_means_not_given(world, name, argument):
    con, _ = world
    function = BY_NAME[name]
    if function.family == "chips" and argument == "band":
        assert con.execute(call(function, band="NULL")).fetchall() == [(None,)]
        return
    (plain,) = con.execute(call(function)).fetchone()
    (null,) = con.execute(call(function, **{argument: "NULL"})).fetchone()
    assert plain is not None
    assert null == plain


TABLES = {
    "rasteret_build": {
        "dataset": "'earthsearch/naip'",
        "name": "'fields'",
        "stac_api": "'${DATA}/catalog/catalog.json'",
        "bbox": "[-88, 42.9, -87.8, 43]",
        "date_range": "['2020-01-01', '2020-12-31']",
    },
    "rasteret_build_from_stac": {
        "name": "'nullable'",
        "stac_api": "'${TINY}/tiny.json'",
    },
    "rasteret_build_from_table": {"uri": "'${EXPORT}'", "name": "'tabled'"},
    "rasteret_load": {"path": "'${EXPORT}'"},
    "rasteret_stac_search": {"stac_api": "'${TINY}/tiny.json'"},
    "rasteret_scenes": {"collection": "'dunes'", "geom": "'POINT (-11.45 24.85)'"},
    "rasteret_export": {"name": "'dunes'", "path": "'${TMP}/null-export'"},
    "rasteret_write": {"relation": "pictures", "path": "'${TMP}/{id}.bin'"},
    "rasteret_append": {"name": "'grown'"},
    "rasteret_refresh": {"name": "'grown'"},
    "rasteret_drop": {"name": "'droppable'"},
    "rasteret_register": {"descriptor": "{'id': 'my-org/null'}"},
    "rasteret_register_local": {"id": "'local/null'", "path": "'${EXPORT}'"},
    "rasteret_unregister": {"id": "'local/null'"},
    "rasteret_export_descriptor": {"id": "'earthsearch/naip'", "path": "'${TMP}/null.json'"},
    "rasteret_create_backend": {"name": "'null'"},
    "rasteret_cloud_config": {"dataset": "'my-org/null'", "provider": "'gcp'"},
    "rasteret_settings": {},
    "zonal_stats_table": {"scenes": "rasteret.dunes", "zones": "outlines", "band": "'B04'"},
    "sample_points": {"scenes": "rasteret.dunes", "points": "stations", "band": "'B04'"},
    "read_pixels": {"scenes": "rasteret.dunes", "band": "'B04'", "geom": "'POINT (-11.45 24.85)'"},
    "rasteret_explain_table": {"scenes": "rasteret.dunes", "zones": "outlines", "band": "'B04'"},
    "zonal_series": {"scenes": "rasteret.dunes", "zones": "outlines", "band": "'B04'"},
    "read_mosaics": {"scenes": "rasteret.dunes", "zones": "outlines", "band": "'B04'"},
    "read_chips": {"scenes": "'rasteret.dunes'", "zones": "outlines", "band": "['B04']"},
}
"""Good arguments of table functions, enough to call them; of others those of their example are taken."""


def good_arguments(name):
    return TABLES[name] if name in TABLES else example_arguments(BY_NAME[name])


def make_droppable(world):
    con, variables = world
    catalog = variables["DATA"] + "/catalog/catalog.json"
    con.execute("FROM rasteret_build_from_stac('droppable', $catalog, 'naip')", {"catalog": catalog}).fetchall()


def table_call(world, name, /, **changed):
    arguments = good_arguments(name) | changed
    required = {a.name for a in BY_NAME[name].arguments if a.required}
    given = [value if key in required else f"{key} := {value}" for key, value in arguments.items()]
    return f"FROM {name}({Template(', '.join(given)).substitute(world[1])})"


def test_each_table_function_has_arguments_to_try():
    for function in FUNCTIONS:
        if function.table:
            names = {argument.name: argument.required for argument in function.arguments}
            given = set(good_arguments(function.name))
            assert {name for name, required in names.items() if required} <= given <= set(names)
    assert set(TABLES) <= {function.name for function in FUNCTIONS if function.table}


@pytest.mark.parametrize(
    ("name", "argument"), [(f.name, a.name) for f in FUNCTIONS if f.table for a in f.arguments if a.required]
)
def test_null_in_a_required_argument_of_a_table_is_an_error(world, name, argument):
    if (name, argument) in (("rasteret_scenes", "geom"), ("read_mosaic", "geom")):
        assert world[0].execute(table_call(world, name, geom="NULL")).fetchall() == []  # it may come from a variable
        return
    with pytest.raises(duckdb.Error, match=f"{name}: {argument} is missing"):
        world[0].execute(table_call(world, name, **{argument: "NULL"}))


NEEDED = {
    *(("rasteret_build", "stac_api"), ("rasteret_cloud_config", "provider"), ("read_pixels", "geom")),
    ("rasteret_stats", "clear"),
}
"""Not given they mean an API far away, that nothing is said but the dataset, or all; a NULL geometry has no rows. What
statements took is another list after each statement."""


@pytest.mark.parametrize(
    ("name", "argument"),
    some(sorted({(f.name, a.name) for f in FUNCTIONS if f.table for a in f.arguments if not a.required} - NEEDED), 12),
)
def test_null_in_a_named_argument_of_a_table_means_not_given(world, name, argument):
    con, _ = world
    without = {key: value for key, value in good_arguments(name).items() if key != argument}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLES, name, without)
        make_droppable(world)
        wanted = con.execute(table_call(world, name)).fetchall()
        make_droppable(world)
        got = con.execute(table_call(world, name, **{argument: "NULL"})).fetchall()
    # The first column names the scenes, collections or datasets; others tell when and whether anew.
    assert wanted
    assert sorted(row[0] for row in got) == sorted(row[0] for row in wanted)


@pytest.mark.parametrize("name", BY_NAME)
def test_an_unknown_argument_is_an_error(world, name):
    con, _ = world
    text = f"FROM {name}(nonsense := 1)" if BY_NAME[name].table else call(BY_NAME[name], nonsense="1")
    with pytest.raises(duckdb.BinderException, match=name):
        con.execute(text)


GENERATED = generated(ROOT)


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_what_is_made_of_the_declarations_is_in_step(path):
    assert path.read_text("utf-8") == GENERATED[path], "run `python -m rasteret_sql.functions.document`"


def test_functions_list_themselves(world):
    con, _ = world
    rows = con.execute(
        "SELECT name, kind, signature, returns, description, example FROM rasteret_functions()"
    ).fetchall()
    assert [row[0] for row in rows] == sorted(BY_NAME)
    assert all(all(row) for row in rows)
