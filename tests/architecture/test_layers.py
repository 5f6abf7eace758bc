"""Modules import only from rows above their own; siblings of a row do not import each other."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import rasteret_sql

ROWS = [
    {"lazy", "version"},
    {"errors", "quoting"},
    {"warning"},
    {"callbacks", "receipt"},
    {"byte_ranges", "scratch"},
    {"schema"},
    {"locks", "forked_child"},
    {"geo"},
    {"expr"},
    {"products"},
    {"tiff"},
    {"raster"},
    {"result_types"},
    {"io"},
    {"catalog"},
    {"scenes"},
    {"stac"},
    {"tables", "files"},
    {"engine"},
    {"index"},
    {"reading"},
    {"library"},
    {"session"},
    {"selection"},
    {"functions"},
    {"hosts"},
    {"bindings"},
    {"connection", "collection"},
    {"api"},
    {"cli"},
    {"__main__"},
]
ROOT = Path(rasteret_sql.__file__).parent
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}


@cache
def nodes(path):
    """All nodes of a file's syntax tree; each file is parsed once for all tests."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


def imports(path):
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rasteret_sql":
            if node.module == "rasteret_sql":
                yield from ((node.lineno, alias.name) for alias in node.names)
            else:
                yield node.lineno, node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (
                (node.lineno, alias.name.split(".")[1])
                for alias in node.names
                if alias.name.startswith("rasteret_sql.")
            )


def room(path):
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def modules():
    found = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]
    assert ROOT / "errors.py" in found
    return found


def test_every_room_is_in_a_row():
    assert {room(path) for path in modules()} <= set(ROW_OF)


def test_the_page_of_the_architecture_names_every_room_and_files_that_are_there():
    page = (ROOT.parent / "docs" / "architecture.md").read_text("utf-8")
    table = page.split("## Rooms", 1)[1].split("\n## ", 1)[0]
    assert set(ROW_OF) - {"__main__"} - set(re.findall(r"`(\w+)`", table)) == set()
    files = re.findall(r"`([\w/]+\.py)`", page)
    assert len(files) > 20
    assert [file for file in files if not ((ROOT / file).is_file() or (ROOT.parent / file).is_file())] == []


def test_imports_go_one_way():
    wrong = []
    for path in modules():
        own = room(path)
        for line, other in imports(path):
            if other in {own, "__version__"}:
                continue
            if other not in ROW_OF or ROW_OF[other] >= ROW_OF[own]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {other}")
    assert wrong == []


def test_the_engine_knows_no_file_format():
    engine = [path for path in modules() if room(path) == "engine"]
    assert len(engine) > 5
    assert [path.name for path in engine if "tiff" in {other for _, other in imports(path)}] == []


def test_no_circle_of_modules():
    """Imports for type checkers count, too."""
    names = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in modules()}
    graph = {}
    for name, path in names.items():
        froms = [node for node in nodes(path) if isinstance(node, ast.ImportFrom)]
        wanted = {found for node in froms for a in node.names for found in (f"{node.module}.{a.name}", node.module)}
        graph[name] = (wanted & names.keys()) - {name}
    assert len(list(TopologicalSorter(graph).static_order())) == len(names)


def test_imports_inside_the_index_go_one_way():
    order = ["format", "place", "read", "change"]
    wrong = []
    for path in modules():
        parts = path.relative_to(ROOT).parts
        if parts[0] != "index" or len(parts) < 3:
            continue
        for node in nodes(path):
            target = (getattr(node, "module", None) or "").split(".") if isinstance(node, ast.ImportFrom) else []
            if target[:2] == ["rasteret_sql", "index"] and order.index(target[2]) > order.index(parts[1]):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} imports {'.'.join(target)}")
    assert wrong == []


def test_no_module_imports_rasterio_or_gdal():
    words = ("rasterio", "osgeo", "fiona", "rioxarray")
    wrong = []
    for path in modules():
        names = {
            name.split(".")[0]
            for node in nodes(path)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        wrong += [f"{path} imports {name}" for name in names & set(words)]
    assert wrong == []


def test_reading_knows_neither_json_nor_duckdb():
    wrong = []
    for path in modules():
        if room(path) == "reading":
            for node in nodes(path):
                named = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
                wrong += [f"{path.name}: {name}" for name in named if name in {"json", "duckdb"}]
    assert wrong == []


def test_only_geo_computes_with_whole_and_half_turns():
    """Numbers of 180 and 360, but for lengths of texts, and angles in the definitions of projections."""
    wrong = []
    for path in modules():
        if room(path) == "geo" or path == ROOT / "tiff" / "projections.py":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        lengths = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Slice) for part in ast.walk(node)}
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}: ask geo"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value in {180, 360, 540} and id(node) not in lengths
        ]
    assert wrong == []


def test_only_geo_speaks_of_geoarrow_and_geoparquet():
    """Names of extension types and of the keys that hold their metadata."""
    wrong = []
    for path in modules():
        if room(path) != "geo":
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                value = node.value if isinstance(node, ast.Constant) else None
                text = value.decode("latin-1") if isinstance(value, bytes) else value
                if isinstance(text, str) and (text == "geo" or "geoarrow." in text or "ARROW:extension" in text):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {text[:40]!r} belongs to geo")
    assert wrong == []


def test_modules_are_short():
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text("utf-8").splitlines())) > 500}
    assert long == {}


def test_warnings_are_given_in_one_way():
    wrong = [
        f"{path}:{node.lineno}: call rasteret_sql.warning.warn(text)"
        for path in modules()
        if room(path) != "warning"
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in {"warn", "warn_explicit"}
    ]
    assert wrong == []


def lazily_imported(path):
    """Modules behind `lazy_module`, and those that the same `if TYPE_CHECKING` shows to checkers and to this test."""
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazy_module":
            yield "called", node.lineno, node.args[0].value
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            shown = {
                alias.name if isinstance(one, ast.Import) else f"{one.module}.{alias.name}"
                for one in node.body
                for alias in one.names
            }
            for assigned in node.orelse:
                if isinstance(assigned, ast.Assign) and isinstance(assigned.value, ast.Call):
                    for argument in assigned.value.args[:1]:
                        if isinstance(argument, ast.Constant):
                            yield "shown", assigned.lineno, argument.value if argument.value in shown else "another"


def test_what_is_imported_late_is_shown_as_an_import():
    found = [(path, *one) for path in modules() for one in lazily_imported(path)]
    called = {(path, line, name) for path, kind, line, name in found if kind == "called"}
    assert called
    assert called == {(path, line, name) for path, kind, line, name in found if kind == "shown"}
