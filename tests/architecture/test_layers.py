"""Modules import only from rows above their own; siblings of a row do not import each other."""

import ast
from pathlib import Path

import rasteret_sql

ROWS = [
    {"errors"},
    {"types"},
    {"schema"},
    {"locks"},
    {"geo"},
    {"expr"},
    {"tiff"},
    {"plan"},
    {"raster"},
    {"catalog"},
    {"io"},
    {"stac"},
    {"tables"},
    {"index"},
    {"engine"},
    {"kernels"},
    {"session_parts"},
    {"session"},
    {"selection"},
    {"functions"},
    {"bindings"},
    {"connection", "collection"},
    {"api", "tables_api"},
    {"cli"},
]
ROOT = Path(rasteret_sql.__file__).parent
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
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
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def test_every_room_is_in_a_row():
    assert {room(path) for path in modules()} <= set(ROW_OF)


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


def test_no_module_imports_rasterio_or_gdal():
    words = ("rasterio", "osgeo", "fiona", "rioxarray")
    for path in modules():
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        assert not names & set(words), path


def test_modules_are_short():
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text("utf-8").splitlines())) > 420}
    assert long == {}
